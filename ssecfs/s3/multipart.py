"""Multipart uploads: how a file is cut into parts (pure), and the parts sent in parallel.

Imported by ``content.upload`` and ``s3.copying``.

Source: S3 user guide, "Amazon S3 multipart upload limits".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from ssecfs.errors import StoreError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import GIB, MIB
from ssecfs.tasks import open_tasks

MAX_PARTS: Final = 10_000
MIN_PART_BYTES: Final = 5 * MIB
"""Smallest part but the last."""

USUAL_PART_BYTES: Final = 8 * MIB
SINGLE_PUT_BYTES: Final = 16 * MIB
"""Larger objects go in parts."""

MAX_COPY_BYTES: Final = 5 * GIB
"""Largest object that is copied, or put, with one request."""

PARTS_AT_ONCE: Final = 4
"""Parts in memory at a time; four streams fill the links that were measured."""

ABORT_DEADLINE_S: Final = 10.0

Reader = Callable[[ByteRange], Awaitable[bytes]]
"""Gives the bytes of a range of what is being uploaded."""


def part_bytes(size: int) -> int:
    """The size of a part for an object of size bytes: 8 MiB, or the multiple of 1 MiB that keeps within 10 000 parts."""
    needed = -(-size // MAX_PARTS)
    return max(USUAL_PART_BYTES, -(-needed // MIB) * MIB)


def plan_parts(size: int, each: int) -> list[ByteRange]:
    """Cut [0, size) into ranges of each bytes; the last may be smaller."""
    return [ByteRange(start, min(start + each, size)) for start in range(0, size, each)]


async def upload_parts(
    store: ObjectStore,
    object_key: ObjectKey,
    size: int,
    read: Reader,
    *,
    metadata: Mapping[str, str],
    condition: PutCondition,
) -> ObjectVersion:
    """Upload size bytes in parts, a few at a time; on failure nothing is left on the server.

    Args:
        store: where to.
        object_key: the new object.
        size: bytes, above zero.
        read: gives the bytes of a part; called when it is that part's turn, so memory is bounded.
        metadata: of the new object.
        condition: checked when the parts become the object.
    """

    async def send(upload: Upload, part_number: int, byte_range: ByteRange) -> PartReceipt:
        return await store.put_part(upload, part_number, await read(byte_range))

    return await run_parts(store, object_key, plan_parts(size, part_bytes(size)), send, metadata=metadata, condition=condition)


async def run_parts(
    store: ObjectStore,
    object_key: ObjectKey,
    plan: list[ByteRange],
    send: Callable[[Upload, int, ByteRange], Awaitable[PartReceipt]],
    *,
    metadata: Mapping[str, str],
    condition: PutCondition,
) -> ObjectVersion:
    """Do an upload whose parts are made by send; see upload_parts."""
    upload = await store.create_upload(object_key, metadata)
    try:
        receipts = await _send_all(upload, plan, send)
        return await store.complete_upload(upload, receipts, condition)
    except BaseException:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ABORT_DEADLINE_S):
            await _abort_quietly(store, upload)
        raise


async def _send_all(
    upload: Upload, plan: list[ByteRange], send: Callable[[Upload, int, ByteRange], Awaitable[PartReceipt]]
) -> list[PartReceipt]:
    receipts: dict[int, PartReceipt] = {}
    limit = trio.CapacityLimiter(PARTS_AT_ONCE)

    async def one(part_number: int, byte_range: ByteRange) -> None:
        async with limit:
            receipts[part_number] = await send(upload, part_number, byte_range)

    async with open_tasks() as nursery:
        for part_number, byte_range in enumerate(plan, start=1):
            nursery.start_soon(one, part_number, byte_range)
    return [receipts[part_number] for part_number in sorted(receipts)]


async def _abort_quietly(store: ObjectStore, upload: Upload) -> None:
    """Drop the parts; when even that fails, the bucket's lifecycle rule has to (the first failure is what counts)."""
    try:
        await store.abort_upload(upload)
    except StoreError:
        return
