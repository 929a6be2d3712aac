"""Attributes survive their text form, and a change of it by others is seen."""

import stat
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.errors import AttributeTooBigError
from ssecfs.s3.types import ETag, ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.tree.attrs import (
    MAX_METADATA_BYTES,
    Attrs,
    Defaults,
    SealState,
    format_metadata,
    parse_attrs,
    require_room,
    without_set_ids,
)

SEAL_KEY = bytes(range(32))
OBJECT_KEY = ObjectKey("folder/file")
MARKER_KEY = ObjectKey("folder/")
DEFAULTS = Defaults(uid=7, gid=8)
TIMES = st.integers(-(10**18), 2**63 * 10**9 - 1)  # 1938 to the end of a 64-bit clock
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
    xattrs=st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=30), max_size=3),
    extra=st.dictionaries(st.sampled_from(["md5chksum", "other-tool"]), st.text("abc", max_size=5)),
)


def info_of(metadata: Mapping[str, str], size: int = 5, object_key: str = OBJECT_KEY) -> ObjectInfo:
    return ObjectInfo(ObjectVersion(ObjectKey(object_key), ETag('"e"'), size, 1000), dict(metadata), None)


def key_for(attrs: Attrs) -> ObjectKey:
    return MARKER_KEY if attrs.is_dir else OBJECT_KEY


@given(ATTRS)
def test_metadata_of_any_attributes_reads_back_as_the_same(attrs: Attrs) -> None:
    metadata = format_metadata(attrs, key_for(attrs), SEAL_KEY)
    shown = replace(attrs, size=0) if attrs.is_dir else attrs
    assert parse_attrs(info_of(metadata, shown.size, key_for(attrs)), DEFAULTS, SEAL_KEY) == shown


@given(ATTRS)
def test_metadata_of_any_attributes_can_be_sent_as_headers(attrs: Attrs) -> None:
    metadata = format_metadata(attrs, OBJECT_KEY, SEAL_KEY)
    assert all(value.isascii() and value.isprintable() and value == value.strip() for value in metadata.values())


@given(ATTRS)
def test_metadata_changed_or_moved_by_others_has_a_bad_seal(attrs: Attrs) -> None:
    metadata = format_metadata(attrs, OBJECT_KEY, SEAL_KEY)
    for changed in ({"mode": str(attrs.mode ^ 0o2)}, {"xattr": "%7B%22user.new%22%3A%22%22%7D"}, {"ssecfs-sha256": "0"}):
        parsed = parse_attrs(info_of(metadata | changed), DEFAULTS, SEAL_KEY)
        assert (parsed.seal, parsed.sha256) == (SealState.BAD, None)
    assert parse_attrs(info_of(metadata, object_key="other"), DEFAULTS, SEAL_KEY).seal is SealState.BAD
    assert parse_attrs(info_of(metadata), DEFAULTS, bytes(32)).seal is SealState.BAD


@pytest.mark.parametrize(
    ("metadata", "mode"),
    [
        ({"mode": "33188"}, stat.S_IFREG | 0o644),  # s3fs: decimal, with type
        ({"mode": "100640"}, stat.S_IFREG | 0o640),  # rclone: octal
        ({"mode": "120777"}, stat.S_IFLNK | 0o777),  # rclone with --links
        ({"mode": "41471"}, stat.S_IFLNK | 0o777),  # s3fs symlink
        ({"mode": "4516"}, stat.S_IFIFO | 0o644),  # s3fs FIFO
        ({"mode": "16877"}, stat.S_IFREG | 0o755),  # a directory's, at an object that is none
        ({"mode": "8630"}, stat.S_IFREG | 0o644),  # a device's
        ({"file-permissions": "0600"}, stat.S_IFREG | 0o600),  # DataSync
        ({"file-permissions": "0100664"}, stat.S_IFREG | 0o664),  # FSx
        ({"permissions": "33261"}, stat.S_IFREG | 0o755),  # s3sync
        ({"goog-reserved-posix-mode": "640"}, stat.S_IFREG | 0o640),
        ({"mode": "rubbish", "file-permissions": "0600"}, stat.S_IFREG | 0o600),
        ({"mode": "9" * 5000}, stat.S_IFREG | 0o644),
        ({}, stat.S_IFREG | 0o644),
    ],
)
def test_modes_of_other_tools_are_understood(metadata: dict[str, str], mode: int) -> None:
    attrs = parse_attrs(info_of(metadata), DEFAULTS, SEAL_KEY)
    assert (attrs.mode, attrs.seal) == (mode, SealState.MISSING)


@pytest.mark.parametrize(
    ("text", "permissions"),
    [
        ("488", 0o750),  # s3fs, new directory: decimal without type
        ("511", 0o777),
        ("16872", 0o750),  # s3fs, changed directory
        ("41777", 0o1777),  # octal with type; in decimal it would be a symlink's
        ("0700", 0o700),
        ("33188", 0o755),  # a file's
    ],
)
def test_modes_of_directories_by_other_tools_are_understood(text: str, permissions: int) -> None:
    attrs = parse_attrs(info_of({"mode": text}, 0, MARKER_KEY), DEFAULTS, SEAL_KEY)
    assert attrs.mode == stat.S_IFDIR | permissions


