"""A mount in this process, over a store in memory, into which bugs can be put: one at a time, in one handler.

The handlers are the product's. The floor below them is the product's too, seen through objects that raise when a handler with a
bug uses them; so a system call gets as far as that handler, and no further.
"""

import ctypes
import functools
import inspect
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyfuse3
import trio
from support.fsrig import FsRig, fs_mount
from support.strangestore import StrangeStore
from support.syscalls import outcome

from ssecfs.fuse.interrupts import Interrupts
from ssecfs.fuse.operations import Filesystem
from ssecfs.fuse.session import mounted
from ssecfs.fuse.xattrs import XattrOperations
from ssecfs.threads import run_in

LIMIT_S = 30
MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32

HANDLERS = sorted(
    name
    for name, method in inspect.getmembers(XattrOperations, inspect.iscoroutinefunction)
    if not name.startswith("_") and method is not getattr(pyfuse3.Operations, name)
)
"""Every handler that is ours."""

_entered: ContextVar[str] = ContextVar("entered", default="")


class InjectedError(Exception):
    """A bug."""


class Bug:
    """Where the bug is; empty: nowhere. Owns: the events for those who wait until it has struck."""

    def __init__(self) -> None:
        self.handler = ""
        self.struck = trio.Event()

    def strike(self) -> None:
        """Raise, within the handler."""
        if self.handler and _entered.get() == self.handler:
            self.struck.set()
            raise InjectedError(self.handler)


class Seen:
    """An object of the floor below, as a handler with a bug sees it."""

    def __init__(self, real: Any, bug: Bug) -> None:
        self._real = real
        self._bug = bug

    def __getattr__(self, name: str) -> Any:
        self._bug.strike()
        return getattr(self._real, name)

    def __len__(self) -> int:
        self._bug.strike()
        return len(self._real)


def entering(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The product's handler, which says that it is entered."""
    handler = getattr(XattrOperations, name)

    @functools.wraps(handler)
    async def enter(self: XattrOperations, *arguments: Any) -> Any:
        _entered.set(name)
        return await handler(self, *arguments)

    return enter


WatchedOperations = type("WatchedOperations", (XattrOperations,), {name: entering(name) for name in HANDLERS})


@dataclass
class Bench:
    """The mount. Owns: the thread in which system calls are made (this one answers them)."""

    path: Path
    rig: FsRig
    store: StrangeStore
    bug: Bug
    nursery: trio.Nursery

    async def call(self, call: Callable[..., object], *arguments: object) -> object:
        """A system call as a program makes it: what it gives, or the name of an errno."""
        with trio.fail_after(LIMIT_S):
            return await run_in(trio.CapacityLimiter(1), outcome, call, *arguments)

    async def forget(self) -> None:
        """Have the kernel forget the names that nobody uses."""

        def mount_again() -> int:
            return int(ctypes.CDLL(None).mount(None, os.fsencode(self.path), None, MS_REMOUNT | MS_NOSUID | MS_NODEV, None))

        assert await self.call(mount_again) == 0


@asynccontextmanager
async def bench(folder: Path, store: StrangeStore, ttl_s: float = 0.0) -> AsyncIterator[Bench]:
    """Mount for the time of the block."""
    place, bug = folder / "mnt", Bug()
    place.mkdir()
    async with fs_mount(store, folder / "cache", ttl_s) as rig, trio.open_nursery() as changes:
        seen = Filesystem(**{part.name: Seen(getattr(rig.fs, part.name), bug) for part in fields(rig.fs)})
        with mounted(WatchedOperations(seen, Interrupts(changes)), place, {"fsname=injected", "subtype=ssecfs"}):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pyfuse3.main)
                yield Bench(place, rig, store, bug, nursery)
                bug.handler = ""
                nursery.cancel_scope.cancel()
        changes.cancel_scope.cancel()


def tracebacks(records: list[logging.LogRecord]) -> list[str]:
    """The messages that came with a traceback."""
    return [record.getMessage() for record in records if record.exc_info]
