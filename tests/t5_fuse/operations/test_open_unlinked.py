"""Files that are open while their names go: removed, or replaced by a rename; they live until the last handle is closed."""

import os
import random
from pathlib import Path

import pytest
from support.budgets import requests_of, status
from support.mounts import Mounting
from support.syscalls import another_process, refused

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

CONTENT = random.Random(1).randbytes(3 * BLOCK_SIZE + 77)


def test_removed_file_is_read_written_cut_and_looked_at_through_its_handle(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    file = os.open(place / "file", os.O_RDWR)
    (place / "file").unlink()
    assert refused(os.stat, place / "file") == "ENOENT"
    assert os.fstat(file).st_nlink == 0
    assert os.pread(file, len(CONTENT), 0) == CONTENT
    os.pwrite(file, b"written", len(CONTENT))
    os.ftruncate(file, len(CONTENT) + 3)
    assert os.pread(file, 10, len(CONTENT)) == b"wri"
    os.fchmod(file, 0o600)
    os.fsync(file)
    status_now = os.fstat(file)
    assert (status_now.st_size, status_now.st_mode & 0o777) == (len(CONTENT) + 3, 0o600)
    os.close(file)
    assert list(place.iterdir()) == []


def test_removed_file_can_be_opened_again_through_proc(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    file = os.open(place / "file", os.O_RDWR)
    (place / "file").unlink()
    os.pwrite(file, b"new", 0)
    again = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    os.close(file)
    assert os.read(again, len(CONTENT)) == b"new" + CONTENT[3:]
    os.close(again)


def test_new_file_of_the_same_name_is_another_file(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    old = os.open(place / "file", os.O_RDWR)
    (place / "file").unlink()
    (place / "file").write_bytes(b"new")
    new = os.open(place / "file", os.O_RDWR)
    os.pwrite(old, b"old", 0)
    assert (os.pread(old, 3, 0), os.pread(new, 10, 0)) == (b"old", b"new")
    assert os.fstat(old).st_ino != os.fstat(new).st_ino
    os.close(new)
    os.close(old)
    assert (place / "file").read_bytes() == b"new"


def test_replaced_file_keeps_its_content_for_who_has_it_open(place: Path) -> None:
    """As vim and dpkg save: write another file, rename it over the first."""
    (place / "file").write_bytes(CONTENT)
    old = os.open(place / "file", os.O_RDONLY)
    (place / "temporary").write_bytes(b"new")
    (place / "temporary").rename(place / "file")
    assert os.pread(old, len(CONTENT), 0) == CONTENT
    assert (place / "file").read_bytes() == b"new"
    os.close(old)
    assert [path.name for path in place.iterdir()] == ["file"]


def test_file_removed_before_it_was_closed_is_never_stored(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as requests:
        file = os.open(folder / "file", os.O_CREAT | os.O_RDWR)
        os.write(file, CONTENT)
        (folder / "file").unlink()
        os.write(file, CONTENT)
        os.fsync(file)
        assert os.pread(file, 10, len(CONTENT)) == CONTENT[:10]
        os.close(file)
    assert requests == {}
    assert status(shared_mount)["dirty_bytes"] == 0


def test_large_file_that_is_not_cached_is_brought_here_before_it_goes(own_mount: Mounting) -> None:
    content = random.Random(2).randbytes(18 * MIB + 5)
    (own_mount.path / "file").write_bytes(content)
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    file = os.open(own_mount.path / "file", os.O_RDWR)
    os.pwrite(file, b"new", 9 * MIB)
    (own_mount.path / "file").unlink()
    assert os.pread(file, len(content), 0) == content[: 9 * MIB] + b"new" + content[9 * MIB + 3 :]
    os.close(file)


HOLDING = """
file = os.open(arguments[0], os.O_RDWR)
print("open", flush=True)
sys.stdin.readline()
print(os.read(file, 100).decode())
"""


def test_other_process_keeps_a_file_that_this_one_removes(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    with another_process(HOLDING, place / "file") as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"
        (place / "file").unlink()
        other.stdin.write("read\n")
        other.stdin.close()
        assert other.stdout.read() == "content\n"
