"""Copies and patches of objects: on the server where it can, through here where it cannot, and never a mix of two versions."""

import random
from collections.abc import Sequence

import pytest
import trio
import trio.testing
from support.memory_store import MemoryStore, no_metadata

from ssecfs.errors import ObjectChangedError, ObjectExistsError, StoreUnsupportedError
from ssecfs.room import Room
from ssecfs.s3.copying import COPY_BYTES, Copier, Patch
from ssecfs.s3.types import (
    Always,
    ByteRange,
    ETag,
    IfAbsent,
    IfUnchanged,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)
from ssecfs.sizes import GIB, KIB, MIB

A, B = ObjectKey("a"), ObjectKey("b")
WHOLE = random.Random(1).randbytes(20 * MIB + 7)


async def read_from(store: MemoryStore, version: ObjectVersion, byte_range: ByteRange) -> bytes:
    pieces: list[bytes] = []
    await store.get(version, byte_range, pieces.append)
    return b"".join(pieces)


def copier_of(store: MemoryStore) -> Copier:
    async def read(version: ObjectVersion, byte_range: ByteRange) -> bytes:
        return await read_from(store, version, byte_range)

    return Copier(store, read, Room(64 * MIB))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def patch_of(base: ObjectVersion, content: bytes, clean: list[ByteRange]) -> Patch:
    async def read(byte_range: ByteRange) -> bytes:
        return content[byte_range.start : byte_range.stop]

    return Patch(base, clean, len(content), read)


@pytest.mark.parametrize("size", [0, 100, 20 * MIB + 7])
async def test_copy_on_a_server_that_refuses_it_goes_through_here_and_is_asked_for_once(store: MemoryStore, size: int) -> None:
    store.can_copy = False
    copier = copier_of(store)
    source = await store.put(A, WHOLE[:size], {}, Always())
    for target in (B, ObjectKey("c")):
        copied = await copier.copy(source, target, {"mode": "1"}, IfAbsent())
        assert (copied.size, store.objects[target].body, store.objects[target].metadata) == (size, WHOLE[:size], {"mode": "1"})
    assert store.operations["copy"] == 1


async def test_copy_through_here_holds_a_few_parts_and_never_the_whole_object(store: MemoryStore) -> None:
    store.can_copy = False
    source = await store.put(A, WHOLE, {}, Always())
    asked: list[int] = []

    async def read(version: ObjectVersion, byte_range: ByteRange) -> bytes:
        asked.append(len(byte_range))
        return await read_from(store, version, byte_range)

    await Copier(store, read, Room(64 * MIB)).copy(source, B, {}, Always())
    assert (max(asked), sum(asked)) == (8 * MIB, len(WHOLE))


async def test_uploads_at_the_same_time_share_the_memory_for_what_is_sent(store: MemoryStore) -> None:
    """Ten large ones and ten small ones: what was read and is not yet stored is never more than the room."""
    copier = Copier(store, never_read, Room(24 * MIB))
    in_memory = most = 0

    async def read(byte_range: ByteRange) -> bytes:
        nonlocal in_memory, most
        in_memory += len(byte_range)
        most = max(most, in_memory)
        await trio.lowlevel.checkpoint()
        return WHOLE[byte_range.start : byte_range.stop]

    def note_stored(size: int) -> None:
        nonlocal in_memory
        in_memory -= size

    store.note_sent = note_stored
    async with trio.open_nursery() as nursery:
        for number in range(20):
            size = len(WHOLE) if number % 2 else 5 * MIB
            nursery.start_soon(copier.send, size, read, ObjectKey(f"{number}"), no_metadata, IfAbsent())
    assert (len(store.objects), in_memory) == (20, 0)
    assert 16 * MIB <= most <= 24 * MIB


async def never_read(version: ObjectVersion, byte_range: ByteRange) -> bytes:
    raise AssertionError


async def test_object_that_may_not_be_read_does_not_stand_for_the_whole_server(store: MemoryStore) -> None:
    """An archived one can be neither copied nor read; the next one is asked for as before."""
    source = await store.put(A, b"content", {}, Always())
    copier = copier_of(store)
    store.fail_next("copy", StoreUnsupportedError("archived"))
    store.fail_next("get", StoreUnsupportedError("archived"))
    with pytest.raises(StoreUnsupportedError):
        await copier.copy(source, B, {}, Always())
    await copier.copy(source, B, {}, Always())
    assert store.operations == {"put": 1, "copy": 2, "get": 1}


