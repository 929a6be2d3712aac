"""What tests of write-back and recovery share: a mount that closes locally, under a clock that stands still."""

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import trio
import trio.testing
from support.fsrig import End, FsRig, fs_mount
from support.memory_store import MemoryStore

from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.s3.types import ObjectKey, ObjectVersion, PutCondition
from ssecfs.sizes import GIB

WRITE_BACK = WriteBack(Durability.JOURNAL, GIB)


@dataclass
class WatchedStore(MemoryStore):
    """A store that tells when it is asked to store something."""

    has_put: trio.Event = field(default_factory=trio.Event)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        self.has_put.set()
        return await super().put(object_key, body, metadata, condition)


async def pass_time(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let the tasks do what is due by then."""
    await trio.testing.wait_all_tasks_blocked()  # they have to be waiting for it
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


def behind(store: WatchedStore, folder: Path, end: End = End.UNMOUNTED) -> AbstractAsyncContextManager[FsRig]:
    return fs_mount(store, folder, write_back=WRITE_BACK, end=end)


async def write(rig: FsRig, path: str, content: bytes) -> None:
    await rig.write(path, 0, content, os.O_CREAT | os.O_TRUNC)


def bodies(store: WatchedStore) -> dict[str, bytes]:
    return {object_key: stored.body for object_key, stored in store.objects.items()}
