"""Two clients, one object: nobody's bytes are overwritten silently, whoever wrote them is told, and nothing stays unsaved."""

import os
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from support.fsrig import CONFLICT_SUFFIX, FsRig, errno_name, fs_mount
from support.memory_store import MemoryStore

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.errors import SsecfsError, StoreUnreachableError
from ssecfs.fs.attributes import AttrChange
from ssecfs.fs.conflicts import Copy, Origin, conflict_name
from ssecfs.fs.files import Access, Content, Owner
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.sizes import MIB

NOISE = random.Random(1).randbytes(20 * MIB)


@dataclass
class Clients:
    """Two mounts of one bucket that trust nothing for any time."""

    store: MemoryStore
    ours: FsRig
    theirs: FsRig


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        ours, theirs = [
            await stack.enter_async_context(fs_mount(store, tmp_path / name, ttl_s=0)) for name in ("ours", "theirs")
        ]
        yield Clients(store, ours, theirs)
        for rig in (ours, theirs):
            await rig.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert (ours.saver.waiting, theirs.saver.waiting) == (0, 0)


async def write_all(rig: FsRig, path: str, content: bytes) -> None:
    await rig.write(path, 0, content, os.O_CREAT | os.O_TRUNC)


def conflicts_in(store: MemoryStore) -> dict[str, bytes]:
    return {name: stored.body for name, stored in store.objects.items() if ".conflict-" in name}


async def stale(rig: FsRig, fh: int) -> None:
    """Close a file over which another client's version counts."""
    await refused(rig.close(fh))


async def refused(attempt: Awaitable[object]) -> None:
    with pytest.raises(SsecfsError) as caught:
        await attempt
    assert errno_name(caught.value) == "ESTALE"


async def test_what_one_client_closes_the_other_sees_at_its_next_open(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"first")
    assert await clients.theirs.read("file") == b"first"
    await write_all(clients.theirs, "file", b"second, longer")
    assert await clients.ours.read("file") == b"second, longer"
    assert (await clients.ours.stat("file"))[1] == 14


async def test_what_one_client_closes_the_other_sees_when_its_time_is_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    store = MemoryStore()
    async with fs_mount(store, tmp_path / "ours", ttl_s=5) as ours, fs_mount(store, tmp_path / "theirs", ttl_s=5) as theirs:
        await write_all(ours, "file", b"first")
        assert await theirs.read("file") == b"first"
        await write_all(ours, "file", b"second")
        assert await theirs.read("file") == b"first"
        await trio.sleep(5)
        assert await theirs.read("file") == b"second"


