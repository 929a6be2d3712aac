"""What becomes of what is not on the server: it cannot be stored, the daemon is killed, or the local disk is full."""

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from support.budgets import flush, status
from support.mounts import LIMIT_S, Mounting, mounting, ssecfs
from support.rawhttp import ask
from support.s3server import S3Server, s3_server
from support.syscalls import outcome, refused

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("unsaved") / "server", tls="off") as running:
        yield running


@pytest.fixture
def misbehave(server: S3Server) -> Iterator[Callable[..., None]]:
    """Puts faults of the server in force until the test ends, or until there are to be none."""

    def set_rules(*rules: str) -> None:
        assert ask(server, "PUT", "/?ssecfs-faults", "\n".join(rules).encode())[0] == 200

    yield set_rules
    set_rules()


@pytest.fixture
def mounted(server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Mounting]:
    with mounting(server, tmp_path, keyfile, "--timeout", "2", source=f"bucket/{request.node.name}") as place:
        yield place


LARGE = bytes(range(256)) * 16 * 1024
"""4 MiB: recorded as soon as it is written."""


def write_in_vain(path: Path, errno_name: str = "EACCES") -> None:
    """Write, and be told that it cannot be stored."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(file, b"new content")
    assert refused(os.close, file) == errno_name


def flush_in_vain(mounted: Mounting) -> bool:
    done = ssecfs("flush", mounted.path)
    return done.returncode == 1 and "could not be uploaded" in done.stderr


@pytest.mark.parametrize("options", [(), ("--writeback",)], ids=["close waits", "writeback"])
@pytest.mark.parametrize(("answer", "errno_name"), [(403, "EACCES"), (507, "EDQUOT")])
def test_what_the_server_refuses_is_parked_told_to_who_syncs_or_closes_and_stored_when_it_can_be(
    mounted: Mounting, misbehave: Callable[..., None], options: tuple[str, ...], answer: int, errno_name: str
) -> None:
    mounted.remount(*options)
    misbehave(f"status={answer},operation=PutObject")
    file = os.open(mounted.path / "file", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"new ")
    assert refused(os.fsync, file) == errno_name
    os.write(file, b"content")
    assert flush_in_vain(mounted)
    assert refused(os.close, file) == errno_name
    assert flush_in_vain(mounted)
    assert (status(mounted)["refused"], status(mounted)["dirty_bytes"]) == (1, 11)
    assert "refused     1 files" in ssecfs("status", mounted.path).stdout
    write_in_vain(mounted.path / "file", errno_name)
    misbehave()
    flush(mounted)
    assert (status(mounted)["refused"], status(mounted)["dirty_bytes"]) == (0, 0)
    mounted.wipe_and_remount()
    assert (mounted.path / "file").read_bytes() == b"new content"


def test_umount_command_leaves_it_mounted_while_something_cannot_be_stored(
    mounted: Mounting, misbehave: Callable[..., None]
) -> None:
    misbehave("status=403,operation=PutObject")
    write_in_vain(mounted.path / "file")
    done = ssecfs("umount", mounted.path)
    assert (done.returncode, "stays mounted" in done.stderr) == (1, True)
    assert mounted.path.is_mount()
    assert (mounted.path / "file").read_bytes() == b"new content"
    misbehave()
    flush(mounted)
    mounted.remount()
    assert (mounted.path / "file").read_bytes() == b"new content"


def test_plain_umount_uploads_what_it_can_and_tells_the_log_of_the_rest(
    mounted: Mounting, misbehave: Callable[..., None]
) -> None:
    (mounted.path / "file").write_bytes(b"old content")
    misbehave("status=403,operation=PutObject")
    write_in_vain(mounted.path / "file")
    with mounted.daemon_ending():
        subprocess.run(["umount", mounted.path], check=True, timeout=LIMIT_S)
    assert "not everything could be uploaded before the end" in mounted.log()
    misbehave()
    mounted.mount()
    assert (mounted.path / "file").read_bytes() == b"old content"
    assert recovered(mounted, "file") == b"new content"


def test_killed_daemon_leaves_the_version_from_before_and_parks_what_was_being_written(mounted: Mounting) -> None:
    for name in ("closed", "synchronised", "open"):
        (mounted.path / name).write_bytes(b"old")
    (mounted.path / "closed").write_bytes(b"new")
    files = [os.open(mounted.path / name, os.O_WRONLY) for name in ("synchronised", "open")]
    for file in files:
        os.write(file, b"new")
    os.fsync(files[0])
    os.write(files[0], b"er")
    mounted.kill_daemon()
    assert [refused(os.close, file) for file in files] == ["ENOTCONN", "ENOTCONN"]
    mounted.mount()
    assert {path.name: path.read_bytes() for path in mounted.path.iterdir()} == {
        "closed": b"new",
        "synchronised": b"new",
        "open": b"old",
    }
    (mounted.path / "large").write_bytes(b"old")
    file = os.open(mounted.path / "large", os.O_WRONLY | os.O_TRUNC)
    os.write(file, LARGE)
    mounted.kill_daemon()
    assert refused(os.close, file) == "ENOTCONN"
    mounted.mount()
    assert (mounted.path / "large").read_bytes() == b"old"
    assert recovered(mounted, "large") == LARGE


def recovered(mounted: Mounting, name: str) -> bytes:
    """Publish what was parked of a file: the bytes beside it."""
    listed = ssecfs("recover", mounted.path).stdout.splitlines()
    assert listed[1].endswith(f" {name}"), listed
    number = listed[1].split()[0]
    published = ssecfs("recover", mounted.path, "--publish", number)
    assert published.stdout.startswith(f"{name}.recovered-"), published
    assert "nothing waits" in ssecfs("recover", mounted.path).stdout
    return (mounted.path / published.stdout.strip()).read_bytes()


def test_parked_content_is_discarded_on_request_only(mounted: Mounting) -> None:
    file = os.open(mounted.path / "file", os.O_CREAT | os.O_WRONLY)
    os.write(file, LARGE)
    mounted.kill_daemon()
    assert refused(os.close, file) == "ENOTCONN"
    mounted.mount()
    mounted.remount()
    assert "to recover  1 files" in ssecfs("status", mounted.path).stdout
    wrong = ssecfs("recover", mounted.path, "--discard", "999")
    assert (wrong.returncode, "999" in wrong.stderr) == (2, True)
    assert ssecfs("recover", mounted.path, "--discard", "all").stdout == "discarded: file\n"
    assert list(mounted.path.iterdir()) == []
    assert "nothing waits" in ssecfs("recover", mounted.path).stdout


def wait_for_requests(server: S3Server, operation: str, count: int) -> None:
    """Return when the server has logged so many requests of an operation since it was started."""
    with subprocess.Popen(["tail", "--lines=+1", "--follow", server.request_log], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        lines = (line for line in tail.stdout if operation in line)
        assert len(list(islice(lines, count))) == count
        tail.kill()


def test_large_file_travels_while_it_is_written(mounted: Mounting) -> None:
    with (mounted.path / "large").open("wb", buffering=0) as file:
        for _ in range(12):
            file.write(LARGE)
        wait_for_requests(mounted.server, "UploadPart", 5)
    operations = mounted.server.operations()
    assert (operations["UploadPart"], operations["CompleteMultipartUpload"], operations["CopyObject"]) == (6, 1, 0)
    shown = (mounted.path / "large").stat()
    mounted.wipe_and_remount()
    again = (mounted.path / "large").stat()
    assert (again.st_size, again.st_mtime_ns) == (shown.st_size, shown.st_mtime_ns)
    assert (mounted.path / "large").read_bytes() == LARGE * 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for few blocks."""
    path = tmp_path / "cache"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={128 * MIB},mode=700", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def test_full_local_disk_refuses_writes_and_lets_reads_through(
    server: S3Server, small_disk: Path, tmp_path: Path, keyfile: Path
) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/full") as mounted:
        (mounted.path / "file").write_bytes(bytes(20 * MIB))
        mounted.remount()
        full = os.open(mounted.path / "too-large", os.O_CREAT | os.O_RDWR)
        written = 0
        while isinstance(count := outcome(os.write, full, b"x" * MIB), int):
            written += count
        assert (count, written > 32 * MIB) == ("ENOSPC", True)
        assert (mounted.path / "file").read_bytes() == bytes(20 * MIB)
        assert os.pread(full, MIB, written - MIB) == b"x" * MIB
        (mounted.path / "too-large").unlink()
        os.close(full)
        (mounted.path / "small").write_bytes(b"fits again")
        assert status(mounted)["dirty_bytes"] == 0


