"""Write-back and what the next mount makes of the journal; without a kernel, killed at chosen moments."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from support.fsrig import End, fs_mount
from support.writeback import WatchedStore, behind, bodies, pass_time, write

from ssecfs.errors import NoEntryError, ObjectChangedError, StoreUnreachableError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import KIB

LARGE = bytes(range(256)) * 4 * 1300
"""Over a megabyte: too much to be recorded inline, with a last block that is not full."""


@dataclass
class MeetingStore(WatchedStore):
    """A store that ends no upload before so many have begun."""

    expected: int = 0
    have_met: trio.Event = field(default_factory=trio.Event)

    async def _begin(self, operation: str) -> None:
        await super()._begin(operation)
        if operation == "put":
            if self.operations[operation] == self.expected:
                self.have_met.set()
            await self.have_met.wait()


@pytest.fixture
def store(mock_clock: trio.testing.MockClock) -> WatchedStore:
    """Time stands still, so that nothing is done behind the program before a test lets it pass."""
    return WatchedStore()


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


async def test_uploads_that_nobody_waits_for_are_under_way_together(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    files = {f"file-{number}": b"content %d" % number for number in range(5)}
    store = MeetingStore(expected=len(files))
    async with behind(store, tmp_path) as rig:
        for name, content in files.items():
            await write(rig, name, content)
        await pass_time(mock_clock, 1)
        await store.have_met.wait()
        await rig.flush()
    assert (store.operations["put"], bodies(store)) == (5, files)


async def test_next_mount_uploads_each_of_many_closed_files_once(store: WatchedStore, tmp_path: Path) -> None:
    files = {f"file-{number}": LARGE if number % 5 == 0 else b"content %d" % number for number in range(20)}
    async with behind(store, tmp_path, End.KILLED) as rig:
        for name, content in files.items():
            await write(rig, name, content)
    assert bodies(store) == {}
    async with behind(store, tmp_path) as rig:
        assert {name: await rig.read(name) for name in await rig.listdir("")} == files
    assert (store.operations["put"], bodies(store)) == (20, files)
    async with behind(store, tmp_path) as rig:
        assert rig.saver.waiting == 0
    assert store.operations["put"] == 20


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


@pytest.mark.parametrize("end", [End.UNMOUNTED, End.KILLED], ids=["the same mount", "the next mount"])
async def test_server_that_was_away_for_an_hour_gets_what_was_closed_once(
    store: WatchedStore, tmp_path: Path, mock_clock: trio.testing.MockClock, end: End
) -> None:
    async with behind(store, tmp_path, end) as rig:
        await write(rig, "file", b"content")
        if end is End.UNMOUNTED:
            await be_away_for_an_hour(store, mock_clock)
    if end is End.KILLED:
        async with behind(store, tmp_path) as rig:
            await be_away_for_an_hour(store, mock_clock)
    async with behind(store, tmp_path) as rig:
        assert await rig.read("file") == b"content"
    assert (bodies(store), store.operations["put"]) == ({"file": b"content"}, 121)


async def test_server_that_fails_while_a_mount_begins_costs_the_mount_and_not_the_file(
    store: WatchedStore, tmp_path: Path
) -> None:
    await store.put(ObjectKey("folder/"), b"", {}, Always())
    async with behind(store, tmp_path, End.KILLED) as rig:
        await write(rig, "folder/file", b"content")
    store.fail_next("list_page", StoreUnreachableError("away"))
    with pytest.RaisesGroup(StoreUnreachableError, flatten_subgroups=True):
        async with behind(store, tmp_path):
            raise AssertionError
    async with behind(store, tmp_path) as rig:
        assert (rig.recovery.parked, await rig.read("folder/file")) == ({}, b"content")
    assert bodies(store) == {"folder/": b"", "folder/file": b"content"}


async def be_away_for_an_hour(store: WatchedStore, clock: trio.testing.MockClock) -> None:
    """Each half minute brings an attempt; when the server is back, the next one succeeds."""
    store.fail_next("put", *[StoreUnreachableError("away")] * 120)
    for _ in range(121):
        assert bodies(store) == {}
        store.has_put = trio.Event()
        await pass_time(clock, 31)
        await store.has_put.wait()
        await trio.testing.wait_all_tasks_blocked()
    assert bodies(store) == {"file": b"content"}


async def test_fsync_waits_for_the_server(store: WatchedStore, tmp_path: Path) -> None:
    async with behind(store, tmp_path, End.KILLED) as rig:
        fh = await rig.open("file", os.O_WRONLY | os.O_CREAT)
        await rig.fs.files.write(fh, 0, b"content")
        await rig.fs.files.fsync(fh)
        assert bodies(store) == {"file": b"content"}
        await rig.close(fh)


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
