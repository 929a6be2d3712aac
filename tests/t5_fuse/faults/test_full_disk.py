"""The disk of the cache directory is full: writers are told, what was acknowledged is there, reads go to the server."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.budgets import flush, status
from support.faulty import clean_log, hanging
from support.mounts import Mounting, mounting
from support.programs import seen_afresh
from support.s3server import S3Server, s3_server
from support.syscalls import outcome

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

DISK_BYTES = 96 * MIB
SMALL = {f"small-{number}": bytes([number]) * 3000 for number in range(20)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("full") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own for the cache directory."""
    path = tmp_path / "cache"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@contextmanager
def filled(disk: Path, left: int = MIB) -> Iterator[None]:
    """Somebody else's file takes all the room, but for some bytes, for the time of the block."""
    hog = disk / "hog"
    free = os.statvfs(disk)
    with hog.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left)
    try:
        yield
    finally:
        hog.unlink()


@pytest.fixture(params=["", "--writeback"], ids=["close waits", "writeback"])
def options(request: pytest.FixtureRequest) -> list[str]:
    found: str = request.param
    return found.split()


@pytest.fixture
def mounted(
    server: S3Server, disk: Path, tmp_path: Path, keyfile: Path, options: list[str], request: pytest.FixtureRequest
) -> Iterator[Mounting]:
    source = f"bucket/{request.node.originalname}{len(options)}"
    with mounting(server, tmp_path, keyfile, *options, source=source) as place:
        yield place
        flush(place)
        assert status(place)["dirty_bytes"] == 0


def fill(path: Path) -> tuple[int, int, object]:
    """Write until it is refused: the descriptor, how much was taken, and why no more."""
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    written = 0
    while isinstance(count := outcome(os.write, file, b"x" * MIB), int):
        written += count
    return file, written, count


def test_writer_is_told_and_everybody_else_goes_on(mounted: Mounting, disk: Path, tmp_path: Path) -> None:
    (mounted.path / "before").write_bytes(b"before" * MIB)
    with filled(disk, left=40 * MIB):
        file, written, reason = fill(mounted.path / "large")
        assert (reason, written >= MIB) == ("ENOSPC", True)
        assert os.pread(file, MIB, written - MIB) == b"x" * MIB
        assert (mounted.path / "before").read_bytes() == b"before" * MIB
        assert sorted(path.name for path in mounted.path.iterdir()) == ["before", "large"]
        (mounted.path / "folder").mkdir()
        (mounted.path / "before").rename(mounted.path / "folder" / "after")
        os.close(file)
        flush(mounted)
        assert (mounted.path / "large").stat().st_size == written
        assert outcome((mounted.path / "next").write_bytes, b"next") in {4, "ENOSPC"}
    assert (mounted.path / "again").write_bytes(b"again" * MIB) == 5 * MIB
    flush(mounted)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert (afresh.path / "large").read_bytes() == b"x" * written
        assert (afresh.path / "folder" / "after").read_bytes() == b"before" * MIB
        assert (afresh.path / "again").read_bytes() == b"again" * MIB


def test_mount_on_a_full_disk_reads_and_refuses_writes_until_there_is_room(
    mounted: Mounting, disk: Path, options: list[str], tmp_path: Path
) -> None:
    for name, content in SMALL.items():
        (mounted.path / name).write_bytes(content)
    mounted.umount()
    with filled(disk, left=2 * MIB):
        mounted.mount(*options)
        assert {path.name: path.read_bytes() for path in mounted.path.iterdir()} == SMALL
        assert outcome((mounted.path / "new").write_bytes, bytes(8 * MIB)) == "ENOSPC"
    assert (mounted.path / "new").write_bytes(bytes(MIB)) == MIB
    flush(mounted)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert {path.name: path.read_bytes() for path in afresh.path.iterdir()} == SMALL | {"new": bytes(MIB)}


@pytest.mark.parametrize("options", [["--writeback", "--spool-size", "64M", "--ttl", "60"]])
def test_what_write_back_acknowledged_before_the_disk_was_full_is_uploaded(
    mounted: Mounting, disk: Path, tmp_path: Path
) -> None:
    assert list(mounted.path.iterdir()) == []
    with hanging(mounted.server):
        for name, content in SMALL.items():
            (mounted.path / name).write_bytes(content)
    with filled(disk):
        flush(mounted)
        assert {path.name: path.read_bytes() for path in mounted.path.iterdir()} == SMALL
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert {path.name: path.read_bytes() for path in afresh.path.iterdir()} == SMALL
    assert clean_log(mounted), mounted.log()


@pytest.mark.parametrize("options", [["--writeback", "--spool-size", "64M", "--ttl", "60"]])
def test_what_write_back_acknowledged_before_the_disk_was_full_outlives_a_kill(
    mounted: Mounting, disk: Path, tmp_path: Path, options: list[str]
) -> None:
    contents = SMALL | {"large": b"large" * MIB}
    assert list(mounted.path.iterdir()) == []
    with hanging(mounted.server):
        for name, content in contents.items():
            (mounted.path / name).write_bytes(content)
        with filled(disk, left=0):
            file, _, reason = fill(mounted.path / "refused")
            mounted.kill_daemon()
        assert reason == "ENOSPC"
        assert outcome(os.close, file) == "ENOTCONN"
    mounted.mount(*options)
    assert {name: (mounted.path / name).read_bytes() for name in contents} == contents
    flush(mounted)
    with seen_afresh(mounted, tmp_path / "afresh") as afresh:
        assert {name: (afresh.path / name).read_bytes() for name in contents} == contents
    assert clean_log(mounted), mounted.log()
