"""Going through directories: every entry that was there all the time once, at an offset that stays, whatever comes and goes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fsrig import FsRig, fs_mount
from support.strangestore import StrangeStore

from ssecfs.errors import BadHandleError
from ssecfs.fs.directories import DOTS
from ssecfs.tree.inodes import Inode

MANY = [f"{number:04}" for number in range(3000)]


@pytest.fixture
def store() -> StrangeStore:
    return StrangeStore()


@pytest.fixture
async def rig(store: StrangeStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path / "cache") as rig:
        yield rig


async def put_many(store: StrangeStore) -> None:
    for name in MANY:
        await store.by_another(f"d/{name}", bytes(5000))


async def some(rig: FsRig, fh: int, offset: int, at_most: int) -> list[tuple[str, int]]:
    """Up to so many entries from an offset, each with the offset after it."""
    shown: list[tuple[str, int]] = []

    def show(inode: Inode, name: bytes, next_offset: int) -> bool:
        if len(shown) == at_most:
            return False
        shown.append((os.fsdecode(name), next_offset))
        return True

    await rig.fs.directories.readdir(fh, offset, show)
    return shown


async def rest(rig: FsRig, fh: int, offset: int) -> list[str]:
    names: list[str] = []
    while page := await some(rig, fh, offset, 100):
        names += [name for name, _ in page]
        offset = page[-1][1]
    return names


async def test_directory_and_its_parent_come_first(rig: FsRig) -> None:
    await rig.mkdir("d")
    await rig.write("d/file", 0, b"x", os.O_CREAT)
    shown: list[tuple[int, bytes]] = []

    def show(inode: Inode, name: bytes, next_offset: int) -> bool:
        shown.append((inode.ino, name))
        return True

    directory, root = await rig.walk("d"), rig.fs.inodes.root
    fh = rig.fs.directories.opendir(directory)
    await rig.fs.directories.readdir(fh, 0, show)
    assert shown == [(directory.ino, b"."), (root.ino, b".."), ((await rig.walk("d/file")).ino, b"file")]
    at_the_top = rig.fs.directories.opendir(root)
    await rig.fs.directories.readdir(at_the_top, 0, show)
    assert shown[3:5] == [(root.ino, b"."), (root.ino, b"..")]


async def test_offsets_lead_back_to_where_they_were_taken(rig: FsRig, store: StrangeStore) -> None:
    await put_many(store)
    fh = rig.fs.directories.opendir(await rig.walk("d"))
    shown = await some(rig, fh, 0, 5000)
    assert [name for name, _ in shown] == [*map(os.fsdecode, DOTS), *MANY]
    for place in (1, 2, 3, 999, 1000, 1001, 2500):
        assert await some(rig, fh, shown[place - 1][1], 3) == shown[place : place + 3]
    assert await some(rig, fh, shown[-1][1], 3) == []


async def test_each_entry_that_stays_is_shown_once_while_others_come_and_go(rig: FsRig, store: StrangeStore) -> None:
    await put_many(store)
    fh = rig.fs.directories.opendir(await rig.walk("d"))
    names: list[str] = []
    offset = 0
    for step in range(200):
        page = await some(rig, fh, offset, 20)
        if not page:
            break
        names += [name for name, _ in page]
        offset = page[-1][1]
        # One behind and one before the place where we are, and new ones anywhere.
        for number in (step * 13, 2999 - step * 3):
            if number % 7 == 0:
                await rig.unlink(f"d/{MANY[number]}")
        await rig.write(f"d/{step:04}-new", 0, b"", os.O_CREAT)
        if step % 10 == 0:
            await rig.rename(f"d/{step:04}-new", f"d/renamed {step}")
    shown = [name for name in names if name in set(MANY)]
    assert len(set(names)) == len(names)
    assert [name for name in shown if int(name) % 7] == [name for name in MANY if int(name) % 7]
    removed = {name for name in MANY if f"d/{name}" not in store.objects}
    assert len(removed) > 20
    fh_later = rig.fs.directories.opendir(await rig.walk("d"))
    assert not removed & set(await rest(rig, fh_later, 0))


async def test_removed_entry_is_not_shown_and_gets_no_inode(rig: FsRig, store: StrangeStore) -> None:
    for name in ("a", "b", "c"):
        await rig.write(name, 0, b"x", os.O_CREAT)
    fh = rig.fs.directories.opendir(rig.fs.inodes.root)
    shown = await some(rig, fh, 0, 3)
    await rig.unlink("b")
    await rig.write("c", 0, b"yy", 0)
    assert await some(rig, fh, shown[-1][1], 9) == [("c", shown[-1][1] + 2)]
    assert rig.fs.inodes.child(rig.fs.inodes.root, b"b") is None


async def test_stale_listing_of_an_open_directory_shows_what_we_removed_meanwhile_no_more(
    tmp_path: Path, store: StrangeStore
) -> None:
    """With no trust at all every look-up lists again, and the handle's own listing is an old one."""
    async with fs_mount(store, tmp_path / "cache", ttl_s=0.0) as rig:
        for name in ("a", "b", "c"):
            await rig.write(name, 0, b"x", os.O_CREAT)
        fh = rig.fs.directories.opendir(rig.fs.inodes.root)
        shown = await some(rig, fh, 0, 3)
        await rig.unlink("b")
        await rig.stat("a")
        assert [name for name, _ in await some(rig, fh, shown[-1][1], 9)] == ["c"]