async def test_change_of_a_file_that_changed_elsewhere_is_kept_beside_theirs(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    await write_all(clients.ours, "folder-less", b"base")
    fh = await clients.ours.open("folder-less", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 0, b"ours")
    await write_all(clients.theirs, "folder-less", b"theirs")
    await stale(clients.ours, fh)
    assert conflicts_in(clients.store) == {f"folder-less{CONFLICT_SUFFIX}": b"ours"}
    for rig in (clients.ours, clients.theirs):
        assert await rig.read("folder-less") == b"theirs"
        assert await rig.read(f"folder-less{CONFLICT_SUFFIX}") == b"ours"
        assert await rig.listdir("") == ["folder-less", f"folder-less{CONFLICT_SUFFIX}"]
    assert CONFLICT_SUFFIX in caplog.text
    assert "folder-less" not in caplog.text


async def test_handles_from_before_a_conflict_are_stale_and_new_ones_are_not(clients: Clients) -> None:
    """What goes on writing at its old offsets must not tear theirs apart."""
    await write_all(clients.ours, "file", b"base")
    writer, reader = await clients.ours.open("file", os.O_RDWR), await clients.ours.open("file", os.O_RDONLY)
    await clients.ours.fs.files.write(writer, 0, b"ours")
    await write_all(clients.theirs, "file", b"theirs")
    await refused(clients.ours.fs.files.fsync(writer))
    await refused(clients.ours.fs.files.write(writer, 0, b"more"))
    await refused(clients.ours.fs.files.read(reader, 0, 10))
    assert await clients.ours.read("file") == b"theirs"
    await stale(clients.ours, writer)
    await clients.ours.close(reader)
    await write_all(clients.ours, "file", b"ours again")
    assert await clients.theirs.read("file") == b"ours again"
    assert len(conflicts_in(clients.store)) == 1


async def test_change_of_a_file_that_was_deleted_elsewhere_is_kept_and_the_name_stays_free(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 4, b" and more")
    await clients.theirs.unlink("file")
    await stale(clients.ours, fh)
    assert await clients.ours.listdir("") == [f"file{CONFLICT_SUFFIX}"]
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": b"base and more"}
    await write_all(clients.ours, "file", b"anew")
    assert await clients.theirs.read("file") == b"anew"


async def test_new_file_whose_name_was_taken_meanwhile_is_kept_beside_theirs(clients: Clients) -> None:
    fh = await clients.ours.open("file", os.O_CREAT | os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 0, b"ours")
    await write_all(clients.theirs, "file", b"theirs")
    await stale(clients.ours, fh)
    assert await clients.ours.read("file") == b"theirs"
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": b"ours"}


async def test_link_whose_name_was_taken_meanwhile_is_not_made(tmp_path: Path) -> None:
    store = MemoryStore()
    async with fs_mount(store, tmp_path / "ours", ttl_s=1000) as ours:
        assert await ours.listdir("") == []
        await store.put(ObjectKey("name"), b"theirs", {}, Always())
        with pytest.raises(SsecfsError) as caught:
            await ours.fs.entries.symlink(ours.fs.inodes.root, b"name", b"target", Owner(1, 2, 0o120777))
        assert errno_name(caught.value) == "EEXIST"
        assert await ours.read("name") == b"theirs"
    assert list(store.objects) == ["name"]


async def test_second_conflict_of_a_moment_gets_a_name_of_its_own(clients: Clients) -> None:
    for number in (b"1", b"2", b"3"):
        await write_all(clients.ours, "file", b"base")
        fh = await clients.ours.open("file", os.O_WRONLY)
        await clients.ours.fs.files.write(fh, 0, b"our" + number)
        await write_all(clients.theirs, "file", b"theirs" + number)
        await stale(clients.ours, fh)
    names = [f"file{CONFLICT_SUFFIX}", f"file{CONFLICT_SUFFIX}-2", f"file{CONFLICT_SUFFIX}-3"]
    assert conflicts_in(clients.store) == dict(zip(names, [b"our1", b"our2", b"our3"], strict=True))


async def test_conflict_copy_keeps_mode_and_times(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    await clients.ours.chmod("file", 0o600)
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 0, b"ours")
    inode = await clients.ours.walk("file")
    await clients.ours.fs.attributes.change(inode, AttrChange(mtime_ns=123_456_789))
    await write_all(clients.theirs, "file", b"theirs")
    await stale(clients.ours, fh)
    kept = clients.store.objects[ObjectKey(f"file{CONFLICT_SUFFIX}")].metadata
    assert (int(kept["mode"]) & 0o777, kept["mtime"]) == (0o600, "0.123456789")


async def test_part_of_a_large_file_changed_over_a_base_that_is_gone_is_whole_if_it_was_cached(clients: Clients) -> None:
    await write_all(clients.ours, "file", NOISE)
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 5 * MIB, b"ours")
    await write_all(clients.theirs, "file", b"theirs")
    await stale(clients.ours, fh)
    wanted = NOISE[: 5 * MIB] + b"ours" + NOISE[5 * MIB + 4 :]
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": wanted}


async def test_part_of_a_file_changed_over_a_base_that_is_nowhere_is_kept_under_a_name_that_says_so(clients: Clients) -> None:
    body = NOISE[: 12 * BLOCK_SIZE]
    await clients.store.put(ObjectKey("file"), body, {}, Always())
    fh = await clients.ours.open("file", os.O_RDWR)
    await clients.ours.fs.files.read(fh, 8 * BLOCK_SIZE, 10)
    await clients.ours.fs.files.write(fh, 3 * BLOCK_SIZE + 5, b"ours")
    await write_all(clients.theirs, "file", b"theirs")
    await stale(clients.ours, fh)
    ours = bytearray(len(body))
    ours[3 * BLOCK_SIZE + 5 : 3 * BLOCK_SIZE + 9] = b"ours"
    ours[8 * BLOCK_SIZE : 9 * BLOCK_SIZE] = body[8 * BLOCK_SIZE : 9 * BLOCK_SIZE]
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}-incomplete": ours}


