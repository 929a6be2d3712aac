"""Uploads whose answer got lost, of files that lose their name before the next attempt."""

import os
from pathlib import Path

import pytest
import trio.testing
from support.fsrig import FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import StoreUnreachableError


@pytest.fixture
def store(mock_clock: trio.testing.MockClock) -> MemoryStore:
    """Time stands still, so that nothing is tried again before a test does."""
    return MemoryStore()


async def write_unnoticed(rig: FsRig, store: MemoryStore) -> None:
    """Write a file whose upload gets there, and whose program is told that it did not."""
    store.lose_answer("put")
    with pytest.raises(StoreUnreachableError):
        await rig.write("file", 0, b"unnoticed", os.O_CREAT)
    assert bodies(store) == {"file": b"unnoticed"}


def bodies(store: MemoryStore) -> dict[str, bytes]:
    return {object_key: stored.body for object_key, stored in store.objects.items()}


async def test_renamed_file_is_not_left_under_its_old_name(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        await write_unnoticed(rig, store)
        await rig.rename("file", "renamed")
        assert await rig.listdir("") == ["renamed"]
    assert bodies(store) == {"renamed": b"unnoticed"}


async def test_removed_file_is_not_left(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        await write_unnoticed(rig, store)
        await rig.unlink("file")
        assert await rig.listdir("") == []
    assert bodies(store) == {}


async def test_file_that_replaces_it_makes_no_conflict(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        await write_unnoticed(rig, store)
        fh = await rig.open("new", os.O_CREAT | os.O_WRONLY)
        await rig.fs.files.write(fh, 0, b"new")
        await rig.rename("new", "file")
        await rig.close(fh)
        assert await rig.listdir("") == ["file"]
    assert bodies(store) == {"file": b"new"}
