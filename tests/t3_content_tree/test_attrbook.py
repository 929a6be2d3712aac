"""Known attributes: by version, over remounts, with no HEAD that need not be."""

import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from support.cacherig import cache_rig
from support.memory_store import MemoryStore

from ssecfs.errors import ObjectMissingError, StoreBusyError
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.types import Always, ETag, ObjectKey, ObjectVersion
from ssecfs.ssec import CustomerKey
from ssecfs.tree.attrbook import HEADS_AT_ONCE, MAX_IN_MEMORY, NEVER, AttrBook
from ssecfs.tree.attrs import Attrs, Defaults, SealState, format_metadata
from ssecfs.tree.attrshelf import AttrShelf

A = ObjectKey("a")
MARKER = ObjectKey("d/")
SEAL_KEY = bytes(range(32))
ATTRS = Attrs(stat.S_IFREG | 0o640, 5, 6, 3, 1_000_000_001, 2_000_000_002, 3_000_000_003, extra={"foreign": "kept"})

OpenBook = Callable[[], AbstractAsyncContextManager[AttrBook]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def open_book(tmp_path: Path, customer_key: CustomerKey, store: MemoryStore) -> OpenBook:
    """Open the book of this test, as a mount does; may be done again and again."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AttrBook]:
        async with cache_rig(tmp_path / "cache", Keyring((customer_key,)), store) as rig, trio.open_nursery() as nursery:
            yield AttrBook(
                store=store,
                shelf=AttrShelf(rig.index),
                defaults=Defaults(1, 2),
                seal_key=SEAL_KEY,
                mounted_s=7,
                nursery=nursery,
            )

    return opened


async def put(store: MemoryStore, object_key: ObjectKey = A, attrs: Attrs = ATTRS) -> ObjectVersion:
    body = b"" if object_key.endswith("/") else b"abc"
    return await store.put(object_key, body, format_metadata(attrs, object_key, SEAL_KEY), Always())


async def test_attributes_are_asked_for_once_and_known_after_a_remount(store: MemoryStore, open_book: OpenBook) -> None:
    version = await put(store)
    async with open_book() as book:
        assert book.known(version) is None
        known = await book.load(A)
        assert (known.version, known.attrs) == (version, replace(ATTRS, seal=SealState.GOOD))
    async with open_book() as book:
        assert book.known(version) == known.attrs
    assert store.operations == {"put": 1, "head": 1}


async def test_attributes_that_we_stored_are_known_after_a_remount(store: MemoryStore, open_book: OpenBook) -> None:
    version = await put(store)
    async with open_book() as book:
        book.note(version, ATTRS)
    async with open_book() as book:
        assert book.known(version) == replace(ATTRS, seal=SealState.GOOD)
    assert store.operations["head"] == 0


@pytest.mark.parametrize("change", [{"etag": ETag('"other"')}, {"size": 4}, {"modified_s": 1}], ids=["etag", "size", "time"])
async def test_attributes_of_another_version_are_unknown(
    store: MemoryStore, open_book: OpenBook, change: dict[str, ETag | int]
) -> None:
    version = await put(store)
    async with open_book() as book:
        book.note(version, ATTRS)
        assert book.known(replace(version, **change)) is None  # type: ignore[arg-type] - one field of its own type
    async with open_book() as book:
        assert book.known(replace(version, **change)) is None  # type: ignore[arg-type] - likewise


async def test_estimated_time_becomes_exact_with_the_first_listing_that_shows_it(
    store: MemoryStore, open_book: OpenBook
) -> None:
    """From then on a copy by somebody else, which keeps ETag and size on some servers, is another version."""
    exact = await put(store)
    by_another = replace(exact, modified_s=exact.modified_s + 1)
    async with open_book() as book:
        book.note(replace(exact, is_estimated=True), ATTRS)
        assert book.known(exact) == ATTRS
        assert book.known(by_another) is None
    async with open_book() as book:
        assert book.known(by_another) is None
        assert book.known(exact) == replace(ATTRS, seal=SealState.GOOD)


async def test_forgotten_attributes_are_unknown_after_a_remount(store: MemoryStore, open_book: OpenBook) -> None:
    version = await put(store)
    async with open_book() as book:
        book.note(version, ATTRS)
        book.forget(A)
        assert book.known(version) is None
    async with open_book() as book:
        assert book.known(version) is None


async def test_attributes_pushed_out_of_memory_are_known_from_the_disk(store: MemoryStore, open_book: OpenBook) -> None:
    versions = [ObjectVersion(ObjectKey(f"object-{number}"), ETag('"e"'), 3, 9) for number in range(MAX_IN_MEMORY + 10)]
    async with open_book() as book:
        for version in versions:
            book.note(version, ATTRS)
        assert len(book._known) == MAX_IN_MEMORY
        assert book.known(versions[0]) == replace(ATTRS, seal=SealState.GOOD)
        assert len(book._known) == MAX_IN_MEMORY


async def test_one_head_answers_all_who_ask_and_is_not_ended_by_one_who_leaves(store: MemoryStore, open_book: OpenBook) -> None:
    version = await put(store)
    gate = store.gates["head"] = trio.Event()
    found: list[ObjectVersion | None] = []
    async with open_book() as book, trio.open_nursery() as nursery:

        async def ask() -> None:
            found.append((await book.load(A)).version)

        with trio.move_on_after(0):
            await book.load(A)
        for _ in range(3):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert (found, store.operations["head"]) == ([version] * 3, 1)


async def test_requested_heads_run_many_at_once_and_their_answers_are_known(store: MemoryStore, open_book: OpenBook) -> None:
    versions = [await put(store, ObjectKey(f"object-{number}")) for number in range(HEADS_AT_ONCE + 5)]
    gate = store.gates["head"] = trio.Event()
    async with open_book() as book:
        book.request(version.object_key for version in versions)
        await trio.testing.wait_all_tasks_blocked()
        assert store.operations["head"] == HEADS_AT_ONCE
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert None not in [book.known(version) for version in versions]


async def test_failed_head_is_told_to_who_asked_and_asked_again(store: MemoryStore, open_book: OpenBook) -> None:
    version = await put(store)
    store.fail_next("head", StoreBusyError("busy"))
    async with open_book() as book:
        with pytest.raises(StoreBusyError):
            await book.load(A)
        assert (await book.load(A)).version == version
        with pytest.raises(ObjectMissingError):
            await book.load(ObjectKey("none"))


async def test_directory_without_marker_is_remembered_as_such(store: MemoryStore, open_book: OpenBook) -> None:
    async with open_book() as book:
        before = trio.current_time()
        known = await book.load(MARKER)
        assert (known.version, known.attrs, known.as_of >= before) == (None, Defaults(1, 2).for_directory(7), True)
        assert book.last_known(MARKER) == known
    async with open_book() as book:
        assert book.last_known(MARKER) == replace(known, as_of=NEVER)
    assert store.operations == {"head": 1}


async def test_record_in_a_form_of_another_version_is_unknown(
    tmp_path: Path, customer_key: CustomerKey, store: MemoryStore, open_book: OpenBook
) -> None:
    version = await put(store)
    async with cache_rig(tmp_path / "cache", Keyring((customer_key,)), store) as rig:
        rig.index.store_attributes(A, b"[2,null,{}]")
    async with open_book() as book:
        assert (book.known(version), book.last_known(A)) == (None, None)
