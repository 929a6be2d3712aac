"""open(2) with every combination of its flags, on everything that a name can be."""

import itertools
import os
import stat
from pathlib import Path

import pytest
from support.mounts import Mounting
from support.syscalls import outcome, refused

pytestmark = pytest.mark.mount

ACCESS = (os.O_RDONLY, os.O_RDWR)
FLAGS = (os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_DIRECTORY)
TARGETS = ("missing", "file", "directory", "link to a file", "link to a directory", "dangling link", "below a file")


def combinations(target: str) -> list[int]:
    """All sets of flags that can matter: O_NOFOLLOW is about links."""
    flags = (*FLAGS, os.O_NOFOLLOW) if "link" in target else FLAGS
    chosen = itertools.chain.from_iterable(itertools.combinations(flags, count) for count in range(len(flags) + 1))
    return [access | sum(some) for some, access in itertools.product(chosen, ACCESS)]


def make_target(place: Path, target: str) -> Path:
    """Make what is to be opened; a link to it may be there already."""
    (place / "target").mkdir() if "directory" in target else (place / "target").write_bytes(b"content")
    match target:
        case "missing" | "dangling link":
            (place / "target").unlink()
        case "below a file":
            return place / "target" / "name"
    if "link" not in target:
        return place / "target"
    if not (place / "link").is_symlink():
        (place / "link").symlink_to("target")
    return place / "link"


def try_open(place: Path, target: str, flags: int) -> tuple[object, ...]:
    """Open, write if that is possible, close; gives what happened, and what is there afterwards."""
    path = make_target(place, target)
    file = outcome(os.open, path, flags, 0o640)
    seen: list[object] = [file if isinstance(file, str) else "open"]
    if isinstance(file, int):
        status = os.fstat(file)
        seen += [stat.S_IFMT(status.st_mode), status.st_size if stat.S_ISREG(status.st_mode) else None]
        seen.append(outcome(os.write, file, b"new"))
        os.close(file)
    for found in sorted(place.iterdir(), key=lambda found: found.name):
        mode = found.lstat().st_mode
        seen.append((found.name, stat.S_IFMT(mode), found.read_bytes() if stat.S_ISREG(mode) else None))
        if not stat.S_ISLNK(mode):
            found.rmdir() if stat.S_ISDIR(mode) else found.unlink()
    return tuple(seen)


@pytest.mark.parametrize("target", TARGETS)
def test_open_with_any_flags_does_what_a_local_disk_does(folder: Path, tmp_path: Path, target: str) -> None:
    differing = {
        oct(flags): (ours, local)
        for flags in combinations(target)
        if (ours := try_open(folder, target, flags)) != (local := try_open(tmp_path, target, flags))
    }
    assert differing == {}


def test_append_goes_to_the_end_wherever_the_handle_stands(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    file = os.open(place / "file", os.O_RDWR | os.O_APPEND)
    os.lseek(file, 2, os.SEEK_SET)
    os.write(file, b" and")
    assert os.lseek(file, 0, os.SEEK_CUR) == 11
    os.pwrite(file, b" more", 0)  # pwrite(2): on Linux the offset does not count either
    assert os.pread(file, 100, 0) == b"content and more"
    os.close(file)
    assert (place / "file").read_bytes() == b"content and more"


def test_handle_refuses_what_it_was_not_opened_for(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    reader, writer = os.open(place / "file", os.O_RDONLY), os.open(place / "file", os.O_WRONLY)
    assert refused(os.write, reader, b"x") == "EBADF"
    assert refused(os.read, writer, 1) == "EBADF"
    assert refused(os.ftruncate, reader, 0) == "EINVAL"
    os.close(reader)
    os.close(writer)
    assert refused(os.read, reader, 1) == "EBADF"


def test_new_file_gets_the_mode_that_the_umask_leaves(place: Path) -> None:
    before = os.umask(0o027)
    try:
        os.close(os.open(place / "file", os.O_CREAT | os.O_WRONLY, 0o666))
        os.close(os.open(place / "program", os.O_CREAT | os.O_WRONLY, 0o4777))
        os.close(os.open(place / "file", os.O_CREAT | os.O_WRONLY, 0o777))
    finally:
        os.umask(before)
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((place / "program").stat().st_mode) == 0o4750


def test_new_file_without_any_permission_is_writable_by_who_made_it(place: Path) -> None:
    file = os.open(place / "file", os.O_CREAT | os.O_RDWR, 0)
    os.write(file, b"content")
    assert os.pread(file, 100, 0) == b"content"
    os.close(file)
    assert (place / "file").stat().st_size == 7


def test_names_too_long_and_loops_of_links_are_refused(place: Path) -> None:
    assert refused(os.open, place / ("x" * 256), os.O_CREAT | os.O_RDWR) == "ENAMETOOLONG"
    os.close(os.open(place / ("x" * 255), os.O_CREAT | os.O_RDWR))
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert refused(os.open, place / "a", os.O_RDONLY) == "ELOOP"


def test_path_handle_shows_the_file_and_reads_nothing(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    handle = os.open(place / "file", os.O_PATH)
    assert os.fstat(handle).st_size == 7
    assert refused(os.read, handle, 1) == "EBADF"
    os.close(handle)


def test_direct_access_reads_and_writes_any_range(folder: Path) -> None:
    """A local disk wants whole blocks; FUSE does not."""
    file = os.open(folder / "file", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    os.pwrite(file, b"x" * 5000, 3)
    assert os.pread(file, 10, 4999) == b"xxxx"
    os.close(file)
    assert (folder / "file").read_bytes() == bytes(3) + b"x" * 5000


def test_synchronous_handle_stores_with_each_write(shared_mount: Mounting, folder: Path) -> None:
    for flags in (os.O_SYNC, os.O_DSYNC):
        file = os.open(folder / "file", os.O_CREAT | os.O_WRONLY | flags)
        shared_mount.server.operations()
        os.write(file, b"content")
        assert shared_mount.server.operations() == {"PutObject": 1}
        os.close(file)


def test_nameless_file_is_refused_as_on_filesystems_without_them(folder: Path) -> None:
    assert refused(os.open, folder, os.O_TMPFILE | os.O_RDWR) == "ENOTSUP"


def test_five_hundred_handles_of_one_file_are_one_file(folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    handles = [os.open(folder / "file", os.O_RDWR) for _ in range(500)]
    os.pwrite(handles[0], b"CONTENT", 0)
    assert {os.pread(handle, 100, 0) for handle in handles} == {b"CONTENT"}
    for handle in handles:
        os.close(handle)


def test_descriptor_handed_on_shares_its_place(place: Path) -> None:
    (place / "file").write_bytes(b"0123456789")
    file = os.open(place / "file", os.O_RDONLY)
    other = os.dup(file)
    assert (os.read(file, 3), os.read(other, 3)) == (b"012", b"345")
    os.close(file)
    assert os.read(other, 3) == b"678"
    os.close(other)
