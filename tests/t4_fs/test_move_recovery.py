"""Renames of directories that end with the daemon, at each request in turn: the next mount undoes or completes them."""

import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from support.cacherig import NAMESPACE
from support.fsrig import KEYRING, End, fs_mount
from support.strangestore import StrangeStore

from ssecfs.cache.directory import open_cache_directory
from ssecfs.cache.journal import Journal
from ssecfs.cache.records import MoveRecord, Step
from ssecfs.errors import StoreBusyError
from ssecfs.s3.types import Always, ListPage, ObjectInfo, ObjectKey, ObjectVersion, PutCondition

R = TypeVar("R")

FILES = {"a": b"1" * 10, "sub/b": b"2" * 200_000, "sub/c": b"", "d": b"4"}


@dataclass
class DyingStore(StrangeStore):
    """A store behind which the daemon dies at the n-th request from now on: that one, and all others, never come back.

    Attributes:
        countdown: requests until then; negative: none.
        is_done: whether the last request was carried out.
        folder: the cache directory; left_behind is a copy of it as it was when the daemon died.
    """

    countdown: int = -1
    is_done: bool = False
    has_died: bool = False
    folder: Path = Path()
    left_behind: Path = Path()

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        return await self._maybe(lambda: super(DyingStore, self).head(object_key))

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._maybe(lambda: super(DyingStore, self).put(object_key, body, metadata, condition))

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._maybe(lambda: super(DyingStore, self).copy(source, target, metadata, condition))

    async def delete(self, object_key: ObjectKey) -> None:
        await self._maybe(lambda: super(DyingStore, self).delete(object_key))

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        await self._maybe(lambda: super(DyingStore, self).delete_many(object_keys))

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        return await self._maybe(lambda: super(DyingStore, self).list_page(prefix, delimiter, token, max_keys))

    async def _maybe(self, request: Callable[[], Awaitable[R]]) -> R:
        self.countdown -= 1
        if self.countdown == 0:
            if self.is_done:
                await request()
            self.has_died = True
            shutil.copytree(self.folder, self.left_behind)
        if self.has_died:
            raise StoreBusyError
        return await request()


async def rename_and_die(store: DyingStore, folder: Path, countdown: int, *, has_target: bool = False) -> bool:
    """Rename a directory with a daemon that dies at a request; tells whether it did. The store serves the next mount."""
    store.folder, store.left_behind = folder / "before", folder / "after"
    async with fs_mount(store, store.folder, end=End.KILLED) as rig:
        for name in ("old", "old/sub", *(["new"] if has_target else [])):
            await rig.mkdir(name)
        for name, content in FILES.items():
            await store.by_another(f"old/{name}", content)
        store.countdown = countdown
        with suppress(StoreBusyError):
            await rig.rename("old", "new")
    has_died, store.countdown, store.has_died = store.has_died, -1, False
    return has_died


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("has_target", [False, True])
async def test_interrupted_rename_is_undone_or_completed_never_half(tmp_path: Path, is_done: bool, has_target: bool) -> None:
    countdown, seen = 1, set()
    while await rename_and_die(
        store := DyingStore(is_done=is_done), folder := tmp_path / str(countdown), countdown, has_target=has_target
    ):
        async with fs_mount(store, folder / "after") as rig:
            places = [
                {name: content for name, content in store.bodies(f"{top}/").items() if name in FILES} for top in ("old", "new")
            ]
            assert places in ([FILES, {}], [{}, FILES]), f"request {countdown}"
            top, other = ("old", "new") if places[0] else ("new", "old")
            assert {name: await rig.read(f"{top}/{name}") for name in FILES} == FILES
            assert await rig.listdir("") == sorted({top, other} if has_target and top == "old" else {top})
            seen.add(top)
        assert not journalled_moves(folder / "after")
        countdown += 1
    assert (seen, countdown > 8) == ({"old", "new"}, True)


async def test_objects_that_others_stored_meanwhile_are_left_alone(tmp_path: Path) -> None:
    """Somebody stores under both names while our machine is down: not ours to remove."""
    countdown = 1
    while await rename_and_die(store := DyingStore(), folder := tmp_path / str(countdown), countdown):
        await store.by_another("old/a", b"changed after")
        await store.by_another("new/theirs", b"theirs")
        async with fs_mount(store, folder / "after"):
            pass
        assert store.bodies("old/")["a"] == b"changed after"
        assert store.bodies("new/")["theirs"] == b"theirs"
        kept = [store.bodies("old/"), store.bodies("new/")]
        assert all(content in [bodies.get(name) for bodies in kept] for name, content in FILES.items() if name != "a")
        countdown += 1


async def test_equal_object_that_is_newer_than_the_rename_is_left_alone(tmp_path: Path) -> None:
    """After a crash in the second half somebody copied everything back, with all attributes."""
    now, countdown, looked = [1_700_000_000], 1, 0
    while await rename_and_die(store := DyingStore(clock=lambda: now[0]), folder := tmp_path / str(countdown), countdown):
        countdown += 1
        if [move.step for move in journalled_moves(folder / "after")] != [Step.DELETING]:
            continue
        now[0] += 3600
        for name in FILES:
            twin = store.objects[ObjectKey(f"new/{name}")]
            await store.put(ObjectKey(f"old/{name}"), twin.body, twin.metadata, Always())
        async with fs_mount(store, folder / "after"):
            pass
        assert {name: store.bodies("old/")[name] for name in FILES} == FILES
        looked += 1
    assert looked


def journalled_moves(cache_folder: Path) -> list[MoveRecord]:
    """The renames under way that the journal of a cache directory has."""
    with open_cache_directory(cache_folder, NAMESPACE, KEYRING) as directory:
        journal = Journal(directory.journal, directory.keys.records, directory.namespace_id)
        try:
            return list(journal.load_moves().values())
        finally:
            journal.close()
