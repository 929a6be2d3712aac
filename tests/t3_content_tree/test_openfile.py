"""An open file against a bytearray: any writes, truncations and uploads, with and without a server that copies."""

import hashlib
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cacherig import Rig, cache_rig
from support.memory_store import MemoryStore, no_metadata

from ssecfs.cache.spans import BLOCK_SIZE, blocks_of
from ssecfs.content.openfile import OpenFile
from ssecfs.content.readahead import ReadAhead
from ssecfs.content.upload import upload
from ssecfs.errors import ObjectChangedError
from ssecfs.keyring.keyring import Keyring
from ssecfs.room import Room
from ssecfs.s3.copying import Copier
from ssecfs.s3.types import Always, ByteRange, IfUnchanged, ObjectKey, ObjectVersion
from ssecfs.sizes import KIB, MIB
from ssecfs.ssec import CustomerKey

A = ObjectKey("a")
KEYRING = Keyring((CustomerKey(bytes(range(32))),))
NOISE = random.Random(1).randbytes(40 * MIB)
LARGE = 17 * MIB + 12_345


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def save(rig: Rig, copier: Copier, file: OpenFile) -> ObjectVersion:
    """Upload a file as a close does."""
    async with file.held_still():
        condition = Always() if file.base is None else IfUnchanged(file.base)
        version = await upload(copier, file, A, no_metadata, condition)
        file.note_saved(version)
    return version


SMALL = st.integers(0, 5 * BLOCK_SIZE)
AROUND = st.integers(LARGE - 3 * BLOCK_SIZE, LARGE + 2 * BLOCK_SIZE)
PLACES = st.one_of(SMALL, st.integers(0, LARGE), AROUND)
LENGTHS = st.one_of(st.integers(1, 3 * BLOCK_SIZE), st.sampled_from([1, 4 * KIB, BLOCK_SIZE, 6 * MIB]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PLACES, LENGTHS),
        st.tuples(st.just("truncate"), PLACES, st.just(0)),
        st.tuples(st.just("save"), st.just(0), st.just(0)),
        st.tuples(st.just("read"), PLACES, LENGTHS),
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(STEPS, st.booleans(), st.integers(0, 20))
async def test_file_after_any_steps_is_on_the_server_as_a_bytearray_would_be(
    steps: list[tuple[str, int, int]],
    can_copy: bool,
    seed: int,
) -> None:
    store = MemoryStore(can_copy=can_copy)
    folder = Path(tempfile.mkdtemp())
    model = bytearray(NOISE[seed : seed + LARGE])
    base = await store.put(A, bytes(model), {}, Always())
    async with cache_rig(folder / "cache", KEYRING, store) as rig:
        copier = Copier(store, rig.cache.read, Room(64 * MIB))
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        for number, (what, place, length) in enumerate([*steps, ("save", 0, 0)]):
            if what == "write":
                piece = NOISE[number * 1000 : number * 1000 + length]
                await file.write(place, piece)
                model.extend(bytes(max(0, place - len(model))))
                model[place : place + length] = piece
            elif what == "truncate":
                await file.truncate(place)
                del model[place:]
                model.extend(bytes(place - len(model)))
            elif what == "save":
                await save(rig, copier, file)
                assert store.objects[A].body == model
            else:
                assert await file.read(place, length, ReadAhead()) == model[place : place + length]
        assert await file.read(0, len(model), ReadAhead()) == model
    shutil.rmtree(folder)


async def test_patch_of_a_large_file_sends_little_and_keeps_the_other_blocks(store: MemoryStore, tmp_path: Path) -> None:
    base = await store.put(A, NOISE, {}, Always())
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        await file.read(0, len(NOISE), ReadAhead())
        store.sent_bytes = 0
        await file.write(20 * MIB + 100, b"x" * 4 * KIB)
        await save(rig, Copier(store, rig.cache.read, Room(64 * MIB)), file)
        assert store.sent_bytes == 5 * MIB
        gets = store.operations["get"]
        wanted = NOISE[: 20 * MIB + 100] + b"x" * 4 * KIB + NOISE[20 * MIB + 100 + 4 * KIB :]
        assert await file.read(0, len(NOISE), ReadAhead()) == wanted
        assert store.operations["get"] == gets


@pytest.mark.parametrize(("size", "sent"), [(30 * MIB + 5, 0), (40 * MIB + 5, 5)])
async def test_truncation_of_a_large_file_is_copied(store: MemoryStore, tmp_path: Path, size: int, sent: int) -> None:
    base = await store.put(A, NOISE, {}, Always())
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        store.sent_bytes = 0
        await file.truncate(size)
        await save(rig, Copier(store, rig.cache.read, Room(64 * MIB)), file)
    assert store.objects[A].body == NOISE[:size].ljust(size, b"\0")
    assert (store.sent_bytes, store.operations["get"]) == (sent, 0)


async def test_clean_bytes_of_a_base_that_changed_are_never_mixed_with_ours(store: MemoryStore, tmp_path: Path) -> None:
    base = await store.put(A, NOISE, {}, Always())
    await store.put(A, b"theirs", {}, Always())
    for store.can_copy in (True, False):
        async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
            file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
            await file.write(20 * MIB, b"ours")
            with pytest.raises(ObjectChangedError):
                await save(rig, Copier(store, rig.cache.read, Room(64 * MIB)), file)
            assert file.is_dirty
            assert await file.read(20 * MIB, 4, ReadAhead()) == b"ours"
            file.discard()
    assert store.objects[A].body == b"theirs"


async def test_digest_of_a_file_written_from_start_to_end_is_known_without_reading_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=None)
        for start in range(0, 20 * MIB, MIB):
            await file.write(start, NOISE[start : start + MIB])
        in_order = file.sha256
        await file.write(5, b"again")
        assert (in_order, file.sha256) == (hashlib.sha256(NOISE[: 20 * MIB]).hexdigest(), None)
        await file.truncate(0)
        await file.write(0, b"anew")
        assert file.sha256 == hashlib.sha256(b"anew").hexdigest()
        file.discard()


