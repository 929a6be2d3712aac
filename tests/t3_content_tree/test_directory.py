"""Which names are in a directory, with as few listings as can be: kept for a while, continued, and changed by what we do."""

import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing
from support.cacherig import cache_rig
from support.memory_store import MemoryStore
from trio.testing import MockClock

from ssecfs.errors import StoreBusyError, StoreUnreachableError
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.types import Always, ETag, ListPage, ObjectKey, ObjectVersion
from ssecfs.ssec import CustomerKey
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Defaults
from ssecfs.tree.attrshelf import AttrShelf
from ssecfs.tree.directory import ENTRIES_PER_LISTING, MAX_KEPT_ENTRIES, Directories
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.listing import QUESTIONS_FOR_A_PAGE, Entry, EntryKind
from ssecfs.tree.names import Name, Namespace

TTL_S = 5.0
DEFAULTS = Defaults(1, 2)


@dataclass
class Tree:
    store: MemoryStore
    directories: Directories
    inodes: InodeTable

    async def put(self, *object_keys: str) -> None:
        for object_key in object_keys:
            await self.store.put(ObjectKey(object_key), b"" if object_key.endswith("/") else b"x", {}, Always())
        self.store.operations.clear()

    def directory(self, name: str) -> Inode:
        return self.inodes.add(self.inodes.root, Name(name.encode()), DEFAULTS.for_directory(0), None)

    async def has(self, directory: Inode, name: str, likely: EntryKind | None = None) -> bool:
        return (await self.directories.find(directory, Name(name.encode()), likely)).entry is not None

    async def names(self, directory: Inode) -> list[str]:
        walk, found = self.directories.walk(directory), list[Name]()
        while (page := await walk.next_page()) is not None:
            found += page.names
        return [name.decode() for name in [*found, *walk.listing.added] if walk.listing.get(name) is not None]

    def lists(self) -> int:
        return self.store.operations.pop("list_page", 0)


@asynccontextmanager
async def tree_over(store: MemoryStore, folder: Path, customer_key: CustomerKey) -> AsyncIterator[Tree]:
    async with cache_rig(folder, Keyring((customer_key,)), store) as rig, trio.open_nursery() as nursery:
        book = AttrBook(
            store=store, shelf=AttrShelf(rig.index), defaults=DEFAULTS, seal_key=bytes(32), mounted_s=0, nursery=nursery
        )
        directories = Directories(store=store, book=book, namespace=Namespace(""), ttl_s=TTL_S, nursery=nursery)
        yield Tree(store, directories, InodeTable(DEFAULTS.for_directory(0), b"ino"))
        nursery.cancel_scope.cancel()


@pytest.fixture
async def tree(tmp_path: Path, customer_key: CustomerKey) -> AsyncIterator[Tree]:
    async with tree_over(MemoryStore(), tmp_path / "cache", customer_key) as tree:
        yield tree


async def test_one_listing_answers_for_every_name_until_its_time_is_up(tree: Tree, autojump_clock: MockClock) -> None:
    await tree.put("a", "b/c")
    root = tree.inodes.root
    assert [await tree.has(root, name) for name in ("a", "b", "c", "d")] == [True, True, False, False]
    assert (await tree.names(root), tree.lists()) == (["a", "b"], 1)
    await trio.sleep(TTL_S)
    await tree.put("d")
    assert (await tree.has(root, "d"), tree.lists()) == (True, 1)


async def test_listing_that_says_whether_a_directory_is_there_says_what_is_in_it(tree: Tree) -> None:
    await tree.put("d/", "d/a", "e/a")
    d, e, f = tree.directory("d"), tree.directory("e"), tree.directory("f")
    looks = [await tree.directories.look(directory.path) for directory in (d, e, f)]
    assert [(look.is_there, look.marker is not None) for look in looks] == [(True, True), (True, False), (False, False)]
    assert tree.lists() == 3
    assert [await tree.has(directory, "a") for directory in (d, e, f)] == [True, True, False]
    assert tree.lists() == 0


async def test_large_directory_is_listed_page_by_page_each_once(tree: Tree) -> None:
    names = [f"{number:04}" for number in range(2500)]
    await tree.put(*(f"d/{name}" for name in names))
    d = tree.directory("d")
    assert [await tree.has(d, name) for name in ("0000", "0998", "0998x")] == [True, True, False]
    assert tree.lists() == 1
    assert (await tree.names(d), tree.lists()) == (names, 2)
    assert (await tree.has(d, "2499"), await tree.has(d, "none"), tree.lists()) == (True, False, 0)


async def test_single_names_of_a_large_directory_are_asked_for_one_by_one(tree: Tree, autojump_clock: MockClock) -> None:
    await tree.put(*(f"d/{number:04}" for number in range(1500)))
    d = tree.directory("d")
    await tree.names(d)
    await trio.sleep(TTL_S)
    tree.store.operations.clear()
    assert (await tree.has(d, "1400", EntryKind.OBJECT), tree.store.operations) == (True, {"head": 1})
    tree.store.operations.clear()
    assert (await tree.has(d, "none"), tree.store.operations) == (False, {"head": 1, "list_page": 1})
    tree.store.operations.clear()
    assert ((await tree.directories.look(d.path)).is_there, tree.store.operations) == (True, {"list_page": 1})


