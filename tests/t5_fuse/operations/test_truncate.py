"""truncate(2) and ftruncate(2): down, up, by path, by handle, of files that are open, unlinked, large, or none."""

import os
import random
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting
from support.syscalls import refused

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

CONTENT = random.Random(1).randbytes(3 * BLOCK_SIZE + 77)
AROUND = {"CreateMultipartUpload": 1, "CompleteMultipartUpload": 1, "HeadObject": 2}
"""What an upload in parts costs beside the parts: two looks, whether the name is as expected and at its new time."""

SIZES = (0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, len(CONTENT), len(CONTENT) + 1, 5 * BLOCK_SIZE)


@pytest.mark.parametrize("size", SIZES)
def test_file_cut_or_grown_by_path_or_by_handle_keeps_the_rest(place: Path, size: int) -> None:
    for name in ("by path", "by handle"):
        (place / name).write_bytes(CONTENT)
        if name == "by path":
            os.truncate(place / name, size)
        else:
            with (place / name).open("r+b") as file:
                file.truncate(size)
        assert (place / name).read_bytes() == CONTENT[:size].ljust(size, b"\0")
        assert (place / name).stat().st_size == size


def test_what_was_cut_off_does_not_come_back(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    for size in (BLOCK_SIZE + 5, 10, 2 * BLOCK_SIZE, BLOCK_SIZE, 3 * BLOCK_SIZE):
        os.truncate(place / "file", size)
    assert (place / "file").read_bytes() == CONTENT[:10] + bytes(3 * BLOCK_SIZE - 10)


def test_cut_file_stays_so_for_the_next_mount(own_mount: Mounting) -> None:
    path = own_mount.path / "file"
    path.write_bytes(CONTENT)
    os.truncate(path, BLOCK_SIZE + 5)
    os.truncate(path, 2 * BLOCK_SIZE)
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    assert path.read_bytes() == CONTENT[: BLOCK_SIZE + 5].ljust(2 * BLOCK_SIZE, b"\0")


def test_other_handles_see_the_new_size_at_once(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    reader, writer = os.open(place / "file", os.O_RDONLY), os.open(place / "file", os.O_RDWR)
    os.ftruncate(writer, 100)
    assert (os.fstat(reader).st_size, os.pread(reader, 1000, 0)) == (100, CONTENT[:100])
    os.lseek(writer, 0, os.SEEK_END)
    os.write(writer, b"more")
    os.truncate(place / "file", 102)
    assert os.pread(reader, 1000, 98) == CONTENT[98:100] + b"mo"
    os.close(reader)
    os.close(writer)


def test_open_file_without_a_name_is_cut_and_grown(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    file = os.open(place / "file", os.O_RDWR)
    (place / "file").unlink()
    os.ftruncate(file, 1000)
    os.ftruncate(file, 2000)
    assert os.pread(file, 5000, 0) == CONTENT[:1000].ljust(2000, b"\0")
    os.close(file)
    assert list(place.iterdir()) == []


def test_truncation_to_another_size_moves_the_times(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    for size in (5, 10):
        os.utime(place / "file", ns=(1, 2))
        os.truncate(place / "file", size)
        status = (place / "file").stat()
        assert status.st_mtime_ns > 2
        assert status.st_ctime_ns >= status.st_mtime_ns


def test_truncation_of_what_cannot_be_cut_is_refused(place: Path) -> None:
    (place / "file").write_bytes(CONTENT)
    (place / "link").symlink_to("file")
    assert refused(os.truncate, place, 0) == "EISDIR"
    assert refused(os.truncate, place / "missing", 0) == "ENOENT"
    assert refused(os.truncate, place / "file" / "below", 0) == "ENOTDIR"
    assert refused(os.truncate, place / "file", -1) == "EINVAL"
    os.truncate(place / "link", 3)
    assert (place / "file").read_bytes() == CONTENT[:3]


def test_large_file_is_cut_and_appended_to_with_few_bytes_sent(shared_mount: Mounting, folder: Path) -> None:
    content = random.Random(2).randbytes(20 * MIB)
    (folder / "file").write_bytes(content)
    with requests_of(shared_mount) as requests:
        os.truncate(folder / "file", 18 * MIB)
    assert requests == {**AROUND, "UploadPartCopy": 1}
    with requests_of(shared_mount) as requests, (folder / "file").open("ab") as file:
        file.write(b"appended")
    assert requests == {**AROUND, "UploadPartCopy": 1, "UploadPart": 1}
    assert (folder / "file").read_bytes() == content[: 18 * MIB] + b"appended"
