"""How long a call goes on failing: with a silent server for the timeout, with one that is heard of for its bytes' time."""

from collections.abc import Mapping

import pytest
import trio
import trio.testing
from support.memory_store import MemoryStore

from ssecfs.errors import StoreBusyError, StoreError, StoreUnreachableError
from ssecfs.s3.retry import RetryingStore
from ssecfs.s3.store import Sink
from ssecfs.s3.types import Always, ByteRange, ObjectInfo, ObjectKey, ObjectVersion, PutCondition
from ssecfs.sizes import MIB

A = ObjectKey("a")
TIMEOUT_S = 60
PAUSE_S = 50
BODY = bytes(8 * MIB)


class SlowStore(MemoryStore):
    """Lets everybody wait, and fails then; of a body it delivers 1 MiB before that."""

    error: type[StoreError] = StoreUnreachableError
    pause_s: float = TIMEOUT_S
    is_silent: bool = False

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        await trio.sleep(self.pause_s)
        raise self.error

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        await trio.sleep(self.pause_s)
        if self.is_silent:
            raise self.error
        piece = ByteRange(byte_range.start, min(byte_range.start + MIB, byte_range.stop))
        info = await super().get(version, piece, sink)
        if piece.stop < byte_range.stop:
            raise self.error
        return info


@pytest.fixture
def inner() -> SlowStore:
    return SlowStore()


@pytest.fixture
def store(inner: SlowStore) -> RetryingStore:
    return RetryingStore(inner, TIMEOUT_S)


async def put_in_vain(store: RetryingStore, error: type[StoreError]) -> float:
    """How long it takes to be told."""
    began = trio.current_time()
    with pytest.raises(error):
        await store.put(A, BODY, {}, Always())
    return trio.current_time() - began


async def test_large_upload_to_a_silent_server_fails_after_the_timeout(
    store: RetryingStore, autojump_clock: trio.testing.MockClock
) -> None:
    assert await put_in_vain(store, StoreUnreachableError) == TIMEOUT_S


async def test_large_upload_to_a_busy_server_has_time_for_its_bytes(
    inner: SlowStore, store: RetryingStore, autojump_clock: trio.testing.MockClock
) -> None:
    inner.error, inner.pause_s = StoreBusyError, PAUSE_S
    assert await put_in_vain(store, StoreError) > 2 * TIMEOUT_S


async def test_download_that_goes_on_piece_by_piece_is_not_given_up(
    inner: SlowStore, store: RetryingStore, autojump_clock: trio.testing.MockClock
) -> None:
    version = await MemoryStore.put(inner, A, BODY, {}, Always())
    inner.pause_s = 20
    pieces: list[bytes] = []
    await store.get(version, ByteRange(0, len(BODY)), pieces.append)
    assert b"".join(pieces) == BODY


async def test_download_from_a_server_that_fell_silent_fails_after_the_timeout(
    inner: SlowStore, store: RetryingStore, autojump_clock: trio.testing.MockClock
) -> None:
    version = await MemoryStore.put(inner, A, BODY, {}, Always())
    began = trio.current_time()
    with pytest.raises(StoreUnreachableError):
        await store.get(version, ByteRange(0, len(BODY)), lambda _: setattr(inner, "is_silent", True))
    assert trio.current_time() - began == pytest.approx(2 * TIMEOUT_S, abs=1)
