"""Multipart uploads: parts made in parallel, and put together or dropped.

Imported by ``s3.copying``. How an object is cut into parts is in ``partplan``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import StoreError
from ssecfs.room import Room
from ssecfs.s3.partplan import Part, plan_parts
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import MIB
from ssecfs.tasks import open_tasks

SINGLE_PUT_BYTES: Final = 16 * MIB
"""Larger objects go in parts."""

PARTS_AT_ONCE: Final = 4
"""Four streams fill the links that were measured."""

ABORT_DEADLINE_S: Final = 3.0

Reader = Callable[[ByteRange], Awaitable[bytes]]
"""Gives the bytes of a range of what is being uploaded."""

PartMaker = Callable[[Upload, int, Part], Awaitable[PartReceipt]]
"""Makes a part, by its number, on the server."""


async def upload_parts(
    store: ObjectStore,
    object_key: ObjectKey,
    size: int,
    read: Reader,
    *,
    metadata: Mapping[str, str],
    condition: PutCondition,
    room: Room,
) -> ObjectVersion:
    """Upload size bytes in parts, a few at a time; on failure nothing is left on the server.

    Args:
        store: where to.
        object_key: the new object.
        size: bytes, above zero.
        read: gives the bytes of a part; called when it is that part's turn.
        metadata: of the new object.
        condition: checked when the parts become the object.
        room: for parts in memory.
    """

    async def send(upload: Upload, part_number: int, part: Part) -> PartReceipt:
        return await send_part(store, upload, part_number, part, read, room)

    return await run_parts(store, object_key, plan_parts(size), send, metadata=metadata, condition=condition)


async def send_part(store: ObjectStore, upload: Upload, part_number: int, part: Part, read: Reader, room: Room) -> PartReceipt:
    """Read one part and send it."""
    async with room.taken(len(part.byte_range)):
        return await store.put_part(upload, part_number, await read(part.byte_range))


async def run_parts(
    store: ObjectStore,
    object_key: ObjectKey,
    parts: Sequence[Part],
    make: PartMaker,
    *,
    metadata: Mapping[str, str],
    condition: PutCondition,
) -> ObjectVersion:
    """Do an upload whose parts are made by a function of the caller's; see upload_parts."""
    upload = await store.create_upload(object_key, metadata)
    try:
        receipts = await _make_all(upload, parts, make)
        return await store.complete_upload(upload, receipts, condition)
    except BaseException:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ABORT_DEADLINE_S):
            await _abort_quietly(store, upload)
        raise


async def _make_all(upload: Upload, parts: Sequence[Part], make: PartMaker) -> list[PartReceipt]:
    receipts: dict[int, PartReceipt] = {}
    waiting = iter(enumerate(parts, start=1))

    async def work() -> None:
        for part_number, part in waiting:
            receipts[part_number] = await make(upload, part_number, part)
            reach(CrashPoint.PART_SENT)

    async with open_tasks() as nursery:
        for _ in range(PARTS_AT_ONCE):
            nursery.start_soon(work)
    return [receipts[part_number] for part_number in sorted(receipts)]


async def _abort_quietly(store: ObjectStore, upload: Upload) -> None:
    """Drop the parts; when even that fails, the bucket's lifecycle rule has to (the first failure is what counts)."""
    try:
        await store.abort_upload(upload)
    except StoreError:
        return
