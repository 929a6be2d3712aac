"""A server that is gone or hangs: calls fail within --timeout, programs can be interrupted, and all goes on when it is back."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.budgets import flush, status
from support.faulty import clean_log, complaint, hanging
from support.mounts import Mounting, mounting, ssecfs
from support.programs import seen_afresh
from support.s3server import S3Server, s3_server
from support.syscalls import another_process, outcome, refused

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

TIMEOUT_S = 2
SLACK_S = 1.8
"""What a loaded machine may take on top, below a second turn of the timeout."""

UNSEEN = ("stat", "open", "readdir", "readlink")
SEEN = ("mkdir", "symlink", "unlink", "rename", "tree", "rmdir", "close", "fsync")
"""Directories, one for each call: in one and the same, the kernel lets changes wait for each other."""


@pytest.fixture
def server(tmp_path: Path, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server", "--profile", "aws") as running:
        yield running


@contextmanager
def killed(server: S3Server) -> Iterator[None]:
    """The server is not there for the time of the block, and a new one has its address afterwards until the test ends."""
    server.kill()
    yield
    address = urlsplit(server.url).netloc
    server.process = RESTARTED.enter_context(s3_server(server.directory, "--profile", "aws", listen=address)).process


RESTARTED = ExitStack()


@pytest.fixture
def restarted() -> Iterator[None]:
    """Ends the servers that were started again."""
    with RESTARTED:
        yield


Away = Callable[[S3Server], AbstractContextManager[None]]


@pytest.fixture(params=[hanging, killed], ids=["hanging", "killed"])
def away(request: pytest.FixtureRequest, restarted: None) -> Away:
    found: Away = request.param
    return found


@pytest.fixture(params=["", "--writeback"], ids=["close waits", "writeback"])
def mounted(
    server: S3Server, tmp_path: Path, keyfile: Path, restarted: None, request: pytest.FixtureRequest
) -> Iterator[Mounting]:
    """A mount that gives up soon."""
    options = ("--timeout", str(TIMEOUT_S), "--ttl", "60", *request.param.split())
    with mounting(server, tmp_path, keyfile, *options) as place:
        furnish(place, *options)
        yield place
        assert clean_log(place), place.log()


def furnish(mounted: Mounting, *options: str) -> None:
    """Have it know some names and the content of one file; of the rest only the server knows."""
    for name in ("read", "unread"):
        (mounted.path / name).write_bytes(name.encode() * MIB)
    for name in (*UNSEEN, *SEEN):
        (mounted.path / name).mkdir()
        (mounted.path / name / "inside").write_bytes(b"inside")
        (mounted.path / name / "inner").mkdir()
    (mounted.path / "readlink" / "link").symlink_to("target")
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount(*options)
    assert (mounted.path / "read").read_bytes() == b"read" * MIB
    assert (mounted.path / "unread").stat().st_size == 6 * MIB
    assert {path.name for name in SEEN for path in (mounted.path / name).iterdir()} == {"inside", "inner"}
    assert [(mounted.path / name / "inside").stat().st_size for name in SEEN] == [6] * len(SEEN)


def timed(call: Callable[[], object]) -> tuple[object, bool]:
    """What a call gives, and whether it was in time."""
    began = time.monotonic()
    result = outcome(call)
    return result, time.monotonic() - began < TIMEOUT_S + SLACK_S


def test_what_needs_the_server_fails_in_time_and_what_is_here_is_read(mounted: Mounting, away: Away) -> None:
    path = mounted.path
    large = os.open(path / "large", os.O_CREAT | os.O_RDWR)
    os.write(large, bytes(20 * MIB))
    calls: dict[str, Callable[[], object]] = {
        "stat": (path / "stat" / "unknown").stat,
        "open": partial(os.open, path / "open" / "inside", os.O_RDONLY),
        "readdir": partial(os.listdir, path / "readdir"),
        "read": (path / "unread").read_bytes,
        "mkdir": (path / "mkdir" / "new").mkdir,
        "symlink": partial((path / "symlink" / "link").symlink_to, "read"),
        "unlink": (path / "unlink" / "inside").unlink,
        "rename": partial((path / "rename" / "inside").rename, path / "rename" / "moved"),
        "rename of a directory": partial((path / "tree" / "inner").rename, path / "tree" / "moved"),
        "rmdir": (path / "rmdir" / "inner").rmdir,
        "readlink": (path / "readlink" / "link").readlink,
        "fsync": partial(os.fsync, large),
    }
    with away(mounted.server), ThreadPoolExecutor(len(calls)) as pool:
        results = dict(zip(calls, pool.map(timed, calls.values()), strict=True))
        assert (path / "read").read_bytes() == b"read" * MIB
        assert (path / "read").stat().st_size == 4 * MIB
    assert results["unlink"] in {("ETIMEDOUT", True), (None, True)}  # with write-back it follows later
    del calls["unlink"], results["unlink"]
    assert results == dict.fromkeys(calls, ("ETIMEDOUT", True))
    os.close(large)
    assert ((path / "unread").read_bytes(), (path / "large").stat().st_size) == (b"unread" * MIB, 20 * MIB)


def write(path: Path, content: bytes) -> int:
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(file, content)
    return file


@pytest.mark.parametrize("mounted", [""], indirect=True)
def test_failed_close_is_told_again_and_made_good_when_the_server_is_back(
    mounted: Mounting, away: Away, tmp_path: Path
) -> None:
    path = mounted.path
    first = write(path / "file", b"content")
    second = os.dup(first)
    with away(mounted.server):
        assert timed(lambda: os.close(first)) == ("ETIMEDOUT", True)
        assert timed(lambda: os.fsync(second)) == ("ETIMEDOUT", True)
        assert timed(lambda: os.close(second)) == ("ETIMEDOUT", True)
        assert (path / "file").read_bytes() == b"content"
        now = status(mounted)
        assert (now["unsaved"], now["dirty_bytes"], now["refused"], now["safe_files"]) == (1, 7, 0, 0)
        assert (now["failed"] >= 3, "failed" in now["last_error"]) == (True, True)
        assert complaint(mounted)[0] == 1
        done = ssecfs("umount", path, "--timeout", str(TIMEOUT_S + SLACK_S))
        assert (done.returncode, "stays mounted" in done.stderr) == (1, True)
    assert ssecfs("flush", path).returncode == 0
    assert (complaint(mounted)[0], status(mounted)["unsaved"]) == (0, 0)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert (afresh.path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("mounted", ["--writeback"], indirect=True)
def test_write_back_closes_without_a_server_and_uploads_when_it_is_back(mounted: Mounting, away: Away, tmp_path: Path) -> None:
    path = mounted.path
    with away(mounted.server):
        began = time.monotonic()
        for number in range(20):
            os.close(write(path / f"file-{number}", b"content" * number))
        assert time.monotonic() - began < TIMEOUT_S
        now = status(mounted)
        assert (now["unsaved"], now["dirty_bytes"], now["safe_files"], now["safe_bytes"]) == (20, 1330, 20, 1330)
        done = ssecfs("flush", path, "--timeout", "30")
        assert (done.returncode, "could not be uploaded" in done.stderr) == (1, True)
        assert complaint(mounted)[0] == 1
        with pytest.raises(OSError, match="timed out"):
            os.close(write(path / "file-1", b"failed before, so close waits"))
    flush(mounted)
    assert (complaint(mounted)[0], status(mounted)["unsaved"], status(mounted)["safe_files"]) == (0, 0, 0)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        contents = [(afresh.path / f"file-{number}").read_bytes() for number in range(20)]
    assert contents == [b"", b"failed before, so close waits", *(b"content" * number for number in range(2, 20))]


SIGNALLED = """
import signal, threading
path, number = arguments[0], int(arguments[1])
if number != signal.SIGKILL:
    signal.signal(number, signal.SIG_DFL)
threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
"""

WAITING = {
    "stat": "os.stat(path + '/stat/unknown')",
    "readdir": "os.listdir(path + '/readdir')",
    "read": "os.pread(os.open(path + '/unread', os.O_RDONLY), 10, 0)",
    "direct read": "os.pread(os.open(path + '/unlink/inside', os.O_RDONLY | os.O_DIRECT), 10, 0)",
    "mkdir": "os.mkdir(path + '/mkdir/new')",
    "rename": "os.rename(path + '/rename/inside', path + '/rename/moved')",
    "close": "f = os.open(path + '/close/new', os.O_CREAT | os.O_WRONLY); os.write(f, b'new'); os.close(f)",
    "fsync": "f = os.open(path + '/fsync/new', os.O_CREAT | os.O_WRONLY); os.write(f, b'new'); os.fsync(f)",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_ends_a_program_that_waits_for_a_hung_server(
    server: S3Server, tmp_path: Path, keyfile: Path, number: signal.Signals
) -> None:
    with mounting(server, tmp_path, keyfile, "--ttl", "60") as mounted:
        furnish(mounted, "--ttl", "60")
        with hanging(server):
            began = time.monotonic()
            waiting = {name: another_process(SIGNALLED + call, mounted.path, number) for name, call in WAITING.items()}
            ends = {name: process.wait(30) for name, process in waiting.items()}
            took_s = time.monotonic() - began
            assert (mounted.path / "read").read_bytes() == b"read" * MIB
        for process in waiting.values():
            process.communicate()
        assert ends == dict.fromkeys(WAITING, -number)
        assert took_s < 10
        flush(mounted)
        assert [(mounted.path / name / "new").read_bytes() for name in ("close", "fsync")] == [b"new", b"new"]
        assert clean_log(mounted), mounted.log()


HANDLED = """
import signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started us in the background had it ignored
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    os.stat(arguments[0])
except KeyboardInterrupt:
    print("interrupted")
"""


def test_program_that_handles_ctrl_c_gets_to_handle_it(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile) as mounted:
        with hanging(server):
            output, _ = another_process(HANDLED, mounted.path / "unknown").communicate(timeout=10)
        assert output == "interrupted\n"
        assert refused((mounted.path / "unknown").stat) == "ENOENT"
