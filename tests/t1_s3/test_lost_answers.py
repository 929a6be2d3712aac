"""Uploads whose answer is lost: tried again, and found to be there already, which is no conflict."""

import random

import pytest
import trio
import trio.testing
from support.memory_store import MemoryStore

from ssecfs.errors import ObjectChangedError, ObjectMissingError, StoreProtocolError
from ssecfs.room import Room
from ssecfs.s3.multipart import upload_parts
from ssecfs.s3.retry import RetryingStore
from ssecfs.s3.types import Always, ByteRange, IfAbsent, IfUnchanged, ObjectKey
from ssecfs.sizes import MIB

A = ObjectKey("a")
BODY = random.Random(1).randbytes(17 * MIB)


@pytest.fixture
def inner() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(inner: MemoryStore, autojump_clock: trio.testing.MockClock) -> RetryingStore:
    return RetryingStore(inner, 60)


async def read(byte_range: ByteRange) -> bytes:
    return BODY[byte_range.start : byte_range.stop]


async def test_put_that_was_done_is_not_taken_for_another_clients(inner: MemoryStore, store: RetryingStore) -> None:
    inner.lose_answer("put")
    version = await store.put(A, BODY, {"name": "value"}, IfAbsent())
    assert inner.objects[A].version == version
    inner.lose_answer("put")
    await store.put(A, b"new", {"name": "other"}, IfUnchanged(version))
    assert (inner.objects[A].body, inner.operations["put"]) == (b"new", 4)


async def test_completion_that_was_done_is_not_taken_for_a_failure(inner: MemoryStore, store: RetryingStore) -> None:
    inner.lose_answer("complete_upload")
    version = await upload_parts(
        store, A, len(BODY), read, metadata={"name": "value"}, condition=IfAbsent(), room=Room(64 * MIB)
    )
    assert (inner.objects[A].version, inner.objects[A].body) == (version, BODY)


async def test_completion_that_was_done_is_known_although_its_refusal_cannot_be_read(
    inner: MemoryStore, store: RetryingStore
) -> None:
    """A 404 whose body got lost says only that something is missing: here the upload, which has become the object."""
    inner.lose_answer("complete_upload")
    inner.fail_next("complete_upload", None, ObjectMissingError("404"))
    version = await upload_parts(
        store, A, len(BODY), read, metadata={"name": "value"}, condition=IfAbsent(), room=Room(64 * MIB)
    )
    assert inner.objects[A].version == version


async def test_completion_that_really_failed_is_a_failure(inner: MemoryStore, store: RetryingStore) -> None:
    """The upload is gone, and what is there is not what was sent."""
    base = await store.put(A, b"theirs", {"name": "theirs"}, Always())
    upload = await store.create_upload(A, {"name": "ours"})
    receipt = await store.put_part(upload, 1, b"ours")
    inner.uploads.clear()
    with pytest.raises(StoreProtocolError):
        await store.complete_upload(upload, [receipt], IfUnchanged(base))


async def test_other_clients_object_found_after_a_lost_answer_is_a_conflict(
    inner: MemoryStore, mock_clock: trio.testing.MockClock
) -> None:
    store = RetryingStore(inner, 60)
    base = await store.put(A, b"base", {"name": "base"}, Always())
    inner.lose_answer("put")

    async def ours() -> None:
        with pytest.raises(ObjectChangedError):
            await store.put(A, b"ours", {"name": "ours"}, IfUnchanged(base))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours)
        await trio.testing.wait_all_tasks_blocked()
        assert inner.objects[A].body == b"ours"
        await inner.put(A, b"theirs", {"name": "theirs"}, Always())
        mock_clock.jump(10)
    assert inner.objects[A].body == b"theirs"
