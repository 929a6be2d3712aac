"""A store in memory that fails when it is told to: before it does anything, or when all is done and only the answer is lost."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from support.strangestore import StrangeStore

from ssecfs.s3.store import Sink
from ssecfs.s3.types import ByteRange, ListPage, ObjectInfo, ObjectKey, ObjectVersion, PutCondition

R = TypeVar("R")


@dataclass
class Failure:
    """What is to fail.

    Attributes:
        operation: the verb of the store.
        error: of the endpoint; or a bug.
        times: how many calls of it.
        is_done: what was asked for is done all the same.
    """

    operation: str
    error: type[Exception]
    times: int = 1
    is_done: bool = False


class FailingStore(StrangeStore):
    """A store with at most one kind of failure at a time."""

    failure: Failure | None = None

    async def _call(self, operation: str, call: Callable[[], Awaitable[R]]) -> R:
        failure = self.failure
        if failure is None or failure.operation != operation or not failure.times:
            return await call()
        failure.times -= 1
        if failure.is_done:
            await call()
        raise failure.error

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        return await self._call("head", functools.partial(super().head, object_key))

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        return await self._call("get", functools.partial(super().get, version, byte_range, sink))

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._call("put", functools.partial(super().put, object_key, body, metadata, condition))

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._call("copy", functools.partial(super().copy, source, target, metadata, condition))

    async def delete(self, object_key: ObjectKey) -> None:
        await self._call("delete", functools.partial(super().delete, object_key))

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        await self._call("delete_many", functools.partial(super().delete_many, object_keys))

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        return await self._call("list_page", functools.partial(super().list_page, prefix, delimiter, token, max_keys))
