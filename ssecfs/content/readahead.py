"""Read-ahead: from the reads so far, which blocks will be wanted next. Pure, no I/O.

Imported by ``content.openfile`` and ``fs.files`` (one detector for each handle). A sequential reader gets a window that doubles
from 1 MiB to 32 MiB, asked for in pieces so that several ranged GETs are under way; a random reader gets nothing.
"""

from typing import Final

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.s3.types import ByteRange
from ssecfs.sizes import KIB, MIB

FIRST_WINDOW: Final = 1 * MIB
LAST_WINDOW: Final = 32 * MIB
PIECE: Final = 8 * MIB
"""Bytes of one ranged GET of a large window."""

SLACK: Final = 512 * KIB
"""How far from the expected place a read may be and still count as sequential: the kernel reads ahead in parallel."""


class ReadAhead:
    """Sequential detector of one handle.

    Owns: the expected next offset, the window, how far was asked. Invariants: window is 0 (random) or a power of two of MiB.
    """

    __slots__ = ("_asked", "_expected", "_window")

    def __init__(self) -> None:
        """Begin with no history: a first read at offset 0 counts as sequential, elsewhere as random."""
        self._expected = 0
        self._window = 0
        self._asked = 0

    def windows(self, wanted: ByteRange, size: int) -> list[ByteRange]:
        """Take note of a read and say which block ranges to ask for now.

        Args:
            wanted: bytes that are about to be read.
            size: of the file.

        Returns:
            Ranges of block numbers, in order; none for a random read.
        """
        if abs(wanted.start - self._expected) > SLACK:
            self._expected = wanted.stop
            self._window = 0
            self._asked = wanted.stop
            return []
        self._expected = max(self._expected, wanted.stop) if self._window else wanted.stop
        if self._window and self._asked - wanted.stop > self._window // 2:
            return []  # half of the window is still ahead
        self._window = min(max(self._window * 2, FIRST_WINDOW), LAST_WINDOW)
        start = max(self._asked, wanted.start)
        stop = min(wanted.stop + self._window, size)
        if start >= stop:
            return []
        self._asked = stop
        return _pieces(start, stop)


def _pieces(start: int, stop: int) -> list[ByteRange]:
    """Split [start, stop) in bytes into ranges of whole blocks, each of at most PIECE bytes."""
    first, last = start // BLOCK_SIZE, -(-stop // BLOCK_SIZE)
    step = PIECE // BLOCK_SIZE
    return [ByteRange(block_no, min(block_no + step, last)) for block_no in range(first, last, step)]
