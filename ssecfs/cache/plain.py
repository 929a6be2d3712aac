"""Plaintext blocks in memory: the few that were just fetched or opened, bounded. No I/O.

Imported by ``cache.blockcache``. It spares opening the same block for every small read of it.
"""

from collections import OrderedDict

from ssecfs.cache.seal import ContentId


class PlainBlocks:
    """Least-recently-used plaintext blocks.

    Owns: the blocks. Invariant: their bytes are at most the limit, unless a single block is larger.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Begin empty."""
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._blocks: OrderedDict[tuple[ContentId, int], bytes] = OrderedDict()

    def has(self, content_id: ContentId, block_no: int) -> bool:
        """Tell whether a block is here."""
        return (content_id, block_no) in self._blocks

    def get(self, content_id: ContentId, block_no: int) -> bytes | None:
        """A block, if it is here."""
        block = self._blocks.get((content_id, block_no))
        if block is not None:
            self._blocks.move_to_end((content_id, block_no))
        return block

    def put(self, content_id: ContentId, block_no: int, block: bytes) -> None:
        """Keep a block, and let the oldest go."""
        old = self._blocks.pop((content_id, block_no), b"")
        self._blocks[content_id, block_no] = block
        self._bytes += len(block) - len(old)
        while self._bytes > self._limit_bytes and len(self._blocks) > 1:
            _, oldest = self._blocks.popitem(last=False)
            self._bytes -= len(oldest)

    def drop(self, content_id: ContentId) -> None:
        """Forget the blocks of a content."""
        for place in [place for place in self._blocks if place[0] == content_id]:
            self._bytes -= len(self._blocks.pop(place))

    def drop_blocks(self, content_id: ContentId, first: int, stop: int) -> None:
        """Forget the blocks [first, stop) of a content."""
        for block_no in range(first, stop):
            self._bytes -= len(self._blocks.pop((content_id, block_no), b""))

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
        self._bytes = 0
