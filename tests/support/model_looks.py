"""All that a program can see of a tree, for the reference model: taken from one side, compared with the other."""

import os
import stat
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LONG_AGO_NS: Final = 1_600_000_000_000_000_000
"""Before any run of the tests: a time before it was set by somebody, a later one is that of a change."""

NOW: Final = "now"


@dataclass(frozen=True)
class Facts:
    """What stat, listxattr, read and readlink tell of one entry.

    Attributes:
        mode: with the file type.
        owner: uid and gid.
        mtime: nanoseconds if it was set, NOW if it is that of a change.
        size, nlink: None for a directory, where they are the filesystem's own affair.
        content: length and checksum of the content; the target of a link.
        xattrs: name to value.
    """

    mode: str
    owner: tuple[int, int]
    mtime: int | str
    size: int | None = None
    nlink: int | None = None
    content: str | None = None
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


def time_of_change(time_ns: int) -> int | str:
    """A time that was set stays what it is; one of a change is only known to be recent."""
    if time_ns < LONG_AGO_NS:
        return time_ns
    return NOW if time_ns <= time.time_ns() + 1_000_000_000 else time_ns


def facts_of(status: os.stat_result, content: str | None = None, xattrs: Mapping[str, bytes] | None = None) -> Facts:
    """What a status tells, with the rest."""
    mode, owner = stat.filemode(status.st_mode), (status.st_uid, status.st_gid)
    mtime = time_of_change(status.st_mtime_ns)
    if stat.S_ISDIR(status.st_mode):
        return Facts(mode, owner, mtime, content=content, xattrs=xattrs or {})
    return Facts(mode, owner, mtime, status.st_size, status.st_nlink, content, xattrs or {})


def summary(content: bytes) -> str:
    """Length and checksum."""
    return f"{len(content)} bytes, {zlib.crc32(content):08x}"


def look_at(root: Path) -> dict[str, Facts]:
    """Everything below a directory, by path relative to it, and the directory itself."""
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
        content = None
        if stat.S_ISREG(status.st_mode):
            content = summary(path.read_bytes())
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(root))] = facts_of(status, content, xattrs)
    return found


def differences(wanted: Mapping[str, Facts], got: Mapping[str, Facts]) -> list[str]:
    """What is not the same, a line for each path."""
    return [
        f"{path!r} should be {wanted.get(path)}, and is {got.get(path)}"
        for path in sorted(wanted.keys() | got.keys())
        if not is_alike(wanted.get(path), got.get(path))
    ]


def is_alike(wanted: object, got: object) -> bool:
    """Tell whether what one side shows, or gives as a result, is as good as what the other does."""
    if not isinstance(wanted, Facts) or not isinstance(got, Facts):
        return wanted == got
    if wanted.size is None and wanted.mtime == NOW:
        # Entries came or went: that moves the time of a directory in memory only, it would cost a request for each of them.
        return _without_time(wanted) == _without_time(got)
    return wanted == got


def _without_time(facts: Facts) -> tuple[object, ...]:
    return facts.mode, facts.owner, facts.size, facts.nlink, facts.content, facts.xattrs
