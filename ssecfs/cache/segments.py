"""Which clean blocks are on disk, in the order of their last use, and which go when there is no room. Synchronous.

Imported by ``cache.blockcache`` and ``app``. The unit is a segment: one container file of up to 4 MiB, so a file larger than
the cache can be read through it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ssecfs.cache.containers import SLOT_BYTES, Containers
from ssecfs.cache.index import Index
from ssecfs.cache.seal import ContentId
from ssecfs.cache.spans import BLOCK_SIZE, SEGMENT_BLOCKS, block_length

FREE_CHECK_BLOCKS: Final = 16
"""The free space of the disk is looked at once for so many blocks."""


@dataclass(slots=True)
class _Held:
    mask: int


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Limits of the clean cache.

    Attributes:
        size_bytes: clean blocks on disk, at most.
        free_floor_bytes: what is left free on the disk, at least.
        memory_bytes: plaintext blocks and unsealed dirty blocks in memory.
    """

    size_bytes: int
    free_floor_bytes: int
    memory_bytes: int


class Segments:
    """Clean segments, least recently used first.

    Owns: the order and the masks of present blocks; writes them to the index. Invariant: the total is at most size_bytes.
    """

    def __init__(
        self, containers: Containers, index: Index, options: CacheOptions, is_spooled: Callable[[ContentId], bool]
    ) -> None:
        """Begin with what the index says; containers that it does not know are removed, unless they are somebody else's."""
        self._containers = containers
        self._index = index
        self._options = options
        self._held: OrderedDict[tuple[ContentId, int], _Held] = OrderedDict()
        self._touched: dict[tuple[ContentId, int], None] = {}
        self._by_content: dict[ContentId, set[int]] = {}
        self._clock = 0
        self._blocks = 0
        self._checked_at_blocks = -FREE_CHECK_BLOCKS
        self._has_space = True
        self._load(is_spooled)

    @property
    def total_bytes(self) -> int:
        """Bytes of all clean blocks on disk, counted in full slots."""
        return self._blocks * SLOT_BYTES

    @property
    def limit_bytes(self) -> int:
        """Bytes of all clean blocks on disk, at most."""
        return self._options.size_bytes

    def has(self, content_id: ContentId, block_no: int) -> bool:
        """Tell whether a block is on disk."""
        held = self._held.get((content_id, block_no // SEGMENT_BLOCKS))
        return held is not None and bool(held.mask >> (block_no % SEGMENT_BLOCKS) & 1)

    def bytes_of(self, content_id: ContentId, size: int) -> int:
        """Bytes of a content of size bytes that are on disk."""
        total = 0
        for segment_no in self._by_content.get(content_id, ()):
            mask = self._held[content_id, segment_no].mask
            first = segment_no * SEGMENT_BLOCKS
            total += sum(block_length(first + place, size) for place in range(SEGMENT_BLOCKS) if mask >> place & 1)
        return total

    def touch(self, content_id: ContentId, block_no: int) -> None:
        """A block was used."""
        place = (content_id, block_no // SEGMENT_BLOCKS)
        self._held.move_to_end(place)
        self._touched.pop(place, None)
        self._touched[place] = None

    def keep_order(self) -> None:
        """Before the mount ends: write down in which order segments were used, for the next one."""
        for place in self._touched:
            if place in self._held:
                self._store(place, self._held[place])
        self._touched.clear()

    def note_block(self, content_id: ContentId, block_no: int) -> None:
        """A block was written."""
        self.note(content_id, block_no // SEGMENT_BLOCKS, 1 << (block_no % SEGMENT_BLOCKS))

    def note(self, content_id: ContentId, segment_no: int, mask: int) -> None:
        """Blocks of a segment, as bits, were written."""
        place = (content_id, segment_no)
        held = self._held.get(place)
        if held is None:
            held = self._held[place] = _Held(0)
            self._by_content.setdefault(content_id, set()).add(segment_no)
        self._blocks += (mask & ~held.mask).bit_count()
        held.mask |= mask
        self._held.move_to_end(place)
        self._touched.pop(place, None)
        self._store(place, held)

    def drop_blocks(self, content_id: ContentId, first: int, stop: int) -> None:
        """The blocks [first, stop) are damaged, or no longer true."""
        segments = self._by_content.get(content_id, set())
        for segment_no in [no for no in range(first // SEGMENT_BLOCKS, -(-stop // SEGMENT_BLOCKS)) if no in segments]:
            held = self._held[content_id, segment_no]
            place = segment_no * SEGMENT_BLOCKS
            dropped = held.mask & _bits(max(first - place, 0), min(stop - place, SEGMENT_BLOCKS))
            if dropped == held.mask:
                self._remove((content_id, segment_no))
            elif dropped:
                self._blocks -= dropped.bit_count()
                held.mask &= ~dropped
                self._store((content_id, segment_no), held)

    def drop_content(self, content_id: ContentId) -> None:
        """Remove everything of a content."""
        for segment_no in list(self._by_content.get(content_id, ())):
            self._remove((content_id, segment_no))

    def drop_all(self) -> None:
        """Remove everything."""
        for content_id in list(self._by_content):
            self.drop_content(content_id)
            self._index.unbind(content_id)

    def may_grow(self) -> bool:
        """Tell whether the disk has room above the floor, after removing old segments if need be."""
        if self._blocks - self._checked_at_blocks >= FREE_CHECK_BLOCKS or not self._has_space:
            self._checked_at_blocks = self._blocks
            self._has_space = self._containers.free_bytes() > self._options.free_floor_bytes
            if not self._has_space and self._held:
                self._remove(next(iter(self._held)))
        return self._has_space and self._options.size_bytes >= SLOT_BYTES

    def make_room(self) -> None:
        """Remove the least recently used segments while there is too much."""
        while self.total_bytes > self._options.size_bytes and self._held:
            self._remove(next(iter(self._held)))

    def give_up(self, wanted_bytes: int) -> bool:
        """Remove clean segments so that dirty data finds room; tells whether there was anything to remove."""
        removed = 0
        while removed < wanted_bytes and self._held:
            place = next(iter(self._held))
            removed += self._held[place].mask.bit_count() * BLOCK_SIZE
            self._remove(place)
        return removed > 0

    def _remove(self, place: tuple[ContentId, int]) -> None:
        held = self._held.pop(place)
        self._touched.pop(place, None)
        content_id, segment_no = place
        self._blocks -= held.mask.bit_count()
        self._containers.remove(content_id, segment_no)
        self._index.drop_segment(content_id, segment_no)
        segments = self._by_content[content_id]
        segments.discard(segment_no)
        if not segments:
            del self._by_content[content_id]

    def _store(self, place: tuple[ContentId, int], held: _Held) -> None:
        self._clock += 1
        row = (place[0], place[1], held.mask, held.mask.bit_count() * BLOCK_SIZE)
        self._index.store_segment(row, self._clock)

    def _load(self, is_spooled: Callable[[ContentId], bool]) -> None:
        for content_id, segment_no, mask, _ in self._index.load_segments():
            self._held[content_id, segment_no] = _Held(mask)
            self._by_content.setdefault(content_id, set()).add(segment_no)
            self._blocks += mask.bit_count()
        self._clock = self._index.last_used()
        for content_id, segment_no in list(self._containers.present()):
            if (content_id, segment_no) not in self._held and not is_spooled(content_id):
                self._containers.remove(content_id, segment_no)
        self.make_room()


def _bits(first: int, stop: int) -> int:
    """The bits [first, stop)."""
    return (1 << stop) - (1 << first)
