"""The clean cache: read-through, single flight, persistence, and never the wrong bytes."""

import random
from pathlib import Path

import pytest
import trio
import trio.testing
from support.cacherig import OpenRig, Rig
from support.memory_store import MemoryStore

from ssecfs.cache.containers import SLOT_BYTES
from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.cache.spool import RESERVE_BYTES
from ssecfs.errors import CacheFullError, ObjectChangedError, StoreBusyError, StoreUnreachableError
from ssecfs.s3.types import Always, ByteRange, ObjectKey, ObjectVersion
from ssecfs.sizes import MIB

A = ObjectKey("unmistakable-name")
B = ObjectKey("b")
C = ObjectKey("c")
TEXT = b"known plaintext "


def content_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def put(store: MemoryStore, body: bytes, object_key: ObjectKey = A) -> ObjectVersion:
    return await store.put(object_key, body, {}, Always())


async def test_block_read_twice_is_fetched_once_even_after_a_remount(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(3 * BLOCK_SIZE + 5)
    version = await put(store, body)
    async with open_rig() as rig:
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
        assert await rig.cache.read(version, ByteRange(BLOCK_SIZE - 1, BLOCK_SIZE + 1)) == body[BLOCK_SIZE - 1 : BLOCK_SIZE + 1]
    async with open_rig() as rig:
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
        assert rig.cache.cached_bytes(version) == len(body)
    assert store.operations["get"] == 1


async def test_readers_of_the_same_block_share_one_download(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(2 * BLOCK_SIZE)
    version = await put(store, body)
    gate = store.gates["get"] = trio.Event()
    results: list[bytes] = []
    async with open_rig() as rig:

        async def reader() -> None:
            results.append(await rig.cache.read(version, ByteRange(0, len(body))))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(reader)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
    assert results == [body] * 5
    assert store.operations["get"] == 1


async def test_cancelled_reader_does_not_end_the_download_of_others(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(BLOCK_SIZE)
    version = await put(store, body)
    gate = store.gates["get"] = trio.Event()
    async with open_rig() as rig, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def cancelled() -> None:
            with first:
                await rig.cache.read(version, ByteRange(0, 10))

        async def patient() -> None:
            assert await rig.cache.read(version, ByteRange(0, 10)) == body[:10]

        nursery.start_soon(cancelled)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(patient)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        gate.set()
    assert store.operations["get"] == 1


async def test_failed_download_fails_every_reader_and_is_tried_again_later(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(BLOCK_SIZE)
    version = await put(store, body)
    store.fail_next("get", StoreBusyError("down"))
    async with open_rig() as rig:
        with pytest.raises(StoreBusyError):
            await rig.cache.read(version, ByteRange(0, 10))
        assert await rig.cache.read(version, ByteRange(0, 10)) == body[:10]


async def test_download_that_got_no_answer_is_not_tried_again_at_once(
    open_rig: OpenRig, store: MemoryStore, mock_clock: trio.testing.MockClock
) -> None:
    """The kernel asks twice, and the program would wait twice."""
    body = content_of(BLOCK_SIZE)
    version = await put(store, body)
    store.fail_next("get", StoreUnreachableError("gone"))
    async with open_rig() as rig:
        for _ in range(2):
            with pytest.raises(StoreUnreachableError):
                await rig.cache.read(version, ByteRange(0, 10))
        assert store.operations["get"] == 1
        mock_clock.jump(1)
        assert await rig.cache.read(version, ByteRange(0, 10)) == body[:10]


async def test_replaced_version_is_never_served_from_the_old_blocks(open_rig: OpenRig, store: MemoryStore) -> None:
    old = await put(store, content_of(BLOCK_SIZE, 1))
    async with open_rig() as rig:
        await rig.cache.read(old, ByteRange(0, BLOCK_SIZE))
        new = await put(store, content_of(BLOCK_SIZE, 2))
        assert await rig.cache.read(new, ByteRange(0, BLOCK_SIZE)) == content_of(BLOCK_SIZE, 2)
        with pytest.raises(ObjectChangedError):
            await rig.cache.read(old, ByteRange(0, BLOCK_SIZE))


async def test_own_copy_keeps_the_blocks_under_the_new_version(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(2 * BLOCK_SIZE)
    old = await put(store, body)
    target = ObjectKey("elsewhere")
    async with open_rig() as rig:
        await rig.cache.read(old, ByteRange(0, len(body)))
        new = await store.copy(old, target, {}, Always())
        rig.cache.rebind(old, new)
    async with open_rig() as rig:
        assert await rig.cache.read(new, ByteRange(0, len(body))) == body
    assert store.operations["get"] == 1


async def test_uploaded_spool_content_is_clean_cache_without_a_download(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(BLOCK_SIZE + 77)
    async with open_rig() as rig:
        spooled = rig.spool.create()
        spooled.write(0, 0, body[:BLOCK_SIZE])
        spooled.write(1, 0, body[BLOCK_SIZE:])
        version = await put(store, body)
        rig.cache.adopt(version, spooled)
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
    async with open_rig() as rig:
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
    assert store.operations["get"] == 0


async def test_cache_stays_within_its_size_and_large_files_are_read_through_it(open_rig: OpenRig, store: MemoryStore) -> None:
    body = content_of(24 * MIB)
    version = await put(store, body)
    async with open_rig(size_bytes=8 * MIB) as rig:
        for start in range(0, len(body), MIB):
            assert await rig.cache.read(version, ByteRange(start, start + MIB)) == body[start : start + MIB]
            assert rig.segments.total_bytes <= 8 * MIB
        on_disk = sum(path.stat().st_size for path in rig.directory.blocks.iterdir())
    assert 0 < on_disk <= 8 * MIB


async def test_nothing_on_disk_shows_content_or_names(open_rig: OpenRig, store: MemoryStore, tmp_path: Path) -> None:
    version = await put(store, TEXT * 20_000)
    async with open_rig() as rig:
        await rig.cache.read(version, ByteRange(0, version.size))
        rig.index.store_record("secret-record-name", TEXT)
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        content = path.read_bytes()
        assert all(needle not in content for needle in (TEXT, A.encode(), b"secret-record-name"))


async def test_no_flipped_byte_anywhere_gives_wrong_data(open_rig: OpenRig, store: MemoryStore, tmp_path: Path) -> None:
    """Every byte of a small cache but its lock, in turn: right data, from here or fetched again, or a refusal."""
    body = b"only a few bytes"
    version = await put(store, body)
    async with open_rig() as rig:
        await rig.cache.read(version, ByteRange(0, len(body)))
    containers = [path for path in (tmp_path / "cache").rglob("*") if path.parent.name == "blocks"]
    assert len(containers) == 1
    original = containers[0].read_bytes()
    for place in range(len(original)):
        damaged = bytearray(original)
        damaged[place] ^= 0xFF
        containers[0].write_bytes(damaged)
        async with open_rig() as rig:
            assert await rig.cache.read(version, ByteRange(0, len(body))) == body
            assert rig.cache.counts.broken == 1
        containers[0].write_bytes(original)


async def test_damaged_index_costs_misses_and_nothing_else(open_rig: OpenRig, store: MemoryStore, tmp_path: Path) -> None:
    body = content_of(BLOCK_SIZE)
    version = await put(store, body)
    async with open_rig() as rig:
        await rig.cache.read(version, ByteRange(0, len(body)))
        index = rig.directory.index
    for damage in (b"", b"no database at all" * 1000, index.read_bytes()[:5000]):
        for suffix in ("-wal", "-shm"):
            Path(f"{index}{suffix}").unlink(missing_ok=True)
        index.write_bytes(damage)
        async with open_rig() as rig:
            assert await rig.cache.read(version, ByteRange(0, len(body))) == body


async def test_full_disk_lets_reads_through(open_rig: OpenRig, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    body = content_of(4 * BLOCK_SIZE)
    version = await put(store, body)
    async with open_rig() as rig:
        monkeypatch.setattr("ssecfs.cache.containers.Containers.free_bytes", lambda _: -1)
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
        assert rig.segments.total_bytes == 0


BLOCK = ByteRange(0, BLOCK_SIZE)


async def put_three(store: MemoryStore) -> list[ObjectVersion]:
    """Objects of one block each."""
    return [await put(store, content_of(BLOCK_SIZE, number), object_key) for number, object_key in enumerate((A, B, C))]


def kept_of(rig: Rig, versions: list[ObjectVersion]) -> list[int]:
    return [rig.cache.cached_bytes(version) for version in versions]


async def test_segment_that_was_not_used_for_longest_goes_first(open_rig: OpenRig, store: MemoryStore) -> None:
    a, b, c = versions = await put_three(store)
    async with open_rig(size_bytes=2 * SLOT_BYTES) as rig:
        for version in (a, b, a, c):  # memory holds one block: the second time, a comes from disk
            await rig.cache.read(version, BLOCK)
        assert kept_of(rig, versions) == [BLOCK_SIZE, 0, BLOCK_SIZE]
    async with open_rig(size_bytes=2 * SLOT_BYTES) as rig:
        assert kept_of(rig, versions) == [BLOCK_SIZE, 0, BLOCK_SIZE]
    assert store.operations["get"] == 3


@pytest.mark.parametrize("reads", ["ba", "abca", "aba"], ids=["never evicted", "evicted before", "the older one used again"])
async def test_next_mounts_know_which_segment_was_not_used_for_longest(
    open_rig: OpenRig, store: MemoryStore, reads: str
) -> None:
    """What the first one read last stays, over two mounts of which each reads one more."""
    versions = dict(zip("abc", await put_three(store), strict=True))
    async with open_rig(size_bytes=2 * SLOT_BYTES) as rig:
        for letter in reads:
            await rig.cache.read(versions[letter], BLOCK)
    expected = list(dict.fromkeys(reversed(reads)))[:2]
    for _ in range(3):
        (new,) = set(versions) - set(expected)
        expected = [new, expected[0]]
        async with open_rig(size_bytes=2 * SLOT_BYTES) as rig:
            await rig.cache.read(versions[new], BLOCK)
            assert {letter for letter, version in versions.items() if rig.cache.cached_bytes(version)} == set(expected)


@pytest.mark.parametrize(("above_floor", "kept"), [(0, 0), (1, BLOCK_SIZE)], ids=["at the floor", "just above"])
async def test_block_is_kept_only_while_the_disk_has_more_free_than_the_floor(
    open_rig: OpenRig, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, above_floor: int, kept: int
) -> None:
    body = content_of(BLOCK_SIZE)
    version = await put(store, body)
    monkeypatch.setattr("ssecfs.cache.containers.Containers.free_bytes", lambda _: 100 * MIB + above_floor)
    async with open_rig(free_floor_bytes=100 * MIB) as rig:
        assert await rig.cache.read(version, BLOCK) == body
        assert rig.cache.cached_bytes(version) == kept
    assert sum(path.stat().st_size > 0 for path in rig.directory.blocks.iterdir()) == bool(kept)


async def test_dirty_data_pushes_clean_blocks_out_when_the_disk_is_low(
    open_rig: OpenRig, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = content_of(24 * MIB)
    version = await put(store, body)
    async with open_rig() as rig:
        await rig.cache.read(version, ByteRange(0, len(body)))
        assert rig.cache.cached_bytes(version) == len(body)
        disk_bytes = RESERVE_BYTES + rig.segments.total_bytes  # too little for another block
        monkeypatch.setattr(
            "ssecfs.cache.containers.Containers.free_bytes",
            lambda _: disk_bytes - sum(path.stat().st_size for path in rig.directory.blocks.iterdir()),
        )
        spooled = rig.spool.create()
        spooled.write(0, 0, b"dirty")
        assert spooled.read(0) == b"dirty"
        assert rig.cache.cached_bytes(version) == 4 * MIB  # what is needed went, in whole segments, and no more
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body


async def test_dirty_data_is_refused_when_the_disk_is_low_and_nothing_clean_is_left(
    open_rig: OpenRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed_bytes = RESERVE_BYTES + BLOCK_SIZE
    async with open_rig() as rig:
        monkeypatch.setattr("ssecfs.cache.containers.Containers.free_bytes", lambda _: needed_bytes - 1)
        with pytest.raises(CacheFullError):
            rig.spool.create().write(0, 0, b"dirty")
        monkeypatch.setattr("ssecfs.cache.containers.Containers.free_bytes", lambda _: needed_bytes)
        rig.spool.create().write(0, 0, b"dirty")


async def test_log_of_a_block_that_does_not_open_shows_neither_content_nor_name(
    open_rig: OpenRig, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    body = TEXT * 1000
    version = await put(store, body)
    async with open_rig() as rig:
        await rig.cache.read(version, ByteRange(0, len(body)))
    (container,) = rig.directory.blocks.iterdir()
    container.write_bytes(body)
    caplog.set_level(0)
    async with open_rig() as rig:
        assert await rig.cache.read(version, ByteRange(0, len(body))) == body
    assert "a block in the cache does not open" in caplog.text
    assert [secret for secret in (TEXT.decode(), A, version.etag.strip('"')) if secret in caplog.text] == []
