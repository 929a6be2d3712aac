"""Mount points: checked before mounting, freed of a dead mount, unmounted.

Imported by ``app.mount``, ``app.umount`` and ``app.demo``. Source: fuse(4), proc_pid_mountinfo(5), fusermount3(1).
"""

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from ssecfs.errors import FuseError, MountpointError

FUSE_DEVICE: Final = Path("/dev/fuse")
FUSE_TYPE: Final = "fuse.ssecfs"


def prepare_mountpoint(mountpoint: Path) -> None:
    """Make sure that something can be mounted here; a dead mount that a killed daemon left is taken away.

    Raises:
        MountpointError: missing, not a directory, not empty, or in use.
    """
    try:
        status = mountpoint.stat()
        os.statvfs(mountpoint)  # this one asks the daemon, while stat may be answered from the kernel's memory
    except FileNotFoundError as error:
        message = f"mount point {mountpoint} does not exist; make it with: mkdir -p {mountpoint}"
        raise MountpointError(message) from error
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            message = f"mount point {mountpoint} cannot be used: {error.strerror}"
            raise MountpointError(message) from error
        detach(mountpoint)
        status = mountpoint.stat()
    if not stat.S_ISDIR(status.st_mode):
        message = f"mount point {mountpoint} is not a directory"
        raise MountpointError(message)
    if mountpoint.is_mount():
        message = f"something is mounted on {mountpoint} already; unmount it with: ssecfs umount {mountpoint}"
        raise MountpointError(message)
    try:
        is_empty = next(mountpoint.iterdir(), None) is None
    except OSError as error:
        message = f"mount point {mountpoint} cannot be used: {error.strerror}"
        raise MountpointError(message) from error
    if not is_empty:
        message = f"mount point {mountpoint} is not empty: what is in it would be hidden; use an empty directory"
        raise MountpointError(message)


def require_fuse() -> None:
    """Make sure that the kernel offers FUSE.

    Raises:
        FuseError: it does not.
    """
    if not FUSE_DEVICE.exists():
        message = f"{FUSE_DEVICE} is missing: load the fuse module (modprobe fuse), or allow the device in this container"
        raise FuseError(message)
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        message = f"{FUSE_DEVICE} may not be used by you; ask for permission, or run as root"
        raise FuseError(message)


def is_our_mount(mountpoint: Path) -> bool:
    """Tell whether the kernel's table shows an ssecfs mount here, alive or dead."""
    wanted = os.path.realpath(mountpoint.parent).rstrip("/") + "/" + mountpoint.name
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(" ")
        place = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
        if place == wanted.encode("utf-8", "surrogateescape") and FUSE_TYPE in fields:
            return True
    return False


def unmount(mountpoint: Path) -> None:
    """Unmount.

    Raises:
        MountpointError: the kernel refuses, most likely because a program uses it.
    """
    _run(mountpoint, ["umount", str(mountpoint)] if os.geteuid() == 0 else ["fusermount3", "-u", str(mountpoint)])


def detach(mountpoint: Path) -> None:
    """Take a dead mount away, even if a program still has a file of it open.

    Raises:
        MountpointError: the kernel refuses.
    """
    _run(
        mountpoint,
        ["umount", "-l", str(mountpoint)] if os.geteuid() == 0 else ["fusermount3", "-u", "-z", str(mountpoint)],
    )


def _run(mountpoint: Path, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    except OSError as error:
        message = f"{command[0]} cannot be run: {error.strerror}; install it (Debian package fuse3)"
        raise FuseError(message) from error
    if done.returncode != 0:
        if "busy" in done.stderr:
            message = f"{mountpoint} is in use; see by whom with: fuser -vm {mountpoint}"
        else:
            message = f"{mountpoint} cannot be unmounted: {done.stderr.strip()}"
        raise MountpointError(message)
