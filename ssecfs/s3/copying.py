"""Copies of objects inside a bucket: on the server where it can, through this machine where it cannot.

Imported by ``fs``. Objects over 5 GiB are copied in parts. Servers that refuse to copy SSE-C objects (Ceph 16, Hetzner) are
asked once.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from ssecfs.errors import StoreUnsupportedError
from ssecfs.s3.multipart import MAX_COPY_BYTES, SINGLE_PUT_BYTES, plan_parts, run_parts, upload_parts
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import GIB

COPIED_PART_BYTES: Final = 1 * GIB


class _Ability(Enum):
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Copier:
    """Copies objects.

    Owns: whether the server refused to copy. Lifetime: the mount's.
    """

    def __init__(self, store: ObjectStore) -> None:
        """Take the store."""
        self._store = store
        self._ability = _Ability.UNKNOWN

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Copy source to target with other metadata; target may be source's own object key.

        Raises:
            ObjectChangedError: the source is another version by now, or the condition fails.
        """
        if self._ability is not _Ability.REFUSED:
            try:
                return await self._copy_on_server(source, target, metadata, condition)
            except StoreUnsupportedError:
                self._ability = _Ability.REFUSED
        return await self._copy_through(source, target, metadata, condition)

    async def _copy_on_server(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        if source.size <= MAX_COPY_BYTES:
            return await self._store.copy(source, target, metadata, condition)

        async def send(upload: Upload, part_number: int, byte_range: ByteRange) -> PartReceipt:
            return await self._store.copy_part(upload, part_number, source, byte_range)

        plan = plan_parts(source.size, COPIED_PART_BYTES)
        return await run_parts(self._store, target, plan, send, metadata=metadata, condition=condition)

    async def _copy_through(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        async def read(byte_range: ByteRange) -> bytes:
            pieces: list[bytes] = []
            await self._store.get(source, byte_range, pieces.append)
            return b"".join(pieces)

        if source.size <= SINGLE_PUT_BYTES:
            return await self._store.put(target, await read(ByteRange(0, source.size)), metadata, condition)
        return await upload_parts(self._store, target, source.size, read, metadata=metadata, condition=condition)
