"""Attributes as text: ours reads back exactly, that of other tools is understood, rubbish is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.tree.attrtext import (
    format_time,
    format_xattrs,
    parse_id,
    parse_time,
    parse_time_with_unit,
    parse_xattrs,
)

XATTRS = st.dictionaries(st.binary(min_size=1, max_size=255), st.binary(max_size=300), max_size=5)


@given(st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1))
def test_time_of_a_64_bit_clock_reads_back_exactly(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1650376416", 1_650_376_416_000_000_000),
        ("1650376416.5", 1_650_376_416_500_000_000),
        ("1650376416.123456789", 1_650_376_416_123_456_789),
        ("1650376416.1234567891", 1_650_376_416_123_456_789),
        ("-0.25", -250_000_000),
        ("2017-07-14T02:40:00Z", 1_500_000_000_000_000_000),
        ("2017-07-14T02:40:00.123456789Z", 1_500_000_000_123_456_789),
        ("2017-07-14t04:40:00.5+02:00", 1_500_000_000_500_000_000),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        ("0001-01-01T00:00:00+12:00", None),
        ("2017-02-30T00:00:00Z", None),
        ("9" * 5000, None),
        ("yesterday", None),
        ("1.", None),
        ("", None),
    ],
)
def test_time_of_other_tools_is_understood(text: str, expected: int | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1650376416123456789ns", 1_650_376_416_123_456_789), ("1650376416123", 1_650_376_416_123_000_000), ("5s", None)],
)
def test_time_with_unit_is_understood(text: str, expected: int | None) -> None:
    assert parse_time_with_unit(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("4294967295", 2**32 - 1), ("4294967296", None), ("-1", None), ("", None), ("²", None)]
)
def test_id_is_a_number_of_32_bits(text: str, expected: int | None) -> None:
    assert parse_id(text) == expected


@given(XATTRS)
def test_xattrs_of_any_bytes_read_back_exactly(xattrs: dict[bytes, bytes]) -> None:
    assert parse_xattrs(format_xattrs(xattrs)) == xattrs


def test_xattrs_are_written_as_s3fs_writes_them() -> None:
    # Recorded: s3fs 1.90 with use_xattr.
    text = "%7B%22user.one%22%3A%22djEg/wB4%22%2C%22user.z%20%C3%A4%22%3A%22YWJj%22%7D"
    assert format_xattrs({b"user.z \xc3\xa4": b"abc", b"user.one": b"v1 \xff\0x"}) == text


@pytest.mark.parametrize(
    "json_text", ["", "[]", "1", "null", '{"a": 1}', '{"a": "not base64"}', '{"a": null}', '{"a', '{"a"{":"YWJj"}', "\xff"]
)
def test_xattrs_that_make_no_sense_are_none(json_text: str) -> None:
    assert parse_xattrs(json_text) is None
