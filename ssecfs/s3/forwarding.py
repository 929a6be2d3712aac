"""ForwardingStore: an ObjectStore that does nothing by itself, for those that change a few verbs of the one below them.

Imported by ``s3.guard``, ``s3.deferring`` and ``s3.noting``.
"""

from collections.abc import Mapping, Sequence

from ssecfs.s3.store import ObjectStore, Sink
from ssecfs.s3.types import (
    ByteRange,
    ListPage,
    ObjectInfo,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)


class ForwardingStore:
    """Every verb goes to the store below."""

    def __init__(self, inner: ObjectStore) -> None:
        """Take the store below."""
        self._inner = inner

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        """See ObjectStore."""
        return await self._inner.head(object_key)

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        """See ObjectStore."""
        return await self._inner.get(version, byte_range, sink)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        return await self._inner.put(object_key, body, metadata, condition)

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        return await self._inner.copy(source, target, metadata, condition)

    async def delete(self, object_key: ObjectKey) -> None:
        """See ObjectStore."""
        await self._inner.delete(object_key)

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        """See ObjectStore."""
        await self._inner.delete_many(object_keys)

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        """See ObjectStore."""
        return await self._inner.list_page(prefix, delimiter, token, max_keys)

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        """See ObjectStore."""
        return await self._inner.create_upload(object_key, metadata)

    async def put_part(self, upload: Upload, part_number: int, body: bytes) -> PartReceipt:
        """See ObjectStore."""
        return await self._inner.put_part(upload, part_number, body)

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        """See ObjectStore."""
        return await self._inner.copy_part(upload, part_number, source, byte_range)

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore."""
        return await self._inner.complete_upload(upload, parts, condition)

    async def abort_upload(self, upload: Upload) -> None:
        """See ObjectStore."""
        await self._inner.abort_upload(upload)
