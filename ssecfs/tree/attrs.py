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
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from ssecfs.s3.types import ObjectInfo, ObjectKey

NS_PER_S: Final = 1_000_000_000

SHA256_NAME: Final = "ssecfs-sha256"
SEAL_NAME: Final = "ssecfs-hmac"

_TIME: Final = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?\d*")
_MODE_NAMES: Final = ("mode", "permissions", "file-permissions", "goog-reserved-posix-mode")
_UID_NAMES: Final = ("uid", "owner", "file-owner", "goog-reserved-posix-uid")
_GID_NAMES: Final = ("gid", "group", "file-group", "goog-reserved-posix-gid")
_MTIME_NAMES: Final = ("mtime", "file-mtime", "goog-reserved-file-mtime")


class SealState(Enum):
    """What the HMAC over the attributes says."""

    MISSING = "missing"
    """Another tool wrote them."""
    GOOD = "good"
    BAD = "bad"
    """They were changed after we wrote them, or belong to another object."""


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
    extra: Mapping[str, str] = field(default_factory=dict)
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
        """The attributes after the content changed: new size, mtime, ctime; the digest is no longer known."""
        return replace(self, size=size, mtime_ns=now_ns, ctime_ns=now_ns, sha256=None)


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
    if attrs.sha256 is not None:
        metadata[SHA256_NAME] = attrs.sha256
    metadata[SEAL_NAME] = _seal(metadata, object_key, seal_key)
    return metadata


def parse_attrs(info: ObjectInfo, defaults: Defaults, seal_key: bytes) -> Attrs:
    """Read attributes from what HEAD or GET told, in our own form, s3fs's, rclone's, s3sync's or DataSync's.

    Values that make no sense count as absent; absent ones come from defaults and the object's own time.
    """
    metadata = info.metadata
    version = info.version
    is_marker = version.object_key.endswith("/")
    base = defaults.for_directory(version.modified_s) if is_marker else defaults.for_file(version.size, version.modified_s)
    mtime_ns = _first_time(metadata, _MTIME_NAMES, base.mtime_ns)
    return Attrs(
        mode=_parse_mode(metadata, base.mode),
        uid=_first_number(metadata, _UID_NAMES, base.uid),
        gid=_first_number(metadata, _GID_NAMES, base.gid),
        size=0 if is_marker else version.size,
        mtime_ns=mtime_ns,
        atime_ns=_first_time(metadata, ("atime",), mtime_ns),
        ctime_ns=_first_time(metadata, ("ctime",), mtime_ns),
        sha256=metadata.get(SHA256_NAME),
        seal=_check_seal(metadata, version.object_key, seal_key),
        extra={name: value for name, value in metadata.items() if name not in _OWN_NAMES},
    )


_OWN_NAMES: Final = frozenset({"mode", "uid", "gid", "mtime", "atime", "ctime", SHA256_NAME, SEAL_NAME})


def format_time(time_ns: int) -> str:
    """Seconds since the epoch with nine digits after the point; parse_time is its inverse."""
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    if seconds < 0 and rest_ns:
        # The text is a decimal number: -0.25 s is written -0.250000000, not as -1 and a fraction.
        seconds, rest_ns = seconds + 1, NS_PER_S - rest_ns
        return f"-{-seconds}.{rest_ns:09}"
    return f"{seconds}.{rest_ns:09}"


def parse_time(text: str) -> int | None:
    """Nanoseconds of a decimal number of seconds; None: the text is none."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    seconds, fraction = found.groups()
    rest_ns = int((fraction or "0").ljust(9, "0"))
    return int(seconds) * NS_PER_S + (-rest_ns if seconds.startswith("-") else rest_ns)


def _first_time(metadata: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        parsed = parse_time(metadata[name]) if name in metadata else None
        if parsed is not None:
            return parsed
    return default


def _first_number(metadata: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        text = metadata.get(name, "")
        if text.isascii() and text.isdigit() and int(text) < 1 << 32:
            return int(text)
    return default


def _parse_mode(metadata: Mapping[str, str], default: int) -> int:
    """Read a mode: decimal with file type (s3fs), or octal text (rclone writes 100644, DataSync 0644)."""
    for name in _MODE_NAMES:
        text = metadata.get(name, "")
        if not (text.isascii() and text.isdigit()):
            continue
        if name in {"mode", "permissions"} and stat.S_IFMT(int(text)) in _KNOWN_TYPES and int(text) < 1 << 16:
            return int(text)
        if all(digit < "8" for digit in text) and int(text, 8) < 1 << 16:
            mode = int(text, 8)
            return mode if stat.S_IFMT(mode) in _KNOWN_TYPES else stat.S_IFMT(default) | stat.S_IMODE(mode)
    return default


_KNOWN_TYPES: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK})


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
