"""Spool: dirty blocks, sealed on local disk; never evicted.

What lives here: the blocks of files that are being written. What does not: which bytes of them are valid (``content.extents``),
when they are uploaded (``fs.saving``). Imported by ``content``, ``cache.blockcache`` and ``app``.

Writes smaller than a block combine in memory: a *hot* block is sealed when another one needs its place, when it is complete, or
when the file is synced. Blocks are in the form of clean ones, so after the upload they are clean blocks as they are.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import trio

from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory
from ssecfs.cache.records import SpooledContent
from ssecfs.cache.seal import SEAL_BYTES, BlockPlace, ContentId, new_content_id, open_block, seal_block
from ssecfs.cache.spans import BLOCK_SIZE, SEGMENT_BLOCKS
from ssecfs.errors import BrokenSealError, CacheFullError, SpoolError
from ssecfs.threads import run_in

INLINE_BYTES: Final = 64 << 10
"""A content of at most that many bytes is recorded in the journal itself: one fsync less, and no file of its own."""

RESERVE_BYTES: Final = 16 << 20
"""Left free on the disk beside what is in memory, so that a full disk shows at write and not later."""


class Spool:
    """Makes spool contents and bounds what they hold in memory.

    Owns: the hot blocks of all files, in the order of their last use.
    """

    def __init__(
        self,
        *,
        directory: CacheDirectory,
        containers: Containers,
        make_room: Callable[[int], bool],
        memory_bytes: int,
        disk_limiter: trio.CapacityLimiter,
    ) -> None:
        """Take the collaborators.

        Args:
            directory: keys and namespace.
            containers: where sealed blocks go.
            make_room: removes clean blocks of about so many bytes; tells whether there were any.
            memory_bytes: of hot blocks, at most (but one block always fits).
            disk_limiter: for fsync.
        """
        self._directory = directory
        self._containers = containers
        self._make_room = make_room
        self._max_hot = max(1, memory_bytes // BLOCK_SIZE)
        self._disk_limiter = disk_limiter
        self._hot: OrderedDict[tuple[SpoolContent, int], bytearray] = OrderedDict()

    def create(self) -> "SpoolContent":
        """Begin the spool content of one file."""
        return SpoolContent(self, new_content_id(), {}, {})

    def restore(self, spooled: SpooledContent) -> "SpoolContent":
        """The spool content that an earlier mount recorded.

        What it sealed after the record is not known; a content without a recorded block goes on under a new id therefore.

        Raises:
            CacheFullError: the disk could not take what is in memory.
        """
        content_id = spooled.content_id if spooled.masks else new_content_id()
        content = SpoolContent(self, content_id, dict(spooled.masks), dict(spooled.generations))
        for block_no, block in spooled.inline.items():
            content.write(block_no, 0, block)
        return content

    def hot(self, owner: "SpoolContent", block_no: int) -> bytearray | None:
        """A block in memory."""
        return self._hot.get((owner, block_no))

    def heat(self, owner: "SpoolContent", block_no: int, block: bytearray) -> None:
        """Put a block into memory, sealing the one that was not used for longest if there are too many.

        Raises:
            CacheFullError: the disk could not take what is in memory.
        """
        if (owner, block_no) not in self._hot:
            self._require_room(BLOCK_SIZE)
            while len(self._hot) >= self._max_hot:
                oldest_owner, oldest_no = next(iter(self._hot))
                oldest_owner.push_out(oldest_no)
        self._hot[owner, block_no] = block
        self._hot.move_to_end((owner, block_no))

    def cool(self, owner: "SpoolContent", block_no: int) -> None:
        """Take a block out of memory."""
        self._hot.pop((owner, block_no), None)

    def seal(self, content_id: ContentId, block_no: int, generation: int, plaintext: bytes | bytearray | memoryview) -> None:
        """Seal a block onto the disk.

        Raises:
            CacheFullError: no room, even after removing clean blocks.
        """
        place = BlockPlace(self._directory.namespace_id, content_id, block_no, generation)
        record = seal_block(self._directory.keys.blocks, place, plaintext)
        try:
            self._containers.write_slot(content_id, block_no, record)
        except CacheFullError:
            if not self._make_room(BLOCK_SIZE * SEGMENT_BLOCKS):
                raise
            self._containers.write_slot(content_id, block_no, record)

    def open(self, content_id: ContentId, block_no: int, generation: int) -> bytes:
        """Open a sealed block.

        Raises:
            SpoolError: it is damaged: dirty data is lost.
        """
        place = BlockPlace(self._directory.namespace_id, content_id, block_no, generation)
        try:
            record = self._containers.read_slot(content_id, block_no)
            return open_block(self._directory.keys.blocks, place, record)
        except BrokenSealError as error:
            message = "a block that was written is damaged on the disk of the cache directory"
            raise SpoolError(message) from error

    def remove(self, content_id: ContentId, segments: list[int]) -> None:
        """Remove sealed segments."""
        for segment_no in segments:
            self._containers.remove(content_id, segment_no)

    async def sync(self, spooled: SpooledContent) -> None:
        """Make the sealed blocks of a content survive a power cut.

        Raises:
            SpoolError: the disk fails.
        """
        if spooled.masks:
            await run_in(self._disk_limiter, self._containers.sync, spooled.content_id, list(spooled.masks))

    def _require_room(self, wanted: int) -> None:
        needed = (len(self._hot) * (BLOCK_SIZE + SEAL_BYTES)) + wanted + RESERVE_BYTES
        if self._containers.free_bytes() >= needed:
            return
        if self._make_room(needed) and self._containers.free_bytes() >= needed:
            return
        message = "the disk of the cache directory is full; free some space"
        raise CacheFullError(message)


class SpoolContent:
    """Dirty blocks of one file.

    Owns: which blocks are sealed on disk, and their generations; hot ones are the spool's. Invariants: a block is hot or sealed
    or both (then the hot one counts) or was never written; no two records of a block are sealed with the same generation.
    """

    def __init__(self, spool: Spool, content_id: ContentId, sealed: dict[int, int], generations: dict[int, int]) -> None:
        """Begin with what is sealed already: segment number to bit mask of its blocks, and generations that are not 0."""
        self._spool = spool
        self.content_id: Final = content_id
        self._sealed = sealed
        self._ever_sealed = dict(sealed)
        self._generations = generations
        self._hot: set[int] = set()

    @property
    def changed_blocks(self) -> int:
        """Count the blocks that were sealed and got other bytes, or were cut off."""
        sealed = self._sealed
        cut = sum((mask & ~sealed.get(segment_no, 0)).bit_count() for segment_no, mask in self._ever_sealed.items())
        return len(self._generations) + cut

    def write(self, block_no: int, skip: int, piece: bytes | memoryview) -> None:
        """Write piece at skip into a block; bytes never written are zero.

        Raises:
            CacheFullError: no room on the disk; the block is as before.
            SpoolError: the disk fails.
        """
        if len(piece) == BLOCK_SIZE:
            self._seal(block_no, piece)
            self._cool(block_no)
            return
        block = self._load(block_no)
        if len(block) < skip:
            block.extend(bytes(skip - len(block)))
        block[skip : skip + len(piece)] = piece
        self._heat(block_no, block)

    def read(self, block_no: int) -> bytes | bytearray:
        """A block as far as it was written.

        Raises:
            SpoolError: it is damaged.
        """
        hot = self._spool.hot(self, block_no)
        if hot is not None:
            return hot
        if not _has(self._sealed, block_no):
            return b""
        return self._spool.open(self.content_id, block_no, self._generations.get(block_no, 0))

    def truncate(self, size: int) -> None:
        """Forget everything at or after size."""
        first, keep = divmod(size, BLOCK_SIZE)
        for block_no in [block_no for block_no in self._hot if block_no > first or (block_no == first and not keep)]:
            self._cool(block_no)
        for segment_no in [segment_no for segment_no in self._sealed if segment_no * SEGMENT_BLOCKS > first]:
            del self._sealed[segment_no]
            self._spool.remove(self.content_id, [segment_no])
        place = first % SEGMENT_BLOCKS + (1 if keep else 0)
        self._sealed[first // SEGMENT_BLOCKS] = self._sealed.get(first // SEGMENT_BLOCKS, 0) & ((1 << place) - 1)
        if keep and (_has(self._sealed, first) or first in self._hot):
            block = self._load(first)
            del block[keep:]
            self._heat(first, block)

    def seal_all(self) -> None:
        """Seal what is in memory.

        Raises:
            CacheFullError: no room on the disk; what is not sealed stays in memory.
        """
        for block_no in sorted(self._hot):
            self.push_out(block_no)

    def push_out(self, block_no: int) -> None:
        """Seal one block that is in memory, and let it go."""
        block = self._spool.hot(self, block_no)
        assert block is not None, "only hot blocks are pushed out"  # noqa: S101 - an invariant
        self._seal(block_no, block)
        self._cool(block_no)

    def record(self) -> SpooledContent:
        """What to record, so that a later mount can go on: little is taken into the record, more is sealed first.

        Raises:
            CacheFullError: no room on the disk; what is not sealed stays in memory.
        """
        if not any(self._sealed.values()):
            blocks = {block_no: bytes(self._spool.hot(self, block_no) or b"") for block_no in sorted(self._hot)}
            if sum(map(len, blocks.values())) <= INLINE_BYTES:
                return SpooledContent(self.content_id, {}, blocks, {})
        self.seal_all()
        return self._on_disk()

    def hand_over(self) -> SpooledContent:
        """Seal what is in memory and give up ownership."""
        try:
            self.seal_all()
        except CacheFullError:
            self.discard()
            raise
        handed, self._sealed = self._on_disk(), {}
        return handed

    def discard(self) -> None:
        """Forget everything."""
        for block_no in list(self._hot):
            self._cool(block_no)
        self._spool.remove(self.content_id, list(self._sealed))
        self._sealed = {}

    def _load(self, block_no: int) -> bytearray:
        """A block to be changed."""
        block = self.read(block_no)
        return block if isinstance(block, bytearray) else bytearray(block)

    def _heat(self, block_no: int, block: bytearray) -> None:
        self._spool.heat(self, block_no, block)
        self._hot.add(block_no)

    def _cool(self, block_no: int) -> None:
        self._hot.discard(block_no)
        self._spool.cool(self, block_no)

    def _seal(self, block_no: int, block: bytes | bytearray | memoryview) -> None:
        """Seal a block; when it was sealed before, in such a way that the older record cannot stand in for it."""
        if _has(self._ever_sealed, block_no):
            self._raise_generation(block_no)
        _add(self._ever_sealed, block_no)
        self._spool.seal(self.content_id, block_no, self._generations.get(block_no, 0), block)
        _add(self._sealed, block_no)

    def _raise_generation(self, block_no: int) -> None:
        self._generations[block_no] = self._generations.get(block_no, 0) + 1

    def _on_disk(self) -> SpooledContent:
        """What is sealed; blocks that were cut off may come again, under this content id."""
        for segment_no, mask in self._ever_sealed.items():
            cut = mask & ~self._sealed.get(segment_no, 0)
            for place in (place for place in range(SEGMENT_BLOCKS) if cut >> place & 1):
                self._raise_generation(segment_no * SEGMENT_BLOCKS + place)
            self._ever_sealed[segment_no] = mask & ~cut
        masks = {segment_no: mask for segment_no, mask in self._sealed.items() if mask}
        return SpooledContent(self.content_id, masks, {}, dict(self._generations))


def _has(masks: Mapping[int, int], block_no: int) -> bool:
    segment_no, place = divmod(block_no, SEGMENT_BLOCKS)
    return bool(masks.get(segment_no, 0) >> place & 1)


def _add(masks: dict[int, int], block_no: int) -> None:
    segment_no, place = divmod(block_no, SEGMENT_BLOCKS)
    masks[segment_no] = masks.get(segment_no, 0) | 1 << place
