"""DeferringStore: deletions that nobody waits for, many in one request; everything else sees them done.

Imported by ``app``, for mounts with write-back. A deletion is put off for a moment. Whatever could tell that it is not done yet
(a listing that would show the object, a look at it, an upload in its place) has the deletions that it could meet made first.
So only other clients see the objects a little longer.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

import trio

from ssecfs.errors import StoreError
from ssecfs.s3.forwarding import ForwardingStore
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
from ssecfs.tasks import start_alone

LOGGER: Final = logging.getLogger(__name__)

PAUSE_S: Final = 0.1
"""How long a deletion waits for others."""

RETRY_S: Final = 5.0
"""Pause after a failure that may pass."""

BATCH: Final = 1000
"""Objects that one request deletes at most. Source: S3 API reference, DeleteObjects."""

MAX_DOOMED: Final = 10 * BATCH
"""Deletions that are put off at most; who wants another waits."""


class DeferringStore(ForwardingStore):
    """An ObjectStore that deletes later, over one that deletes at once.

    Owns: the object keys to be deleted, oldest first. Invariant: while one is among them, no request for it is made below.

    Attributes:
        refused: count of deletions that the endpoint refused for good.
    """

    def __init__(self, inner: ObjectStore, nursery: trio.Nursery, note_deleted: Callable[[Sequence[ObjectKey]], None]) -> None:
        """Take the store below; note_deleted hears of what is gone, or could not be deleted for good."""
        super().__init__(inner)
        self._nursery = nursery
        self._note_deleted = note_deleted
        self._doomed: dict[ObjectKey, None] = {}
        self._one_at_a_time = trio.Lock()
        self._is_waiting = False
        self._refusal: StoreError | None = None
        self.refused = 0

    @property
    def doomed(self) -> int:
        """Count the objects that are still to be deleted."""
        return len(self._doomed)

    async def flush(self, prefix: str = "") -> None:
        """Delete what is to be deleted under a prefix, and return when it is done.

        Raises:
            StoreError: the endpoint could not be reached, or is busy; they are still to be deleted.
        """
        await self._delete_until(lambda: not any(object_key.startswith(prefix) for object_key in self._doomed))

    async def flush_all(self) -> None:
        """Delete everything that is to be deleted.

        Raises:
            StoreError: as flush, or something was refused since the last call: that is there again, and is told once.
        """
        await self.flush()
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        """See ObjectStore."""
        await self._settle(object_key)
        return await self._inner.head(object_key)

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        """See ObjectStore."""
        await self._settle(version.object_key)
        return await self._inner.get(version, byte_range, sink)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        await self._settle(object_key)
        return await self._inner.put(object_key, body, metadata, condition)

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        await self._settle(source.object_key)
        await self._settle(target)
        return await self._inner.copy(source, target, metadata, condition)

    async def delete(self, object_key: ObjectKey) -> None:
        """See ObjectStore; done in a moment, and as far as this store shows, at once."""
        while len(self._doomed) >= MAX_DOOMED:
            await self.flush()
        self._doomed[object_key] = None
        if not self._is_waiting:
            self._is_waiting = True
            start_alone(self._nursery, "delete", self._delete_in_a_moment)

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        """See ObjectStore."""
        await self.flush(prefix)
        return await self._inner.list_page(prefix, delimiter, token, max_keys)

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        """See ObjectStore."""
        await self._settle(source.object_key)
        return await self._inner.copy_part(upload, part_number, source, byte_range)

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore."""
        await self._settle(upload.object_key)
        return await self._inner.complete_upload(upload, parts, condition)

    async def _settle(self, object_key: ObjectKey) -> None:
        if object_key in self._doomed:
            await self._delete_until(lambda: object_key not in self._doomed)

    async def _delete_until(self, is_done: Callable[[], bool]) -> None:
        """Delete, the oldest first, until it is enough."""
        if is_done():
            return
        async with self._one_at_a_time:
            while not is_done():
                await self._delete_oldest()

    async def _delete_oldest(self) -> None:
        batch = list(islice(self._doomed, BATCH))
        try:
            if len(batch) == 1:
                await self._inner.delete(batch[0])
            else:
                await self._inner.delete_many(batch)
        except StoreError as error:
            if error.transient:
                raise
            self._refusal = error
            self.refused += len(batch)
            LOGGER.error("what was removed here could not be deleted, and is back: %s", error)  # noqa: TRY400
        for object_key in batch:
            self._doomed.pop(object_key, None)
        self._note_deleted(batch)

    async def _delete_in_a_moment(self) -> None:
        pause_s = PAUSE_S
        try:
            while self._doomed:
                await trio.sleep(pause_s)
                try:
                    await self.flush()
                    pause_s = PAUSE_S
                except StoreError as error:
                    LOGGER.warning("%d objects are not deleted yet, trying again: %s", len(self._doomed), error)
                    pause_s = RETRY_S
        finally:
            self._is_waiting = False
