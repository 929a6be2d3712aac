"""Large files on a real mount: written, read back, renamed, patched, cut, within bounds of memory and of bytes on the wire."""

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

from ssecfs.sizes import GIB, KIB, MIB

pytestmark = pytest.mark.mount

PIECE = 8 * MIB
NOISE = random.Random(1).randbytes(PIECE)
MEMORY_BYTES = 350 * MIB
"""What the daemon may have had resident at most."""

PATCH_MOVES_BYTES = 40 * MIB
"""What a patch of 4 KiB may move, to the server and from it."""


@dataclass
class BigFile:
    """A file of numbered pieces of noise, and the digest of what it is supposed to hold."""

    path: Path
    size: int

    def pieces(self) -> Iterator[bytes]:
        for start in range(0, self.size, PIECE):
            yield (start.to_bytes(8, "big") + NOISE[8:])[: self.size - start]

    def digest(self, patch_at: int | None = None, patch: bytes = b"") -> str:
        digest = hashlib.sha256()
        for number, piece in enumerate(self.pieces()):
            place = -1 if patch_at is None else patch_at - number * PIECE
            inside = 0 <= place < PIECE
            digest.update(piece[:place] + patch + piece[place + len(patch) :] if inside else piece)
        return digest.hexdigest()

    def write(self) -> None:
        with self.path.open("wb", buffering=0) as file:
            for piece in self.pieces():
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]

    def digest_read(self) -> str:
        with self.path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def peak_memory(mounted: Mounting) -> int:
    status = Path(f"/proc/{mounted.daemon_pid()}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * KIB


def bytes_moved(server: S3Server) -> tuple[int, int]:
    """What the requests since the last look brought to the server, and what they brought in both directions."""
    requests = server.requests()
    sent = sum(int(request["bytes_in"]) for request in requests)
    return sent, sent + sum(int(request["bytes_out"]) for request in requests)


def bytes_sent(server: S3Server) -> int:
    """What the requests since the last look brought to the server."""
    return bytes_moved(server)[0]


def live_a_life(server: S3Server, mounted: Mounting, size: int) -> None:
    """Everything that is done to a large file, each step checked by what is read afterwards."""
    big = BigFile(mounted.path / "big", size)
    whole = big.digest()
    big.write()
    peak = peak_memory(mounted)
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount()
    assert big.digest_read() == whole
    server.requests()
    big.path = big.path.rename(mounted.path / "renamed")
    assert bytes_sent(server) < 64 * KIB
    middle = size // 2 + 12_345
    with big.path.open("r+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), b"x" * 4096, middle) == 4096
    sent, moved = bytes_moved(server)
    assert 5 * MIB <= sent < 6 * MIB
    assert sent < moved < PATCH_MOVES_BYTES
    assert big.digest_read() == big.digest(middle, b"x" * 4096)
    server.requests()
    os.truncate(big.path, size // 2)
    with big.path.open("rb") as file:
        os.fsync(file.fileno())
    assert bytes_sent(server) < 64 * KIB
    half = BigFile(big.path, size // 2)
    assert half.path.stat().st_size == size // 2
    assert half.digest_read() == half.digest()
    assert max(peak, peak_memory(mounted)) < MEMORY_BYTES


@pytest.fixture
def server(tmp_path: Path, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def mounted(server: S3Server, tmp_path: Path, keyfile: Path) -> Iterator[Mounting]:
    with mounting(server, tmp_path, keyfile) as place:
        yield place


def test_large_file_is_written_read_renamed_patched_and_cut(server: S3Server, mounted: Mounting) -> None:
    live_a_life(server, mounted, 128 * MIB + 12_345)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_very_large_file_is_written_read_renamed_patched_and_cut(server: S3Server, mounted: Mounting) -> None:
    """6 GiB: more than one request can copy, more than the cache holds."""
    live_a_life(server, mounted, 6 * GIB + 12_345)


@pytest.mark.parametrize("profile", ["no-copy", "ceph"])
def test_large_file_on_a_server_that_cannot_copy_goes_through_here(
    tmp_path: Path, keyfile: Path, fuse_device: Path, profile: str
) -> None:
    with s3_server(tmp_path / "server", "--profile", profile) as server, mounting(server, tmp_path, keyfile) as mounted:
        big = BigFile(mounted.path / "big", 40 * MIB + 12_345)
        big.write()
        server.requests()
        big.path = big.path.rename(mounted.path / "renamed")
        big.path.chmod(0o640)
        os.utime(big.path, ns=(1, 123_456_789))
        mounted.umount()
        assert server.operations()["GetObject"] == 0  # the bytes were in the cache
        mounted.wipe_cache()
        mounted.mount()
        status = big.path.stat()
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 123_456_789)
        os.truncate(big.path, 30 * MIB)
        half = BigFile(big.path.rename(mounted.path / "half"), 30 * MIB)
        assert half.digest_read() == half.digest()
        mounted.umount()
        mounted.wipe_cache()
        mounted.mount()
        assert half.digest_read() == half.digest()
        assert peak_memory(mounted) < MEMORY_BYTES
