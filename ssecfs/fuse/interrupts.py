"""Interrupts: a program that a signal ends does not wait for the server.

Imported by ``fuse.operations`` and ``app``. Once the daemon has a request, the kernel lets nobody go before it is answered, not
even with SIGKILL. It tells libfuse that somebody should go, and pyfuse3 tells nobody; so while requests take long, the signals
of those who wait are looked at.

Source: proc_pid_status(5), proc_pid_stat(5); a signal that ends a process shows as SIGKILL pending for each of its threads, and
PF_SIGNALED in its flags from when it begins to exit (linux/sched.h).
"""

import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import trio

from ssecfs.errors import CallInterruptedError, SsecfsError
from ssecfs.tasks import start_alone

LOGGER: Final = logging.getLogger(__name__)

R = TypeVar("R")

LOOK_S: Final = 0.25
"""Between two looks at those who have waited that long."""

ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)
"""What ends a program, or asks it to end itself."""

_ENDING_MASK: Final = sum(1 << (number - 1) for number in ENDING)
_PF_SIGNALED: Final = 0x400
_FLAGS_FIELD: Final = 6
"""Of the fields after the name of the command."""


@dataclass(slots=True, eq=False)
class _Waiting:
    pid: int
    since: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(slots=True, eq=False)
class _Change(Generic[R]):
    """Something that goes on although nobody may wait for it any more; result or error is set when done is."""

    done: trio.Event = field(default_factory=trio.Event)
    results: list[R] = field(default_factory=list)
    error: Exception | None = None
    is_abandoned: bool = False


class Interrupts:
    """Lets go who is to end.

    Owns: who waits for an answer, the changes under way.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        """Take the nursery, which is the mount's."""
        self._nursery = nursery
        self._waiting: dict[_Waiting, None] = {}
        self._is_looking = False
        self._changes = 0
        self._all_done = trio.Event()

    @contextmanager
    def ending(self, pid: int) -> Iterator[None]:
        """Do something for a process or thread; it is given up when a signal ends that.

        Raises:
            CallInterruptedError: it was given up.
        """
        waiting = _Waiting(pid, trio.current_time())
        self._waiting[waiting] = None
        if not self._is_looking:
            self._is_looking = True
            start_alone(self._nursery, "interrupts", self._look)
        try:
            with waiting.scope:
                yield
        finally:
            del self._waiting[waiting]
        if waiting.scope.cancelled_caught:
            message = "a signal ended the program that was waiting"
            raise CallInterruptedError(message)

    async def outliving(self, pid: int, change: Callable[[], Awaitable[R]], undo: Callable[[R], None] | None = None) -> R:
        """Change something for a process or thread. It is not given up half done: it goes on when nobody waits any more.

        Args:
            pid: who waits.
            change: what to do.
            undo: what to do with a result that nobody got.

        Raises:
            CallInterruptedError: nobody waits any more.
        """
        job = _Change[R]()
        self._changes += 1
        self._nursery.start_soon(self._run, job, change, undo, name="change")
        try:
            with self.ending(pid):
                await job.done.wait()
        except BaseException:
            job.is_abandoned = True
            raise
        if job.error is not None:
            raise job.error
        return job.results[0]

    async def wait_done(self) -> None:
        """Wait for the changes that are under way."""
        while self._changes:
            self._all_done = trio.Event()
            await self._all_done.wait()

    async def _run(self, job: _Change[R], change: Callable[[], Awaitable[R]], undo: Callable[[R], None] | None) -> None:
        try:
            job.results.append(await change())
            if job.is_abandoned and undo is not None:
                undo(job.results[0])
        except Exception as error:  # noqa: BLE001 - handed to who waits, whose boundary deals with it
            job.error = error
            if job.is_abandoned:
                level = error.log_level if isinstance(error, SsecfsError) else logging.ERROR
                LOGGER.log(level, "what nobody waits for any more failed: %s", error)
        finally:
            self._changes -= 1
            job.done.set()
            if not self._changes:
                self._all_done.set()

    async def _look(self) -> None:
        """Let go who is to end, as long as anybody waits."""
        try:
            while self._waiting:
                await trio.sleep(LOOK_S)
                until = trio.current_time() - LOOK_S
                for waiting in self._waiting:
                    if waiting.since <= until and is_ending(waiting.pid):
                        waiting.scope.cancel()
        finally:
            self._is_looking = False


def is_ending(pid: int) -> bool:
    """Tell whether a signal ends a process or thread, or waits for it to end itself."""
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "status").read_text(errors="replace").splitlines()
        flags = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[_FLAGS_FIELD]
    except OSError:
        return False  # it has ended, or is in another namespace
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    pending, shared, blocked = (int(status[name], 16) for name in ("SigPnd", "ShdPnd", "SigBlk"))
    return bool((pending | shared) & ~blocked & _ENDING_MASK) or bool(int(flags) & _PF_SIGNALED)
