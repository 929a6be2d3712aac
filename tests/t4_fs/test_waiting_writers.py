"""Who waits while a file is being saved, and finds it another client's then: told so, and theirs is left alone."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import FsRig, errno_name, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import SsecfsError, StoreUnreachableError
from ssecfs.fs.attributes import AttrChange
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import GIB

THEIRS = b"theirs, and longer than ours"
LARGE = bytes(range(256)) * 4 * 1300
"""Over a megabyte: it is in containers of the spool, which may not change while the journal vouches for them."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[FsRig]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(fs_mount(MemoryStore(), tmp_path, ttl_s=1000))


async def errno_of(attempt: Awaitable[object]) -> str:
    """The errno that a call fails with; empty when it succeeds."""
    try:
        await attempt
    except SsecfsError as error:
        return errno_name(error)
    return ""


async def refused(attempt: Awaitable[object]) -> None:
    assert await errno_of(attempt) == "ESTALE"


async def write(rig: FsRig, fh: int) -> None:
    await rig.fs.files.write(fh, 3, b"MORE")


async def ftruncate(rig: FsRig, fh: int) -> None:
    await rig.fs.attributes.change(rig.fs.files.inode_of(fh), AttrChange(size=2, is_by_handle=True))


async def open_and_empty(rig: FsRig, _fh: int) -> None:
    await rig.close(await rig.open("file", os.O_WRONLY | os.O_TRUNC))


@pytest.mark.parametrize("change", [write, ftruncate, open_and_empty])
async def test_change_that_waited_for_a_save_which_lost_a_race_is_refused(
    change: Callable[[FsRig, int], Awaitable[None]], rig: FsRig
) -> None:
    await rig.write("file", 0, b"base", os.O_CREAT)
    saver, waiter = [await rig.open("file", os.O_WRONLY) for _ in range(2)]
    await rig.fs.files.write(saver, 0, b"ours")
    await rig.store.put(ObjectKey("file"), THEIRS, {}, Always())
    gate = rig.store.gates["put"] = trio.Event()
    errnos: dict[str, str] = {}

    async def run(what: str, attempt: Awaitable[object]) -> None:
        errnos[what] = await errno_of(attempt)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "fsync", rig.fs.files.fsync(saver))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(run, "change", change(rig, waiter))
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert errnos == {"fsync": "ESTALE", "change": "ESTALE"}
    for fh in (saver, waiter):
        await errno_of(rig.close(fh))
    await rig.flush()
    assert rig.store.objects[ObjectKey("file")].body == THEIRS


async def test_write_that_waited_for_a_change_of_attributes_which_lost_a_race_is_refused(rig: FsRig) -> None:
    await rig.write("file", 0, b"base", os.O_CREAT)
    fh = await rig.open("file", os.O_WRONLY)
    await rig.chmod("file", 0o600)
    await rig.store.put(ObjectKey("file"), THEIRS, {}, Always())
    gate = rig.store.gates["head"] = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(errno_of, rig.flush())
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(refused, rig.fs.files.write(fh, 0, b"ours"))
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    await errno_of(rig.close(fh))
    await rig.flush()
    assert {name: stored.body for name, stored in rig.store.objects.items()} == {"file": THEIRS}


async def test_reader_is_not_given_another_version_when_somebody_else_looks_at_the_file(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.put(ObjectKey("file"), b"first half, second half", {}, Always())
    async with fs_mount(store, tmp_path, ttl_s=0) as rig:
        reader = await rig.open("file", os.O_RDONLY)
        assert await rig.fs.files.read(reader, 0, 10) == b"first half"
        await store.put(ObjectKey("file"), b"FIRST HALF, SECOND HALF", {}, Always())
        assert (await rig.stat("file"))[1] == 23
        assert await rig.read("file") == b"FIRST HALF, SECOND HALF"
        assert await errno_of(rig.fs.files.read(reader, 12, 11)) == "ESTALE"
        await rig.close(reader)


async def test_open_that_cannot_empty_a_file_leaves_no_handle(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The journal vouches for the content, the server is away: it can neither be saved nor change."""
    async with fs_mount(MemoryStore(), tmp_path, write_back=WriteBack(Durability.JOURNAL, GIB)) as rig:
        rig.store.fail_next("create_upload", *[StoreUnreachableError("gone")] * 2)
        rig.store.fail_next("put", *[StoreUnreachableError("gone")] * 2)
        await rig.write("file", 0, LARGE, os.O_CREAT)
        inode = await rig.walk("file")
        pins = inode.pins
        assert await errno_of(rig.open("file", os.O_WRONLY | os.O_TRUNC)) == "ETIMEDOUT"
        assert (inode.pins, rig.fs.files.unsaved_inodes()) == (pins, [])
        await rig.flush()
        assert rig.store.objects[ObjectKey("file")].body == LARGE
