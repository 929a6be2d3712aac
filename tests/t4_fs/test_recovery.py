"""Write-back and what the next mount makes of the journal; without a kernel, killed at chosen moments."""

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from support.fsrig import End, FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import AccessDeniedError, NoEntryError, ObjectChangedError, StoreUnreachableError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey, ObjectVersion, PutCondition
from ssecfs.sizes import GIB, KIB

WRITE_BACK = WriteBack(Durability.JOURNAL, GIB)
LARGE = bytes(range(256)) * 4 * 1300
"""Over a megabyte: too much to be recorded inline, with a last block that is not full."""


@dataclass
class WatchedStore(MemoryStore):
    """A store that tells when it is asked to store something."""

    has_put: trio.Event = field(default_factory=trio.Event)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        self.has_put.set()
        return await super().put(object_key, body, metadata, condition)


@pytest.fixture
def store(mock_clock: trio.testing.MockClock) -> WatchedStore:
    """Time stands still, so that nothing is done behind the program before a test lets it pass."""
    return WatchedStore()


async def pass_time(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let the tasks do what is due by then."""
    await trio.testing.wait_all_tasks_blocked()  # they have to be waiting for it
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


def behind(store: WatchedStore, folder: Path, end: End = End.UNMOUNTED) -> AbstractAsyncContextManager[FsRig]:
    return fs_mount(store, folder, write_back=WRITE_BACK, end=end)


async def write(rig: FsRig, path: str, content: bytes) -> None:
    await rig.write(path, 0, content, os.O_CREAT | os.O_TRUNC)


def bodies(store: WatchedStore) -> dict[str, bytes]:
    return {object_key: stored.body for object_key, stored in store.objects.items()}


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "inline", "in containers"])
async def test_closed_file_is_uploaded_by_the_next_mount_once(content: bytes, store: WatchedStore, tmp_path: Path) -> None:
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


async def test_upload_follows_without_being_asked_for(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with behind(store, tmp_path) as rig:
        await write(rig, "file", b"content")
        assert rig.ledger.vouched_bytes == len(b"content")
        await pass_time(mock_clock, 1)
        await store.has_put.wait()
        await rig.flush()
        assert bodies(store) == {"file": b"content"}
        assert rig.ledger.vouched_bytes == 0
    assert store.operations["put"] == 1


async def test_attributes_that_came_after_close_are_recovered(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", b"content")
        await rig.chmod("file", 0o600)
    async with behind(store, tmp_path) as rig:
        assert (await rig.stat("file"))[0] & 0o777 == 0o600
    assert store.objects[ObjectKey("file")].metadata["mode"] == str(0o100600)


async def test_write_then_rename_is_one_put(store: WatchedStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path) as rig:
        await write(rig, "file.tmp", b"new")
        await rig.rename("file.tmp", "file")
        assert await rig.read("file") == b"new"
    assert bodies(store) == {"file": b"new"}
    assert (store.operations["put"], store.operations["copy"], store.operations["delete"]) == (2, 0, 0)


async def test_rename_of_what_waits_is_recovered_under_its_new_name(store: WatchedStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("dir")
        await write(rig, "dir/file.tmp", LARGE)
        await rig.rename("dir/file.tmp", "file")
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == LARGE
        assert await rig.listdir("dir") == []
    assert bodies(store) == {"dir/": b"", "file": LARGE}


async def test_rename_over_what_waits_leaves_one_of_them(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "b", b"replaced")
        await write(rig, "a", b"kept")
        await rig.rename("a", "b")
    async with behind(store, tmp_path) as rig:
        assert await rig.listdir("") == ["b"]
    assert bodies(store) == {"b": b"kept"}


async def test_directory_rename_takes_what_waits_along(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("old")
        await write(rig, "old/file", b"content")
        await rig.rename("old", "new")
    async with behind(store, tmp_path) as rig:
        assert await rig.read("new/file") == b"content"
    assert bodies(store) == {"new/": b"", "new/file": b"content"}


async def test_unlink_of_what_waits_sends_nothing(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", LARGE)
        await rig.unlink("file")
    async with behind(store, tmp_path) as rig:
        assert await rig.listdir("") == []
    assert store.operations["put"] == 0


async def test_patch_of_an_object_is_recovered_over_the_version_it_was_made_for(store: WatchedStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), LARGE, {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.write("file", 300 * KIB, b"patch", 0)
    async with behind(store, tmp_path) as rig:
        expected = LARGE[: 300 * KIB] + b"patch" + LARGE[300 * KIB + 5 :]
        assert await rig.read("file") == expected
    assert bodies(store) == {"file": expected}


async def test_change_of_another_client_meanwhile_makes_a_conflict_copy(store: WatchedStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", b"ours")
    await store.put(ObjectKey("file"), b"theirs", {}, Always())
    async with behind(store, tmp_path) as rig:
        with pytest.raises(ObjectChangedError):
            await rig.flush()
    assert sorted(bodies(store).values()) == [b"ours", b"theirs"]
    assert bodies(store)["file"] == b"theirs"


async def test_directory_that_was_removed_elsewhere_comes_back_with_its_file(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await rig.mkdir("dir")
        await write(rig, "dir/file", b"content")
    await store.delete(ObjectKey("dir/"))
    async with behind(store, tmp_path) as rig:
        assert await rig.read("dir/file") == b"content"
    assert bodies(store) == {"dir/": b"", "dir/file": b"content"}


async def test_upload_that_arrived_before_the_end_is_not_made_again(store: WatchedStore, tmp_path: Path) -> None:
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


async def test_content_that_is_vouched_for_is_saved_before_it_is_changed(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "file", LARGE)
        await rig.write("file", 5, b"more", 0)
        assert bodies(store) == {"file": LARGE}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == LARGE[:5] + b"more" + LARGE[9:]


async def test_small_content_is_changed_without_waiting(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        for number in range(20):
            await write(rig, "file", b"%d" % number)
        assert bodies(store) == {}
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == b"19"
    assert store.operations["put"] == 1


async def test_open_file_is_parked_and_can_be_published_beside(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    await store.put(ObjectKey("file"), b"good", {}, Always())
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_TRUNC)
        await rig.fs.files.write(fh, 0, LARGE)
        await pass_time(mock_clock, 6)
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


async def test_parked_file_outlives_mounts_until_it_is_discarded(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        await rig.fs.files.write(await rig.open("file", os.O_WRONLY | os.O_CREAT), 0, LARGE)
        await pass_time(mock_clock, 6)
    for _ in range(2):
        async with fs_mount(store, tmp_path) as rig:
            (record_id,) = rig.recovery.parked
    async with fs_mount(store, tmp_path) as rig:
        rig.recovery.discard(record_id)
    containers = list(tmp_path.rglob("blocks/*"))
    assert (containers, bodies(store)) == ([], {})


async def test_close_waits_for_the_server_when_too_much_waits(store: WatchedStore, tmp_path: Path) -> None:
    tight = WriteBack(Durability.JOURNAL, 100)
    async with fs_mount(store, tmp_path, write_back=tight) as rig:
        await write(rig, "a", bytes(100))
        await write(rig, "b", b"second")
        assert bodies(store) == {"b": b"second"}


async def test_failed_upload_is_told_to_the_next_close_and_kept(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with behind(store, tmp_path) as rig:
        store.fail_next("put", *[StoreUnreachableError("the server is gone")] * 2)
        await write(rig, "file", b"first")
        await pass_time(mock_clock, 1)
        await store.has_put.wait()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StoreUnreachableError):
            await write(rig, "file", b"second")
    assert bodies(store) == {"file": b"second"}


async def test_fsync_waits_for_the_server(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_CREAT)
        await rig.fs.files.write(fh, 0, b"content")
        await rig.fs.files.fsync(fh)
        assert bodies(store) == {"file": b"content"}
        await rig.close(fh)


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


async def test_renamed_file_whose_upload_arrived_unnoticed_is_not_left_under_its_old_name(
    store: WatchedStore, tmp_path: Path
) -> None:
    async with fs_mount(store, tmp_path) as rig:
        store.lose_answer("put")
        with pytest.raises(StoreUnreachableError):
            await write(rig, "file", b"content")
        assert bodies(store) == {"file": b"content"}
        await rig.rename("file", "renamed")
        assert await rig.listdir("") == ["renamed"]
    assert bodies(store) == {"renamed": b"content"}


async def test_content_is_published_once_and_stays_parked_when_that_fails(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with fs_mount(store, tmp_path, end=End.KILLED) as rig:
        await rig.fs.files.write(await rig.open("file", os.O_WRONLY | os.O_CREAT), 0, LARGE)
        await pass_time(mock_clock, 6)
    async with fs_mount(store, tmp_path) as rig:
        (record_id,) = rig.recovery.parked
        store.fail_next("put", StoreUnreachableError("away"))
        with pytest.raises(StoreUnreachableError):
            await rig.recovery.publish(record_id)
        refusals = []

        async def publish() -> None:
            try:
                await rig.recovery.publish(record_id)
            except NoEntryError as error:
                refusals.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            nursery.start_soon(publish)
        assert (len(refusals), list(bodies(store).values())) == (1, [LARGE])


async def test_attributes_set_while_a_close_is_synced_are_recorded_with_it(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_CREAT)
        await rig.fs.files.write(fh, 0, LARGE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.fs.files.flush, fh)
            nursery.start_soon(rig.chmod, "file", 0o600)
        rig.fs.files.release(fh)
    async with behind(store, tmp_path) as rig:
        assert (await rig.stat("file"), await rig.read("file")) == ((0o100600, len(LARGE)), LARGE)
