"""A cache directory with clean and unsaved files, damaged: no wrong byte is read or uploaded, no loss is hidden."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from support.fsrig import End, FsRig, fs_mount
from support.memory_store import MemoryStore
from trio.testing import MockClock

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.errors import NoEntryError, SpoolError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import GIB, KIB

WRITE_BACK = WriteBack(Durability.JOURNAL, GIB)
CLEAN, PATCHED, INLINE = b"what is on the server", b"what is patched", b"what is in the journal"
SPOOLED = b"what is in a container, and too much for the journal" * 1500

TELLING = 72
"""So many bytes at both ends of each file are damaged in any case; of the others, without ``--long``, one in STEP."""

STEP = 499


class Reports(logging.Handler):
    """What the log tells at the level of errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def reports() -> Iterator[Reports]:
    handler, logger = Reports(), logging.getLogger("ssecfs")
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    logger.propagate = True
    logger.removeHandler(handler)


@dataclass
class State:
    """What a killed mount left: a cache directory, and what is on the server."""

    folder: Path
    store: MemoryStore

    @property
    def part(self) -> Path:
        (namespace,) = (path for path in self.folder.iterdir() if path.is_dir())
        return namespace / "0"

    def files(self) -> list[Path]:
        return sorted(path for path in self.part.rglob("*") if path.is_file())


