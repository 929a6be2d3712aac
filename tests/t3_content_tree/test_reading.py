"""Reading what is not here: which ranges are asked for, in how many requests, and who waits for what."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support.cacherig import cache_rig
from support.memory_store import MemoryStore

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.content.openfile import OpenFile
from ssecfs.content.readahead import LAST_WINDOW, PIECE, ReadAhead
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.store import Sink
from ssecfs.s3.types import Always, ByteRange, ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.sizes import GIB, KIB, MIB
from ssecfs.ssec import CustomerKey

KEYRING = Keyring((CustomerKey(bytes(32)),))
A = ObjectKey("a")
SIZE = 100 * MIB


@dataclass
class SlowStore(MemoryStore):
    """A store that gives bytes when it is told to, and writes down what it is asked for.

    Attributes:
        asked: the ranges, in order.
        given_bytes: of each range, that may be given.
        most_at_once: requests under way at the same time, at most.
    """

    asked: list[ByteRange] = field(default_factory=list)
    given_bytes: int = SIZE
    news: trio.Event = field(default_factory=trio.Event)
    most_at_once: int = 0
    _under_way: int = 0

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        self.asked.append(byte_range)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        body = self.objects[version.object_key].body
        place = byte_range.start
        try:
            while place < byte_range.stop:
                stop = min(byte_range.start + self.given_bytes, byte_range.stop)
                if place == stop:
                    await self.news.wait()
                    continue
                sink(body[place:stop])
                place = stop
                await trio.lowlevel.checkpoint()
        finally:
            self._under_way -= 1
        return ObjectInfo(version, {}, None)

    def give(self, given_bytes: int) -> None:
        """Give so many bytes of each range from now on."""
        self.given_bytes = given_bytes
        self.news.set()
        self.news = trio.Event()


@pytest.fixture
async def store() -> SlowStore:
    store = SlowStore()
    await store.put(A, bytes(range(256)) * (SIZE // 256), {}, Always())
    return store


def version_of(store: SlowStore) -> ObjectVersion:
    return store.objects[A].version


async def read_all(file: OpenFile, offsets: Iterable[int], length: int) -> None:
    ahead = ReadAhead()
    for offset in offsets:
        assert len(await file.read(offset, length, ahead)) == length


async def test_reader_has_its_block_before_the_rest_of_the_range_is_there(store: SlowStore, tmp_path: Path) -> None:
    async with cache_rig(tmp_path, KEYRING, store, plain_bytes=64 * MIB) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=version_of(store))
        store.give(BLOCK_SIZE)
        with trio.fail_after(10):
            assert await file.read(0, 4 * KIB, ReadAhead()) == bytes(range(256)) * 16
        assert max(map(len, store.asked)) > BLOCK_SIZE, "the range is longer than what was waited for"
        store.give(SIZE)


async def test_sequential_reader_keeps_several_large_ranges_under_way_and_asks_for_no_byte_twice(
    store: SlowStore, tmp_path: Path
) -> None:
    async with cache_rig(tmp_path, KEYRING, store, plain_bytes=64 * MIB) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=version_of(store))
        await read_all(file, range(0, SIZE, MIB), MIB)
        assert sum(map(len, store.asked)) == SIZE
        assert (max(map(len, store.asked)), store.most_at_once >= 3) == (PIECE, True)
        assert len(store.asked) < 30


async def test_random_reader_asks_for_the_blocks_it_reads_and_no_more(store: SlowStore, tmp_path: Path) -> None:
    async with cache_rig(tmp_path, KEYRING, store, plain_bytes=64 * MIB) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=version_of(store))
        places = [number * 7 * MIB % SIZE + 5 for number in range(1, 14)]
        await read_all(file, places, 4 * KIB)
        assert [len(asked) for asked in store.asked] == [BLOCK_SIZE] * len(places)


async def test_two_readers_of_one_file_share_the_downloads(store: SlowStore, tmp_path: Path) -> None:
    async with cache_rig(tmp_path, KEYRING, store, plain_bytes=64 * MIB) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=version_of(store))
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(read_all, file, range(0, SIZE, MIB), MIB)
        assert sum(map(len, store.asked)) == SIZE


async def test_reading_a_file_larger_than_the_memory_and_the_cache_keeps_within_both(store: SlowStore, tmp_path: Path) -> None:
    async with cache_rig(tmp_path, KEYRING, store, plain_bytes=4 * MIB, size_bytes=16 * MIB) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=version_of(store))
        ahead = ReadAhead()
        for offset in range(0, SIZE, MIB):
            assert len(await file.read(offset, MIB, ahead)) == MIB
            assert rig.cache.disk_bytes <= 16 * MIB


@given(st.lists(st.integers(1, 1 * MIB), min_size=1, max_size=60))
def test_window_of_a_sequential_reader_is_ahead_of_it_and_has_a_limit(lengths: list[int]) -> None:
    ahead, place, asked = ReadAhead(), 0, 0
    for length in lengths:
        for piece in ahead.windows(ByteRange(place, place + length), GIB):
            assert len(piece) * BLOCK_SIZE <= PIECE
            asked = max(asked, piece.stop * BLOCK_SIZE)
        place += length
        assert asked >= place
        assert asked <= place + LAST_WINDOW + BLOCK_SIZE


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True))
def test_jumps_ask_for_nothing_ahead(places: list[int]) -> None:
    ahead = ReadAhead()
    asked = [ahead.windows(ByteRange((place + 1) * 2 * MIB, (place + 1) * 2 * MIB + 4096), 4 * GIB) for place in places]
    assert asked == [[]] * len(places)


def test_window_of_a_sequential_reader_doubles_from_one_mebibyte_to_32() -> None:
    ahead, step, windows = ReadAhead(), BLOCK_SIZE, []
    for place in range(0, 200 * MIB, step):
        pieces = ahead.windows(ByteRange(place, place + step), GIB)
        if pieces:
            windows.append(pieces[-1].stop * BLOCK_SIZE - (place + step))
    assert windows[:8] == [size * MIB for size in (1, 2, 4, 8, 16, 32, 32, 32)]
    assert set(windows[8:]) == {32 * MIB}