async def test_attributes_of_a_file_that_changed_elsewhere_are_theirs(
    clients: Clients, autojump_clock: trio.testing.MockClock
) -> None:
    await write_all(clients.ours, "file", b"base")
    await clients.ours.chmod("file", 0o600)
    await write_all(clients.theirs, "file", b"theirs")
    await refused(clients.ours.flush())
    await trio.testing.wait_all_tasks_blocked()
    assert await clients.ours.read("file") == b"theirs"
    assert (await clients.ours.stat("file"))[0] & 0o777 == 0o644
    assert conflicts_in(clients.store) == {}


async def test_file_that_went_away_is_not_opened_again_by_who_still_believes_in_it(clients: Clients) -> None:
    """The kernel may: what it wrote there would be nowhere. Told that the inode is stale, it looks the name up again."""
    await write_all(clients.ours, "file", b"base")
    inode = await clients.ours.walk("file")
    clients.ours.fs.inodes.note_lookup(inode)
    fh = await clients.ours.open("file", os.O_RDWR)
    await clients.theirs.unlink("file")
    assert await clients.ours.listdir("") == []
    await refused(clients.ours.fs.nodes.getattr(inode))
    await refused(clients.ours.fs.files.open(inode, Content.KEEP, Access.READ))
    await clients.ours.fs.files.write(fh, 0, b"ours")
    await stale(clients.ours, fh)
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": b"ours"}
    clients.ours.fs.inodes.forget(inode.ino, 1)