@pytest.fixture
def fast_folder() -> Iterator[Path]:
    """In memory, because what is begun is synced."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
async def state(fast_folder: Path) -> State:
    store, cache = MemoryStore(), fast_folder / "cache"
    await store.put(ObjectKey("clean"), CLEAN, {}, Always())
    await store.put(ObjectKey("patched"), bytes(len(PATCHED)), {}, Always())
    async with fs_mount(store, cache) as rig:
        assert await rig.read("clean") == CLEAN
        await rig.read("patched")
        await rig.write("patched", 0, PATCHED[:4], 0)
        await rig.write("patched", 4, PATCHED[4:], 0)
    store.gates["put"] = trio.Event()  # nothing arrives before the end
    async with fs_mount(store, cache, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("inline", 0, INLINE, os.O_CREAT)
        await rig.write("spooled", 0, SPOOLED, os.O_CREAT)
        shutil.copytree(cache, fast_folder / "killed")
    store.gates.clear()
    return State(fast_folder / "killed", store)


WANTED = {"clean": CLEAN, "patched": PATCHED, "inline": INLINE, "spooled": SPOOLED}


async def look(rig: FsRig) -> set[str]:
    """Read and upload everything, nothing of it wrong; gives what is neither on the server nor known to be damaged."""
    for name in ("clean", "patched"):
        assert await rig.read(name) == WANTED[name]
    for name in ("inline", "spooled"):
        with suppress(NoEntryError, SpoolError):
            assert await rig.read(name) == WANTED[name]
    with suppress(SpoolError):
        await rig.flush()
    for name, stored in rig.store.objects.items():
        assert stored.body == WANTED[name]
    told = {os.fsdecode(path).lstrip("/") for path in rig.saver.damaged}
    return {name for name in WANTED if ObjectKey(name) not in rig.store.objects} - told


async def check(state: State, folder: Path, reports: Reports) -> set[str]:
    """Mount a damaged copy, and look: what is missing is reported; gives what is on the server then."""
    reports.messages.clear()
    store = MemoryStore(objects=dict(state.store.objects))
    async with fs_mount(store, folder, write_back=WRITE_BACK, end=End.KILLED) as rig:
        missing = await look(rig)
        told = reports.messages[:]
        assert told or not missing
    reports.messages[:] = told  # the end of the mount is no part of it
    return {str(name) for name in store.objects}


def places(path: Path, size: int, is_long: bool) -> Iterator[int]:
    step = 1 if is_long else STEP
    return (place for place in range(size) if place < TELLING or place >= size - TELLING or place % step == 0)


async def flip_all(state: State, fast_folder: Path, reports: Reports, is_long: bool) -> int:
    count = 0
    for path in state.files():
        content = path.read_bytes()
        for place in places(path, len(content), is_long):
            damaged = fast_folder / "damaged"
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(state.folder, damaged)
            flipped = bytearray(content)
            flipped[place] ^= 0xFF
            (damaged / path.relative_to(state.folder)).write_bytes(flipped)
            await check(state, damaged, reports)
            count += 1
    return count


async def test_undamaged_directory_brings_everything_to_the_server(
    state: State, reports: Reports, autojump_clock: MockClock
) -> None:
    assert await check(state, state.folder, reports) == set(WANTED)
    assert reports.messages == []


async def test_no_flipped_byte_gives_wrong_data_or_hides_a_loss(
    state: State, fast_folder: Path, reports: Reports, autojump_clock: MockClock
) -> None:
    assert await flip_all(state, fast_folder, reports, is_long=False) > 500


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_none_of_all_flipped_bytes_gives_wrong_data_or_hides_a_loss(
    state: State, fast_folder: Path, reports: Reports, autojump_clock: MockClock
) -> None:
    assert await flip_all(state, fast_folder, reports, is_long=True) > 100_000


async def test_file_that_is_cut_short_gives_no_wrong_data(
    state: State, fast_folder: Path, reports: Reports, autojump_clock: MockClock
) -> None:
    """But for the journal's log: cut at its end it looks as if the power had gone before, see test_journal_damage."""
    for path in (path for path in state.files() if path.name != "journal.sqlite-wal"):
        content = path.read_bytes()
        for size in sorted({0, 1, len(content) // 2, max(0, len(content) - 1)}):
            damaged = fast_folder / "damaged"
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(state.folder, damaged)
            (damaged / path.relative_to(state.folder)).write_bytes(content[:size])
            await check(state, damaged, reports)


async def test_containers_in_each_others_places_give_no_wrong_data(
    state: State, reports: Reports, autojump_clock: MockClock
) -> None:
    containers = [path for path in state.files() if path.parent.name == "blocks"]
    contents = [path.read_bytes() for path in containers]
    for path, content in zip(containers, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    assert await check(state, state.folder, reports) == {"clean", "patched", "inline"}


async def test_damaged_block_keeps_its_file_from_the_server_and_no_other(
    state: State, reports: Reports, autojump_clock: MockClock
) -> None:
    """The user is told which one; what can be read of it can be read; the next mount still has it; removing it ends it."""
    containers = [path for path in state.files() if path.parent.name == "blocks"]
    spooled = max(containers, key=lambda path: path.stat().st_size)
    damaged = bytearray(spooled.read_bytes())
    damaged[50] ^= 1
    spooled.write_bytes(damaged)
    store = state.store
    for _ in range(2):
        async with fs_mount(store, state.folder, write_back=WRITE_BACK, end=End.KILLED) as rig:
            assert await look(rig) == set()
            assert rig.saver.damaged == [b"/spooled"]
            with pytest.raises(SpoolError):
                await rig.flush()
            with pytest.raises(SpoolError):
                await rig.read("spooled")
    async with fs_mount(store, state.folder, write_back=WRITE_BACK) as rig:
        await rig.unlink("spooled")
        await trio.sleep(60)
        assert (rig.saver.damaged, rig.ledger.vouched_files) == ([], 0)
    assert "spooled" not in store.objects


async def test_older_copy_of_the_clean_cache_gives_no_old_data(
    fast_folder: Path, reports: Reports, autojump_clock: MockClock
) -> None:
    """The containers as they were before a patch, under the index as it is now."""
    store, cache = MemoryStore(), fast_folder / "cache"
    old, new = b"o" * BLOCK_SIZE * 2, b"n" * 100 + b"o" * (BLOCK_SIZE * 2 - 100)
    await store.put(ObjectKey("file"), old, {}, Always())
    async with fs_mount(store, cache) as rig:
        assert await rig.read("file") == old
    (container,) = cache.rglob("blocks/*")
    before = container.read_bytes()
    async with fs_mount(store, cache) as rig:
        await rig.write("file", 0, new[:100], 0)
        assert await rig.read("file") == new
    (container,) = cache.rglob("blocks/*")
    assert container.read_bytes() != before
    container.write_bytes(before)
    async with fs_mount(store, cache) as rig:
        assert await rig.read("file") == new


async def test_older_copy_of_a_block_that_is_being_written_is_an_error(fast_folder: Path, autojump_clock: MockClock) -> None:
    store, cache = MemoryStore(), fast_folder / "cache"
    async with fs_mount(store, cache, write_back=WRITE_BACK) as rig:
        fh = await rig.open("file", os.O_CREAT | os.O_WRONLY)
        await rig.fs.files.write(fh, 0, b"o" * BLOCK_SIZE)
        (container,) = cache.rglob("blocks/*")
        before = container.read_bytes()
        await rig.fs.files.write(fh, 0, b"n" * BLOCK_SIZE)
        await rig.fs.files.write(fh, BLOCK_SIZE, b"n" * 100 * KIB)
        await rig.close(fh)
        after = container.read_bytes()
        container.write_bytes(before + after[len(before) :])
        with pytest.raises(SpoolError):
            await rig.flush()
        assert ObjectKey("file") not in store.objects
        container.write_bytes(after)
        await rig.flush()
        assert store.objects[ObjectKey("file")].body == b"n" * (BLOCK_SIZE + 100 * KIB)
