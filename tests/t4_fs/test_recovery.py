"""Write-back and what the next mount makes of the journal; without a kernel, killed at chosen moments."""

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from support.fsrig import End, FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import AccessDeniedError, NoEntryError, ObjectChangedError, StoreUnreachableError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import GIB, KIB

WRITE_BACK = WriteBack(Durability.JOURNAL, GIB)
LARGE = bytes(range(256)) * 4 * 1300
"""Over a megabyte: too much to be recorded inline, with a last block that is not full."""

pytestmark = pytest.mark.usefixtures("autojump_clock")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def behind(store: MemoryStore, folder: Path, end: End = End.UNMOUNTED) -> AbstractAsyncContextManager[FsRig]:
    return fs_mount(store, folder, write_back=WRITE_BACK, end=end)


async def write(rig: FsRig, path: str, content: bytes) -> None:
    await rig.write(path, 0, content, os.O_CREAT | os.O_TRUNC)


def bodies(store: MemoryStore) -> dict[str, bytes]:
    return {object_key: stored.body for object_key, stored in store.objects.items()}


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "inline", "in containers"])
async def test_closed_file_is_uploaded_by_the_next_mount_once(content: bytes, store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", content)
        assert bodies(store) == {}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == content
        assert await rig.listdir("") == ["file"]
    assert bodies(store) == {"file": content}
    assert store.operations["put"] == 1
    async with behind(store, tmp_path) as rig:
        assert rig.ledger.vouched_files == 0
    assert store.operations["put"] == 1


async def test_upload_follows_without_being_asked_for(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path) as rig:
        await write(rig, "file", b"content")
        await trio.sleep(1)
        assert bodies(store) == {"file": b"content"}
        assert (rig.saver.waiting, rig.ledger.vouched_bytes) == (0, 0)


async def test_attributes_that_came_after_close_are_recovered(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", b"content")
        await rig.chmod("file", 0o600)
    async with behind(store, tmp_path) as rig:
        assert (await rig.stat("file"))[0] & 0o777 == 0o600
    assert store.objects[ObjectKey("file")].metadata["mode"] == str(0o100600)


async def test_write_then_rename_is_one_put(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path) as rig:
        await write(rig, "file.tmp", b"new")
        await rig.rename("file.tmp", "file")
        assert await rig.read("file") == b"new"
    assert bodies(store) == {"file": b"new"}
    assert (store.operations["put"], store.operations["copy"], store.operations["delete"]) == (2, 0, 0)


async def test_rename_of_what_waits_is_recovered_under_its_new_name(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("dir")
        await write(rig, "dir/file.tmp", LARGE)
        await rig.rename("dir/file.tmp", "file")
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == LARGE
        assert await rig.listdir("dir") == []
    assert bodies(store) == {"dir/": b"", "file": LARGE}


async def test_rename_over_what_waits_leaves_one_of_them(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "b", b"replaced")
        await write(rig, "a", b"kept")
        await rig.rename("a", "b")
    async with behind(store, tmp_path) as rig:
        assert await rig.listdir("") == ["b"]
    assert bodies(store) == {"b": b"kept"}


async def test_directory_rename_takes_what_waits_along(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("old")
        await write(rig, "old/file", b"content")
        await rig.rename("old", "new")
    async with behind(store, tmp_path) as rig:
        assert await rig.read("new/file") == b"content"
    assert bodies(store) == {"new/": b"", "new/file": b"content"}


async def test_unlink_of_what_waits_sends_nothing(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", LARGE)
        await rig.unlink("file")
    async with behind(store, tmp_path) as rig:
        assert await rig.listdir("") == []
    assert store.operations["put"] == 0


async def test_patch_of_an_object_is_recovered_over_the_version_it_was_made_for(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), LARGE, {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.write("file", 300 * KIB, b"patch", 0)
    async with behind(store, tmp_path) as rig:
        expected = LARGE[: 300 * KIB] + b"patch" + LARGE[300 * KIB + 5 :]
        assert await rig.read("file") == expected
    assert bodies(store) == {"file": expected}


async def test_change_of_another_client_meanwhile_makes_a_conflict_copy(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", b"ours")
    await store.put(ObjectKey("file"), b"theirs", {}, Always())
    async with behind(store, tmp_path) as rig:
        with pytest.raises(ObjectChangedError):
            await rig.flush()
    assert sorted(bodies(store).values()) == [b"ours", b"theirs"]
    assert bodies(store)["file"] == b"theirs"


async def test_directory_that_was_removed_elsewhere_comes_back_with_its_file(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("dir")
        await write(rig, "dir/file", b"content")
    await store.delete(ObjectKey("dir/"))
    async with behind(store, tmp_path) as rig:
        assert await rig.read("dir/file") == b"content"
    assert bodies(store) == {"dir/": b"", "dir/file": b"content"}


async def test_upload_that_arrived_before_the_end_is_not_made_again(store: MemoryStore, tmp_path: Path) -> None:
    """The server has it, the answer never came."""
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", LARGE)
        store.lose_answer("put")
        with pytest.raises(StoreUnreachableError):
            await rig.saver.save(await rig.walk("file"))
        assert bodies(store) == {"file": LARGE}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == LARGE
        assert rig.saver.waiting == 0
    assert store.operations["put"] == 1


async def test_content_that_is_vouched_for_is_saved_before_it_is_changed(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", LARGE)
        await rig.write("file", 5, b"more", 0)
        assert bodies(store) == {"file": LARGE}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == LARGE[:5] + b"more" + LARGE[9:]


async def test_small_content_is_changed_without_waiting(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        for number in range(20):
            await write(rig, "file", b"%d" % number)
        assert bodies(store) == {}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == b"19"
    assert store.operations["put"] == 1


async def test_open_file_is_parked_and_can_be_published_beside(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"good", {}, Always())
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_TRUNC)
        await rig.fs.files.write(fh, 0, LARGE)
        await trio.sleep(6)
    async with fs_mount(store, tmp_path) as rig:
        assert await rig.read("file") == b"good"
        (record_id,) = rig.recovery.parked
        ending = await rig.recovery.publish(record_id)
        assert await rig.read(f"file{ending}") == LARGE
        assert not rig.recovery.parked
    assert ending.startswith(".recovered-test-host-")
    async with fs_mount(store, tmp_path) as rig:
        assert not rig.recovery.parked
        with pytest.raises(NoEntryError):
            rig.recovery.discard(record_id)


async def test_parked_file_outlives_mounts_until_it_is_discarded(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        await rig.fs.files.write(await rig.open("file", os.O_WRONLY | os.O_CREAT), 0, LARGE)
        await trio.sleep(6)
    for _ in range(2):
        async with fs_mount(store, tmp_path) as rig:
            (record_id,) = rig.recovery.parked
    async with fs_mount(store, tmp_path) as rig:
        rig.recovery.discard(record_id)
    containers = list(tmp_path.rglob("blocks/*"))
    assert (containers, bodies(store)) == ([], {})


async def test_close_waits_for_the_server_when_too_much_waits(store: MemoryStore, tmp_path: Path) -> None:
    tight = WriteBack(Durability.JOURNAL, 100)
    async with fs_mount(store, tmp_path, write_back=tight) as rig:
        await write(rig, "a", bytes(100))
        await write(rig, "b", b"second")
        assert bodies(store) == {"b": b"second"}


async def test_failed_upload_is_told_to_the_next_close_and_kept(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path) as rig:
        store.fail_next("put", *[StoreUnreachableError("the server is gone")] * 2)
        await write(rig, "file", b"first")
        await trio.sleep(1)
        with pytest.raises(StoreUnreachableError):
            await write(rig, "file", b"second")
    assert bodies(store) == {"file": b"second"}


async def test_fsync_waits_for_the_server(store: MemoryStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_CREAT)
        await rig.fs.files.write(fh, 0, b"content")
        await rig.fs.files.fsync(fh)
        assert bodies(store) == {"file": b"content"}
        await rig.close(fh)


async def make_files(store: MemoryStore, count: int) -> None:
    await store.put(ObjectKey("dir/"), b"", {}, Always())
    for number in range(count):
        await store.put(ObjectKey(f"dir/{number}"), b"x", {}, Always())


async def test_removals_go_in_one_request_behind_the_program(store: MemoryStore, tmp_path: Path) -> None:
    await make_files(store, 300)
    async with behind(store, tmp_path) as rig:
        for name in await rig.listdir("dir"):
            await rig.unlink(f"dir/{name}")
        assert (len(store.objects), store.operations["delete"], store.operations["delete_many"]) == (301, 0, 0)
        assert await rig.listdir("dir") == []
        await rig.rmdir("dir")
        assert await rig.listdir("") == []
    assert (bodies(store), store.operations["delete_many"]) == ({}, 1)


async def test_removed_name_can_be_used_again_at_once(store: MemoryStore, tmp_path: Path) -> None:
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
    store: MemoryStore, tmp_path: Path
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


async def test_removal_that_the_server_refuses_brings_the_name_back(store: MemoryStore, tmp_path: Path) -> None:
    await make_files(store, 1)
    async with behind(store, tmp_path) as rig:
        store.fail_next("delete", AccessDeniedError("may not delete"))
        await rig.unlink("dir/0")
        await trio.sleep(6)
        assert await rig.listdir("dir") == ["0"]
    assert len(store.objects) == 2


async def test_removals_wait_for_a_server_that_is_away(store: MemoryStore, tmp_path: Path) -> None:
    await make_files(store, 1)
    async with behind(store, tmp_path) as rig:
        store.fail_next("delete", StoreUnreachableError("away"), StoreUnreachableError("away"))
        await rig.unlink("dir/0")
        await trio.sleep(30)
        assert rig.deferring.doomed == 0
    assert bodies(store) == {"dir/": b""}
