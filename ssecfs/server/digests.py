"""Digests of a stream, computed beside the loop: MD5 alone takes as long as everything else that is done with a large body.

Imported by ``server.body`` and the copies.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from ssecfs.server.checksums import ALGORITHMS, FULL_OBJECT, Checksum, Running, encode

INLINE_BYTES: Final = 64 << 10
"""Up to this size a hop to a thread costs more than the digests."""

MAX_WAITING: Final = 3
"""Pieces that wait at most, of 256 KiB usually: enough that neither the thread nor the loop waits for the other."""


class Digests:
    """MD5, a checksum, and others of one stream.

    Owns: the pieces that wait for a thread, and its work. Invariant: what the digests show is true after finish.
    """

    def __init__(self, algorithm: str, *others: Running) -> None:
        """Begin; algorithm is that of the checksum."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._algorithm = algorithm
        self._running = ALGORITHMS[algorithm]()
        self._all: Final = (self._md5, self._running, *others)
        self._waiting: deque[bytes] = deque()
        self._working: asyncio.Future[None] | None = None

    @property
    def md5(self) -> bytes:
        """MD5 of what passed."""
        return self._md5.digest()

    @property
    def checksum(self) -> Checksum:
        """Checksum of what passed."""
        return Checksum(self._algorithm, encode(self._running.digest()), FULL_OBJECT)

    @property
    def raw_checksum(self) -> bytes:
        """The checksum as bytes."""
        return self._running.digest()

    async def update(self, piece: bytes) -> None:
        """Go on with piece. A large one may still wait for its turn when this returns."""
        if len(piece) <= INLINE_BYTES and self._working is None:
            self._feed(piece)
            return
        self._waiting.append(piece)
        self._keep_working()
        while len(self._waiting) >= MAX_WAITING and self._working is not None:
            await self._working
            self._keep_working()

    async def finish(self) -> None:
        """Wait until everything is in the digests."""
        while self._working is not None:
            await self._working
            self._working = None
            if self._waiting:
                self._keep_working()

    def _keep_working(self) -> None:
        """See to it that a thread is at work; one that was about to end may have missed the last piece."""
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().run_in_executor(None, self._work)

    def _work(self) -> None:
        """Feed what waits. Thread: one at a time."""
        while self._waiting:
            self._feed(self._waiting.popleft())

    async def through(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Let pieces pass."""
        async for piece in pieces:
            await self.update(piece)
            yield piece
        await self.finish()

    def _feed(self, piece: bytes) -> None:
        for running in self._all:
            running.update(piece)
