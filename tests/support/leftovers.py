"""What a test may leave behind: nothing. Finds its mounts and processes, waits for those that are ending, removes the rest.

Imported by ``conftest``. A process is known by a variable in its environment, which children inherit; so a daemon is found too.
"""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

RUN_VARIABLE: Final = "TEST_RUN_OF_SSECFS"
_PATIENCE_S: Final = 5.0


def mark_this_run() -> None:
    """Put the mark of this test run into the environment that every program of the tests gets."""
    os.environ[RUN_VARIABLE] = str(os.getpid())


@contextmanager
def nothing_left_behind(folder: Path, patience_s: float = _PATIENCE_S) -> Iterator[list[str]]:
    """Yield a list that, after the block, names each mount and process that the block left (they are removed).

    Args:
        folder: where this run mounts; what others mount elsewhere meanwhile is theirs.
        patience_s: seconds that a process has to end by itself.
    """
    mounts, processes = list_mounts(folder), list_processes()
    left: list[str] = []
    yield left
    for mountpoint in sorted(list_mounts(folder) - mounts):
        subprocess.run(["umount", "--lazy", mountpoint], check=False)
        left.append(f"the mount on {mountpoint}")
    for pid in sorted(list_processes() - processes):
        name = _process_name(pid)
        if not _ends_within(pid, patience_s):
            left.append(f"process {pid}: {name}")


def list_mounts(folder: Path) -> set[str]:
    """The mount points below a folder, of ssecfs and of other programs, as the kernel writes them."""
    fields = [line.split() for line in Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()]
    return {mountpoint for _, mountpoint, *_ in fields if mountpoint.startswith(f"{folder}/")}


def list_processes() -> set[int]:
    """The living processes that descend from this test run."""
    mark = f"{RUN_VARIABLE}={os.getpid()}\0".encode()
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and mark in _read(path / "environ")}


def _process_name(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode(errors="replace")[:200]


def _read(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _ends_within(pid: int, patience_s: float) -> bool:
    """Wait for a process to end; end it when it does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(patience_s * 1000):
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll.poll(_PATIENCE_S * 1000)
        return False
    finally:
        os.close(descriptor)