async def test_rewound_directory_shows_what_is_there_now(rig: FsRig) -> None:
    await rig.mkdir("d")
    fh = rig.fs.directories.opendir(await rig.walk("d"))
    assert [name for name, _ in await some(rig, fh, 0, 9)] == [".", ".."]
    await rig.write("d/new", 0, b"", os.O_CREAT)
    assert [name for name, _ in await some(rig, fh, 0, 9)] == [".", "..", "new"]


async def test_unsaved_files_are_shown_once(rig: FsRig) -> None:
    await rig.write("saved", 0, b"x", os.O_CREAT)
    one = await rig.open("unsaved", os.O_CREAT | os.O_WRONLY)
    other = await rig.open("saved", os.O_WRONLY)
    await rig.fs.files.write(other, 0, b"y")
    fh = rig.fs.directories.opendir(rig.fs.inodes.root)
    assert [name for name, _ in await some(rig, fh, 0, 9)] == [".", "..", "saved", "unsaved"]
    await rig.close(one)
    await rig.close(other)


async def test_directory_renamed_while_it_is_listed_shows_the_rest_of_it(rig: FsRig, store: StrangeStore) -> None:
    await put_many(store)
    fh = rig.fs.directories.opendir(await rig.walk("d"))
    shown = await some(rig, fh, 0, 502)
    await rig.rename("d", "renamed")
    assert await rest(rig, fh, shown[-1][1]) == MANY[500:]
    assert (await rig.walk("renamed/2999")).version is not None
    assert await rig.read("renamed/0600") == bytes(5000)


async def test_offset_of_another_handle_is_understood(rig: FsRig) -> None:
    for name in ("a", "b"):
        await rig.write(name, 0, b"x", os.O_CREAT)
    shown = await some(rig, rig.fs.directories.opendir(rig.fs.inodes.root), 0, 9)
    fresh = rig.fs.directories.opendir(rig.fs.inodes.root)
    assert await some(rig, fresh, shown[2][1], 9) == shown[3:]


async def test_closed_directory_is_no_handle_any_more(rig: FsRig) -> None:
    fh = rig.fs.directories.opendir(rig.fs.inodes.root)
    rig.fs.directories.releasedir(fh)
    with pytest.raises(BadHandleError):
        await some(rig, fh, 0, 1)