async def test_blocks_kept_of_a_patched_file_are_right_after_a_remount(store: MemoryStore, tmp_path: Path) -> None:
    base = await store.put(A, NOISE[:LARGE], {}, Always())
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        await file.read(0, LARGE, ReadAhead())
        await file.truncate(LARGE - 100)
        await file.write(LARGE + 50, b"end")
        version = await save(rig, Copier(store, rig.cache.read, Room(64 * MIB)), file)
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        wanted = NOISE[: LARGE - 100] + bytes(150) + b"end"
        assert await rig.cache.read(version, ByteRange(0, version.size)) == wanted
        assert rig.cache.counts.broken == 0


@pytest.mark.parametrize(
    "extents",
    [
        pytest.param([(0, 100), (BLOCK_SIZE - 7, 20)], id="a new file with a hole"),
        pytest.param([(5, 100), (2 * BLOCK_SIZE + 5, 7)], id="a new file that begins with one and has an empty block"),
        pytest.param([(3 * BLOCK_SIZE + 50, 100)], id="nothing but a hole, and an end"),
    ],
)
@pytest.mark.parametrize("size", [0, 2 * BLOCK_SIZE + 300])
async def test_what_was_uploaded_is_in_the_cache_however_it_was_written(
    store: MemoryStore, tmp_path: Path, extents: list[tuple[int, int]], size: int
) -> None:
    """As a database syncs its pages again and again, or a linker leaves gaps for what it aligns."""
    model = bytearray(NOISE[:size])
    base = await store.put(A, bytes(model), {}, Always()) if size else None
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        copier = Copier(store, rig.cache.read, Room(64 * MIB))
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        await file.read(0, size, ReadAhead())
        store.operations.clear()
        for number, (place, length) in enumerate(extents):
            piece = NOISE[number : number + length]
            await file.write(place, piece)
            model.extend(bytes(max(0, place - len(model))))
            model[place : place + length] = piece
            if size or (place, length) == extents[-1]:
                version = await save(rig, copier, file)
        written = {block_no for place, length in extents for block_no in range(*blocks_of(ByteRange(place, place + length)))}
        for block_no in written:
            wanted = ByteRange(block_no * BLOCK_SIZE, min((block_no + 1) * BLOCK_SIZE, len(model)))
            assert await rig.cache.read(version, wanted) == model[wanted.start : wanted.stop]
        assert store.operations["get"] == 0
        assert await file.read(0, len(model), ReadAhead()) == store.objects[A].body == model
        assert rig.cache.counts.broken == 0


async def test_read_that_waits_while_somebody_writes_gives_every_byte_once(store: MemoryStore, tmp_path: Path) -> None:
    base = await store.put(A, NOISE[:LARGE], {}, Always())
    gate = store.gates["get"] = trio.Event()
    found = []
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)

        async def read() -> None:
            found.append(await file.read(100, MIB, ReadAhead()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await file.write(50, b"x" * 100)
            await file.write(5000, b"y" * 100)
            gate.set()
        file.discard()
    wanted = bytearray(NOISE[:LARGE])
    wanted[50:150], wanted[5000:5100] = b"x" * 100, b"y" * 100
    assert found == [wanted[100 : 100 + MIB]]


async def test_file_that_is_cut_while_its_content_is_brought_here_grows_by_zeros(store: MemoryStore, tmp_path: Path) -> None:
    base = await store.put(A, NOISE[:LARGE], {}, Always())
    gate = store.gates["get"] = trio.Event()
    async with cache_rig(tmp_path / "cache", KEYRING, store) as rig:
        file = OpenFile(cache=rig.cache, spool=rig.spool, base=base)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.detach)
            await trio.testing.wait_all_tasks_blocked()
            await file.truncate(100)
            gate.set()
        await file.truncate(LARGE)
        assert await file.read(0, LARGE, ReadAhead()) == NOISE[:100] + bytes(LARGE - 100)
        file.discard()
