"""``ssecfs umount``: upload what is unsaved, unmount, wait for the daemon's end."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ssecfs.app.config import values_of
from ssecfs.app.control import ControlClient
from ssecfs.app.mountpoints import detach, is_our_mount, unmount
from ssecfs.errors import MountpointError, StartupError
from ssecfs.sizes import format_size


def run(arguments: Mapping[str, str]) -> int:
    """Unmount; returns when everything is on the server and the daemon has ended."""
    texts = {name: text for name, text in arguments.items() if name != "mountpoint"}
    timeout = values_of("umount", texts).get("timeout", 600.0)
    timeout_s = float(timeout) if isinstance(timeout, int | float) else 600.0
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
        _flush(client, mountpoint, timeout_s)
        unmount(mountpoint)
        try:
            client.wait_for_end(max(1.0, deadline - time.monotonic()))
        except TimeoutError as error:
            message = f"{mountpoint} is unmounted, but its daemon is still busy after {timeout_s:g} s; see its log"
            raise StartupError(message) from error


def _flush(client: ControlClient, mountpoint: Path, timeout_s: float) -> None:
    unsaved = int(client.ask("status", timeout_s).get("dirty_bytes", 0))
    if unsaved:
        sys.stderr.write(f"ssecfs: uploading {format_size(unsaved)} …\n")
    try:
        answer = client.ask("flush", timeout_s)
    except TimeoutError as error:
        left = int(_status(mountpoint).get("dirty_bytes", 0))
        message = (
            f"{mountpoint} stays mounted: after {timeout_s:g} s {format_size(left)} are not uploaded yet; "
            "try again with a longer --timeout"
        )
        raise StartupError(message) from error
    if "error" in answer:
        message = f"{mountpoint} stays mounted, because something could not be uploaded: {answer['error']}"
        raise StartupError(message)


def _status(mountpoint: Path) -> Mapping[str, str | int]:
    with ControlClient(mountpoint) as client:
        return client.ask("status", 10)
