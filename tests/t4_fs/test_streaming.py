"""Large files that go to the server in parts while they are written."""

import itertools
import os
import random
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import ObjectChangedError, StoreBusyError
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.partplan import stream_part, stream_part_number
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import GIB, MIB

SIZE = 45 * MIB + 7
PART = 8 * MIB
CONTENT = random.Random(5).randbytes(SIZE)


@pytest.fixture
def store(autojump_clock: trio.testing.MockClock) -> MemoryStore:
    return MemoryStore()


async def write_on(rig: FsRig, fh: int, start: int, stop: int) -> None:
    """Write a range of the content as programs do, and let what is under way go on."""
    for offset in range(start, stop, MIB):
        await rig.fs.files.write(fh, offset, CONTENT[offset : min(offset + MIB, stop)])
    await trio.testing.wait_all_tasks_blocked()


async def create(rig: FsRig, size: int = SIZE) -> int:
    fh = await rig.open("file", os.O_CREAT | os.O_WRONLY)
    await write_on(rig, fh, 0, size)
    return fh


def test_parts_of_unknown_size_follow_each_other_and_hold_the_largest_object() -> None:
    ranges = [stream_part(number) for number in range(1, 10_001)]
    assert ranges[0].start == 0
    assert all(before.stop == after.start for before, after in itertools.pairwise(ranges))
    assert {len(part) for part in ranges[:1000]} == {PART}
    assert ranges[-1].stop > 5 << 40
    for number, part in enumerate(ranges, start=1):
        assert stream_part_number(part.start) == stream_part_number(part.stop - 1) == number


