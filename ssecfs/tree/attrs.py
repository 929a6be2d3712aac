"""Attributes of a file, and the user metadata in which they travel. Pure, no I/O.

What lives here: ``Attrs``, its text form in s3fs's names (both tools read each other's buckets), the seal over it.
What does not: who keeps them (``attrbook``), inode numbers (``inodes``). Imported by ``tree``, ``fs`` and ``fuse``.

Metadata is not covered by SSE-C: the provider can read and change it. So an HMAC under a key derived from the customer key goes
with it; one that does not fit is reported, and the attributes are still shown, because other tools change them rightly.

Source: s3fs metadata names; DESIGN section 4.
"""

import base64
import binascii
import hashlib
import hmac
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Final

from ssecfs.errors import AttributeTooBigError
from ssecfs.s3.types import ObjectInfo, ObjectKey
from ssecfs.tree.attrtext import (
    MAX_ID,
    NS_PER_S,
    format_time,
    format_xattrs,
    parse_id,
    parse_mode,
    parse_octal_mode,
    parse_time,
    parse_time_with_unit,
    parse_xattrs,
)

MAX_METADATA_BYTES: Final = 2048
"""User metadata of one object at most, names and values together. Source: S3 user guide, "Working with object metadata"."""

XATTR_NAME: Final = "xattr"
SHA256_NAME: Final = "ssecfs-sha256"
SEAL_NAME: Final = "ssecfs-hmac"

_DIGEST_NAMES: Final = frozenset({"md5chksum", "s3cmd-attrs"})
"""Metadata in which rclone and s3cmd keep the MD5 of the content."""

# s3fs and rclone, s3sync, DataSync and FSx, Google's tools: who has written the attribute, in the order of trust.
_UID_PARSERS: Final = dict.fromkeys(("uid", "owner", "file-owner", "goog-reserved-posix-uid"), parse_id)
_GID_PARSERS: Final = dict.fromkeys(("gid", "group", "file-group", "goog-reserved-posix-gid"), parse_id)
_MTIME_PARSERS: Final = {
    "mtime": parse_time,
    "file-mtime": parse_time_with_unit,
    "goog-reserved-file-mtime": parse_time,
    "gcsfuse_mtime": parse_time,
}
_ATIME_PARSERS: Final = {"atime": parse_time, "file-atime": parse_time_with_unit}
_CTIME_PARSERS: Final = {"ctime": parse_time}

_BROKEN: Final = "bad."
"""What the seal begins with where there was a bad one: no HMAC in base64 looks like that."""

_LONGEST_MODE: Final = stat.S_IFSOCK | 0o7777
_LONGEST_TIME_NS: Final = -(1 << 63) * NS_PER_S


NO_XATTRS: Final[Mapping[bytes, bytes]] = MappingProxyType({})
NO_EXTRA: Final[Mapping[str, str]] = MappingProxyType({})
"""For all who have none: there are very many of them in memory."""


class SealState(Enum):
    """What the HMAC over the attributes says."""

    MISSING = "missing"
    """Another tool wrote them, or they were changed here and are not saved yet."""
    GOOD = "good"
    BAD = "bad"
    """They were changed after we wrote them, or belong to another object. That is told until somebody changes them here."""


@dataclass(frozen=True, slots=True)
class Attrs:
    """What stat shows, without inode number and link count.

    Attributes:
        mode: permission bits and file type.
        size: bytes.
        mtime_ns, atime_ns, ctime_ns: nanoseconds since the epoch.
        sha256: of the content in hex; None: not known.
    """

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    atime_ns: int
    ctime_ns: int
    sha256: str | None = None
    seal: SealState = SealState.MISSING
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)
    """Extended attributes, names with their namespace."""
    extra: Mapping[str, str] = field(default_factory=lambda: NO_EXTRA)
    """Metadata of other tools, kept through our own copies."""

    @property
    def is_dir(self) -> bool:
        """Tell whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Tell whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """Tell whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    def with_content(self, size: int, now_ns: int) -> "Attrs":
        """The attributes after the content changed: new size, mtime, ctime, no set-id bits; digests are no longer true."""
        extra = self.extra
        if not extra.keys().isdisjoint(_DIGEST_NAMES):
            extra = {name: value for name, value in extra.items() if name not in _DIGEST_NAMES}
        mode = without_set_ids(self.mode) if self.is_file else self.mode
        return replace(self, mode=mode, size=size, mtime_ns=now_ns, ctime_ns=now_ns, sha256=None, extra=extra)

    def as_stored(self) -> "Attrs":
        """The attributes once they are saved: sealed, but for a bad seal, which copies and uploads do not mend."""
        return self if self.seal is SealState.BAD else replace(self, seal=SealState.GOOD)

    def with_xattrs(self, xattrs: Mapping[bytes, bytes]) -> "Attrs":
        """The attributes with other extended attributes; what another tool wrote for them and we cannot read goes."""
        extra = {name: value for name, value in self.extra.items() if name != XATTR_NAME}
        return replace(self, xattrs=xattrs, extra=extra, seal=SealState.MISSING)


