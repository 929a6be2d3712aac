"""New objects: from bytes that are sent, and from stored objects, on the server where it can, through here where it cannot.

Imported by ``content.upload`` and ``fs``. Large objects are copied in parts. Servers that refuse to copy SSE-C objects (Ceph
16, Hetzner) are asked once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.errors import StoreUnsupportedError
from ssecfs.room import Room
from ssecfs.s3.multipart import SINGLE_PUT_BYTES, Reader, run_parts, send_part, upload_parts
from ssecfs.s3.partplan import Origin, Part, plan_parts
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import GIB

COPY_BYTES: Final = 1 * GIB
"""Largest object that is copied with one request: S3 takes 5 GiB, but not within the timeout of every connection."""

VersionReader = Callable[[ObjectVersion, ByteRange], Awaitable[bytes]]
"""Gives the bytes of a range of a version, from the local cache where they are there."""


BodyMetadata = Callable[[bytes | None], Awaitable[Mapping[str, str]]]
"""Gives the metadata of an object; it gets the body if that is sent with one request."""

Attempt = Callable[[], Awaitable[ObjectVersion]]


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
    """Makes objects.

    Owns: whether the server refused to copy; through room, the bytes of all uploads that are in memory. Lifetime: the mount's.
    """

    def __init__(self, store: ObjectStore, read: VersionReader, room: Room) -> None:
        """Take the store, what reads a version where the server does not copy, and the memory for what is sent."""
        self._store = store
        self._read = read
        self.room: Final = room
        self._ability = _Ability.UNKNOWN

    @property
    def is_refused(self) -> bool:
        """Tell whether the server is known not to copy."""
        return self._ability is _Ability.REFUSED

    async def send(
        self, size: int, read: Reader, target: ObjectKey, metadata_for: BodyMetadata, condition: PutCondition
    ) -> ObjectVersion:
        """Store content that is read here, with one request or in parts.

        Raises:
            ObjectExistsError, ObjectChangedError: the condition fails.
            StoreError: the endpoint refused or could not be reached.
        """
        if size > SINGLE_PUT_BYTES:
            metadata = await metadata_for(None)
            return await upload_parts(self._store, target, size, read, metadata=metadata, condition=condition, room=self.room)
        async with self.room.taken(size):
            body = await read(ByteRange(0, size))
            return await self._store.put(target, body, await metadata_for(body), condition)

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Copy source to target with other metadata; target may be source's own object key.

        Raises:
            ObjectChangedError: the source is another version by now, or the condition fails.
        """

        async def read(byte_range: ByteRange) -> bytes:
            return await self._read(source, byte_range)

        async def on_server() -> ObjectVersion:
            if source.size > COPY_BYTES:
                everything = Patch(source, [ByteRange(0, source.size)], source.size, read)
                parts = plan_parts(source.size, everything.clean)
                return await self._make_parts(everything, parts, target, metadata, condition)
            return await self._store.copy(source, target, metadata, condition)

        async def through_here() -> ObjectVersion:
            return await self.send(source.size, read, target, _known(metadata), condition)

        return await self._on_server_if_it_can(on_server, through_here)

    async def store_patched(
        self, patch: Patch, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Store content of over 5 MiB of which only what is not clean has to be sent.

        Raises:
            ObjectChangedError: the base is another version by now, or the condition fails.
        """
        parts = plan_parts(patch.size, patch.clean)

        async def on_server() -> ObjectVersion:
            return await self._make_parts(patch, parts, target, metadata, condition)

        async def through_here() -> ObjectVersion:
            return await self.send(patch.size, patch.read, target, _known(metadata), condition)

        if all(part.origin is Origin.SENT for part in parts):
            return await through_here()
        return await self._on_server_if_it_can(on_server, through_here)

    async def _on_server_if_it_can(self, on_server: Attempt, through_here: Attempt) -> ObjectVersion:
        if self._ability is _Ability.REFUSED:
            return await through_here()
        try:
            return await on_server()
        except StoreUnsupportedError:
            version = await through_here()
            # It is the server that cannot, not only this object that may not (an archived one cannot be read either).
            self._ability = _Ability.REFUSED
            return version

    async def _make_parts(
        self, patch: Patch, parts: list[Part], target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        async def make(upload: Upload, part_number: int, part: Part) -> PartReceipt:
            if part.origin is Origin.COPIED:
                return await self._store.copy_part(upload, part_number, patch.base, part.byte_range)
            return await send_part(self._store, upload, part_number, part, patch.read, self.room)

        return await run_parts(self._store, target, parts, make, metadata=metadata, condition=condition)


def _known(metadata: Mapping[str, str]) -> BodyMetadata:
    """Metadata that the body does not change."""

    async def metadata_for(_: bytes | None) -> Mapping[str, str]:
        return metadata

    return metadata_for
