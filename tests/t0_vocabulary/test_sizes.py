"""Byte counts and their text form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.sizes import GIB, KIB, MIB, TIB, format_size, parse_size

READ = {
    "0": 0,
    "4096": 4096,
    "128K": 128 * KIB,
    "128k": 128 * KIB,
    "128 KiB": 128 * KIB,
    "128KB": 128 * KIB,
    " 16m ": 16 * MIB,
    "1.5GiB": 3 * GIB // 2,
    "2t": 2 * TIB,
    "7b": 7,
    "9007199254740993": 9007199254740993,
}


@pytest.mark.parametrize(("text", "size_bytes"), READ.items())
def test_size_is_read_in_powers_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", " ", "-1", "K", "1 2", "1,5G", "1e6", "0x10", "5 apples", "1.", ".5G", "12KK"])
def test_text_that_is_no_size_is_refused_and_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no size") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


SHOWN = {
    0: "0 B",
    1023: "1023 B",
    KIB: "1.0 KiB",
    3 * KIB // 2: "1.5 KiB",
    MIB: "1.0 MiB",
    5 * GIB: "5.0 GiB",
    3000 * TIB: "3000.0 TiB",
}


@pytest.mark.parametrize(("size_bytes", "text"), SHOWN.items())
def test_size_is_shown_in_the_largest_unit_that_fits(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(size_bytes=st.integers(min_value=0, max_value=1 << 62))
def test_shown_size_reads_back_within_its_precision(size_bytes: int) -> None:
    unit = max((unit for unit in (1, KIB, MIB, GIB, TIB) if unit <= size_bytes), default=1)
    tolerance = 0 if unit == 1 else unit * 0.05 + size_bytes * 1e-12
    assert abs(parse_size(format_size(size_bytes)) - size_bytes) <= tolerance + 1 * (unit > 1)


@given(size_bytes=st.integers(min_value=0))
def test_plain_number_reads_back_exactly(size_bytes: int) -> None:
    assert parse_size(str(size_bytes)) == size_bytes