async def test_copy_of_a_source_that_changed_is_refused_on_either_way(store: MemoryStore) -> None:
    copier = copier_of(store)
    old = await store.put(A, b"old", {}, Always())
    await store.put(A, b"new", {}, Always())
    for store.can_copy in (True, False):
        with pytest.raises(ObjectChangedError):
            await copier.copy(old, B, {}, Always())
    assert B not in store.objects


class LargeStore(MemoryStore):
    """A store whose objects are too large to be there: it takes note of the ranges that are copied."""

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        self.operations["copy_part"] += 1
        return PartReceipt(part_number, ETag(f'"{byte_range.start}"'), len(byte_range))

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        assert [int(part.etag.strip('"')) for part in parts] == list(range(0, sum(part.size for part in parts), 256 * MIB))
        return ObjectVersion(upload.object_key, ETag('"whole"'), sum(part.size for part in parts), 0)


async def test_object_over_the_limit_is_copied_in_parts_one_after_the_other() -> None:
    store = LargeStore()
    large = ObjectVersion(A, ETag('"large"'), COPY_BYTES + 5 * GIB + 5, 0)
    copied = await copier_of(store).copy(large, B, {"mode": "2"}, IfAbsent())
    assert (copied.size, store.sent_bytes) == (large.size, 0)
    assert store.operations == {"create_upload": 1, "copy_part": 25}


async def test_patched_object_takes_only_the_changed_part_along(store: MemoryStore) -> None:
    base = await store.put(A, WHOLE, {}, Always())
    store.sent_bytes = 0
    place = 11 * MIB
    content = WHOLE[:place] + bytes(4 * KIB) + WHOLE[place + 4 * KIB :]
    clean = [ByteRange(0, place), ByteRange(place + 4 * KIB, len(content))]
    await copier_of(store).store_patched(patch_of(base, content, clean), A, {"mode": "3"}, IfUnchanged(base))
    assert store.objects[A].body == content
    assert store.sent_bytes == 5 * MIB


async def test_patch_on_a_server_that_refuses_to_copy_is_sent_whole_and_leaves_no_upload(store: MemoryStore) -> None:
    store.can_copy = False
    copier = copier_of(store)
    base = await store.put(A, WHOLE, {}, Always())
    content = WHOLE + b"appended"
    for target in (A, B):
        patch = patch_of(base, content, [ByteRange(0, len(WHOLE))])
        await copier.store_patched(patch, target, {}, IfUnchanged(base) if target == A else IfAbsent())
        assert store.objects[target].body == content
    assert (store.uploads, store.operations["create_upload"]) == ({}, 3)


async def test_patch_of_a_base_that_changed_is_refused_and_leaves_theirs(store: MemoryStore) -> None:
    base = await store.put(A, WHOLE, {}, Always())
    await store.put(A, b"theirs", {}, Always())
    with pytest.raises(ObjectChangedError):
        await copier_of(store).store_patched(patch_of(base, WHOLE, [ByteRange(0, 15 * MIB)]), A, {}, IfUnchanged(base))
    assert (store.objects[A].body, store.uploads) == (b"theirs", {})


async def test_base_that_changes_while_the_patch_is_uploaded_is_noticed(store: MemoryStore) -> None:
    base = await store.put(A, WHOLE, {}, Always())
    gate = store.gates["complete_upload"] = trio.Event()
    async with trio.open_nursery() as nursery:

        async def upload() -> None:
            with pytest.raises(ObjectChangedError):
                await copier_of(store).store_patched(patch_of(base, WHOLE, [ByteRange(0, 15 * MIB)]), A, {}, IfUnchanged(base))

        nursery.start_soon(upload)
        await trio.testing.wait_all_tasks_blocked()
        await store.put(A, b"theirs", {}, Always())
        gate.set()
    assert (store.objects[A].body, store.uploads) == (b"theirs", {})


async def test_patch_over_a_name_that_is_taken_is_refused(store: MemoryStore) -> None:
    base = await store.put(A, WHOLE, {}, Always())
    await store.put(B, b"theirs", {}, Always())
    with pytest.raises(ObjectExistsError):
        await copier_of(store).store_patched(patch_of(base, WHOLE, [ByteRange(0, len(WHOLE))]), B, {}, IfAbsent())
    assert store.objects[B].body == b"theirs"
