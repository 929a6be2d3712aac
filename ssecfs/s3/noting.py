"""NotingStore: multipart uploads are written down from their beginning to their end, so that a crash leaves none behind.

Imported by ``app``. It stands below whatever else begins uploads; who writes them down is a log that floors above provide.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ssecfs.s3.forwarding import ForwardingStore
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload


class UploadLog(Protocol):
    """Where uploads are written down. No method waits or fails."""

    def note_begun(self, upload: Upload) -> None:
        """An upload has begun; from here on the server keeps its parts until it is told what becomes of them."""

    def note_ended(self, upload: Upload) -> None:
        """An upload has become an object, or was dropped."""


class NotingStore(ForwardingStore):
    """Every verb goes to the store below; the log is told of uploads."""

    def __init__(self, inner: ObjectStore, log: UploadLog) -> None:
        """Take the store below and the log."""
        super().__init__(inner)
        self._log = log

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        """See ObjectStore."""
        upload = await self._inner.create_upload(object_key, metadata)
        self._log.note_begun(upload)
        return upload

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore."""
        version = await self._inner.complete_upload(upload, parts, condition)
        self._log.note_ended(upload)
        return version

    async def abort_upload(self, upload: Upload) -> None:
        """See ObjectStore."""
        await self._inner.abort_upload(upload)
        self._log.note_ended(upload)
