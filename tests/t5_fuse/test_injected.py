"""A bug in any handler is EIO for the program that met it and one traceback in the log; the mount lives on.

Each handler is met by a system call. Where the kernel does not wait for an answer (forget, release, releasedir) nobody gets it.
A bug in a task of the background ends neither the mount nor the task, if others need it.
"""

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing
from support.failing_store import FailingStore, Failure
from support.injected import HANDLERS, Bench, InjectedError, bench, tracebacks
from support.strangestore import StrangeStore

from ssecfs.app.control import Answer, ControlClient, control_socket_path, prepare_folder, serve_control
from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.s3.types import ObjectKey
from ssecfs.sizes import MIB
from ssecfs.threads import run_in

pytestmark = pytest.mark.mount

FOLDER = os.O_RDONLY | os.O_DIRECTORY


@dataclass(frozen=True)
class Meeting:
    """A system call that comes to a handler.

    Attributes:
        call: gets the mount point, and a descriptor.
        name: what the descriptor is of.
        flags: with which it is opened.
        result: what the program gets.
    """

    call: Callable[[Path, int], object]
    name: str = "file"
    flags: int = os.O_RDWR
    result: object = "EIO"


MEETINGS = {
    "access": Meeting(lambda place, _: os.access(place / "file", os.R_OK), result=True),
    "create": Meeting(lambda place, _: os.open(place / "new", os.O_CREAT | os.O_WRONLY)),
    "flush": Meeting(lambda _, file: os.close(file)),
    "forget": Meeting(lambda *_: None, result=None),
    "fsync": Meeting(lambda _, file: os.fsync(file)),
    "fsyncdir": Meeting(lambda _, folder: os.fsync(folder), "folder", FOLDER),
    "getattr": Meeting(lambda _, file: os.fstat(file)),
    "getxattr": Meeting(lambda place, _: os.getxattr(place / "file", "user.a")),
    "link": Meeting(lambda place, _: (place / "new").hardlink_to(place / "file"), result="EPERM"),
    "listxattr": Meeting(lambda place, _: os.listxattr(place / "file")),
    "lookup": Meeting(lambda place, _: (place / "new").stat()),
    "mkdir": Meeting(lambda place, _: (place / "new").mkdir()),
    "mknod": Meeting(lambda place, _: os.mkfifo(place / "new")),
    "open": Meeting(lambda place, _: os.open(place / "file", os.O_RDONLY)),
    "opendir": Meeting(lambda place, _: os.open(place / "folder", FOLDER)),
    "read": Meeting(lambda _, file: os.pread(file, 10, 0), flags=os.O_RDWR | os.O_DIRECT),  # else the kernel asks twice
    "readdir": Meeting(lambda _, folder: [*os.scandir(folder)], "folder", FOLDER),
    "readlink": Meeting(lambda place, _: (place / "symlink").readlink()),
    "release": Meeting(lambda _, file: os.close(file), result=None),
    "releasedir": Meeting(lambda _, folder: os.close(folder), "folder", FOLDER, result=None),
    "removexattr": Meeting(lambda place, _: os.removexattr(place / "file", "user.a")),
    "rename": Meeting(lambda place, _: (place / "file").rename(place / "new")),
    "rmdir": Meeting(lambda place, _: (place / "folder").rmdir()),
    "setattr": Meeting(lambda place, _: (place / "file").chmod(0o600)),
    "setxattr": Meeting(lambda place, _: os.setxattr(place / "file", "user.a", b"1")),
    "statfs": Meeting(lambda place, _: os.statvfs(place)),
    "symlink": Meeting(lambda place, _: (place / "new").symlink_to("file")),
    "unlink": Meeting(lambda place, _: (place / "file").unlink()),
    "write": Meeting(lambda _, file: os.pwrite(file, b"x", 0)),
}

CANNOT_FAIL = {"access", "link"}
"""They use nothing of the floor below; the kernel answers access(2) itself."""

