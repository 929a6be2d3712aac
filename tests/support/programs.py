"""Everyday programs put to work on a mount and on a local disk, and how to tell that both hold the same afterwards.

Imported by the tests in ``t5_fuse/programs``.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.budgets import FOREVER, flush
from support.clients import Program
from support.mounts import Mounting, mounting
from support.s3server import clean_environment

EVERYTHING = ("--archive", "--xattrs")
"""What rsync compares: contents, types, modes, owners, times, targets, extended attributes."""

AFTER_REMOUNT = (*EVERYTHING, "--omit-dir-times")
"""That entries come and go changes the time of a directory in the mount only; one that was set is kept."""

ALL_BUT_TIMES = (*EVERYTHING, "--no-times", "--omit-dir-times")
"""For trees that were made one after the other."""


def program(*command: str, folder: Path, home: Path, **extra: str) -> Program:
    """A program that runs in a folder, with a home of its own and nothing of this machine's settings."""
    environment = clean_environment(**extra) | {"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return Program(command, folder, environment)


def differences(left: Path, right: Path, compared: tuple[str, ...] = EVERYTHING) -> list[str]:
    """What rsync would have to change to make right like left, both read to the end."""
    command = ["rsync", *compared, "--checksum", "--delete", "--dry-run", "--itemize-changes", f"{left}/", f"{right}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@contextmanager
def seen_afresh(mounted: Mounting, place: Path) -> Iterator[Mounting]:
    """A second mount of the same that knows nothing, as the first would when mounted again with a wiped cache.

    Args:
        mounted: the first; everything that it has to save is saved before.
        place: an empty directory.
    """
    flush(mounted)
    with mounting(mounted.server, place, mounted.keyfile, source=mounted.source) as afresh:
        yield afresh


def forget_everything(mounted: Mounting) -> None:
    """Mount again with an empty cache."""
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount(*FOREVER)


def same_in(other: Mounting, mounted: Mounting, path: Path) -> Path:
    """Where a path of one mount is in another."""
    return other.path / path.relative_to(mounted.path)


@dataclass
class Left:
    """What the tests of a file left on the mount, to be looked at in the end."""

    folders: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Twins:
    """A directory on the mount and a local one, in which the same is done."""

    mounted: Path
    local: Path

    def differences(self) -> list[str]:
        return differences(self.local, self.mounted, ALL_BUT_TIMES)
