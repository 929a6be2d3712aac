"""New objects from the bytes of stored ones: on the server where it can, through this machine where it cannot.

Imported by ``content.upload`` and ``fs``. Large objects are copied in parts. Servers that refuse to copy SSE-C objects (Ceph
16, Hetzner) are asked once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.errors import StoreUnsupportedError
from ssecfs.s3.multipart import SINGLE_PUT_BYTES, Reader, run_parts, upload_parts
from ssecfs.s3.partplan import Origin, Part, plan_parts
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import GIB

COPY_BYTES: Final = 1 * GIB
"""Largest object that is copied with one request: S3 takes 5 GiB, but not within the timeout of every connection."""

VersionReader = Callable[[ObjectVersion, ByteRange], Awaitable[bytes]]
"""Gives the bytes of a range of a version, from the local cache where they are there."""


class _Ability(Enum):
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Patch:
    """Content that shares bytes with a stored version.

    Attributes:
        base: the stored version.
        clean: ranges that are the same in both, at the same place: in order, not empty, not touching.
        size: of the new content.
        read: gives the bytes of any range of the new content.
    """

    base: ObjectVersion
    clean: Sequence[ByteRange]
    size: int
    read: Reader


class Copier:
    """Copies objects.

    Owns: whether the server refused to copy. Lifetime: the mount's.
    """

    def __init__(self, store: ObjectStore, read: VersionReader) -> None:
        """Take the store, and what reads a version where the server does not copy."""
        self._store = store
        self._read = read
        self._ability = _Ability.UNKNOWN

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Copy source to target with other metadata; target may be source's own object key.

        Raises:
            ObjectChangedError: the source is another version by now, or the condition fails.
        """

        async def read(byte_range: ByteRange) -> bytes:
            return await self._read(source, byte_range)

        if source.size > COPY_BYTES:
            everything = Patch(source, [ByteRange(0, source.size)], source.size, read)
            return await self.store_patched(everything, target, metadata, condition)
        if self._ability is not _Ability.REFUSED:
            try:
                return await self._store.copy(source, target, metadata, condition)
            except StoreUnsupportedError:
                self._ability = _Ability.REFUSED
        if source.size > SINGLE_PUT_BYTES:
            return await upload_parts(self._store, target, source.size, read, metadata=metadata, condition=condition)
        return await self._store.put(target, await read(ByteRange(0, source.size)), metadata, condition)

    async def store_patched(
        self, patch: Patch, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Store content of over 5 MiB of which only what is not clean has to be sent.

        Raises:
            ObjectChangedError: the base is another version by now, or the condition fails.
        """
        parts = plan_parts(patch.size, patch.clean)
        if self._ability is not _Ability.REFUSED and any(part.origin is Origin.COPIED for part in parts):
            try:
                return await self._copy_parts(patch, parts, target, metadata, condition)
            except StoreUnsupportedError:
                self._ability = _Ability.REFUSED
        return await upload_parts(self._store, target, patch.size, patch.read, metadata=metadata, condition=condition)

    async def _copy_parts(
        self, patch: Patch, parts: list[Part], target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        async def make(upload: Upload, part_number: int, part: Part) -> PartReceipt:
            if part.origin is Origin.COPIED:
                return await self._store.copy_part(upload, part_number, patch.base, part.byte_range)
            return await self._store.put_part(upload, part_number, await patch.read(part.byte_range))

        return await run_parts(self._store, target, parts, make, metadata=metadata, condition=condition)
