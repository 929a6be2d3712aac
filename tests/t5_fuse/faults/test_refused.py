"""What the server refuses for good is parked: shown, told again, kept, and uploaded when the server takes it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import flush, status
from support.faulty import complaint, faults
from support.mounts import LIMIT_S, Mounting, mounting, ssecfs
from support.programs import seen_afresh
from support.s3server import S3Server, s3_server
from support.syscalls import outcome, refused

pytestmark = pytest.mark.mount

REFUSED = "status=403,operation=PutObject"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("refused") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: str = request.param
    return ("--timeout", "2", *found.split())


@pytest.fixture
def mounted(
    server: S3Server, tmp_path: Path, keyfile: Path, options: tuple[str, ...], request: pytest.FixtureRequest
) -> Iterator[Mounting]:
    source = f"bucket/{request.node.originalname}{len(options)}"
    with mounting(server, tmp_path, keyfile, *options, source=source) as place:
        yield place


BOTH = pytest.mark.parametrize("options", ["", "--writeback"], indirect=True, ids=["close waits", "writeback"])
WRITE_BACK = pytest.mark.parametrize("options", ["--writeback"], indirect=True)


def write(path: Path, content: bytes) -> int:
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    os.write(file, content)
    return file


def close_in_vain(path: Path, content: bytes) -> None:
    """Write a file that cannot be stored, and be told so by fsync; with write-back, close is content with the journal."""
    file = write(path, content)
    assert refused(os.fsync, file) == "EACCES"
    assert outcome(os.close, file) in {"EACCES", None}


@BOTH
def test_refused_file_is_shown_told_again_and_uploaded_when_it_is_taken(mounted: Mounting, tmp_path: Path) -> None:
    with faults(mounted.server, REFUSED):
        for number in range(3):
            close_in_vain(mounted.path / f"file-{number}", b"content")
        done = ssecfs("flush", mounted.path)
        assert (done.returncode, "could not be uploaded" in done.stderr) == (1, True)
        now = status(mounted)
        assert (now["unsaved"], now["refused"], now["dirty_bytes"]) == (3, 3, 21)
        code, text = complaint(mounted)
        assert (code, "refused     3 files" in text, "403" in now["last_error"]) == (1, True, True)
        file = os.open(mounted.path / "file-0", os.O_RDWR)
        assert os.pread(file, 99, 0) == b"content"
        assert [refused(os.fsync, file), refused(os.close, file)] == ["EACCES", "EACCES"]
    assert ssecfs("flush", mounted.path).returncode == 0
    now = status(mounted)
    assert (complaint(mounted)[0], now["unsaved"], now["refused"]) == (0, 0, 0)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert {path.name: path.read_bytes() for path in afresh.path.iterdir()} == {
            f"file-{number}": b"content" for number in range(3)
        }


@BOTH
def test_umount_command_says_what_is_left_and_leaves_it_mounted(mounted: Mounting) -> None:
    with faults(mounted.server, REFUSED):
        close_in_vain(mounted.path / "file", b"content")
        done = ssecfs("umount", mounted.path)
        assert (done.returncode, "stays mounted" in done.stderr, mounted.path.is_mount()) == (1, True, True)
        assert (mounted.path / "file").read_bytes() == b"content"


@WRITE_BACK
def test_what_was_closed_survives_a_plain_umount_and_is_uploaded_by_the_next_mount(
    mounted: Mounting, options: tuple[str, ...], tmp_path: Path
) -> None:
    with faults(mounted.server, REFUSED):
        for number in range(3):
            os.close(write(mounted.path / f"file-{number}", b"content"))
        with mounted.daemon_ending():
            subprocess.run(["umount", mounted.path], check=True, timeout=LIMIT_S)
        assert "not everything could be uploaded" in mounted.log()
        mounted.mount(*options)
        assert {path.read_bytes() for path in mounted.path.iterdir()} == {b"content"}
        assert ssecfs("flush", mounted.path).returncode == 1
        assert status(mounted)["refused"] == 3
    flush(mounted)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert [path.read_bytes() for path in afresh.path.iterdir()] == [b"content"] * 3


@pytest.mark.parametrize("options", [""], indirect=True)
def test_what_could_not_be_closed_is_to_be_recovered_after_a_plain_umount(mounted: Mounting, options: tuple[str, ...]) -> None:
    with faults(mounted.server, REFUSED):
        close_in_vain(mounted.path / "file", b"content")
        with mounted.daemon_ending():
            subprocess.run(["umount", mounted.path], check=True, timeout=LIMIT_S)
    mounted.mount(*options)
    assert status(mounted)["parked"] == 1
    assert ssecfs("recover", mounted.path, "--publish", "all").returncode == 0
    (found,) = mounted.path.iterdir()
    assert (found.name.startswith("file.recovered-"), found.read_bytes()) == (True, b"content")


@WRITE_BACK
def test_read_only_mount_leaves_alone_what_waits_for_one_that_may_write(mounted: Mounting, options: tuple[str, ...]) -> None:
    with faults(mounted.server, REFUSED):
        os.close(write(mounted.path / "file", b"content"))
        mounted.kill_daemon()
    mounted.server.operations()
    mounted.mount("--read-only")
    assert list(mounted.path.iterdir()) == []
    assert "wait for one that may write" in mounted.log()
    mounted.umount()
    assert mounted.server.operations().keys() <= {"ListObjectsV2", "HeadObject", "GetObject"}
    mounted.mount(*options)
    assert (mounted.path / "file").read_bytes() == b"content"
