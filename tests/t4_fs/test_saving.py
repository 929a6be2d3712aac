"""When what changed reaches the server by itself: a moment later, together, and again and again where it cannot."""

import itertools
import os
from pathlib import Path

import pytest
import trio
import trio.testing
from support.fsrig import fs_mount
from support.strangestore import StrangeStore, refuse

from ssecfs.errors import SsecfsError, StoreUnreachableError
from ssecfs.fs.attributes import AttrChange


async def test_attributes_and_a_truncation_by_path_are_saved_together_after_half_a_second(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    store = StrangeStore()
    async with fs_mount(store, tmp_path / "cache") as rig:
        await rig.write("file", 0, b"content", os.O_CREAT)
        store.operations.clear()
        await rig.chmod("file", 0o600)
        await rig.fs.attributes.change(await rig.walk("file"), AttrChange(uid=5, mtime_ns=1))
        await trio.sleep(0.4)
        assert store.operations == {}
        await trio.sleep(0.2)
        assert store.operations == {"copy": 1}
        store.operations.clear()
        await rig.truncate("file", 3)
        await rig.chmod("file", 0o640)
        await trio.sleep(0.4)
        assert store.operations == {}
        await trio.sleep(0.2)
        assert (store.operations, store.bodies()) == ({"put": 1}, {"file": b"con"})
        assert rig.saver.waiting == 0


async def test_what_could_not_be_saved_stays_readable_and_is_tried_until_it_is_saved(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    store = StrangeStore()
    tries: list[float] = []

    async def fail(object_key: str) -> None:
        tries.append(trio.current_time())
        if len(tries) < 10:
            message = "the server is gone"
            raise StoreUnreachableError(message)

    async with fs_mount(store, tmp_path / "cache") as rig:
        store.hooks["put"] = fail
        with pytest.raises(StoreUnreachableError):
            await rig.write("file", 0, b"content", os.O_CREAT)
        assert (rig.saver.waiting, rig.progress.last_error) == (1, "the server is gone")
        assert (rig.progress.is_failing, rig.progress.saved_s) == (True, 0.0)
        while rig.saver.waiting:
            assert await rig.read("file") == b"content"
            await trio.sleep(1)
        assert store.bodies() == {"file": b"content"}
        assert (rig.progress.is_failing, rig.saver.failing, rig.progress.saved_s >= rig.progress.failed_s > 0) == (
            False,
            0,
            True,
        )
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert [round(pause) for pause in pauses[1:]] == [1, 2, 5, 10, 30, 30, 30, 30]


async def test_bug_met_with_one_file_keeps_no_other_from_being_saved(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = StrangeStore()
    async with fs_mount(store, tmp_path / "cache") as rig:
        for name in ("one", "other", "third"):
            await rig.write(name, 0, b"content", os.O_CREAT)
            await rig.chmod(name, 0o600)
        store.hooks["copy"] = refuse("one", error=RuntimeError("a bug"))
        with pytest.raises(SsecfsError, match="because of a bug"):
            await rig.flush()
        modes = {name: int(stored.metadata["mode"]) & 0o777 for name, stored in store.objects.items()}
        assert modes == {"one": 0o644, "other": 0o600, "third": 0o600}
        assert [record.exc_info is not None for record in caplog.records] == [True]
        del store.hooks["copy"]
