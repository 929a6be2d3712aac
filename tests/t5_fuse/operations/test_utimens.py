"""utimensat, and how times move by themselves: mtime and ctime with changes, atime with reads as relatime does it."""

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.budgets import FOREVER, flush, remount, requests_of
from support.mounts import Mounting, mounting

pytestmark = pytest.mark.mount

TICK_NS = 20_000_000
"""The kernel's own time of day is that late at most."""

DAY_NS = 24 * 3600 * 10**9
AT_FDCWD = -100
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2

# Before the epoch, with a fraction; the epoch; the last second of 31 bits, and the first after 32; far away.
MOMENTS = [-(2**31) * 10**9, -1, -(10**9) - 1, 0, (2**31 - 1) * 10**9 + 999_999_999, 2**32 * 10**9 + 1, 2**34 * 10**9 - 1]


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(b"content")
    return path


def times(path: Path) -> tuple[int, int]:
    """Of access and of change of content."""
    status = path.lstat()
    return status.st_atime_ns, status.st_mtime_ns


def utimensat(path: Path, atime: tuple[int, int], mtime: tuple[int, int]) -> None:
    """Python's os.utime knows neither UTIME_NOW for one of them nor UTIME_OMIT."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.utimensat(AT_FDCWD, os.fsencode(path), (ctypes.c_long * 4)(*atime, *mtime), 0):
        raise OSError(ctypes.get_errno(), "utimensat")


def test_any_moment_is_kept_to_the_nanosecond(own_mount: Mounting) -> None:
    for number, moment in enumerate(MOMENTS):
        path = own_mount.path / f"{number}"
        path.write_bytes(b"content")
        os.utime(path, ns=(moment, MOMENTS[number - 1]))
    wanted = [(moment, MOMENTS[number - 1]) for number, moment in enumerate(MOMENTS)]
    assert [times(own_mount.path / f"{number}") for number in range(len(MOMENTS))] == wanted
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    assert [times(own_mount.path / f"{number}") for number in range(len(MOMENTS))] == wanted


def test_times_of_links_directories_and_fifos_are_kept(own_mount: Mounting) -> None:
    root = own_mount.path
    (root / "directory").mkdir()
    (root / "link").symlink_to("directory")
    os.mkfifo(root / "fifo")
    names = ("link", "directory", "fifo")
    for number, name in enumerate(names):
        os.utime(root / name, ns=(number, 10 + number), follow_symlinks=False)
    remount(own_mount)
    assert [times(root / name) for name in names] == [(0, 10), (1, 11), (2, 12)]


def test_now_and_omit_each_count_for_one_time(file: Path) -> None:
    os.utime(file, ns=(1, 2))
    utimensat(file, (0, UTIME_OMIT), (5, 6))
    assert times(file) == (1, 5_000_000_006)
    before = time.time_ns() - TICK_NS
    utimensat(file, (0, UTIME_NOW), (0, UTIME_OMIT))
    assert before <= times(file)[0] <= time.time_ns()
    assert times(file)[1] == 5_000_000_006
    before_ctime = file.stat().st_ctime_ns
    utimensat(file, (0, UTIME_OMIT), (0, UTIME_OMIT))
    assert file.stat().st_ctime_ns == before_ctime


def test_setting_times_moves_ctime(file: Path) -> None:
    before = file.stat().st_ctime_ns
    os.utime(file, ns=(1, 2))
    assert file.stat().st_ctime_ns > before


def test_times_set_on_an_open_file_survive_its_close(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")
        opened.flush()
        os.utime(opened.fileno(), ns=(1, 2))
    assert times(file) == (1, 2)


def append(path: Path) -> None:
    with path.open("ab") as opened:
        opened.write(b"x")


def rename(path: Path) -> None:
    path.rename(path.with_name("other")).rename(path)


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (append, {"mtime", "ctime"}),
        (lambda path: os.truncate(path, 1), {"mtime", "ctime"}),
        (lambda path: os.truncate(path, 99), {"mtime", "ctime"}),
        (lambda path: path.write_bytes(b""), {"mtime", "ctime"}),
        (lambda path: os.truncate(path, len(b"content")), {"mtime", "ctime"}),
        (rename, {"ctime"}),
        (lambda path: path.chmod(0o600), {"ctime"}),
    ],
    ids=["append", "shorten", "lengthen", "O_TRUNC", "same size", "rename", "chmod"],
)
def test_changes_move_ctime_and_those_of_content_mtime(file: Path, change: Callable[[Path], object], moved: set[str]) -> None:
    os.utime(file, ns=(1, 2))
    before = file.stat()
    change(file)
    after = file.stat()
    names = ("atime", "mtime", "ctime")
    assert {name for name in names if getattr(after, f"st_{name}_ns") != getattr(before, f"st_{name}_ns")} == moved


def test_every_kind_of_rename_and_removal_moves_ctime(folder: Path) -> None:
    """Of what is saved, of what is being written, of a directory, of what is replaced or removed while it is open."""
    directory, saved, written = folder / "directory", folder / "saved", folder / "written"
    directory.mkdir()
    saved.write_bytes(b"content")
    with written.open("wb", buffering=0) as opened, saved.open("rb") as replaced:
        opened.write(b"new")
        before = time.time_ns()
        directory.rename(folder / "directory-2")
        saved_status = os.fstat(replaced.fileno())
        written.rename(saved)  # replaces it
        assert min((folder / "directory-2").stat().st_ctime_ns, saved.stat().st_ctime_ns) >= before > saved_status.st_ctime_ns
        assert os.fstat(replaced.fileno()).st_ctime_ns >= before
        before = time.time_ns()
        saved.unlink()
        assert os.fstat(opened.fileno()).st_ctime_ns >= before


def test_emptying_an_empty_file_moves_its_times_and_they_are_saved(own_mount: Mounting) -> None:
    """`: > stamp`, as makefiles do it."""
    stamp = own_mount.path / "stamp"
    stamp.touch()
    os.utime(stamp, ns=(1, 2))
    flush(own_mount)
    before = time.time_ns()
    stamp.write_bytes(b"")
    remount(own_mount)
    assert stamp.stat().st_mtime_ns >= before


def test_entries_that_come_and_go_move_the_times_of_their_directory(folder: Path) -> None:
    for change in (
        (folder / "file").touch,
        lambda: (folder / "file").rename(folder / "other"),
        (folder / "other").unlink,
        (folder / "directory").mkdir,
        (folder / "directory").rmdir,
    ):
        os.utime(folder, ns=(1, 2))
        before = time.time_ns()
        change()
        assert min(folder.stat().st_mtime_ns, folder.stat().st_ctime_ns) >= before


def read(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # reads from the kernel's own pages are not seen
    os.read(descriptor, 100)
    os.close(descriptor)


def test_read_moves_atime_that_is_not_newer_than_mtime_and_the_next_one_does_not(shared_mount: Mounting, file: Path) -> None:
    now = time.time_ns()
    os.utime(file, ns=(now - 10**9, now - 10**9))
    with requests_of(shared_mount) as counted:
        read(file)
        moved = times(file)[0]
        read(file)
        assert now <= moved == times(file)[0]
    assert counted == {}  # the content is cached, and no read is worth a request


def test_read_leaves_atime_that_is_newer_than_the_other_times(file: Path) -> None:
    tomorrow = time.time_ns() + DAY_NS
    os.utime(file, ns=(tomorrow, 2))
    read(file)
    assert times(file) == (tomorrow, 2)


def test_atime_that_was_read_is_saved_with_the_next_change(own_mount: Mounting) -> None:
    file = own_mount.path / "file"
    file.write_bytes(b"content")
    os.utime(file, ns=(1, 2))
    read(file)
    moved = times(file)[0]
    file.chmod(0o600)
    remount(own_mount)
    assert moved > 1
    assert times(file) == (moved, 2)


def test_atime_that_is_set_counts_more_than_an_earlier_read(file: Path) -> None:
    read(file)
    os.utime(file, ns=(1, 2))
    assert times(file) == (1, 2)


def test_o_noatime_and_the_mount_option_leave_atime_alone(
    shared_mount: Mounting, file: Path, tmp_path: Path, keyfile: Path
) -> None:
    os.utime(file, ns=(1, 2))
    read(file, os.O_NOATIME)
    assert times(file) == (1, 2)
    with mounting(shared_mount.server, tmp_path, keyfile, *FOREVER, "-o", "noatime", source="bucket/noatime") as mounted:
        (mounted.path / "file").write_bytes(b"content")
        os.utime(mounted.path / "file", ns=(1, 2))
        read(mounted.path / "file")
        assert times(mounted.path / "file") == (1, 2)
