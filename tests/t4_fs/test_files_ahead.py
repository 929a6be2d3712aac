"""Reading from file to file: the next small ones are fetched before they are asked for, once each, and many at once."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import StoreUnreachableError
from ssecfs.fs.filesahead import AT_ONCE, SMALL_FILE
from ssecfs.s3.store import Sink
from ssecfs.s3.types import Always, ByteRange, ObjectInfo, ObjectKey, ObjectVersion

NAMES = [f"{number:03}" for number in range(200)]


@dataclass
class WatchedStore(MemoryStore):
    """Counts what is read, and how much of it at once.

    Attributes:
        reads: by object key.
        most_at_once: requests under way at the same time, at most.
        failing: object keys that cannot be read, because of failure.
    """

    reads: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    failing: set[str] = field(default_factory=set)
    failure: Exception = field(default_factory=lambda: StoreUnreachableError("gone"))
    _under_way: int = 0

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        self.reads[version.object_key] += 1
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await trio.sleep(0.02)
            if version.object_key in self.failing:
                raise self.failure
            return await super().get(version, byte_range, sink)
        finally:
            self._under_way -= 1


def body_of(name: str) -> bytes:
    return name.encode() * 100


@pytest.fixture
async def store() -> WatchedStore:
    store = WatchedStore()
    for name in NAMES:
        await store.put(ObjectKey(name), body_of(name), {}, Always())
    return store


@pytest.fixture
async def rig(store: WatchedStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path, ttl_s=1000) as rig:
        yield rig


async def numbers(rig: FsRig) -> dict[str, int]:
    """The inode numbers, as cp sees them when it has read the directory."""
    await rig.listdir("")
    return {name: (await rig.walk(name)).ino for name in NAMES}


@pytest.mark.parametrize("is_by_number", [False, True], ids=["by name", "by inode number"])
async def test_files_read_in_order_are_fetched_before_they_are_asked_for_and_once(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock, *, is_by_number: bool
) -> None:
    order = sorted(NAMES, key=(await numbers(rig)).__getitem__) if is_by_number else NAMES
    began = trio.current_time()
    for name in order:
        assert await rig.read(name) == body_of(name)
    assert store.reads == dict.fromkeys(NAMES, 1)
    assert store.most_at_once == AT_ONCE
    assert trio.current_time() - began < len(NAMES) * 0.02 / 8


@pytest.mark.parametrize("order", [NAMES[:1], NAMES[::-1], NAMES[::50], [NAMES[7], NAMES[3], NAMES[90]]])
async def test_files_read_in_no_order_lead_to_no_other_request(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock, order: list[str]
) -> None:
    for name in order[:4]:
        await rig.read(name)
        await trio.sleep(10)
    assert store.reads == dict.fromkeys(order[:4], 1)


async def test_reader_who_stops_has_few_files_fetched_in_vain(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock
) -> None:
    for name in NAMES[:2]:
        await rig.read(name)
    await trio.sleep(10)
    assert store.reads == dict.fromkeys(NAMES[:10], 1)


async def test_file_that_is_read_again_and_again_is_not_taken_for_an_order(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock
) -> None:
    fh = await rig.open(NAMES[0], os.O_RDONLY)
    for _ in range(5):
        await rig.fs.files.read(fh, 0, 10)
    await rig.close(fh)
    await trio.sleep(10)
    assert store.reads == {NAMES[0]: 1}


async def test_large_files_and_what_is_here_already_are_left_out(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock
) -> None:
    await store.put(ObjectKey(NAMES[3]), bytes(SMALL_FILE + 1), {}, Always())
    await rig.read(NAMES[5])
    await trio.sleep(10)
    for name in NAMES[:2]:
        await rig.read(name)
    await trio.sleep(10)
    assert store.reads == dict.fromkeys([name for name in NAMES[:10] if name != NAMES[3]], 1)


async def test_file_that_is_being_changed_is_left_alone(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock
) -> None:
    fh = await rig.open(NAMES[4], os.O_RDWR)
    await rig.fs.files.write(fh, 5, b"ours")
    for name in NAMES[:2]:
        await rig.read(name)
    await trio.sleep(10)
    assert NAMES[4] not in store.reads
    await rig.close(fh)
    assert await rig.read(NAMES[4]) == body_of(NAMES[4])[:5] + b"ours" + body_of(NAMES[4])[9:]


@pytest.mark.parametrize("failure", [StoreUnreachableError("gone"), RuntimeError("a bug")], ids=["away", "a bug"])
async def test_file_that_could_not_be_fetched_ahead_is_fetched_by_its_reader(
    rig: FsRig, store: WatchedStore, autojump_clock: trio.testing.MockClock, failure: Exception
) -> None:
    await rig.read(NAMES[0])
    store.failing, store.failure = set(NAMES[2:]), failure
    await rig.read(NAMES[1])
    await trio.sleep(10)
    store.failing = set()
    assert [await rig.read(name) for name in NAMES[2:10]] == [body_of(name) for name in NAMES[2:10]]
