"""Memory, descriptors, threads and spool of the daemon stay bounded whatever programs do; they are slowed down, not refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.budgets import flush, status
from support.faulty import faults
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

from ssecfs.sizes import KIB, MIB

pytestmark = pytest.mark.mount

LARGE_BYTES = 40 * MIB
MOST_RSS_KIB = 250 * 1024
MOST_DESCRIPTORS = 400
"""256 containers, 64 connections, and what else there is."""
MOST_THREADS = 80
"""64 for requests, 4 for the disk, and what else there is."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("bounds") / "server", "--profile", "aws", tls="off") as running:
        yield running


def of_daemon(mounted: Mounting, name: str) -> int:
    """A number from proc_pid_status(5)."""
    lines = Path(f"/proc/{mounted.daemon_pid()}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def write_large(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for number in range(LARGE_BYTES // MIB):
            file.write(bytes([number]) * MIB)


def is_as_written(path: Path) -> bool:
    with path.open("rb", buffering=0) as file:
        return all(file.read(MIB) == bytes([number]) * MIB for number in range(LARGE_BYTES // MIB))


@pytest.mark.parametrize("option", [(), ("--writeback",)], ids=["close waits", "writeback"])
def test_large_files_at_once_take_little_memory(
    server: S3Server, tmp_path: Path, keyfile: Path, option: tuple[str, ...]
) -> None:
    options = ("--memory", "32M", "--cache-size", "64M", *option)
    with mounting(server, tmp_path, keyfile, *options, source=f"bucket/memory{len(option)}") as mounted:
        paths = [mounted.path / f"large-{number}" for number in range(5)]
        with ThreadPoolExecutor(len(paths)) as pool:
            list(pool.map(write_large, paths))
            flush(mounted)
            mounted.remount(*options)
            assert all(pool.map(is_as_written, paths))
            list(pool.map(write_large, paths))
        flush(mounted)
        assert of_daemon(mounted, "VmHWM") < MOST_RSS_KIB


@pytest.mark.parametrize("option", [(), ("--writeback",)], ids=["close waits", "writeback"])
def test_thousands_of_small_files_take_few_descriptors_and_threads(
    server: S3Server, tmp_path: Path, keyfile: Path, option: tuple[str, ...]
) -> None:
    names = [f"small-{number}" for number in range(1000)]
    with mounting(server, tmp_path, keyfile, *option, source=f"bucket/small{len(option)}") as mounted:
        with faults(server, "latency=0.05,operation=PutObject"), ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda name: (mounted.path / name).write_bytes(name.encode()), names))
            taken = len(list(Path(f"/proc/{mounted.daemon_pid()}/fd").iterdir())), of_daemon(mounted, "Threads")
            flush(mounted)
        assert (taken[0] <= MOST_DESCRIPTORS, taken[1] <= MOST_THREADS) == (True, True), taken
        assert status(mounted)["unsaved"] == 0
        mounted.remount(*option)
        assert [(mounted.path / name).read_bytes() for name in names] == [name.encode() for name in names]


def test_spool_keeps_to_its_size_and_writers_wait_for_the_server(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    limit, size = MIB, 100 * KIB
    with mounting(server, tmp_path, keyfile, "--writeback", "--spool-size", "1M", source="bucket/spool") as mounted:
        with faults(server, "latency=0.3,operation=PutObject"):
            waiting = []
            for number in range(40):
                (mounted.path / f"file-{number}").write_bytes(bytes([number]) * size)
                waiting.append(status(mounted)["safe_bytes"])
            assert (max(waiting) < limit + size, max(waiting) > limit / 2) == (True, True)
        flush(mounted)
        mounted.remount()
        assert [(mounted.path / f"file-{number}").read_bytes() for number in range(40)] == [
            bytes([number]) * size for number in range(40)
        ]
