"""A MemoryStore in which things happen: failures for chosen objects, other clients in between; it counts what is in flight."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.memory_store import MemoryStore

from ssecfs.s3.types import Always, ListPage, ObjectInfo, ObjectKey, ObjectVersion, PutCondition

Hook = Callable[[ObjectKey], Awaitable[None]]


@dataclass
class StrangeStore(MemoryStore):
    """A store with hooks.

    Attributes:
        hooks: by operation (head, put, copy, copied, delete, list, listed), called with an object key: for copies that of the
            source, for listings the prefix. "copied" and "listed" come after the operation, the others before. What a hook
            raises, the operation raises.
        most_in_flight: HEADs and copies at the same time, at most so far.
    """

    hooks: dict[str, Hook] = field(default_factory=dict)
    most_in_flight: int = 0
    _in_flight: int = 0

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        with self._flight():
            await self._happen("head", object_key)
            return await super().head(object_key)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        await self._happen("put", object_key)
        return await super().put(object_key, body, metadata, condition)

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        with self._flight():
            await self._happen("copy", source.object_key)
            version = await super().copy(source, target, metadata, condition)
            await self._happen("copied", source.object_key)
            return version

    async def delete(self, object_key: ObjectKey) -> None:
        await self._happen("delete", object_key)
        await super().delete(object_key)

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        for object_key in object_keys:
            await self._happen("delete", object_key)
        await super().delete_many(object_keys)

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        await self._happen("list", ObjectKey(prefix))
        page = await super().list_page(prefix, delimiter, token, max_keys)
        await self._happen("listed", ObjectKey(prefix))
        return page

    async def by_another(self, object_key: str, body: bytes | None) -> None:
        """Another client stores an object, or deletes it (None)."""
        operations = self.operations.copy()
        if body is None:
            await MemoryStore.delete(self, ObjectKey(object_key))
        else:
            await MemoryStore.put(self, ObjectKey(object_key), body, {}, Always())
        self.operations = operations

    def bodies(self, prefix: str = "") -> dict[str, bytes]:
        """The objects below a prefix, by the rest of their keys, without our own hidden ones."""
        found = {key.removeprefix(prefix): stored.body for key, stored in self.objects.items() if key.startswith(prefix)}
        return {key: body for key, body in found.items() if not key.startswith(".ssecfs/")}

    async def _happen(self, operation: str, object_key: ObjectKey) -> None:
        hook = self.hooks.get(operation)
        if hook is not None:
            await hook(object_key)

    @contextmanager
    def _flight(self) -> Iterator[None]:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1


def refuse(*object_keys: str, error: Exception) -> Hook:
    """A hook that fails for some objects."""

    async def hook(object_key: ObjectKey) -> None:
        if object_key in object_keys:
            raise error

    return hook


def once(object_key: str, action: Callable[[], Awaitable[None]]) -> Hook:
    """A hook that does something at the first time that an object's turn comes."""
    done: list[ObjectKey] = []

    async def hook(turn: ObjectKey) -> None:
        if turn == object_key and not done:
            done.append(turn)
            await action()

    return hook
