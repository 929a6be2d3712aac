"""Attributes below the kernel: what is saved and when, whatever happens meanwhile; and what the overrides let through."""

import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from support.fsrig import SEAL_KEY, FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import AttributeTooBigError, NotPermittedError, StoreBusyError, UnsupportedError
from ssecfs.fs.attributes import AS_STORED, AttrChange, Overrides
from ssecfs.s3.types import ObjectInfo, ObjectKey
from ssecfs.tree.attrs import Attrs, Defaults, SealState, parse_attrs
from ssecfs.tree.inodes import Inode, Saved

FILE = Attrs(stat.S_IFREG | 0o4755, 1, 2, 3, 4, 5, 6)
BITS = st.integers(0, 0o7777)
IDS = st.none() | st.integers(0, 5)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(MemoryStore(), tmp_path / "cache") as mounted:
        yield mounted
        await mounted.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert mounted.saver.waiting == 0


async def make(rig: FsRig, name: str, content: bytes = b"content") -> Inode:
    await rig.write(name, 0, content, os.O_CREAT)
    return await rig.walk(name)


def stored(rig: FsRig, name: str) -> Attrs:
    """What the object's metadata says to whoever reads it next."""
    found = rig.store.objects[ObjectKey(name)]
    return parse_attrs(ObjectInfo(found.version, found.metadata, None), Defaults(7, 8), SEAL_KEY)


