"""Removals with write-back: behind the program, many in one request, whatever happens meanwhile."""

from pathlib import Path

import pytest
import trio.testing
from support.fsrig import End
from support.writeback import WatchedStore, behind, bodies, pass_time, write

from ssecfs.errors import AccessDeniedError, StoreUnreachableError
from ssecfs.s3.types import Always, ObjectKey


@pytest.fixture
def store(mock_clock: trio.testing.MockClock) -> WatchedStore:
    """Time stands still, so that nothing is done behind the program before a test lets it pass."""
    return WatchedStore()


async def make_files(store: WatchedStore, count: int) -> None:
    await store.put(ObjectKey("dir/"), b"", {}, Always())
    for number in range(count):
        await store.put(ObjectKey(f"dir/{number}"), b"x", {}, Always())


async def test_removals_go_in_one_request_behind_the_program(store: WatchedStore, tmp_path: Path) -> None:
    await make_files(store, 300)
    async with behind(store, tmp_path) as rig:
        for name in await rig.listdir("dir"):
            await rig.unlink(f"dir/{name}")
        assert (len(store.objects), store.operations["delete"], store.operations["delete_many"]) == (301, 0, 0)
        assert await rig.listdir("dir") == []
        await rig.rmdir("dir")
        assert await rig.listdir("") == []
    assert (bodies(store), store.operations["delete_many"]) == ({}, 1)


async def test_removed_name_can_be_used_again_at_once(store: WatchedStore, tmp_path: Path) -> None:
    await make_files(store, 2)
    async with behind(store, tmp_path) as rig:
        await rig.unlink("dir/0")
        await write(rig, "dir/0", b"new")
        await rig.unlink("dir/1")
        await rig.mkdir("dir/1")
        await rig.rename("dir/0", "dir/1/0")
        assert await rig.listdir("dir") == ["1"]
    assert bodies(store) == {"dir/": b"", "dir/1/": b"", "dir/1/0": b"new"}


async def test_removals_are_done_by_the_next_mount_unless_somebody_stored_the_name_since(
    store: WatchedStore, tmp_path: Path
) -> None:
    await make_files(store, 3)
    async with behind(store, tmp_path, End.KILLED) as rig:
        for name in "012":
            await rig.unlink(f"dir/{name}")
        assert len(store.objects) == 4
    await store.put(ObjectKey("dir/1"), b"theirs", {}, Always())
    await store.delete(ObjectKey("dir/2"))
    async with behind(store, tmp_path) as rig:
        assert await rig.listdir("dir") == ["1"]
    assert bodies(store) == {"dir/": b"", "dir/1": b"theirs"}
    store.operations.clear()
    async with behind(store, tmp_path):
        assert store.operations["head"] == 0


async def test_removal_that_the_server_refuses_brings_the_name_back(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    await make_files(store, 1)
    async with behind(store, tmp_path) as rig:
        store.fail_next("delete", AccessDeniedError("may not delete"))
        await rig.unlink("dir/0")
        await pass_time(mock_clock, 6)
        assert await rig.listdir("dir") == ["0"]
        assert rig.deferring.refused == 1
        with pytest.raises(AccessDeniedError):
            await rig.flush()
        await rig.flush()
    assert len(store.objects) == 2


async def test_removals_wait_for_a_server_that_is_away(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    await make_files(store, 1)
    async with behind(store, tmp_path) as rig:
        store.fail_next("delete", StoreUnreachableError("away"), StoreUnreachableError("away"))
        await rig.unlink("dir/0")
        for seconds in (1, 10, 10):
            assert rig.deferring.doomed == 1
            await pass_time(mock_clock, seconds)
        assert rig.deferring.doomed == 0
    assert bodies(store) == {"dir/": b""}
