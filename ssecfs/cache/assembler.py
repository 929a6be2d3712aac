"""Assembler: the blocks in what a download brings. Pure, no I/O.

Imported by ``cache.blockcache``.
"""

from ssecfs.cache.spans import block_length


class Assembler:
    """Cuts a stream of pieces into blocks. Copies a byte once, or not at all when pieces are whole blocks."""

    def __init__(self, first: int, size: int) -> None:
        """Begin at block first of a file of size bytes."""
        self.next_block = first
        self._size = size
        self._rest = bytearray()

    def take(self, piece: bytes) -> list[tuple[int, bytes]]:
        """The blocks that piece completes, with their numbers."""
        found = []
        view = memoryview(piece)
        while view:
            length = block_length(self.next_block, self._size)
            if not self._rest and len(view) >= length:
                block = bytes(view[:length])
                view = view[length:]
            else:
                missing = length - len(self._rest)
                self._rest += view[:missing]
                view = view[missing:]
                if len(self._rest) < length:
                    break
                block = bytes(self._rest)
                self._rest.clear()
            found.append((self.next_block, block))
            self.next_block += 1
        return found