CLOSING = {"flush", "release", "releasedir"}
UNANSWERED = {"forget", "release", "releasedir"}


def test_each_handler_is_met() -> None:
    assert sorted(MEETINGS) == HANDLERS


async def furnished(store: StrangeStore, mount: Bench) -> None:
    """Put a file, a folder with a file, and a link there, which the kernel has not read yet."""
    await store.by_another("file", b"content of the file")
    await store.by_another("folder/", b"")
    await store.by_another("folder/inside", b"inside")
    assert await mount.call(os.symlink, "file", mount.path / "symlink") is None


@pytest.mark.parametrize("name", HANDLERS)
async def test_bug_in_a_handler_is_eio_and_one_traceback_and_the_mount_lives_on(
    name: str, tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meeting = MEETINGS[name]
    store = StrangeStore()
    async with bench(tmp_path, store) as mount:
        await furnished(store, mount)
        file = await mount.call(os.open, mount.path / meeting.name, meeting.flags)
        mount.bug.handler = name
        result = await mount.call(meeting.call, mount.path, file)
        if name == "forget":
            await mount.forget()
        if name in UNANSWERED:
            await mount.bug.struck.wait()
        mount.bug.handler = ""
        assert result == meeting.result
        expected = [] if name in CANNOT_FAIL else [f"{name} failed unexpectedly; the program gets EIO"]
        assert tracebacks(caplog.records) == expected
        if name not in CLOSING:
            await mount.call(os.close, file)
        await alive(mount)


async def alive(mount: Bench) -> None:
    """Insist on a mount that does everything."""
    assert await mount.call(os.listdir, mount.path / "folder") == ["inside"]
    assert await mount.call((mount.path / "after").write_bytes, b"after") == 5
    assert await mount.call((mount.path / "after").read_bytes) == b"after"
    assert await mount.call((mount.path / "folder" / "inside").read_bytes) == b"inside"
    assert await mount.call(os.unlink, mount.path / "after") is None


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("head", lambda place: (place / "file").stat()),
        ("list_page", lambda place: (place / "folder" / "inside").stat()),
        ("get", lambda place: (place / "file").read_bytes()),
    ],
)
async def test_bug_in_a_task_that_asks_the_server_is_eio_for_those_who_wait_for_it(
    operation: str, call: Callable[[Path], object], tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore()
    async with bench(tmp_path, store) as mount:
        await furnished(store, mount)
        store.failure = Failure(operation, InjectedError, times=100)
        assert await mount.call(call, mount.path) == "EIO"
        store.failure = None
        assert len(set(tracebacks(caplog.records))) == 1  # the kernel may ask for content twice
        await alive(mount)


async def test_bug_in_what_is_asked_in_advance_is_met_by_nobody(tmp_path: Path, fuse_device: Path) -> None:
    store = FailingStore()
    async with bench(tmp_path, store, ttl_s=60.0) as mount:
        await furnished(store, mount)
        for number in range(20):
            await store.by_another(f"folder/{number:02}", b"small")
        assert await mount.call((mount.path / "folder" / "00").stat) != "EIO"
        store.failure = Failure("head", InjectedError, times=5)
        results = [await mount.call((mount.path / "folder" / f"{number:02}").stat) for number in range(1, 20)]
        assert store.failure.times == 0
        assert results.count("EIO") < 5
        assert await mount.call((mount.path / "folder" / "19").read_bytes) == b"small"


async def test_bug_while_saving_in_the_background_is_logged_and_saving_tried_again(
    tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, saved = FailingStore(), trio.Event()

    async def note_saved(_: ObjectKey) -> None:
        saved.set()

    async with bench(tmp_path, store) as mount:
        await furnished(store, mount)
        store.hooks["copied"] = note_saved
        store.failure = Failure("copy", InjectedError)
        assert await mount.call((mount.path / "file").chmod, 0o600) is None
        with trio.fail_after(10):
            await saved.wait()
        (first,) = tracebacks(caplog.records)
        assert first.endswith("cannot be saved")
        await alive(mount)
    assert store.objects[ObjectKey("file")].metadata["mode"] == str(stat.S_IFREG | 0o600)


async def test_bug_while_a_file_is_saved_is_eio_for_its_close_and_its_content_is_saved_later(
    tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, saved = FailingStore(), trio.Event()

    async def note_third(_: ObjectKey) -> None:
        saved.set()

    async with bench(tmp_path, store) as mount:
        await furnished(store, mount)
        store.hooks["put"] = note_third  # which does not fail
        store.failure = Failure("put", InjectedError, times=2)  # by the close, and in the background
        assert await mount.call((mount.path / "file").write_bytes, b"new content") == "EIO"
        assert await mount.call((mount.path / "file").read_bytes) == b"new content"
        with trio.fail_after(10):
            await saved.wait()
        assert tracebacks(caplog.records)[0].startswith("flush failed unexpectedly")
        assert [message.endswith("cannot be saved") for message in tracebacks(caplog.records)] == [False, True]
        await alive(mount)


async def test_bug_while_a_file_is_read_ahead_is_met_by_nobody(
    tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, content = FailingStore(), bytes(place % 251 for place in range(4 * MIB))
    async with bench(tmp_path, store) as mount:
        await store.by_another("long", content)
        file = await mount.call(os.open, mount.path / "long", os.O_RDONLY | os.O_DIRECT)
        pieces = [await mount.call(os.pread, file, BLOCK_SIZE, 0)]
        store.failure = Failure("get", InjectedError)
        pieces += [await mount.call(os.pread, file, BLOCK_SIZE, start) for start in range(BLOCK_SIZE, len(content), BLOCK_SIZE)]
        await mount.call(os.close, file)
    assert store.failure.times == 0
    assert pieces == [content[start : start + BLOCK_SIZE] for start in range(0, len(content), BLOCK_SIZE)]
    assert tracebacks(caplog.records) == []


async def test_bug_while_directories_are_listed_in_advance_is_met_by_nobody(
    tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture, mock_clock: trio.testing.MockClock
) -> None:
    store, ttl_s = StrangeStore(), 60
    names = [f"folder-{number}" for number in range(8)]
    struck: list[ObjectKey] = []

    async def strike_once_each(prefix: ObjectKey) -> None:
        if prefix > "folder-1/" and prefix not in struck:
            struck.append(prefix)
            raise InjectedError

    async with bench(tmp_path, store, ttl_s) as mount:
        for name in names:
            await store.by_another(f"{name}/", b"")
            await store.by_another(f"{name}/inside", b"inside")
        for is_known in (False, True):  # of directories that are known already, the content is listed in advance
            if is_known:
                await mount.forget()
                mock_clock.jump(ttl_s)
                store.hooks["list"] = strike_once_each
            assert sorted(await mount.call(os.listdir, mount.path)) == names
            assert [await mount.call(os.listdir, mount.path / name) for name in names] == [["inside"]] * len(names)
    assert sorted(struck) == [f"{name}/" for name in names[2:]]
    assert tracebacks(caplog.records) == []


async def test_bug_behind_the_control_socket_is_an_answer_and_the_next_question_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def status(_: str) -> Answer:
        raise InjectedError

    async def flush(_: str) -> Answer:
        return {}

    def ask(question: str) -> Answer:
        with ControlClient(tmp_path) as control:
            return control.ask(question, 10)

    socket_path, limiter = control_socket_path(tmp_path), trio.CapacityLimiter(1)
    prepare_folder(socket_path)
    with ExitStack() as end:
        end.callback(socket_path.unlink)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_control, socket_path, {"status": status, "flush": flush}, end)
            assert await run_in(limiter, ask, "status") == {"error": "the daemon failed unexpectedly; see its log"}
            assert len(tracebacks(caplog.records)) == 1
            assert await run_in(limiter, ask, "flush") == {}
            nursery.cancel_scope.cancel()
