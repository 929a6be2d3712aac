"""Room: a number of bytes of memory that tasks share, so that many of them at once take no more than it.

Floor 1. Imported by ``s3`` and ``app``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Room:
    """Bytes that may be taken.

    Owns: how many are free. Invariant: who asked first is served first; who wants more than there is gets all of it.
    """

    def __init__(self, size: int) -> None:
        """Begin with all of it free."""
        self._size = size
        self._free = size
        self._turn = trio.Lock()
        self._given_back = trio.Event()

    @asynccontextmanager
    async def taken(self, wanted: int) -> AsyncIterator[None]:
        """Take bytes for the time of the block; waits until they are free."""
        wanted = min(wanted, self._size)
        async with self._turn:  # first come, first served: trio's locks are fair
            while self._free < wanted:
                self._given_back = trio.Event()
                await self._given_back.wait()
            self._free -= wanted
        try:
            yield
        finally:
            self._free += wanted
            self._given_back.set()
