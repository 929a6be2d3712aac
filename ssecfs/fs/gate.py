"""The gate: objects are changed through it, but not below a directory that is on its way to another name.

Imported by the rest of ``fs`` and by ``app``. Whoever changes objects (saving, removing, making directories, renaming files)
goes through the gate first and takes inode locks then, and goes through it once: within, a second time would wait for a rename
that waits for the first. Reading needs no gate.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ssecfs.tree.inodes import Inode


class Gate:
    """Keeps changes of objects and renames of directories above them apart.

    Owns: the changes under way, the directory being moved. Invariant: no change is under way at or below that directory
    between the two ends of ``moving``.
    """

    def __init__(self) -> None:
        """Begin open."""
        self._under_way: list[Inode] = []
        self._directory: Inode | None = None
        self._one_at_a_time = trio.Lock()
        self._moved = trio.Event()
        self._ended = trio.Event()

    @asynccontextmanager
    async def changing(self, *inodes: Inode) -> AsyncIterator[None]:
        """Change objects of inodes; waits while a directory at or above one of them is being moved."""
        while any(self._is_moving(inode) for inode in inodes):
            await self._moved.wait()
        self._under_way += inodes
        try:
            yield
        finally:
            for inode in inodes:
                self._under_way.remove(inode)
            self._ended.set()

    @asynccontextmanager
    async def moving(self, directory: Inode) -> AsyncIterator[None]:
        """Move a directory: one at a time (two could each wait for the other), and when no change below it is under way."""
        async with self._one_at_a_time:
            self._directory, self._moved = directory, trio.Event()
            try:
                while any(self._is_moving(inode) for inode in self._under_way):
                    self._ended = trio.Event()
                    await self._ended.wait()
                yield
            finally:
                self._directory = None
                self._moved.set()

    def _is_moving(self, inode: Inode) -> bool:
        return self._directory is not None and inode.is_within(self._directory)
