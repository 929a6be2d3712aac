"""Attributes survive their text form, and a change of it by others is seen."""

import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.s3.types import ETag, ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.tree.attrs import Attrs, Defaults, SealState, format_metadata, format_time, parse_attrs, parse_time

SEAL_KEY = bytes(range(32))
OBJECT_KEY = ObjectKey("folder/file")
DEFAULTS = Defaults(uid=7, gid=8)
TIMES = st.integers(-(10**18), 4 * 10**18)
MODES = st.builds(
    lambda kind, bits: kind | bits,
    st.sampled_from([stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]),
    st.integers(0, 0o7777),
)
ATTRS = st.builds(
    Attrs,
    mode=MODES,
    uid=st.integers(0, 2**32 - 1),
    gid=st.integers(0, 2**32 - 1),
    size=st.integers(0, 5 << 40),
    mtime_ns=TIMES,
    atime_ns=TIMES,
    ctime_ns=TIMES,
    sha256=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
    seal=st.just(SealState.GOOD),
    extra=st.dictionaries(st.sampled_from(["md5chksum", "other-tool"]), st.text("abc", max_size=5)),
)


def info_of(metadata: dict[str, str], size: int = 5, object_key: str = OBJECT_KEY) -> ObjectInfo:
    return ObjectInfo(ObjectVersion(ObjectKey(object_key), ETag('"e"'), size, 1000), metadata, None)


@given(ATTRS)
def test_metadata_of_any_attributes_reads_back_as_the_same(attrs: Attrs) -> None:
    metadata = format_metadata(attrs, OBJECT_KEY, SEAL_KEY)
    assert parse_attrs(info_of(metadata, attrs.size), DEFAULTS, SEAL_KEY) == attrs


@given(ATTRS)
def test_metadata_changed_or_moved_by_others_has_a_bad_seal(attrs: Attrs) -> None:
    metadata = format_metadata(attrs, OBJECT_KEY, SEAL_KEY)
    changed = metadata | {"mode": str(attrs.mode ^ 0o2)}
    assert parse_attrs(info_of(changed), DEFAULTS, SEAL_KEY).seal is SealState.BAD
    assert parse_attrs(info_of(metadata, object_key="other"), DEFAULTS, SEAL_KEY).seal is SealState.BAD
    assert parse_attrs(info_of(metadata), DEFAULTS, bytes(32)).seal is SealState.BAD


@given(TIMES)
def test_time_text_of_any_time_reads_back_exactly(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1650376416", 1_650_376_416_000_000_000),
        ("1650376416.5", 1_650_376_416_500_000_000),
        ("1650376416.123456789", 1_650_376_416_123_456_789),
        ("1650376416.1234567891", 1_650_376_416_123_456_789),
        ("-0.25", -250_000_000),
        ("yesterday", None),
        ("", None),
    ],
)
def test_time_text_of_other_tools_is_understood(text: str, expected: int | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("metadata", "mode"),
    [
        ({"mode": "33188"}, stat.S_IFREG | 0o644),  # s3fs: decimal, with type
        ({"mode": "100640"}, stat.S_IFREG | 0o640),  # rclone: octal
        ({"mode": "41471"}, stat.S_IFLNK | 0o777),  # s3fs symlink
        ({"file-permissions": "0600"}, stat.S_IFREG | 0o600),  # DataSync
        ({"permissions": "33261"}, stat.S_IFREG | 0o755),  # s3sync
        ({"mode": "rubbish"}, stat.S_IFREG | 0o644),
        ({}, stat.S_IFREG | 0o644),
    ],
)
def test_modes_of_other_tools_are_understood(metadata: dict[str, str], mode: int) -> None:
    attrs = parse_attrs(info_of(metadata), DEFAULTS, SEAL_KEY)
    assert (attrs.mode, attrs.seal) == (mode, SealState.MISSING)


def test_foreign_object_without_metadata_gets_defaults_and_its_own_time() -> None:
    attrs = parse_attrs(info_of({}, size=9), DEFAULTS, SEAL_KEY)
    assert attrs == Attrs(stat.S_IFREG | 0o644, 7, 8, 9, 1000 * 10**9, 1000 * 10**9, 1000 * 10**9)


def test_content_change_moves_times_and_drops_the_digest() -> None:
    before = Attrs(stat.S_IFREG | 0o644, 1, 2, 3, 4, 5, 6, sha256="00")
    assert before.with_content(10, 99) == replace(before, size=10, mtime_ns=99, ctime_ns=99, sha256=None)