def without_set_ids(mode: int) -> int:
    """A mode after content or owner changed: setuid goes, and setgid where the group may execute."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


@dataclass(frozen=True, slots=True)
class Defaults:
    """Attributes of objects that carry none."""

    uid: int
    gid: int
    file_mode: int = stat.S_IFREG | 0o644
    dir_mode: int = stat.S_IFDIR | 0o755

    def for_file(self, size: int, modified_s: int) -> Attrs:
        """The attributes of a foreign file of size bytes."""
        time_ns = modified_s * NS_PER_S
        return Attrs(self.file_mode, self.uid, self.gid, size, time_ns, time_ns, time_ns)

    def for_directory(self, modified_s: int) -> Attrs:
        """The attributes of a directory without a marker, or with a foreign one."""
        time_ns = modified_s * NS_PER_S
        return Attrs(self.dir_mode, self.uid, self.gid, 0, time_ns, time_ns, time_ns)


def format_metadata(attrs: Attrs, object_key: ObjectKey, seal_key: bytes) -> dict[str, str]:
    """The user metadata that carries attributes; parse_attrs is its inverse.

    Args:
        attrs: what to store.
        object_key: where it will be stored; the seal is bound to it.
        seal_key: 32 bytes, derived from the customer key.

    Raises:
        AttributeTooBigError: there is no room beside the metadata of other tools.
    """
    metadata = dict(attrs.extra)
    metadata |= {
        "mode": str(attrs.mode),
        "uid": str(attrs.uid),
        "gid": str(attrs.gid),
        "mtime": format_time(attrs.mtime_ns),
        "atime": format_time(attrs.atime_ns),
        "ctime": format_time(attrs.ctime_ns),
    }
    if attrs.xattrs:
        metadata[XATTR_NAME] = format_xattrs(attrs.xattrs)
    if attrs.sha256 is not None:
        metadata[SHA256_NAME] = attrs.sha256
    metadata[SEAL_NAME] = (_BROKEN if attrs.seal is SealState.BAD else "") + _seal(metadata, object_key, seal_key)
    excess = sum(len(name) + len(value.encode()) for name, value in metadata.items()) - MAX_METADATA_BYTES
    if excess > 0:
        message = f"an object's metadata has at most {MAX_METADATA_BYTES} bytes in all, and this is {excess} too many"
        raise AttributeTooBigError(message)
    return metadata


def require_room(attrs: Attrs) -> None:
    """Insist that an object's metadata can hold attributes, whatever becomes of mode, owner, times and content later.

    Raises:
        AttributeTooBigError: says by how much it is too small.
    """
    longest = replace(
        attrs,
        mode=_LONGEST_MODE,
        uid=MAX_ID,
        gid=MAX_ID,
        mtime_ns=_LONGEST_TIME_NS,
        atime_ns=_LONGEST_TIME_NS,
        ctime_ns=_LONGEST_TIME_NS,
        sha256="0" * 64,
        seal=SealState.BAD,
    )
    format_metadata(longest, ObjectKey(""), b"")


def parse_attrs(info: ObjectInfo, defaults: Defaults, seal_key: bytes) -> Attrs:
    """Read attributes from what HEAD or GET told, in our own form, s3fs's, rclone's, s3sync's or DataSync's.

    Values that make no sense count as absent; absent ones come from defaults and the object's own time.
    """
    metadata = info.metadata
    version = info.version
    is_marker = version.object_key.endswith("/") and version.size == 0
    base_mode = defaults.dir_mode if is_marker else defaults.file_mode
    mtime_ns = _first(metadata, _MTIME_PARSERS, version.modified_s * NS_PER_S)
    seal = _check_seal(metadata, version.object_key, seal_key)
    xattrs = parse_xattrs(metadata[XATTR_NAME]) if XATTR_NAME in metadata else NO_XATTRS
    kept = _OWN_NAMES if xattrs is not None else _OWN_NAMES - {XATTR_NAME}
    mode = _first(metadata, _mode_parsers(base_mode), base_mode)
    if stat.S_ISDIR(mode) is not is_marker:
        mode = stat.S_IFMT(base_mode) | stat.S_IMODE(mode)  # the object key decides, whatever the metadata say
    return Attrs(
        mode=mode,
        uid=_first(metadata, _UID_PARSERS, defaults.uid),
        gid=_first(metadata, _GID_PARSERS, defaults.gid),
        size=0 if is_marker else version.size,
        mtime_ns=mtime_ns,
        atime_ns=_first(metadata, _ATIME_PARSERS, mtime_ns),
        ctime_ns=_first(metadata, _CTIME_PARSERS, mtime_ns),
        sha256=metadata.get(SHA256_NAME) if seal is SealState.GOOD else None,
        seal=seal,
        xattrs=xattrs or NO_XATTRS,
        extra={name: value for name, value in metadata.items() if name not in kept} or NO_EXTRA,
    )


_OWN_NAMES: Final = frozenset({"mode", "uid", "gid", "mtime", "atime", "ctime", XATTR_NAME, SHA256_NAME, SEAL_NAME})


def _mode_parsers(default: int) -> Mapping[str, Callable[[str], int | None]]:
    decimal, octal = partial(parse_mode, default=default), partial(parse_octal_mode, default=default)
    return {"mode": decimal, "permissions": decimal, "file-permissions": octal, "goog-reserved-posix-mode": octal}


def _first(metadata: Mapping[str, str], parsers: Mapping[str, Callable[[str], int | None]], default: int) -> int:
    """The first value that makes sense, in the order of the names."""
    for name, parse in parsers.items():
        parsed = parse(metadata[name]) if name in metadata else None
        if parsed is not None:
            return parsed
    return default


def _seal(metadata: Mapping[str, str], object_key: ObjectKey, seal_key: bytes) -> str:
    lines = [object_key, *(f"{name}:{metadata[name]}" for name in sorted(_OWN_NAMES & metadata.keys() - {SEAL_NAME}))]
    digest = hmac.new(seal_key, "\n".join(lines).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest[:16]).decode("ascii")


def _check_seal(metadata: Mapping[str, str], object_key: ObjectKey, seal_key: bytes) -> SealState:
    found = metadata.get(SEAL_NAME)
    if found is None:
        return SealState.MISSING
    try:
        given = base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        return SealState.BAD
    wanted = base64.b64decode(_seal(metadata, object_key, seal_key))
    return SealState.GOOD if hmac.compare_digest(given, wanted) else SealState.BAD
