"""What an interrupted upload in parts has left on the server is dropped by the next mount, and nothing of others."""

import os
from pathlib import Path

import pytest
import trio.testing
from support.fsrig import End, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import StoreUnreachableError
from ssecfs.s3.types import ObjectKey
from ssecfs.sizes import MIB

LARGE = bytes(MIB)


@pytest.fixture
async def left(tmp_path: Path) -> MemoryStore:
    """A store with two uploads: of a mount that was killed while it streamed a file, and of somebody else."""
    store = MemoryStore()
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        fh = await rig.open("file", os.O_CREAT | os.O_WRONLY)
        for number in range(40):
            await rig.fs.files.write(fh, number * MIB, LARGE)
        await trio.testing.wait_all_tasks_blocked()
    assert names(store) == ["file"]
    await store.create_upload(ObjectKey("foreign"), {})
    return store


def names(store: MemoryStore) -> list[str]:
    return [upload.object_key for upload, _, _ in store.uploads.values()]


async def test_next_mount_drops_what_an_upload_has_left_and_nothing_of_others(left: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(left, tmp_path):
        assert names(left) == ["foreign"]
    aborted = left.operations["abort_upload"]
    async with fs_mount(left, tmp_path):
        assert left.operations["abort_upload"] == aborted == 1


async def test_what_cannot_be_dropped_is_dropped_by_the_mount_after(left: MemoryStore, tmp_path: Path) -> None:
    left.fail_next("abort_upload", StoreUnreachableError("gone"))
    async with fs_mount(left, tmp_path):
        assert names(left) == ["file", "foreign"]
    async with fs_mount(left, tmp_path):
        assert names(left) == ["foreign"]


async def test_uploads_that_ended_leave_nothing_to_drop(tmp_path: Path) -> None:
    """One becomes an object, one is dropped because its file is removed meanwhile."""
    store = MemoryStore()
    async with fs_mount(store, tmp_path) as rig:
        for path in ("kept", "removed"):
            fh = await rig.open(path, os.O_CREAT | os.O_WRONLY)
            for number in range(40):
                await rig.fs.files.write(fh, number * MIB, LARGE)
            await trio.testing.wait_all_tasks_blocked()
            if path == "removed":
                await rig.unlink(path)
            await rig.close(fh)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.journal.load_uploads() == {}
    assert (store.operations["create_upload"], list(store.objects), store.uploads) == (2, ["kept"], {})