def test_damaged_unsaved_file_is_named_by_verify_and_status_until_it_is_removed(
    mounted: Mounting, misbehave: Callable[..., None]
) -> None:
    mounted.remount("--writeback")
    misbehave("status=403,operation=PutObject")
    (mounted.path / "unsaved").write_bytes(bytes(range(256)) * 4096)
    mounted.kill_daemon()
    subprocess.run(["umount", "-l", mounted.path], check=True)
    misbehave()
    (container,) = mounted.cache.rglob("blocks/*")
    damaged = bytearray(container.read_bytes())
    damaged[1000] ^= 1
    container.write_bytes(damaged)
    checked = ssecfs("cache", "verify", mounted.cache, "--keyfile", mounted.keyfile)
    assert checked.returncode == 1
    assert f"UNSAVED DATA IS LOST: block 0 of {container.name} does not open, which is of unsaved\n" in checked.stdout
    assert "1 unsaved files, 1 damaged\n" in checked.stdout
    mounted.mount("--writeback")
    assert ssecfs("flush", mounted.path).returncode == 1
    shown = ssecfs("status", mounted.path)
    assert (shown.returncode, "damaged     unsaved: not all of it can be read from this disk" in shown.stdout) == (1, True)
    assert refused((mounted.path / "unsaved").read_bytes) == "EIO"
    (mounted.path / "other").write_bytes(b"goes on")
    (mounted.path / "unsaved").unlink()
    flush(mounted)
    assert "damaged     " not in ssecfs("status", mounted.path).stdout
    mounted.remount()
    assert [path.name for path in mounted.path.iterdir()] == ["other"]