async def test_changes_in_a_row_are_one_copy_half_a_second_later(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    inode = await make(rig, "file")
    rig.store.operations.clear()
    await rig.fs.attributes.change(inode, AttrChange(mode=0o600))
    await rig.fs.xattrs.set(inode, b"user.a", b"1")
    await rig.fs.attributes.change(inode, AttrChange(uid=5, gid=6))
    await trio.sleep(0.4)
    assert rig.store.operations == {}
    await rig.fs.attributes.change(inode, AttrChange(mtime_ns=-7))
    await trio.sleep(0.2)
    assert rig.store.operations == {"copy": 1}
    found = stored(rig, "file")
    assert (found.mode, found.uid, found.gid, found.mtime_ns) == (stat.S_IFREG | 0o600, 5, 6, -7)
    assert (found.xattrs, found.seal) == ({b"user.a": b"1"}, SealState.GOOD)


async def test_change_that_cannot_be_saved_is_kept_and_tried_again(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    inode = await make(rig, "file")
    rig.store.fail_next("copy", StoreBusyError("busy"), StoreBusyError("busy"))
    await rig.fs.attributes.change(inode, AttrChange(mode=0o600))
    await trio.sleep(1)
    assert (stored(rig, "file").mode, inode.attrs.mode) == (stat.S_IFREG | 0o644, stat.S_IFREG | 0o600)
    await trio.sleep(60)
    assert stored(rig, "file").mode == stat.S_IFREG | 0o600


async def test_change_during_an_upload_is_saved_after_the_close(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    """The upload took the attributes along as they were when it began."""
    fh = await rig.open("file", os.O_CREAT | os.O_WRONLY)
    inode = rig.fs.files.inode_of(fh)
    await rig.fs.files.write(fh, 0, b"content")
    rig.store.gates["put"] = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.fs.files.flush, fh)
        await trio.testing.wait_all_tasks_blocked()
        await rig.fs.attributes.change(inode, AttrChange(mode=0o600))
        rig.store.gates["put"].set()
    assert stored(rig, "file").mode == stat.S_IFREG | 0o644
    rig.fs.files.release(fh)
    await trio.sleep(1)
    assert stored(rig, "file").mode == stat.S_IFREG | 0o600


async def test_read_during_an_upload_leads_to_no_other_save(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    await make(rig, "file")
    fh = await rig.open("file", os.O_RDWR)
    await rig.fs.files.write(fh, 0, b"C")
    rig.store.gates["put"] = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.fs.files.flush, fh)
        await trio.testing.wait_all_tasks_blocked()
        assert await rig.fs.files.read(fh, 0, 7) == b"Content"
        rig.store.gates["put"].set()
    rig.store.operations.clear()
    rig.fs.files.release(fh)
    await trio.sleep(60)
    assert rig.store.operations == {}


async def test_reads_are_saved_with_the_next_change_only(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    inode = await make(rig, "file")
    await rig.fs.attributes.change(inode, AttrChange(atime_ns=1, mtime_ns=2))
    await rig.flush()
    await rig.read("file")
    await trio.sleep(60)
    assert stored(rig, "file").atime_ns == 1
    moved_ns = inode.atime_ns
    await rig.fs.attributes.change(inode, AttrChange(mode=0o600))
    await rig.flush()
    assert stored(rig, "file").atime_ns == moved_ns > 1


async def test_new_size_by_handle_waits_for_the_close_and_by_path_does_not(
    rig: FsRig, autojump_clock: trio.testing.MockClock
) -> None:
    inode = await make(rig, "file")
    fh = await rig.open("file", os.O_RDWR)
    await rig.fs.attributes.change(inode, AttrChange(size=1, is_by_handle=True))
    await trio.sleep(60)
    assert rig.store.objects[ObjectKey("file")].body == b"content"
    await rig.close(fh)
    assert rig.store.objects[ObjectKey("file")].body == b"c"
    await rig.fs.attributes.change(inode, AttrChange(size=0))
    await trio.sleep(1)
    assert rig.store.objects[ObjectKey("file")].body == b""


async def test_file_that_is_written_again_after_a_change_of_attributes_is_uploaded_once(
    rig: FsRig, autojump_clock: trio.testing.MockClock
) -> None:
    await make(rig, "file")
    await rig.chmod("file", 0o600)
    await rig.flush()
    rig.store.operations.clear()
    fh = await rig.open("file", os.O_WRONLY | os.O_TRUNC)
    await trio.sleep(60)
    await rig.fs.files.write(fh, 0, b"new")
    await rig.close(fh)
    assert rig.store.operations == {"put": 1}


async def test_same_size_moves_the_times_and_costs_a_copy(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    inode = await make(rig, "file")
    rig.store.operations.clear()
    before = inode.attrs
    await rig.fs.attributes.change(inode, AttrChange(size=len(b"content")))
    assert min(inode.attrs.mtime_ns, inode.attrs.ctime_ns) > before.mtime_ns
    await rig.flush()
    assert rig.store.operations == {"copy": 1}


async def test_same_mode_moves_ctime_and_costs_nothing(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    inode = await make(rig, "file")
    rig.store.operations.clear()
    before = inode.attrs
    await rig.fs.attributes.change(inode, AttrChange(mode=0o644))
    assert inode.attrs.ctime_ns > before.ctime_ns
    assert inode.attrs == replace(before, ctime_ns=inode.attrs.ctime_ns)
    await trio.sleep(60)
    assert rig.store.operations == {}


async def test_saving_all_saves_many_at_once(rig: FsRig, autojump_clock: trio.testing.MockClock) -> None:
    for number in range(20):
        await make(rig, f"{number}")
        await rig.chmod(f"{number}", 0o600)
    rig.store.gates["copy"] = trio.Event()
    rig.store.operations.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.flush)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.store.operations == {"copy": 20}
        rig.store.gates["copy"].set()
    assert {stored(rig, f"{number}").mode for number in range(20)} == {stat.S_IFREG | 0o600}


async def test_metadata_that_is_full_refuses_changes_and_keeps_what_is_there(
    rig: FsRig, autojump_clock: trio.testing.MockClock
) -> None:
    """Other tools may have filled it: then not even a mode fits."""
    await rig.store.put(ObjectKey("full"), b"x", {"note": "n" * 2000}, condition=None)  # type: ignore[arg-type]
    inode = await rig.walk("full")
    before = inode.attrs
    with pytest.raises(AttributeTooBigError, match="2048 bytes in all"):
        await rig.fs.attributes.change(inode, AttrChange(mode=0o600))
    with pytest.raises(AttributeTooBigError):
        await rig.fs.xattrs.set(inode, b"user.a", b"1")
    assert (inode.attrs, inode.saved) == (before, Saved.YES)
    with pytest.raises(AttributeTooBigError):
        await rig.rename("full", "elsewhere")
    assert await rig.read("full") == b"x"


async def test_forged_attributes_stay_known_as_such_through_renames_and_new_content(
    rig: FsRig, autojump_clock: trio.testing.MockClock
) -> None:
    await make(rig, "file")
    rig.store.objects[ObjectKey("file")].metadata["uid"] = "0"
    rig.store.objects[ObjectKey("file")].version = replace(rig.store.objects[ObjectKey("file")].version, modified_s=1)
    await trio.sleep(60)
    await rig.rename("file", "renamed")
    await rig.write("renamed", 0, b"C", 0)
    assert stored(rig, "renamed").seal is SealState.BAD
    assert await rig.fs.xattrs.get(await rig.walk("renamed"), b"user.ssecfs.seal") == b"bad"
    await rig.chmod("renamed", 0o600)
    await rig.flush()
    assert stored(rig, "renamed").seal is SealState.GOOD


async def test_other_namespaces_are_refused_without_a_look_at_the_server(
    rig: FsRig, autojump_clock: trio.testing.MockClock
) -> None:
    inode = await make(rig, "file")
    rig.store.operations.clear()
    await trio.sleep(60)  # by now everything that is known would have to be checked
    with pytest.raises(UnsupportedError):
        await rig.fs.xattrs.get(inode, b"security.capability")
    assert rig.store.operations == {}


@given(BITS, IDS, IDS, BITS, IDS, IDS, BITS)
def test_overrides_show_what_they_say_and_accept_what_does_not_change_it(  # noqa: PLR0917 - hypothesis passes them so
    umask: int, uid: int | None, gid: int | None, mode: int, new_uid: int | None, new_gid: int | None, new_mode: int
) -> None:
    overrides = Overrides(uid, gid, umask)
    attrs = replace(FILE, mode=stat.S_IFREG | mode)
    shown = overrides.shown(attrs)
    assert shown == replace(
        attrs,
        mode=attrs.mode & ~umask,
        uid=attrs.uid if uid is None else uid,
        gid=attrs.gid if gid is None else gid,
    )
    change = AttrChange(mode=new_mode, uid=new_uid, gid=new_gid)
    is_other_owner = None not in {uid, new_uid} and uid != new_uid
    is_other_group = None not in {gid, new_gid} and gid != new_gid
    if is_other_owner or is_other_group:
        with pytest.raises(NotPermittedError):
            overrides.accept(change, attrs)
        return
    accepted = overrides.accept(change, attrs)
    assert accepted.mode is not None
    assert accepted.mode & ~umask == new_mode & ~umask
    assert accepted.mode & umask == mode & umask
    assert (accepted.uid, accepted.gid) == (new_uid if uid is None else None, new_gid if gid is None else None)


def test_links_are_shown_without_the_mask_and_nothing_is_copied_where_nothing_is_overridden() -> None:
    link = replace(FILE, mode=stat.S_IFLNK | 0o777)
    assert Overrides(umask=0o777).shown(link) is link
    assert AS_STORED.shown(FILE) is FILE
