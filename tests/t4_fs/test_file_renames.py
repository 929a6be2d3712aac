"""Renames and removals of files: few requests, nobody's data lost, who has a file open goes on."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import FsRig, errno_name, fs_mount
from support.strangestore import StrangeStore, once, refuse

from ssecfs.errors import SsecfsError, StaleError, StoreBusyError
from ssecfs.fs.renames import Replace
from ssecfs.s3.types import ObjectKey
from ssecfs.tree.attrs import SealState
from ssecfs.tree.inodes import Linkage


@pytest.fixture
def store() -> StrangeStore:
    return StrangeStore()


@pytest.fixture
async def rig(store: StrangeStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path / "cache") as rig:
        yield rig


async def create(rig: FsRig, path: str, content: bytes) -> None:
    await rig.write(path, 0, content, os.O_CREAT)


async def failure(rig: FsRig, path: str, target: str, may_replace: Replace = Replace.YES) -> str:
    """The errno of a rename that fails."""
    parent, name = await rig.parent_of(target)
    with pytest.raises(SsecfsError) as caught:
        await rig.fs.renames.rename(await rig.walk(path), parent, name, may_replace)
    return errno_name(caught.value)


async def rename_exclusively(rig: FsRig, path: str, target: str) -> None:
    parent, name = await rig.parent_of(target)
    await rig.fs.renames.rename(await rig.walk(path), parent, name, Replace.NO)


async def test_clean_file_costs_one_copy_and_one_delete(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"content")
    inode = await rig.walk("a")
    store.operations.clear()
    await rename_exclusively(rig, "a", "b")
    assert store.operations == {"copy": 1, "delete": 1}
    assert store.bodies() == {"b": b"content"}
    assert await rig.walk("b") is inode
    assert await rig.listdir("") == ["b"]
    assert await rig.read("b") == b"content"
    assert store.operations["get"] == 0
    assert (await rig.fs.nodes.getattr(inode)).seal is not SealState.BAD


async def test_new_file_that_is_renamed_before_it_is_closed_costs_one_put(rig: FsRig, store: StrangeStore) -> None:
    await rig.listdir("")
    store.operations.clear()
    fh = await rig.open("temporary", os.O_CREAT | os.O_WRONLY)
    await rig.fs.files.write(fh, 0, b"content")
    await rig.rename("temporary", "final")
    assert await rig.listdir("") == ["final"]
    await rig.close(fh)
    assert store.operations == {"put": 1}
    assert store.bodies() == {"final": b"content"}


async def test_dirty_file_is_uploaded_once_under_its_new_name(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"old content")
    fh = await rig.open("a", os.O_RDWR)
    await rig.fs.files.write(fh, 0, b"new")
    store.operations.clear()
    await rig.rename("a", "b")
    assert store.operations == {"put": 1, "head": 1, "delete": 1}
    assert store.bodies() == {"b": b"new content"}
    await rig.fs.files.write(fh, 0, b"NEW")
    await rig.close(fh)
    assert store.bodies() == {"b": b"NEW content"}


async def test_changed_attributes_go_with_the_copy(rig: FsRig, store: StrangeStore, tmp_path: Path) -> None:
    await create(rig, "a", b"x")
    await rig.chmod("a", 0o600)
    store.operations.clear()
    await rig.rename("a", "b")
    await rig.flush()
    assert store.operations == {"copy": 1, "delete": 1}
    async with fs_mount(store, tmp_path / "another") as another:
        inode = await another.walk("b")
        assert (inode.attrs.mode & 0o777, inode.attrs.seal) == (0o600, SealState.GOOD)


async def test_replaced_file_that_is_open_keeps_its_content(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("b", b"old content")
    await create(rig, "a", b"new")
    replaced = await rig.open("b", os.O_RDWR)
    await rig.fs.files.write(replaced, 0, b"OLD")
    await rig.rename("a", "b")
    assert await rig.read("b") == b"new"
    assert await rig.fs.files.read(replaced, 0, 99) == b"OLD content"
    await rig.close(replaced)
    await rig.flush()
    assert store.bodies() == {"b": b"new"}


async def test_new_unsaved_file_replaces_a_saved_one_with_its_upload(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "final", b"old")
    fh = await rig.open("temporary", os.O_CREAT | os.O_WRONLY)
    await rig.fs.files.write(fh, 0, b"new")
    await rig.rename("temporary", "final")
    assert await rig.listdir("") == ["final"]
    assert await rig.read("final") == b"new"
    await rig.close(fh)
    assert store.bodies() == {"final": b"new"}


async def test_blocks_stay_cached_when_a_file_replaces_another(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("a", b"a" * 1000)
    await create(rig, "b", b"b")
    await rig.read("a")
    await rig.rename("a", "b")
    store.operations.clear()
    assert await rig.read("b") == b"a" * 1000
    assert store.operations["get"] == 0


async def test_rename_onto_itself_changes_nothing(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"x")
    store.operations.clear()
    await rig.rename("a", "a")
    assert store.operations == {}


async def test_taken_name_is_not_replaced_when_that_is_forbidden(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"a")
    await create(rig, "b", b"b")
    assert await failure(rig, "a", "b", Replace.NO) == "EEXIST"
    await store.by_another("c", b"c")
    assert await failure(rig, "a", "c", Replace.NO) == "EEXIST"
    assert store.bodies() == {"a": b"a", "b": b"b", "c": b"c"}


async def test_file_that_another_client_changed_is_renamed_as_it_is_now(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"ours")
    fh = await rig.open("a", os.O_RDONLY)
    await store.by_another("a", b"theirs")
    await rig.rename("a", "b")
    assert store.bodies() == {"b": b"theirs"}
    assert await rig.read("b") == b"theirs"
    with pytest.raises(StaleError):
        await rig.fs.files.read(fh, 0, 99)
    await rig.close(fh)


async def test_file_that_another_client_removed_is_gone(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"ours")
    await store.by_another("a", None)
    assert await failure(rig, "a", "b") == "ENOENT"
    assert await rig.listdir("") == []


async def test_file_that_is_changed_all_the_time_is_given_up(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"ours")

    async def change(object_key: ObjectKey) -> None:
        await store.by_another(object_key, b"theirs")

    store.hooks["copy"] = change
    assert await failure(rig, "a", "b") == "ESTALE"
    assert store.bodies() == {"a": b"theirs"}


async def test_unsaved_changes_and_those_of_another_client_are_both_kept(
    rig: FsRig, store: StrangeStore, caplog: pytest.LogCaptureFixture
) -> None:
    await create(rig, "a", b"base")
    fh = await rig.open("a", os.O_RDWR)
    await rig.fs.files.write(fh, 0, b"ours")
    await store.by_another("a", b"theirs")
    await rig.rename("a", "b")
    await rig.close(fh)
    assert store.bodies() == {"a": b"theirs", "b": b"ours"}
    assert "theirs keeps the old name" in caplog.text


@pytest.mark.parametrize("is_dirty", [False, True])
async def test_failed_rename_changes_nothing(rig: FsRig, store: StrangeStore, is_dirty: bool) -> None:
    await create(rig, "a", b"aaa")
    await create(rig, "b", b"bbb")
    inode, replaced = await rig.walk("a"), await rig.walk("b")
    fh = await rig.open("a", os.O_RDWR)
    if is_dirty:
        await rig.fs.files.write(fh, 0, b"A")
    store.hooks["copy"] = refuse("a", error=StoreBusyError("broken"))
    store.hooks["put"] = refuse("b", error=StoreBusyError("broken"))
    assert await failure(rig, "a", "b") == "EIO"
    assert store.bodies() == {"a": b"aaa", "b": b"bbb"}
    assert (await rig.walk("a"), await rig.walk("b")) == (inode, replaced)
    await rig.close(fh)
    assert store.bodies()["a"] == (b"Aaa" if is_dirty else b"aaa")


async def test_failed_deletion_leaves_both_names_and_reaches_the_caller(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"x")
    store.fail_next("delete", StoreBusyError("broken"))
    assert await failure(rig, "a", "b") == "EIO"
    assert store.bodies() == {"a": b"x", "b": b"x"}
    assert await rig.read("b") == b"x"


async def test_target_removed_while_the_rename_waits_for_it_is_no_obstacle(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"a")
    await create(rig, "b", b"b")
    target = await rig.walk("b")
    await target.lock.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.rename, "a", "b")
        await trio.testing.wait_all_tasks_blocked()
        await store.by_another("b", None)
        rig.fs.removal.note_gone(target)
        target.lock.release()
    assert store.bodies() == {"b": b"a"}


async def test_two_renames_across_each_other_do_not_wait_for_ever(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"a")
    await create(rig, "b", b"b")
    results: list[str] = []

    async def rename(path: str, target: str) -> None:
        try:
            await rig.rename(path, target)
        except SsecfsError as error:
            results.append(errno_name(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rename, "a", "b")
        nursery.start_soon(rename, "b", "a")
    assert results in ([], ["ENOENT"])
    assert len(store.bodies()) == 1


async def test_unlinked_open_file_is_read_and_written_on(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("a", b"content")
    fh = await rig.open("a", os.O_RDWR)
    await rig.unlink("a")
    assert store.bodies() == {}
    await rig.fs.files.write(fh, 0, b"CON")
    assert await rig.fs.files.read(fh, 0, 99) == b"CONtent"
    inode = rig.fs.files.inode_of(fh)
    assert inode.linkage is Linkage.UNLINKED
    await rig.close(fh)
    await rig.flush()
    assert store.bodies() == {}


async def test_unlinking_a_file_whose_attributes_wait_to_be_saved_does_not_fetch_it(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("a", b"content")
    await rig.chmod("a", 0o600)
    store.operations.clear()
    await rig.unlink("a")
    await rig.flush()
    assert store.operations == {"delete": 1}


async def test_failed_unlink_leaves_the_file_as_it_was(rig: FsRig, store: StrangeStore) -> None:
    await create(rig, "a", b"content")
    fh = await rig.open("a", os.O_RDWR)
    store.fail_next("delete", StoreBusyError("broken"))
    with pytest.raises(StoreBusyError):
        await rig.unlink("a")
    await rig.fs.files.write(fh, 0, b"CON")
    await rig.close(fh)
    assert await rig.read("a") == b"CONtent"
    assert store.bodies() == {"a": b"CONtent"}


async def test_upload_under_way_is_over_before_the_file_is_renamed(rig: FsRig, store: StrangeStore) -> None:
    await rig.listdir("")
    fh = await rig.open("a", os.O_CREAT | os.O_WRONLY)
    await rig.fs.files.write(fh, 0, b"content")
    halfway, go_on = trio.Event(), trio.Event()

    async def wait() -> None:
        halfway.set()
        await go_on.wait()

    store.hooks["put"] = once("a", wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.close, fh)
        await halfway.wait()
        nursery.start_soon(rig.rename, "a", "b")
        nursery.start_soon(rig.chmod, "a", 0o600)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert store.bodies() == {"b": b"content"}
