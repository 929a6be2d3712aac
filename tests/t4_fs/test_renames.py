"""Renames of directories: all of it or nothing, many objects at once, whatever is open goes on."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import FsRig, errno_name, fs_mount
from support.strangestore import StrangeStore, once, refuse

from ssecfs.errors import SsecfsError, StoreBusyError, StoreUnsupportedError
from ssecfs.fs.renames import Replace
from ssecfs.s3.types import ObjectKey
from ssecfs.tree.attrs import SealState
from ssecfs.tree.inodes import Inode
from ssecfs.tree.names import Name

TREE = {"a": b"1", "sub/b": b"22", "sub/deep/c": b"", "z z": b"4444"}


@pytest.fixture
def store() -> StrangeStore:
    return StrangeStore()


@pytest.fixture
async def rig(store: StrangeStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path / "cache") as rig:
        yield rig


async def make_tree(rig: FsRig) -> None:
    """A tree of our own under old/, with an empty directory in it."""
    for folder in ("old", "old/sub", "old/sub/deep", "old/empty"):
        await rig.mkdir(folder)
    for name, content in TREE.items():
        await rig.write(f"old/{name}", 0, content, os.O_CREAT)
    await rig.chmod("old/a", 0o640)
    await rig.flush()


def with_markers(tree: dict[str, bytes]) -> dict[str, bytes]:
    return tree | {"": b"", "sub/": b"", "sub/deep/": b"", "empty/": b""}


async def failure(rig: FsRig, path: str, target: str, may_replace: Replace = Replace.YES) -> str:
    """The errno of a rename that fails."""
    parent, name = await rig.parent_of(target)
    with pytest.raises(SsecfsError) as caught:
        await rig.fs.renames.rename(await rig.walk(path), parent, name, may_replace)
    return errno_name(caught.value)


async def test_everything_in_a_directory_goes_with_it(rig: FsRig, store: StrangeStore, tmp_path: Path) -> None:
    await make_tree(rig)
    await rig.rename("old", "new")
    assert store.bodies("old/") == {}
    assert store.bodies("new/") == with_markers(TREE)
    assert await rig.listdir("") == ["new"]
    async with fs_mount(store, tmp_path / "another") as another:
        assert await another.listdir("new") == ["a", "empty", "sub", "z z"]
        assert await another.read("new/sub/b") == b"22"
        assert stat.S_IMODE((await another.stat("new/a"))[0]) == 0o640
        assert (await another.walk("new/a")).attrs.seal is SealState.GOOD
        assert (await another.walk("new/sub")).attrs.seal is SealState.GOOD


async def test_directory_goes_into_another_one_and_back(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    await rig.mkdir("there")
    await rig.rename("old/sub", "there/sub2")
    assert store.bodies("there/") == {"": b"", "sub2/": b"", "sub2/b": b"22", "sub2/deep/": b"", "sub2/deep/c": b""}
    await rig.rename("there/sub2", "old/sub")
    assert store.bodies("old/") == with_markers(TREE)
    assert store.bodies("there/") == {"": b""}


async def test_directory_without_marker_gets_none(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("old/x/y", b"foreign")
    await rig.rename("old", "new")
    assert store.bodies() == {"new/x/y": b"foreign"}
    assert await rig.read("new/x/y") == b"foreign"


async def test_known_objects_cost_one_copy_each_and_few_requests_else(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    store.operations.clear()
    await rig.rename("old", "new")
    # Copies: the files and the markers below. PUT: the marker. Lists: the old prefix, twice.
    assert store.operations == {"list_page": 2, "copy": 7, "put": 1, "delete_many": 1}


async def test_many_unknown_objects_go_64_at_a_time_page_by_page(rig: FsRig, store: StrangeStore) -> None:
    for number in range(2500):
        await store.by_another(f"old/{number:04}", b"x")
    await rig.walk("old")
    store.operations.clear()
    await rig.rename("old", "new")
    assert len(store.bodies("new/")) == 2500
    assert store.bodies("old/") == {}
    assert 64 <= store.most_in_flight <= 128
    assert (store.operations["copy"], store.operations["head"], store.operations["delete_many"]) == (2500, 2500, 3)


async def test_server_that_cannot_copy_gets_the_bytes_again(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    store.hooks["copy"] = refuse(*store.objects, error=StoreUnsupportedError())
    await rig.rename("old", "new")
    assert store.bodies("new/") == with_markers(TREE)
    assert store.bodies("old/") == {}


async def test_empty_directory_is_replaced_and_a_full_one_is_not(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    await rig.mkdir("free")
    await rig.mkdir("full")
    await store.by_another("full/hidden", b"")
    assert await failure(rig, "old", "full") == "ENOTEMPTY"
    assert await failure(rig, "old", "free", Replace.NO) == "EEXIST"
    await rig.rename("old", "free")
    assert store.bodies("free/") == with_markers(TREE)
    assert await rig.listdir("") == ["free", "full"]


async def test_directory_with_an_unsaved_file_is_full(rig: FsRig) -> None:
    await rig.mkdir("old")
    await rig.mkdir("full")
    fh = await rig.open("full/unsaved", os.O_CREAT | os.O_WRONLY)
    assert await failure(rig, "old", "full") == "ENOTEMPTY"
    await rig.close(fh)


async def test_impossible_renames_give_the_errors_of_posix(rig: FsRig) -> None:
    await make_tree(rig)
    await rig.write("file", 0, b"x", os.O_CREAT)
    assert await failure(rig, "old", "file") == "ENOTDIR"
    assert await failure(rig, "file", "old") == "EISDIR"
    assert await failure(rig, "old", "old/sub/new") == "EINVAL"
    assert await failure(rig, "old", "old/sub") == "EINVAL"
    assert await failure(rig, "old/sub", "old") == "ENOTEMPTY"
    assert await failure(rig, "old", "x" * 256) == "ENAMETOOLONG"
    await rig.rename("old", "old")
    assert await rig.listdir("old") == ["a", "empty", "sub", "z z"]


async def test_object_keys_that_would_be_too_long_stop_it_before_anything_is_lost(rig: FsRig, store: StrangeStore) -> None:
    name = "x" * 200
    for depth in range(1, 5):
        await rig.mkdir("/".join([name] * depth))
    await rig.write("/".join([name] * 5), 0, b"deep", os.O_CREAT)
    before = store.bodies()
    assert await failure(rig, name, "y" * 230) == "ENAMETOOLONG"
    assert store.bodies() == before
    assert await rig.read("/".join([name] * 5)) == b"deep"


async def test_open_files_and_inode_numbers_survive(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    numbers = {name: (await rig.walk(f"old/{name}")).ino for name in ("", *TREE)}
    reader = await rig.open("old/sub/b", os.O_RDONLY)
    writer = await rig.open("old/a", os.O_RDWR)
    fresh = await rig.open("old/sub/fresh", os.O_CREAT | os.O_WRONLY)
    await rig.fs.files.write(writer, 1, b"dirty")
    await rig.fs.files.write(fresh, 0, b"never saved")
    await rig.rename("old", "new")
    assert {name: (await rig.walk(f"new/{name}")).ino for name in ("", *TREE)} == numbers
    assert await rig.fs.files.read(reader, 0, 9) == b"22"
    await rig.fs.files.write(writer, 6, b"!")
    for fh in (reader, writer, fresh):
        await rig.close(fh)
    assert store.bodies("new/") == with_markers(TREE | {"a": b"1dirty!", "sub/fresh": b"never saved"})
    assert store.bodies("old/") == {}


async def test_what_is_cached_is_not_fetched_again(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("old/held", b"held" * 1000)
    await store.by_another("old/read", b"read" * 1000)
    await rig.read("old/read")
    rig.forget()
    fh = await rig.open("old/held", os.O_RDONLY)
    await rig.fs.files.read(fh, 0, 10)
    await rig.rename("old", "new")
    store.operations.clear()
    assert await rig.fs.files.read(fh, 0, 5000) == b"held" * 1000
    assert await rig.read("new/read") == b"read" * 1000
    assert store.operations["get"] == 0
    await rig.close(fh)


@pytest.mark.parametrize("culprit", ["old/a", "old/sub/", "old/z z"])
async def test_failed_copy_leaves_the_old_name_complete_and_nothing_under_the_new(
    rig: FsRig, store: StrangeStore, culprit: str
) -> None:
    await make_tree(rig)
    await rig.mkdir("free")
    store.hooks["copy"] = refuse(culprit, error=StoreBusyError("broken"))
    assert await failure(rig, "old", "free") == "EIO"
    assert store.bodies("old/") == with_markers(TREE)
    assert store.bodies("free/") == {"": b""}
    assert await rig.read("old/z z") == b"4444"
    del store.hooks["copy"]
    await rig.rename("old", "free")
    assert store.bodies("free/") == with_markers(TREE)


async def test_failed_marker_takes_the_copies_back(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    store.hooks["put"] = refuse("new/", error=StoreBusyError("broken"))
    assert await failure(rig, "old", "new") == "EIO"
    assert store.bodies() == {f"old/{name}": body for name, body in with_markers(TREE).items()}


async def test_failed_deletion_reaches_the_caller_and_all_is_under_the_new_name(
    rig: FsRig, store: StrangeStore, caplog: pytest.LogCaptureFixture
) -> None:
    await make_tree(rig)
    store.hooks["delete"] = refuse("old/sub/b", error=StoreBusyError("broken"))
    assert await failure(rig, "old", "new") == "EIO"
    assert store.bodies("new/") == with_markers(TREE)
    assert await rig.read("new/sub/b") == b"22"
    assert "complete under its new name" in caplog.text


async def test_interrupted_copy_is_taken_back(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    with trio.CancelScope() as scope:

        async def interrupt() -> None:
            scope.cancel()

        store.hooks["copy"] = once("old/sub/b", interrupt)
        await rig.rename("old", "new")
    assert scope.cancelled_caught
    assert store.bodies() == {f"old/{name}": body for name, body in with_markers(TREE).items()}


async def test_object_stored_by_another_client_meanwhile_stays_under_the_old_name(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)

    async def others() -> None:
        await store.by_another("old/a", b"theirs")
        await store.by_another("old/unheard of", b"theirs, too")

    store.hooks["copied"] = once("old/a", others)
    await rig.rename("old", "new")
    assert store.bodies("old/") == {"a": b"theirs", "unheard of": b"theirs, too"}
    assert store.bodies("new/") == with_markers(TREE)


async def test_object_changed_or_removed_just_before_its_copy_is_taken_as_it_is(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    fh = await rig.open("old/a", os.O_RDONLY)

    async def another(object_key: ObjectKey) -> None:
        if object_key in changes:
            await store.by_another(object_key, changes.pop(object_key))

    changes = {"old/a": b"theirs", "old/sub/b": None}
    store.hooks["copy"] = another
    await rig.rename("old", "new")
    assert store.bodies("old/") == {}
    assert store.bodies("new/a") == {"": b"theirs"}
    await rig.close(fh)
    assert await rig.read("new/a") == b"theirs"
    assert await rig.listdir("new/sub") == ["deep"]


async def test_directory_that_another_client_removed_is_gone(rig: FsRig, store: StrangeStore) -> None:
    await rig.mkdir("old")
    await store.by_another("old/", None)
    assert await failure(rig, "old", "new") == "ENOENT"
    assert store.bodies() == {}
    assert await rig.listdir("") == []


async def test_changes_below_wait_and_reach_the_new_name(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    halfway, go_on = trio.Event(), trio.Event()

    async def wait() -> None:
        halfway.set()
        await go_on.wait()

    store.hooks["copied"] = once("old/a", wait)
    sub = await rig.walk("old/sub")
    deep = await rig.walk("old/sub/deep")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.rename, "old", "new")
        await halfway.wait()
        fh = await rig.open("old/sub/b", os.O_RDWR)
        late = await rig.open("old/sub/late", os.O_CREAT | os.O_WRONLY)
        await rig.fs.files.write(fh, 0, b"changed")
        await rig.fs.files.write(late, 0, b"late")
        nursery.start_soon(rig.close, fh)
        nursery.start_soon(rig.close, late)
        nursery.start_soon(rig.fs.removal.unlink, await rig.walk("old/sub/deep/c"))
        nursery.start_soon(rig.unlink, "old/z z")
        await trio.testing.wait_all_tasks_blocked()
        assert store.bodies("old/") == with_markers(TREE)
        go_on.set()
    assert store.bodies("old/") == {}
    expected = with_markers(TREE) | {"sub/b": b"changed", "sub/late": b"late"}
    del expected["sub/deep/c"], expected["z z"]
    assert store.bodies("new/") == expected
    assert (sub.path, deep.path) == ("new/sub/", "new/sub/deep/")


async def test_file_first_seen_after_its_copy_is_read_on_after_the_switch(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("old/0", b"0" * 1000)
    for number in range(1, 1100):
        await store.by_another(f"old/{number:04}", b"x")
    opened: list[int] = []

    async def open_the_first() -> None:
        opened.append(await rig.open("old/0", os.O_RDONLY))

    # Of the second page: the first one's copies are done.
    store.hooks["copy"] = once("old/1099", open_the_first)
    await rig.rename("old", "new")
    assert await rig.fs.files.read(opened[0], 0, 2000) == b"0" * 1000
    await rig.close(opened[0])


async def test_two_directories_are_renamed_at_the_same_time(rig: FsRig, store: StrangeStore) -> None:
    await make_tree(rig)
    await rig.mkdir("other")
    await rig.write("other/x", 0, b"x", os.O_CREAT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.rename, "old", "new")
        nursery.start_soon(rig.rename, "other", "another")
    assert store.bodies("new/") == with_markers(TREE)
    assert store.bodies("another/") == {"": b"", "x": b"x"}
    assert await rig.listdir("") == ["another", "new"]


async def test_attributes_changed_just_before_arrive(rig: FsRig, store: StrangeStore, tmp_path: Path) -> None:
    await make_tree(rig)
    await rig.chmod("old", 0o700)
    await rig.chmod("old/sub/b", 0o600)
    await rig.rename("old", "new")
    await rig.flush()
    assert ObjectKey("new/") in store.objects
    async with fs_mount(store, tmp_path / "another") as another:
        assert stat.S_IMODE((await another.stat("new"))[0]) == 0o700
        assert stat.S_IMODE((await another.stat("new/sub/b"))[0]) == 0o600


@pytest.mark.parametrize("moment", ["list", "listed", "head"])
async def test_lookup_under_way_while_its_directory_is_renamed_finds_what_is_there(
    rig: FsRig, store: StrangeStore, moment: str
) -> None:
    for name in ("old/sub/a", "old/sub/b"):
        await store.by_another(name, b"content")
    sub = await rig.walk("old/sub")
    halfway, go_on = trio.Event(), trio.Event()

    async def wait() -> None:
        halfway.set()
        await go_on.wait()

    found: list[Inode | None] = []

    async def look_up() -> None:
        found.append(await rig.fs.nodes.find(sub, Name(b"b")))

    store.hooks[moment] = once("old/sub/b" if moment == "head" else "old/sub/", wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_up)
        await halfway.wait()
        nursery.start_soon(rig.rename, "old", "new")
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    (inode,) = found
    assert inode is await rig.walk("new/sub/b")
    assert inode is not None
    assert inode.version is not None
    assert inode.version.object_key == "new/sub/b"
    assert await rig.listdir("new/sub") == ["a", "b"]
    assert await rig.read("new/sub/b") == b"content"
