"""One file under thousands of random reads, writes, truncations and mappings, over remounts; it is never wrong."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fsx import LARGE, SMALL, Bounds, Wanted
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

pytestmark = [pytest.mark.mount, pytest.mark.timeout(3600)]


class MountedFile:
    """The file. Owns: the descriptor, what should be in it."""

    def __init__(self, mounting: Mounting, wanted: Wanted, *, looking: bool) -> None:
        """Make it; looking: all of it is read after each operation, which keeps it in the kernel's memory."""
        self._mounting = mounting
        self._wanted = wanted
        self._looking = looking
        self._is_cache_lost = False
        self._path = mounting.path / "file"
        self._path.write_bytes(wanted.content)
        self._open()

    def run(self, count: int, remounts: int) -> None:
        """Do so many operations, then look at what a new mount without a cache shows."""
        operations = {
            self._read: 25,
            self._write: 25,
            self._read_mapped: 10,
            self._write_mapped: 10,
            self._truncate: 8,
            self._append_by_another: 3,
            self._forget_pages: 6,
            self._sync: 5,
            self._open_again: 7,
            self._empty: 0.3,
        }
        try:
            plan = self._wanted.plan([*operations], [*operations.values()], self._remount, (count, remounts))
            for operation in plan:
                operation()
                self._wanted.check_size(os.fstat(self._file.fileno()).st_size)
                if self._looking:
                    self._look()
            self._mount_again(is_cache_lost=True)
            self._look()
        finally:
            self._file.close()

    def _open(self) -> None:
        self._file = self._path.open("r+b", buffering=0)

    def _look(self) -> None:
        asked = len(self._wanted.content) + 1
        self._wanted.check(0, asked, os.pread(self._file.fileno(), asked, 0))

    def _read(self) -> None:
        start, length = self._wanted.any_range()
        self._wanted.note(f"read {length} at {start}")
        self._wanted.check(start, length, os.pread(self._file.fileno(), length, start))

    def _write(self) -> None:
        start, piece = self._wanted.any_piece()
        self._wanted.note(f"write {len(piece)} at {start}")
        self._wanted.require(os.pwrite(self._file.fileno(), piece, start) == len(piece), "not all was written")
        self._wanted.put(start, piece)

    def _append_by_another(self) -> None:
        piece, end = self._wanted.end_piece(), len(self._wanted.content)
        self._wanted.note(f"append {len(piece)} at {end} through another handle")
        with self._path.open("ab", buffering=0) as file:
            self._wanted.require(file.write(piece) == len(piece), "not all was written")
        self._wanted.put(end, piece)

    def _truncate(self) -> None:
        size, is_by_path = self._wanted.size(), self._wanted.is_likely(0.5)
        self._wanted.note(f"truncate {len(self._wanted.content)} to {size} by {'path' if is_by_path else 'handle'}")
        os.truncate(self._path if is_by_path else self._file.fileno(), size)
        self._wanted.resize(size)

    def _empty(self) -> None:
        self._wanted.note("empty by O_TRUNC")
        self._path.open("wb").close()
        self._wanted.resize(0)

    def _read_mapped(self) -> None:
        start, stop = self._wanted.range_inside()
        self._wanted.note(f"read {stop - start} at {start} mapped")
        if start < stop:
            with self._map(start, stop, mmap.PROT_READ) as mapped:
                self._wanted.check(start, stop - start, mapped[start % mmap.PAGESIZE :])

    def _write_mapped(self) -> None:
        start, stop = self._wanted.range_inside()
        is_synced = self._wanted.is_likely(0.5)
        self._wanted.note(f"write {stop - start} at {start} mapped{', msync' if is_synced else ''}")
        if start < stop:
            piece = self._wanted.piece(stop - start)
            with self._map(start, stop, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
                mapped[start % mmap.PAGESIZE :] = piece
                if is_synced:
                    mapped.flush()
            self._wanted.put(start, piece)

    def _map(self, start: int, stop: int, protection: int) -> mmap.mmap:
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        return mmap.mmap(self._file.fileno(), stop - page, mmap.MAP_SHARED, protection, offset=page)

    def _forget_pages(self) -> None:
        """The kernel drops the pages that it need not write back, so that the next reads come to us."""
        self._wanted.note("forget pages")
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _sync(self) -> None:
        self._wanted.note("fsync")
        os.fsync(self._file.fileno())

    def _open_again(self) -> None:
        self._wanted.note("close, open")
        self._file.close()
        self._open()

    def _remount(self) -> None:
        """Every other time without the cache."""
        self._mount_again(is_cache_lost=self._is_cache_lost)
        self._is_cache_lost = not self._is_cache_lost

    def _mount_again(self, *, is_cache_lost: bool) -> None:
        self._wanted.note(f"remount{' without the cache' if is_cache_lost else ''}")
        self._file.close()
        self._mounting.umount()
        if is_cache_lost:
            self._mounting.wipe_cache()
        self._mounting.mount()
        self._open()


@pytest.fixture
def server(tmp_path: Path, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def mounted(server: S3Server, tmp_path: Path, keyfile: Path) -> Iterator[Mounting]:
    with mounting(server, tmp_path, keyfile) as mounted:
        yield mounted


def run(mounted: Mounting, seed: int, bounds: Bounds, counts: tuple[int, int], *, looking: bool = False) -> None:
    MountedFile(mounted, Wanted(seed, bounds), looking=looking).run(*counts)


def test_file_under_random_operations_is_always_what_it_should_be(mounted: Mounting) -> None:
    run(mounted, 1, SMALL, (2000, 4))


def test_file_under_random_operations_is_as_a_whole_what_it_should_be_after_each(mounted: Mounting) -> None:
    run(mounted, 2, SMALL, (500, 2), looking=True)


def test_large_file_under_random_operations_is_uploaded_as_patches_and_right(mounted: Mounting, server: S3Server) -> None:
    run(mounted, 3, LARGE, (200, 2))
    operations = server.operations()
    assert operations["UploadPartCopy"] > 20, operations


@pytest.mark.long
@pytest.mark.parametrize("seed", range(11, 16))
def test_file_under_very_many_random_operations_is_always_what_it_should_be(mounted: Mounting, seed: int) -> None:
    run(mounted, seed, SMALL, (20_000, 20), looking=seed % 2 == 0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(21, 24))
def test_large_file_under_many_random_operations_is_always_what_it_should_be(mounted: Mounting, seed: int) -> None:
    run(mounted, seed, LARGE, (4000, 10))
