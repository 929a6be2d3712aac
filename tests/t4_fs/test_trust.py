"""How long names and attributes are believed: what another client changes is seen after the TTL, however it got known here."""

import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from support.fsrig import SEAL_KEY, FsRig, fs_mount
from support.memory_store import MemoryStore
from trio.testing import MockClock

from ssecfs.errors import NoEntryError
from ssecfs.s3.types import Always, ObjectKey
from ssecfs.tree.attrs import Attrs, format_metadata
from ssecfs.tree.names import Name

TTL_S = 5.0
FILE = Attrs(stat.S_IFREG | 0o644, 1, 2, 0, 1, 1, 1)
DIRECTORY = Attrs(stat.S_IFDIR | 0o755, 1, 2, 0, 1, 1, 1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def rig(store: MemoryStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path / "cache", TTL_S) as rig:
        yield rig


async def put(store: MemoryStore, object_key: str, attrs: Attrs, body: bytes = b"") -> None:
    """As another client does."""
    await store.put(ObjectKey(object_key), body, format_metadata(attrs, ObjectKey(object_key), SEAL_KEY), Always())


async def mode(rig: FsRig, path: str) -> int:
    return stat.S_IMODE((await rig.stat(path))[0])


async def test_kernel_may_believe_no_longer_than_the_listing_is_trusted(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await put(store, "a", FILE)
    await put(store, "b", FILE)
    nodes, root = rig.fs.nodes, rig.fs.inodes.root
    assert nodes.valid_for_s(await nodes.lookup(root, Name(b"a"))) == TTL_S
    await trio.sleep(3)
    await rig.listdir("")
    known = [await nodes.lookup(root, Name(name)) for name in (b"a", b"b")]
    assert await nodes.find(root, Name(b"none")) is None
    # a came with the listing of three seconds ago, b has been asked for just now.
    assert [nodes.valid_for_s(inode) for inode in known] == [TTL_S - 3, TTL_S]
    assert nodes.missing_for_s(root) == TTL_S - 3


async def test_file_changed_elsewhere_is_seen_after_the_ttl_although_it_was_looked_at_late(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await put(store, "file", FILE, b"old")
    await rig.stat("file")
    await put(store, "file", replace(FILE, mode=stat.S_IFREG | 0o600), b"newer")
    await trio.sleep(TTL_S - 1)
    assert (await rig.stat("file"))[1] == 3
    await trio.sleep(1)
    assert (await mode(rig, "file"), await rig.read("file")) == (0o600, b"newer")


async def test_directory_changed_elsewhere_is_seen_after_the_ttl_by_its_own_listing(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await put(store, "d/", DIRECTORY)
    assert await mode(rig, "d") == 0o755
    await put(store, "d/", replace(DIRECTORY, mode=stat.S_IFDIR | 0o700))
    await trio.sleep(TTL_S)
    store.operations.clear()
    assert (await mode(rig, "d"), store.operations) == (0o700, {"list_page": 1, "head": 1})
    await trio.sleep(TTL_S)
    store.operations.clear()
    assert (await mode(rig, "d"), store.operations) == (0o700, {"list_page": 1})


async def test_directory_that_lost_or_got_its_marker_elsewhere_is_seen_after_the_ttl(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await put(store, "d/", replace(DIRECTORY, mode=stat.S_IFDIR | 0o700))
    await put(store, "d/a", FILE)
    assert await mode(rig, "d") == 0o700
    await store.delete(ObjectKey("d/"))
    await trio.sleep(TTL_S)
    assert await mode(rig, "d") == 0o755
    await put(store, "d/", replace(DIRECTORY, mode=stat.S_IFDIR | 0o750))
    await trio.sleep(TTL_S)
    assert await mode(rig, "d") == 0o750


@pytest.mark.parametrize("what", ["file", "d/"])
async def test_what_is_removed_elsewhere_is_gone_after_the_ttl(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock, what: str
) -> None:
    await put(store, what, DIRECTORY if what.endswith("/") else FILE)
    await rig.stat(what.rstrip("/"))
    await store.delete(ObjectKey(what))
    await trio.sleep(TTL_S)
    with pytest.raises(NoEntryError):
        await rig.stat(what.rstrip("/"))


async def test_file_in_place_of_a_directory_and_the_other_way_round_are_seen_after_the_ttl(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await put(store, "d/", DIRECTORY)
    await put(store, "f", FILE)
    assert [stat.S_ISDIR((await rig.stat(name))[0]) for name in ("d", "f")] == [True, False]
    for object_key in ("d/", "f"):
        await store.delete(ObjectKey(object_key))
    await put(store, "d", FILE)
    await put(store, "f/", DIRECTORY)
    await trio.sleep(TTL_S)
    assert [stat.S_ISDIR((await rig.stat(name))[0]) for name in ("d", "f")] == [False, True]


async def test_name_that_appears_elsewhere_is_seen_after_the_ttl(
    rig: FsRig, store: MemoryStore, autojump_clock: MockClock
) -> None:
    await rig.listdir("")
    await put(store, "file", FILE, b"x")
    with pytest.raises(NoEntryError):
        await rig.stat("file")
    await trio.sleep(TTL_S)
    assert (await rig.stat("file"))[1] == 1


async def test_attributes_known_from_an_earlier_mount_are_shown_only_for_the_listed_version(
    store: MemoryStore, tmp_path: Path
) -> None:
    await put(store, "file", FILE)
    await put(store, "d/", DIRECTORY)
    async with fs_mount(store, tmp_path / "cache", TTL_S) as rig:
        assert (await mode(rig, "file"), await mode(rig, "d")) == (0o644, 0o755)
    store.operations.clear()
    async with fs_mount(store, tmp_path / "cache", TTL_S) as rig:
        assert (await mode(rig, "file"), await mode(rig, "d")) == (0o644, 0o755)
    assert store.operations == {"list_page": 2}
    await put(store, "file", replace(FILE, mode=stat.S_IFREG | 0o600))
    await put(store, "d/", replace(DIRECTORY, mode=stat.S_IFDIR | 0o700))
    async with fs_mount(store, tmp_path / "cache", TTL_S) as rig:
        assert (await mode(rig, "file"), await mode(rig, "d")) == (0o600, 0o700)
