"""Memory does not grow with the number of files ever seen: walks through very many, twice, and what is left afterwards."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.budgets import status
from support.manyobjects import fill_bucket
from support.mounts import Mounting, mounting
from support.s3server import s3_server

from ssecfs.fuse.shedding import MAX_INODES
from ssecfs.sizes import MIB
from ssecfs.ssec import CustomerKey

pytestmark = pytest.mark.mount

LARGE_BYTES = 5000
"""Too large for a symlink: a walk needs no HEAD."""

IN_A_FOLDER = 1000

BASE_BYTES = 90 * MIB
"""A daemon that has seen nothing yet: Python, boto3, trio."""

FOR_EACH_INODE_BYTES = 1200

KEPT_LISTINGS_BYTES = 60 * MIB


@contextmanager
def mounted_with_many(count: int, place: Path, keyfile: Path, customer_key: CustomerKey) -> Iterator[Mounting]:
    names = (f"folder-{number // IN_A_FOLDER:03}/a-name-of-usual-length-{number:06}.dat" for number in range(count))
    fill_bucket(place / "server", "bucket", customer_key, names, LARGE_BYTES)
    with s3_server(place / "server", tls="off") as server, mounting(server, place, keyfile) as mounted:
        yield mounted


def walk(mounted: Mounting) -> int:
    """Go through everything, and count the files."""
    command = ["find", mounted.path, "-type", "f", "-printf", "."]
    return len(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=600).stdout)


def forget(mounted: Mounting) -> int:
    """Have the kernel forget everything that is not in use; the inodes that the daemon has afterwards.

    The kernel hands over all that it forgot at once, after eight other requests at the latest.
    """
    Path("/proc/sys/vm/drop_caches").write_text("2\n")
    for number in range(20):
        assert not (mounted.path / f"none-{number}").exists()
    return int(status(mounted)["inodes"])


def resident_bytes(mounted: Mounting) -> int:
    lines = Path(f"/proc/{mounted.daemon_pid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


def check_walks(mounted: Mounting, count: int) -> None:
    """Walk three times: the first may fill what is bounded, after the second nothing grows any more."""
    resident = []
    for _ in range(3):
        assert walk(mounted) == count
        assert int(status(mounted)["inodes"]) <= MAX_INODES + 2 * IN_A_FOLDER
        resident.append(resident_bytes(mounted))
        assert forget(mounted) == 1, "only the root is left"
    assert max(resident) < BASE_BYTES + KEPT_LISTINGS_BYTES + min(count, MAX_INODES) * FOR_EACH_INODE_BYTES
    assert resident[2] - resident[1] < 8 * MIB


def test_memory_levels_off_between_walks_through_20_000_files(
    tmp_path: Path, fuse_device: Path, keyfile: Path, customer_key: CustomerKey
) -> None:
    with mounted_with_many(20_000, tmp_path, keyfile, customer_key) as mounted:
        check_walks(mounted, 20_000)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [100_000, 250_000])
def test_memory_levels_off_between_walks_through_very_many_files(
    tmp_path: Path, fuse_device: Path, keyfile: Path, customer_key: CustomerKey, count: int
) -> None:
    with mounted_with_many(count, tmp_path, keyfile, customer_key) as mounted:
        check_walks(mounted, count)


def test_inode_that_outlives_its_name_goes_with_its_last_user(tmp_path: Path, fuse_device: Path, keyfile: Path) -> None:
    with s3_server(tmp_path / "server", tls="off") as server, mounting(server, tmp_path, keyfile) as mounted:
        path = mounted.path / "file"
        path.write_bytes(b"content")
        with path.open("rb") as file:
            path.unlink()
            assert forget(mounted) == 2, "the root and the open file"
            assert file.read() == b"content"
        assert forget(mounted) == 1


def test_unsaved_changes_keep_their_inode_although_the_kernel_forgets_it(
    tmp_path: Path, fuse_device: Path, keyfile: Path
) -> None:
    with s3_server(tmp_path / "server", tls="off") as server, mounting(server, tmp_path, keyfile) as mounted:
        path = mounted.path / "folder" / "file"
        path.parent.mkdir()
        path.write_bytes(b"content")
        path.chmod(0o600)
        forget(mounted)
        assert path.stat().st_mode & 0o777 == 0o600
        mounted.remount()
        assert path.stat().st_mode & 0o777 == 0o600
