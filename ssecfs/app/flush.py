"""``ssecfs flush``: wait until everything that a mount has is on the server."""

import sys
from collections.abc import Mapping
from pathlib import Path

from ssecfs.app.config import seconds_of
from ssecfs.app.control import ControlClient
from ssecfs.errors import StartupError
from ssecfs.sizes import format_size


def run(arguments: Mapping[str, str]) -> int:
    """Flush; returns when nothing is unsaved.

    Raises:
        StartupError: something could not be uploaded, or not in time; nothing is lost.
    """
    mountpoint = Path(arguments["mountpoint"]).absolute()
    timeout_s = seconds_of("flush", arguments, "timeout", 600.0)
    with ControlClient(mountpoint) as client:
        flush(client, mountpoint, timeout_s)
    return 0


def flush(client: ControlClient, mountpoint: Path, timeout_s: float) -> None:
    """Ask the daemon to upload everything, and wait.

    Raises:
        StartupError: see run.
    """
    dirty_bytes = int(client.ask("status", timeout_s)["dirty_bytes"])
    if dirty_bytes:
        sys.stderr.write(f"ssecfs: uploading {format_size(dirty_bytes)} …\n")
    try:
        answer = client.ask("flush", timeout_s)
    except TimeoutError as error:
        with ControlClient(mountpoint) as other:
            left = int(other.ask("status", timeout_s)["dirty_bytes"])
        message = (
            f"{mountpoint} stays mounted: after {timeout_s:g} s {format_size(left)} are not uploaded yet; "
            "try again with a longer --timeout"
        )
        raise StartupError(message) from error
    if "error" in answer:
        message = f"{mountpoint} stays mounted, because something could not be uploaded: {answer['error']}"
        raise StartupError(message)
