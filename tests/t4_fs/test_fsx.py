"""One file under thousands of random operations without a kernel, over remounts; it is never wrong."""

import os
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio.testing
from support.fsrig import FsRig, fs_mount
from support.fsx import LARGE, SMALL, Bounds, Wanted
from support.memory_store import MemoryStore

from ssecfs.fs.attributes import AttrChange
from ssecfs.s3.types import ObjectKey

PATH = "file"


class FloorFile:
    """The file. Owns: the mount, a handle, what should be in it."""

    def __init__(self, cache_folder: Path, clock: trio.testing.MockClock, wanted: Wanted) -> None:
        self.store = MemoryStore()
        self._cache_folder = cache_folder
        self._clock = clock
        self._wanted = wanted
        self._is_cache_lost = False
        self._mount = AsyncExitStack()

    async def run(self, count: int, remounts: int) -> None:
        """Do so many operations, each followed by a look at some of the file, then look at all of it on a new mount."""
        operations = {
            self._read: 25,
            self._write: 30,
            self._truncate: 8,
            self._append_by_another: 3,
            self._pass_time: 5,
            self._sync: 5,
            self._open_again: 7,
            self._empty: 0.3,
        }
        async with self._mount:
            await self._start()
            await self._rig.write(PATH, 0, bytes(self._wanted.content), os.O_CREAT)
            await self._open()
            plan = self._wanted.plan([*operations], [*operations.values()], self._remount, (count, remounts))
            for operation in plan:
                await operation()
                self._wanted.check_size((await self._rig.stat(PATH))[1])
                await self._check(*self._wanted.any_range())
            await self._mount_again(is_cache_lost=True)
            await self._check(0, len(self._wanted.content) + 1)
            await self._rig.close(self._fh)
        assert self.store.objects[ObjectKey(PATH)].body == self._wanted.content

    async def _start(self) -> None:
        self._rig: FsRig = await self._mount.enter_async_context(fs_mount(self.store, self._cache_folder))

    async def _open(self) -> None:
        self._fh = await self._rig.open(PATH, os.O_RDWR)

    async def _check(self, start: int, length: int) -> None:
        self._wanted.check(start, length, await self._rig.fs.files.read(self._fh, start, length))

    async def _read(self) -> None:
        start, length = self._wanted.any_range()
        self._wanted.note(f"read {length} at {start}")
        await self._check(start, length)

    async def _write(self) -> None:
        start, piece = self._wanted.any_piece()
        self._wanted.note(f"write {len(piece)} at {start}")
        if piece:  # else the kernel does not ask us
            await self._rig.fs.files.write(self._fh, start, piece)
        self._wanted.put(start, piece)

    async def _append_by_another(self) -> None:
        piece, end = self._wanted.end_piece(), len(self._wanted.content)
        self._wanted.note(f"append {len(piece)} at {end} through another handle")
        if piece:
            await self._rig.write(PATH, end, piece, 0)
        self._wanted.put(end, piece)

    async def _truncate(self) -> None:
        size, is_by_handle = self._wanted.size(), self._wanted.is_likely(0.5)
        self._wanted.note(f"truncate {len(self._wanted.content)} to {size} by {'handle' if is_by_handle else 'path'}")
        await self._rig.fs.attributes.change(await self._rig.walk(PATH), AttrChange(size=size, is_by_handle=is_by_handle))
        self._wanted.resize(size)

    async def _empty(self) -> None:
        self._wanted.note("empty by O_TRUNC")
        await self._rig.close(await self._rig.open(PATH, os.O_WRONLY | os.O_TRUNC))
        self._wanted.resize(0)

    async def _pass_time(self) -> None:
        """What is to be saved in a moment is, and the kernel forgets."""
        self._wanted.note("time passes")
        self._rig.forget()
        self._clock.jump(6)
        await trio.testing.wait_all_tasks_blocked()

    async def _sync(self) -> None:
        self._wanted.note("fsync")
        await self._rig.fs.files.fsync(self._fh)

    async def _open_again(self) -> None:
        self._wanted.note("close, open")
        await self._rig.close(self._fh)
        await self._open()

    async def _remount(self) -> None:
        """Every other time without the cache."""
        await self._mount_again(is_cache_lost=self._is_cache_lost)
        self._is_cache_lost = not self._is_cache_lost

    async def _mount_again(self, *, is_cache_lost: bool) -> None:
        self._wanted.note(f"remount{' without the cache' if is_cache_lost else ''}")
        await self._rig.close(self._fh)
        await self._mount.aclose()
        if is_cache_lost:
            shutil.rmtree(self._cache_folder)
        await self._start()
        await self._open()


async def run(cache_folder: Path, clock: trio.testing.MockClock, wanted: Wanted, counts: tuple[int, int]) -> MemoryStore:
    file = FloorFile(cache_folder, clock, wanted)
    await file.run(*counts)
    return file.store


async def test_file_under_random_operations_is_always_what_it_should_be(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    await run(tmp_path / "cache", mock_clock, Wanted(1, SMALL), (2000, 20))


async def test_large_file_under_random_operations_is_uploaded_as_patches_and_right(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    store = await run(tmp_path / "cache", mock_clock, Wanted(2, LARGE), (200, 4))
    assert store.operations["copy_part"] > 20


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "bounds", "counts"),
    [*((seed, SMALL, (20_000, 100)) for seed in range(11, 16)), *((seed, LARGE, (3000, 20)) for seed in range(21, 24))],
)
async def test_file_under_very_many_random_operations_is_always_what_it_should_be(
    seed: int, bounds: Bounds, counts: tuple[int, int], tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    await run(tmp_path / "cache", mock_clock, Wanted(seed, bounds), counts)