async def test_only_the_tail_is_left_at_close(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        assert (store.operations["put_part"], store.operations["complete_upload"]) == (5, 0)
        await rig.close(fh)
        assert (store.operations["put_part"], store.operations["complete_upload"]) == (6, 1)
        assert store.objects[ObjectKey("file")].body == CONTENT
        assert await rig.read("file") == CONTENT
        assert rig.saver.waiting == 0
    assert (store.operations["copy"], store.operations["get"], store.uploads) == (0, 0, {})


async def test_file_of_less_than_32_mib_is_uploaded_at_close_with_its_digest(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig, 31 * MIB)
        assert store.operations["create_upload"] == 0
        await rig.close(fh)
    assert "ssecfs-sha256" in store.objects[ObjectKey("file")].metadata


async def test_part_that_is_written_again_is_sent_again(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        await rig.fs.files.write(fh, 3, b"patched")
        await rig.fs.files.write(fh, 2 * PART - 1, b"xy")
        await rig.close(fh)
        expected = bytearray(CONTENT)
        expected[3:10] = b"patched"
        expected[2 * PART - 1 : 2 * PART + 1] = b"xy"
        assert store.objects[ObjectKey("file")].body == expected
        assert await rig.read("file") == expected
    assert store.operations["put_part"] == 6 + 3


async def test_part_that_is_written_while_it_is_on_its_way_is_sent_once_more(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        gate = store.gates["put_part"] = trio.Event()
        fh = await create(rig)
        await rig.fs.files.write(fh, 5, b"patched")
        gate.set()
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].body == CONTENT[:5] + b"patched" + CONTENT[12:]
    assert store.operations["put_part"] == 6 + 1


async def test_truncated_file_is_uploaded_as_it_is_then(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        await rig.truncate("file", 20 * MIB)
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].body == CONTENT[: 20 * MIB]
    assert store.uploads == {}


@pytest.mark.parametrize("end", ["unlinked", "replaced"])
async def test_file_that_nobody_wants_leaves_nothing_on_the_server(end: str, store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        if end == "unlinked":
            await rig.unlink("file")
        else:
            await rig.write("other", 0, b"other", os.O_CREAT)
            await rig.rename("other", "file")
        await rig.close(fh)
        await trio.testing.wait_all_tasks_blocked()
        assert (store.uploads, store.operations["complete_upload"]) == ({}, 0)


async def test_renamed_file_is_uploaded_under_its_new_name(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        await rig.rename("file", "renamed")
        await rig.close(fh)
        await trio.testing.wait_all_tasks_blocked()
        assert {key: stored.body for key, stored in store.objects.items()} == {"renamed": CONTENT}
        assert store.uploads == {}


async def test_attributes_that_are_set_while_it_is_written_are_there_after_close(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        await rig.chmod("file", 0o640)
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].metadata["mode"] == str(0o100640)
        assert (await rig.stat("file"))[0] & 0o777 == 0o640
    assert store.operations["copy"] == 1


async def test_times_are_those_of_the_object_after_close(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        await rig.close(await create(rig))
        inode = await rig.walk("file")
        shown = (inode.attrs.mtime_ns, inode.attrs.size, inode.saved)
    async with fs_mount(store, tmp_path / "another") as rig:
        inode = await rig.walk("file")
        assert (inode.attrs.mtime_ns, inode.attrs.size, inode.saved) == shown


async def test_times_do_not_change_any_more_after_a_close_that_did_not_wait(store: MemoryStore, tmp_path: Path) -> None:
    """Else tar, for one, complains of a file that changes while it is read."""
    async with fs_mount(store, tmp_path, write_back=WriteBack(Durability.JOURNAL, GIB)) as rig:
        fh = await create(rig)
        written = (await rig.walk("file")).attrs.mtime_ns
        await rig.close(fh)
        closed = (await rig.walk("file")).attrs
        await rig.flush()
        stored = (await rig.walk("file")).attrs
        assert (stored.mtime_ns, stored.ctime_ns) == (closed.mtime_ns, closed.ctime_ns)
        assert closed.mtime_ns < written
    assert (store.operations["complete_upload"], store.operations["copy"]) == (1, 0)


async def test_part_that_fails_is_sent_at_close(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        store.fail_next("put_part", StoreBusyError("busy"))
        fh = await create(rig)
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].body == CONTENT
        await trio.testing.wait_all_tasks_blocked()
        assert store.uploads == {}


async def test_upload_that_cannot_begin_is_made_at_close(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        store.fail_next("create_upload", StoreBusyError("busy"))
        await rig.close(await create(rig))
        assert store.objects[ObjectKey("file")].body == CONTENT


async def test_another_client_that_stores_the_name_meanwhile_wins(store: MemoryStore, tmp_path: Path) -> None:
    async with fs_mount(store, tmp_path) as rig:
        fh = await create(rig)
        await store.put(ObjectKey("file"), b"theirs", {}, Always())
        with pytest.raises(ObjectChangedError):
            await rig.close(fh)
        bodies = {stored.body for stored in store.objects.values()}
        assert bodies == {b"theirs", CONTENT}
        assert store.uploads == {}


async def test_rewritten_file_is_streamed_over_its_old_version(store: MemoryStore, tmp_path: Path) -> None:
    await store.put(ObjectKey("file"), b"old", {}, Always())
    async with fs_mount(store, tmp_path) as rig:
        fh = await rig.open("file", os.O_TRUNC | os.O_WRONLY)
        await write_on(rig, fh, 0, SIZE)
        assert store.operations["put_part"] == 5
        await rig.fs.files.fsync(fh)
        assert store.objects[ObjectKey("file")].body == CONTENT
        await rig.fs.files.write(fh, 0, b"and on")
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].body == b"and on" + CONTENT[6:]


async def test_server_that_cannot_copy_is_spared_the_streaming(store: MemoryStore, tmp_path: Path) -> None:
    store.can_copy = False
    async with fs_mount(store, tmp_path) as rig:
        await rig.write("small", 0, b"x", os.O_CREAT)
        await rig.rename("small", "renamed")
        fh = await create(rig)
        assert store.operations["create_upload"] == 0
        await rig.close(fh)
        assert store.objects[ObjectKey("file")].body == CONTENT
