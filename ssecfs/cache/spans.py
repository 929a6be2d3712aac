"""Blocks, spans, segments: the arithmetic of files cut in blocks. Pure, no I/O.

Imported by ``cache`` and ``content``. Byte positions are offsets in the file's plaintext.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ssecfs.s3.types import ByteRange
from ssecfs.sizes import KIB

BLOCK_SIZE: Final = 128 * KIB
"""Unit of caching: large enough that sealing runs at full speed, small enough for random reads."""

SEGMENT_BLOCKS: Final = 32
"""Blocks in one container file: 4 MiB, the unit of eviction."""


@dataclass(frozen=True, slots=True)
class Span:
    """The part of one block that a request touches.

    Attributes:
        block_no: index of the block.
        skip: bytes of the block before the part.
        length: bytes of the part, at least 1.
    """

    block_no: int
    skip: int
    length: int

    @property
    def offset(self) -> int:
        """Offset of the part in the file."""
        return self.block_no * BLOCK_SIZE + self.skip


def split_range(byte_range: ByteRange) -> Iterator[Span]:
    """Cut a range into spans, in order; none for an empty range."""
    position = byte_range.start
    while position < byte_range.stop:
        block_no, skip = divmod(position, BLOCK_SIZE)
        length = min(BLOCK_SIZE - skip, byte_range.stop - position)
        yield Span(block_no, skip, length)
        position += length


def block_count(size: int) -> int:
    """Blocks of a file of size bytes."""
    return -(-size // BLOCK_SIZE)


def block_length(block_no: int, size: int) -> int:
    """Bytes of a block of a file of size bytes: BLOCK_SIZE, less for the last, 0 beyond the end."""
    return max(0, min(BLOCK_SIZE, size - block_no * BLOCK_SIZE))


def blocks_range(first: int, stop: int, size: int) -> ByteRange:
    """The bytes of the blocks [first, stop) of a file of size bytes."""
    return ByteRange(first * BLOCK_SIZE, min(stop * BLOCK_SIZE, size))


def blocks_of(byte_range: ByteRange) -> tuple[int, int]:
    """The first block that a range which is not empty touches, and the one after the last."""
    return byte_range.start // BLOCK_SIZE, block_count(byte_range.stop)
