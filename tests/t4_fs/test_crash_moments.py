"""Moments at which the end of the daemon once lost something, or made two of it; without a kernel."""

import os
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import End, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import StoreUnreachableError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import GIB, KIB

WRITE_BACK = WriteBack(Durability.JOURNAL, GIB)
LARGE = bytes(range(256)) * 4 * 1300


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def bodies(store: MemoryStore) -> dict[str, bytes]:
    return {object_key: stored.body for object_key, stored in store.objects.items()}


async def test_content_closed_after_an_upload_whose_answer_was_lost_is_not_taken_for_that(
    store: MemoryStore, tmp_path: Path
) -> None:
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_CREAT)
        await rig.fs.files.write(fh, 0, b"first")
        store.lose_answer("put")
        with pytest.raises(StoreUnreachableError):
            await rig.fs.files.fsync(fh)
        await rig.fs.files.write(fh, 0, b"again")
        await rig.close(fh)
    async with fs_mount(store, tmp_path) as rig:
        assert await rig.read("file") == b"again"
    assert bodies(store) == {"file": b"again"}


async def test_half_written_content_does_not_replace_what_was_closed(
    store: MemoryStore, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("file", 0, b"whole", os.O_CREAT)
        fh = await rig.open("file", os.O_WRONLY | os.O_TRUNC)
        await rig.fs.files.write(fh, 0, b"ha")
        await trio.sleep(60)
        assert bodies(store) == {}
    async with fs_mount(store, tmp_path) as rig:
        assert await rig.read("file") == b"whole"


@pytest.mark.parametrize("writers", [1, 2])
async def test_save_that_waited_for_another_one_does_not_take_along_what_was_written_since(
    store: MemoryStore, tmp_path: Path, autojump_clock: trio.testing.MockClock, writers: int
) -> None:
    """Who writes to what the journal vouches for has it saved first, which others may want to do at the same time."""
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("file", 0, LARGE, os.O_CREAT)
        handles = [await rig.open("file", os.O_WRONLY) for _ in range(writers)]
        inode = await rig.walk("file")
        async with trio.open_nursery() as nursery, inode.lock:
            for fh in handles:
                nursery.start_soon(rig.fs.files.write, fh, 0, b"ha")
            await trio.sleep(60)
        await trio.sleep(60)
        assert bodies(store) == {"file": LARGE}


async def test_attributes_that_wait_do_not_take_half_written_content_along(
    store: MemoryStore, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        await rig.write("file", 0, b"whole", os.O_CREAT)
        await rig.chmod("file", 0o600)
        fh = await rig.open("file", os.O_WRONLY | os.O_TRUNC)
        await rig.fs.files.write(fh, 0, b"ha")
        await trio.sleep(60)
        assert bodies(store) == {"file": b"whole"}
        await rig.fs.files.write(fh, 2, b"lf, and the rest")
        await rig.close(fh)
        assert bodies(store) == {"file": b"half, and the rest"}
    assert store.objects[ObjectKey("file")].metadata["mode"] == str(0o100600)


async def test_rename_of_what_waits_over_an_older_version_leaves_no_older_content(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("old"), b"old", {}, Always())
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("old", 0, b"new", os.O_TRUNC)
        await rig.rename("old", "target")
    assert bodies(store) == {"old": b"new", "target": b"new"}
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK) as rig:
        assert await rig.listdir("") == ["target"]
    assert bodies(store) == {"target": b"new"}


async def test_rename_over_what_waits_that_is_cut_short_makes_no_conflict_copy(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("source"), b"source", {}, Always())
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("target", 0, b"replaced", os.O_CREAT)
        store.lose_answer("copy")
        with pytest.raises(StoreUnreachableError):
            await rig.rename("source", "target")
    async with fs_mount(store, tmp_path) as rig:
        assert await rig.listdir("") == ["source", "target"]
    assert bodies(store) == {"source": b"source", "target": b"source"}


async def test_patch_in_a_renamed_directory_is_recovered_over_the_copy_of_its_base(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("old/file"), LARGE, {}, Always())
    async with fs_mount(store, tmp_path, write_back=WRITE_BACK, end=End.KILLED) as rig:
        await rig.write("old/file", 300 * KIB, b"patch", 0)
        await rig.rename("old", "new")
    async with fs_mount(store, tmp_path) as rig:
        assert await rig.listdir("") == ["new"]
    assert bodies(store)["new/file"] == LARGE[: 300 * KIB] + b"patch" + LARGE[300 * KIB + 5 :]
