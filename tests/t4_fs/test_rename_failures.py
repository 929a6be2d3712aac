"""Renames in which one request fails, each one in turn: nothing is lost, and the mount can go on."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from support.fsrig import FsRig, fs_mount
from support.strangestore import StrangeStore

from ssecfs.errors import StoreBusyError
from ssecfs.s3.types import ListPage, ObjectInfo, ObjectKey, ObjectVersion, PutCondition

R = TypeVar("R")

FILES = {"a": b"1" * 10, "sub/b": b"2" * 200_000, "sub/c": b"", "d": b"4"}


@dataclass
class FailingStore(StrangeStore):
    """A store whose n-th request from now on fails, before or after it is done.

    Attributes:
        countdown: requests until then; negative: none fails.
        is_done: whether the failing request was carried out.
    """

    countdown: int = -1
    is_done: bool = False

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        return await self._maybe(lambda: super(FailingStore, self).head(object_key))

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._maybe(lambda: super(FailingStore, self).put(object_key, body, metadata, condition))

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        return await self._maybe(lambda: super(FailingStore, self).copy(source, target, metadata, condition))

    async def delete(self, object_key: ObjectKey) -> None:
        await self._maybe(lambda: super(FailingStore, self).delete(object_key))

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        await self._maybe(lambda: super(FailingStore, self).delete_many(object_keys))

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        return await self._maybe(lambda: super(FailingStore, self).list_page(prefix, delimiter, token, max_keys))

    async def _maybe(self, request: Callable[[], Awaitable[R]]) -> R:
        self.countdown -= 1
        if self.countdown != 0:
            return await request()
        if self.is_done:
            await request()
        message = "no answer"
        raise StoreBusyError(message)


async def attempt(rig: FsRig, store: FailingStore, countdown: int, rename: Callable[[], Awaitable[None]]) -> bool:
    """Rename with one failing request; tells whether it succeeded."""
    store.countdown = countdown
    try:
        await rename()
    except StoreBusyError:
        return False
    finally:
        store.countdown = -1
    return True


@pytest.mark.parametrize("is_done", [False, True])
async def test_directory_is_complete_under_one_of_its_names_whatever_fails(tmp_path: Path, is_done: bool) -> None:
    succeeded = False
    countdown = 0
    while not succeeded:
        countdown += 1
        store = FailingStore(is_done=is_done)
        async with fs_mount(store, tmp_path / f"cache {countdown}") as rig:
            for folder in ("old", "old/sub"):
                await rig.mkdir(folder)
            for name, content in FILES.items():
                await rig.write(f"old/{name}", 0, content, os.O_CREAT)
            fh = await rig.open("old/sub/b", os.O_RDWR)
            await rig.fs.files.write(fh, 0, b"new")
            succeeded = await attempt(rig, store, countdown, lambda: rig.rename("old", "new"))
            await rig.close(fh)
            expected = FILES | {"sub/b": b"new" + FILES["sub/b"][3:]}
            places = [{name: store.bodies(f"{top}/").get(name) for name in FILES} for top in ("old", "new")]
            assert expected in places, f"request {countdown}"
            top = "new" if places[1] == expected else "old"
            assert {name: await rig.read(f"{top}/{name}") for name in FILES} == expected
            if top == "new":
                assert all(content in {None, FILES[name]} for name, content in places[0].items())
    assert countdown == 10  # after nine requests that can fail
    assert places[0] == dict.fromkeys(FILES)


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("is_dirty", [False, True])
@pytest.mark.parametrize("has_target", [False, True])
async def test_file_is_under_one_of_its_names_whatever_fails(
    tmp_path: Path, is_done: bool, is_dirty: bool, has_target: bool
) -> None:
    succeeded = False
    countdown = 0
    while not succeeded:
        countdown += 1
        store = FailingStore(is_done=is_done)
        async with fs_mount(store, tmp_path / f"cache {countdown}") as rig:
            await rig.write("old", 0, b"content", os.O_CREAT)
            if has_target:
                await rig.write("new", 0, b"replaced", os.O_CREAT)
            fh = await rig.open("old", os.O_RDWR)
            if is_dirty:
                await rig.fs.files.write(fh, 0, b"CON")
            succeeded = await attempt(rig, store, countdown, lambda: rig.rename("old", "new"))
            await rig.close(fh)
            await rig.flush()
            expected = b"CONtent" if is_dirty else b"content"
            assert expected in store.bodies().values(), f"request {countdown}"
            if not succeeded and has_target:
                assert store.bodies().get("new") in {expected, b"replaced"}
    assert countdown > 2
    assert store.bodies() == {"new": expected}


@pytest.mark.parametrize("is_done", [False, True])
async def test_removal_that_fails_can_be_tried_again(tmp_path: Path, is_done: bool) -> None:
    for countdown in range(1, 5):
        store = FailingStore(is_done=is_done)
        await store.by_another("top/implicit/file", b"x")
        async with fs_mount(store, tmp_path / f"cache {countdown}") as rig:
            await rig.listdir("top/implicit")
            inode = await rig.walk("top/implicit/file")
            first = await attempt(rig, store, countdown, lambda inode=inode: rig.fs.removal.unlink(inode))
            if not first:
                await rig.fs.removal.unlink(inode)
            await rig.rmdir("top/implicit")
            await rig.rmdir("top")
            await rig.flush()
        assert store.bodies() == {}
