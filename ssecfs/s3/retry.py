"""RetryingStore: the only retry loop in the program.

Imported by ``app``. Transient failures are tried again with backoff and jitter until the call's deadline; refusals are not.

An upload whose answer was lost may have succeeded. When its second attempt fails on its own condition, or because the multipart
upload is no more, a HEAD tells whether the object there is the one that was sent (same size, same metadata): then it was.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import trio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from ssecfs.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoreBusyError,
    StoreError,
    StoreProtocolError,
    StoreUnreachableError,
)
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
from ssecfs.sizes import KIB

R = TypeVar("R")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0

SLOWEST_BYTES_PER_S: Final = 64 * KIB
"""A call that moves many bytes gets time for them at this rate, beside the timeout."""


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.transient


class RetryingStore:
    """An ObjectStore that tries again, over one that does not. Each call has timeout_s in all.

    Owns: the metadata of multipart uploads in progress, to know them again.
    """

    def __init__(self, inner: ObjectStore, timeout_s: float) -> None:
        """Take the store below; timeout_s is how long a call may go on failing."""
        self._inner = inner
        self._timeout_s = timeout_s
        self._uploads: dict[str, Mapping[str, str]] = {}

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        """See ObjectStore."""
        return await self._again(lambda: self._inner.head(object_key))

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        """See ObjectStore. A second attempt asks only for what has not been delivered yet."""
        delivered, patience = byte_range.start, self._patience(len(byte_range))

        def count(piece: bytes) -> None:
            nonlocal delivered
            delivered += len(piece)
            patience.note_answer()
            sink(piece)

        return await self._again(lambda: self._inner.get(version, ByteRange(delivered, byte_range.stop), count), patience)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        return await self._upload(
            lambda: self._inner.put(object_key, body, metadata, condition), object_key, len(body), metadata
        )

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        return await self._upload(lambda: self._inner.copy(source, target, metadata, condition), target, source.size, metadata)

    async def delete(self, object_key: ObjectKey) -> None:
        """See ObjectStore."""
        await self._again(lambda: self._inner.delete(object_key))

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        """See ObjectStore."""
        await self._again(lambda: self._inner.delete_many(object_keys))

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        """See ObjectStore."""
        return await self._again(lambda: self._inner.list_page(prefix, delimiter, token, max_keys))

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        """See ObjectStore."""
        upload = await self._again(lambda: self._inner.create_upload(object_key, metadata))
        self._uploads[upload.upload_id] = metadata
        return upload

    async def put_part(self, upload: Upload, part_number: int, body: bytes) -> PartReceipt:
        """See ObjectStore."""
        return await self._again(lambda: self._inner.put_part(upload, part_number, body), self._patience(len(body)))

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        """See ObjectStore."""
        return await self._again(lambda: self._inner.copy_part(upload, part_number, source, byte_range))

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore."""
        size, metadata = sum(part.size for part in parts), self._uploads.get(upload.upload_id, {})
        version = await self._upload(
            lambda: self._inner.complete_upload(upload, parts, condition), upload.object_key, size, metadata
        )
        self._uploads.pop(upload.upload_id, None)
        return version

    async def abort_upload(self, upload: Upload) -> None:
        """See ObjectStore."""
        self._uploads.pop(upload.upload_id, None)
        await self._again(lambda: self._inner.abort_upload(upload))

    async def _upload(
        self,
        attempt: Callable[[], Awaitable[ObjectVersion]],
        object_key: ObjectKey,
        size: int,
        metadata: Mapping[str, str],
    ) -> ObjectVersion:
        """Try an upload; when a later attempt meets its own earlier success, that is the result."""
        attempts = 0

        async def counted() -> ObjectVersion:
            nonlocal attempts
            attempts += 1
            try:
                return await attempt()
            except (ObjectExistsError, ObjectChangedError, ObjectMissingError, StoreProtocolError):
                if attempts == 1:
                    raise
                own = await self._own_upload(object_key, size, metadata)
                if own is None:
                    raise
                return own

        return await self._again(counted, self._patience(size))

    async def _own_upload(self, object_key: ObjectKey, size: int, metadata: Mapping[str, str]) -> ObjectVersion | None:
        """The object that is there, if it is what an earlier attempt sent."""
        try:
            info = await self._inner.head(object_key)
        except ObjectMissingError:
            return None
        is_own = bool(metadata) and info.version.size == size and dict(info.metadata) == dict(metadata)
        return info.version if is_own else None

    def _patience(self, size: int) -> "_Patience":
        return _Patience(self._timeout_s, self._timeout_s + size / SLOWEST_BYTES_PER_S)

    async def _again(self, attempt: Callable[[], Awaitable[R]], patience: "_Patience | None" = None) -> R:
        patience = patience or self._patience(0)
        first: StoreError | None = None

        async def after_first() -> R:
            nonlocal first
            if first is not None:
                error, first = first, None
                raise error
            return await attempt()

        with trio.move_on_at(patience.deadline):
            try:
                return await attempt()  # the machinery of retries costs more than all else here, and is hardly ever needed
            except StoreError as error:
                if not error.transient:
                    raise
                first = error
            return await _retrying(patience)(after_first)
        message = f"the server did not do it within {patience.allowed_s:.0f} s; see whether it can be reached"
        raise StoreUnreachableError(message)


class _Patience:
    """How long one call may go on failing. Owns: when it heard from the server last.

    A server that is heard of gets time for the bytes, one that is silent does not.
    """

    def __init__(self, silent_s: float, allowed_s: float) -> None:
        """Begin now.

        Args:
            silent_s: without a sign of life.
            allowed_s: in all.
        """
        self.allowed_s: Final = allowed_s
        self.deadline: Final = trio.current_time() + allowed_s
        self._silent_s = silent_s
        self._heard_at = trio.current_time()

    def note_answer(self) -> None:
        """The server does something."""
        self._heard_at = trio.current_time()

    def stop(self, state: RetryCallState) -> bool:
        """Tell whether the next pause would take too long, by the loop's clock."""
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, StoreBusyError):
            self.note_answer()
        return trio.current_time() + state.upcoming_sleep >= min(self.deadline, self._heard_at + self._silent_s)


def _retrying(patience: _Patience) -> AsyncRetrying:
    return AsyncRetrying(
        sleep=trio.sleep,
        stop=patience.stop,
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        retry=retry_if_exception(_is_transient),
        reraise=True,
    )
