"""``ssecfs umount``: upload what is unsaved, unmount, wait for the daemon's end."""

import time
from collections.abc import Mapping
from pathlib import Path

from ssecfs.app.config import seconds_of
from ssecfs.app.control import ControlClient
from ssecfs.app.flush import flush
from ssecfs.app.mountpoints import detach, is_our_mount, unmount
from ssecfs.errors import MountpointError, StartupError


def run(arguments: Mapping[str, str]) -> int:
    """Unmount; returns when everything is on the server and the daemon has ended."""
    timeout_s = seconds_of("umount", arguments, "timeout", 600.0)
    unmount_and_wait(Path(arguments["mountpoint"]).absolute(), timeout_s)
    return 0


def unmount_and_wait(mountpoint: Path, timeout_s: float) -> None:
    """Flush, unmount and wait.

    Raises:
        MountpointError: not ours, or in use.
        StartupError: something could not be uploaded in time; it stays mounted.
    """
    if not is_our_mount(mountpoint):
        message = f"nothing of ssecfs is mounted on {mountpoint}"
        raise MountpointError(message)
    try:
        client = ControlClient(mountpoint)
    except MountpointError:
        # The daemon was killed, or belongs to somebody else; the kernel decides who may take the mount away.
        detach(mountpoint)
        return
    deadline = time.monotonic() + timeout_s
    with client:
        flush(client, mountpoint, timeout_s)
        unmount(mountpoint)
        try:
            client.end(max(1.0, deadline - time.monotonic()))
        except TimeoutError as error:
            message = f"{mountpoint} is unmounted, but its daemon is still busy after {timeout_s:g} s; see its log"
            raise StartupError(message) from error