async def test_file_unlinked_here_can_still_be_opened_through_proc(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    inode = await clients.ours.walk("file")
    fh = await clients.ours.open("file", os.O_RDWR)
    await clients.ours.unlink("file")
    again, _ = await clients.ours.fs.files.open(inode, Content.KEEP, Access.READ)
    assert await clients.ours.fs.files.read(again, 0, 10) == b"base"
    await clients.ours.close(fh)
    await clients.ours.close(again)
    assert clients.store.objects == {}


async def test_attributes_of_a_file_that_was_deleted_elsewhere_are_dropped(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    await clients.ours.chmod("file", 0o600)
    await clients.theirs.unlink("file")
    await refused(clients.ours.flush())
    assert (await clients.ours.listdir(""), clients.store.objects) == ([], {})


async def test_conflict_found_in_the_background_is_told_by_the_next_close(
    clients: Clients, autojump_clock: trio.testing.MockClock
) -> None:
    await write_all(clients.ours, "file", b"base")
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.truncate("file", 2)
    await write_all(clients.theirs, "file", b"theirs")
    await trio.sleep(60)
    assert clients.ours.saver.waiting == 0
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": b"ba"}
    await stale(clients.ours, fh)


async def test_file_read_while_it_changes_is_never_a_mix_and_the_next_open_sees_theirs(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with fs_mount(store, tmp_path / "ours", ttl_s=1000) as ours:
        await store.put(ObjectKey("file"), NOISE[: 12 * BLOCK_SIZE], {}, Always())
        fh = await ours.open("file", os.O_RDONLY)
        assert await ours.fs.files.read(fh, 8 * BLOCK_SIZE, 1) == NOISE[8 * BLOCK_SIZE :][:1]
        await store.put(ObjectKey("file"), b"theirs", {}, Always())
        await refused(ours.fs.files.read(fh, 3 * BLOCK_SIZE, 10))
        await ours.close(fh)
        assert await ours.read("file") == b"theirs"


async def test_content_that_could_not_be_saved_is_tried_again_whoever_reads_it(
    clients: Clients, autojump_clock: trio.testing.MockClock
) -> None:
    writer = await clients.ours.open("file", os.O_CREAT | os.O_WRONLY)
    await clients.ours.fs.files.write(writer, 0, b"content")
    reader = await clients.ours.open("file", os.O_RDONLY)
    clients.store.fail_next("put", *[StoreUnreachableError("gone")] * 5)
    with pytest.raises(StoreUnreachableError):
        await clients.ours.close(writer)
    await trio.sleep(5)
    await clients.ours.close(reader)
    assert await clients.ours.read("file") == b"content"
    await trio.sleep(100)
    assert (clients.store.objects[ObjectKey("file")].body, clients.ours.saver.waiting) == (b"content", 0)


async def test_upload_whose_answer_was_lost_is_no_conflict(clients: Clients) -> None:
    """The server took it, we were told that it cannot be reached: later we find our own object there."""
    await write_all(clients.ours, "file", b"base")
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 0, b"ours")
    clients.store.lose_answer("put")
    with pytest.raises(StoreUnreachableError):
        await clients.ours.fs.files.flush(fh)
    puts = clients.store.operations["put"]
    await clients.ours.fs.files.flush(fh)
    assert (clients.store.operations["put"] - puts, conflicts_in(clients.store)) == (1, {})
    await clients.ours.fs.files.write(fh, 4, b" and more")
    clients.store.lose_answer("put")
    with pytest.raises(StoreUnreachableError):
        await clients.ours.fs.files.flush(fh)
    await clients.ours.fs.files.write(fh, 13, b", changed since")
    await clients.ours.close(fh)
    assert (clients.store.objects[ObjectKey("file")].body, conflicts_in(clients.store)) == (b"ours and more, changed since", {})
    assert await clients.theirs.read("file") == b"ours and more, changed since"


async def test_patch_whose_answer_was_lost_is_no_conflict_even_if_more_changed_since(clients: Clients) -> None:
    await write_all(clients.ours, "file", NOISE)
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 10 * MIB, b"ours")
    clients.store.lose_answer("complete_upload")
    with pytest.raises(StoreUnreachableError):
        await clients.ours.fs.files.flush(fh)
    await clients.ours.fs.files.write(fh, 15 * MIB, b"more")
    await clients.ours.close(fh)
    wanted = bytearray(NOISE)
    wanted[10 * MIB : 10 * MIB + 4], wanted[15 * MIB : 15 * MIB + 4] = b"ours", b"more"
    assert (clients.store.objects[ObjectKey("file")].body, conflicts_in(clients.store)) == (bytes(wanted), {})
    assert await clients.ours.read("file") == wanted


async def test_copy_whose_answer_was_lost_is_no_conflict(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    await clients.ours.chmod("file", 0o600)
    clients.store.lose_answer("copy")
    with pytest.raises(StoreUnreachableError):
        await clients.ours.flush()
    await clients.ours.chmod("file", 0o640)
    await clients.ours.flush()
    assert (await clients.theirs.stat("file"))[0] & 0o777 == 0o640


async def test_conflict_that_cannot_be_settled_leaves_everything_as_it_was(clients: Clients) -> None:
    await write_all(clients.ours, "file", b"base")
    fh = await clients.ours.open("file", os.O_WRONLY)
    await clients.ours.fs.files.write(fh, 0, b"ours")
    await write_all(clients.theirs, "file", b"theirs")
    for operation, first in (("head", []), ("put", [None])):
        clients.store.fail_next(operation, *first, StoreUnreachableError("gone"))
        with pytest.raises(StoreUnreachableError):
            await clients.ours.fs.files.flush(fh)
        assert await clients.ours.fs.files.read(fh, 0, 10) == b"ours"
    await stale(clients.ours, fh)
    assert conflicts_in(clients.store) == {f"file{CONFLICT_SUFFIX}": b"ours"}


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), st.integers(60, 255))
def test_name_of_a_conflict_copy_is_a_name_whatever_the_file_is_called(text: str, limit: int) -> None:
    name = text.encode()[:255].decode("utf-8", "ignore").encode() or b"x"
    suffix = Origin("host with/odd name", lambda: 1_700_000_000_000_000_000).suffix(Copy.CONFLICT)
    assert suffix == ".conflict-host-with-odd-name-20231114T221320Z"
    made = conflict_name(name, suffix, limit)
    assert len(made) <= limit
    made.decode()
    assert made.endswith(suffix.encode())
    assert name.startswith(made.removesuffix(suffix.encode()))


async def test_conflict_copy_of_a_file_under_a_very_long_path_moves_up(clients: Clients) -> None:
    path = ""
    for _ in range(5):
        path += "d" * 198 + "/"
        await clients.ours.mkdir(path[:-1])
    path += "f" * 20
    fh = await clients.ours.open(path, os.O_CREAT | os.O_WRONLY)
    await write_all(clients.theirs, path, b"theirs")
    await stale(clients.ours, fh)
    (found,) = conflicts_in(clients.store)
    assert found == "/".join(["d" * 198] * 4) + "/" + "f" * 20 + CONFLICT_SUFFIX