async def test_many_names_of_a_large_directory_are_listed_again_instead_of_asked_for(
    tree: Tree, autojump_clock: MockClock
) -> None:
    names = [f"{number:04}" for number in range(2500)]
    await tree.put(*(f"d/{name}" for name in names))
    d = tree.directory("d")
    await tree.names(d)
    await trio.sleep(TTL_S)
    tree.store.operations.clear()
    assert all([await tree.has(d, name, EntryKind.OBJECT) for name in names])
    assert tree.store.operations == {"head": 3 * QUESTIONS_FOR_A_PAGE, "list_page": 3}


async def test_failed_page_is_told_and_asked_for_again_without_a_gap(tree: Tree) -> None:
    names = [f"{number:04}" for number in range(1500)]
    await tree.put(*names)
    walk = tree.directories.walk(tree.inodes.root)
    first = await walk.next_page()
    tree.store.fail_next("list_page", StoreBusyError("busy"))
    with pytest.raises(StoreBusyError):
        await walk.next_page()
    second = await walk.next_page()
    assert first is not None
    assert second is not None
    assert ([name.decode() for name in first.names + second.names], await walk.next_page()) == (names, None)


async def test_who_comes_while_a_page_is_fetched_waits_for_the_same_answer(tree: Tree) -> None:
    await tree.put("a")
    gate = tree.store.gates["list_page"] = trio.Event()
    found: list[bool] = []

    async def ask(name: str) -> None:
        found.append(await tree.has(tree.inodes.root, name))

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "a"):
            nursery.start_soon(ask, name)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert (sorted(found), tree.lists()) == ([False, True, True], 1)


async def test_what_we_change_while_a_page_is_fetched_is_in_the_listing(tree: Tree) -> None:
    await tree.put("a", "b")
    root = tree.inodes.root
    made = ObjectVersion(ObjectKey("c"), ETag('"c"'), 1, 1)
    gate = tree.store.gates["list_page"] = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.names, root)
        await trio.testing.wait_all_tasks_blocked()
        tree.directories.note_removed(root, Name(b"a"))
        tree.directories.note_entry(root, Entry(Name(b"c"), EntryKind.OBJECT, made))
        gate.set()
    assert (await tree.names(root), tree.lists()) == (["b", "c"], 1)


async def test_directory_that_we_made_is_known_to_be_empty_as_long_as_its_parent_is_known(
    tree: Tree, autojump_clock: MockClock
) -> None:
    root = tree.inodes.root
    assert not await tree.has(root, "d")
    await trio.sleep(TTL_S - 1)
    d = tree.directory("d")
    tree.directories.note_made(root, d, ObjectVersion(ObjectKey("d/"), ETag('"m"'), 0, 1))
    tree.lists()
    assert (await tree.has(d, "a"), await tree.names(d), tree.lists()) == (False, [], 0)
    await tree.put("d/a")
    await trio.sleep(1)
    assert (await tree.has(d, "a"), tree.lists()) == (True, 1)


async def test_marker_that_we_stored_is_that_of_the_listing(tree: Tree) -> None:
    await tree.put("d/a")
    d = tree.directory("d")
    assert (await tree.directories.look(d.path)).marker is None
    marker = ObjectVersion(ObjectKey("d/"), ETag('"m"'), 0, 1)
    tree.directories.note_marker(d, marker)
    assert ((await tree.directories.look(d.path)).marker, tree.lists()) == (marker, 1)


async def test_dropped_tree_is_asked_for_again(tree: Tree) -> None:
    await tree.put("d/e/a", "dd/a")
    d, dd = tree.directory("d"), tree.directory("dd")
    e = tree.inodes.add(d, Name(b"e"), DEFAULTS.for_directory(0), None)
    for directory in (d, e, dd):
        await tree.names(directory)
    tree.lists()
    tree.directories.drop_tree(d)
    assert [(await tree.names(directory), tree.lists()) for directory in (d, e, dd)] == [(["e"], 1), (["a"], 1), (["a"], 0)]


class EndlessStore(MemoryStore):
    """Every directory has the same number of objects."""

    count: int

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        etag = ETag(f'"{string.hexdigits[:16] * 2}"')
        versions = [ObjectVersion(ObjectKey(f"{prefix}{number:04}"), etag, 5000, 1) for number in range(self.count)]
        return ListPage(tuple(versions), (), None)


@pytest.mark.parametrize(("count", "directories"), [(999, 300), (0, MAX_KEPT_ENTRIES // ENTRIES_PER_LISTING + 500)])
async def test_entries_of_all_kept_listings_are_bounded(
    tmp_path: Path, customer_key: CustomerKey, count: int, directories: int
) -> None:
    store = EndlessStore()
    store.count = count
    async with tree_over(store, tmp_path / "cache", customer_key) as tree:
        for number in range(directories):
            await tree.directories.look(f"{number}/")
        kept = tree.directories._kept
        assert sum(len(listing) + ENTRIES_PER_LISTING for listing in kept.values()) <= MAX_KEPT_ENTRIES
        assert (len(kept) < directories, list(kept)[-1]) == (True, f"{directories - 1}/")


async def test_failed_page_fails_all_who_wait_for_it_and_is_asked_for_again_later(tree: Tree) -> None:
    """Otherwise each of them waits for a server that is gone, one after the other."""
    await tree.put("a")
    gate = tree.store.gates["list_page"] = trio.Event()
    tree.store.fail_next("list_page", StoreUnreachableError("gone"))
    failed = []

    async def look() -> None:
        try:
            await tree.has(tree.inodes.root, "a")
        except StoreUnreachableError:
            failed.append(True)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert (len(failed), tree.lists()) == (3, 1)
    assert await tree.has(tree.inodes.root, "a")