def test_owner_and_times_of_other_tools_are_understood() -> None:
    rclone = {"mtime": "1400000000.987654321", "atime": "2017-07-14T02:40:00.123456789Z", "uid": "12", "gid": "34"}
    attrs = parse_attrs(info_of(rclone), DEFAULTS, SEAL_KEY)
    assert (attrs.uid, attrs.gid) == (12, 34)
    assert (attrs.mtime_ns, attrs.atime_ns) == (1_400_000_000_987_654_321, 1_500_000_000_123_456_789)
    datasync = {"file-mtime": "1400000000987654321ns", "file-atime": "1500000000000", "file-owner": "12", "file-group": "34"}
    attrs = parse_attrs(info_of(datasync), DEFAULTS, SEAL_KEY)
    assert (attrs.uid, attrs.gid) == (12, 34)
    assert (attrs.mtime_ns, attrs.atime_ns) == (1_400_000_000_987_654_321, 1_500_000_000_000_000_000)


def test_foreign_object_without_metadata_gets_defaults_and_its_own_time() -> None:
    attrs = parse_attrs(info_of({}, size=9), DEFAULTS, SEAL_KEY)
    assert attrs == Attrs(stat.S_IFREG | 0o644, 7, 8, 9, 1000 * 10**9, 1000 * 10**9, 1000 * 10**9)


def test_content_change_moves_times_and_drops_the_digest() -> None:
    before = Attrs(stat.S_IFREG | 0o644, 1, 2, 3, 4, 5, 6, sha256="00")
    assert before.with_content(10, 99) == replace(before, size=10, mtime_ns=99, ctime_ns=99, sha256=None)


def test_bad_seal_stays_bad_through_copies_until_the_attributes_are_changed() -> None:
    metadata = format_metadata(Attrs(stat.S_IFREG | 0o644, 1, 2, 5, 4, 5, 6), OBJECT_KEY, SEAL_KEY)
    forged = parse_attrs(info_of(metadata | {"uid": "0"}), DEFAULTS, SEAL_KEY)
    elsewhere = ObjectKey("elsewhere")
    copied = parse_attrs(info_of(format_metadata(forged, elsewhere, SEAL_KEY), 5, elsewhere), DEFAULTS, SEAL_KEY)
    assert (copied.seal, copied.uid, forged.as_stored().seal) == (SealState.BAD, 0, SealState.BAD)
    changed = copied.with_xattrs({})
    mended = parse_attrs(info_of(format_metadata(changed, OBJECT_KEY, SEAL_KEY)), DEFAULTS, SEAL_KEY)
    assert (mended.seal, changed.as_stored().seal) == (SealState.GOOD, SealState.GOOD)


def test_content_change_drops_the_digests_of_other_tools_and_keeps_the_rest() -> None:
    before = Attrs(stat.S_IFREG | 0o644, 1, 2, 3, 4, 5, 6, extra={"md5chksum": "x", "s3cmd-attrs": "md5:x", "other": "y"})
    assert before.with_content(10, 99).extra == {"other": "y"}


@pytest.mark.parametrize(
    ("before", "after"), [(0o6755, 0o755), (0o4644, 0o644), (0o2755, 0o755), (0o2644, 0o2644), (0o1755, 0o1755)]
)
def test_content_change_takes_set_id_bits_but_not_that_of_mandatory_locking(before: int, after: int) -> None:
    assert without_set_ids(before) == after
    attrs = Attrs(stat.S_IFREG | before, 1, 2, 3, 4, 5, 6)
    assert attrs.with_content(1, 9).mode == stat.S_IFREG | after


def test_xattrs_of_another_tool_that_make_no_sense_are_kept_until_some_are_set() -> None:
    attrs = parse_attrs(info_of({"xattr": "%7Bnonsense"}), DEFAULTS, SEAL_KEY)
    assert (attrs.xattrs, attrs.extra) == ({}, {"xattr": "%7Bnonsense"})
    sealed = format_metadata(attrs, OBJECT_KEY, SEAL_KEY)
    assert sealed["xattr"] == "%7Bnonsense"
    assert parse_attrs(info_of(sealed), DEFAULTS, SEAL_KEY).seal is SealState.GOOD
    assert attrs.with_xattrs({b"user.a": b"b"}).extra == {}


@given(ATTRS, st.integers(0, 3000))
def test_attributes_have_room_exactly_if_their_longest_form_fits(attrs: Attrs, size: int) -> None:
    full = replace(attrs, sha256="0" * 64, extra={"x": "y" * size})
    rest = format_metadata(replace(full, extra={}), OBJECT_KEY, SEAL_KEY)
    total = sum(len(name) + len(value) for name, value in rest.items()) + 1 + size
    try:
        require_room(full)
    except AttributeTooBigError:
        assert total + 1 + 2 * 9 + 3 * 20 + 4 > MAX_METADATA_BYTES  # mode, owner and group, times, seal may grow by that much
    else:
        assert total <= MAX_METADATA_BYTES
    if total > MAX_METADATA_BYTES:
        with pytest.raises(AttributeTooBigError, match=f"{total - MAX_METADATA_BYTES} too many"):
            format_metadata(full, OBJECT_KEY, SEAL_KEY)
