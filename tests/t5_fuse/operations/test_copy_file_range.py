"""copy_file_range(2), sendfile(2), splice(2) and cp: the kernel copies through its pages; cloning is refused."""

import fcntl
import os
import random
import subprocess
from pathlib import Path

import pytest
from support.syscalls import outcome, refused

from ssecfs.cache.spans import BLOCK_SIZE

pytestmark = pytest.mark.mount

CONTENT = random.Random(1).randbytes(3 * BLOCK_SIZE + 77)
FICLONE = 0x40049409
"""Source: linux/fs.h."""


def copy_all(source: int, target: int, length: int, start: int, place: int) -> int:
    """Call until all is copied, as programs do; gives the bytes."""
    done = 0
    while done < length:
        count = os.copy_file_range(source, target, length - done, start + done, place + done)
        if not count:
            break
        done += count
    return done


def test_ranges_are_copied_within_the_mount_and_from_it_and_to_it(folder: Path, tmp_path: Path) -> None:
    """From another filesystem the kernel may refuse, with the errno that makes programs copy by themselves."""
    (folder / "source").write_bytes(CONTENT)
    (tmp_path / "source").write_bytes(CONTENT)
    for source, target in ((folder, folder), (folder, tmp_path), (tmp_path, folder)):
        (target / "target").write_bytes(b"x" * 1000)
        reader, writer = os.open(source / "source", os.O_RDONLY), os.open(target / "target", os.O_RDWR)
        copied = outcome(copy_all, reader, writer, 2 * BLOCK_SIZE, 5, 100)
        os.close(reader)
        os.close(writer)
        wanted = b"x" * 100 + CONTENT[5 : 2 * BLOCK_SIZE + 5] if copied != "EXDEV" else b"x" * 1000
        assert (target / "target").read_bytes() == wanted
        assert copied == 2 * BLOCK_SIZE or (copied == "EXDEV" and source != target)


def test_copy_ends_at_the_end_of_the_source(place: Path) -> None:
    (place / "source").write_bytes(CONTENT)
    reader, writer = os.open(place / "source", os.O_RDONLY), os.open(place / "target", os.O_CREAT | os.O_RDWR)
    assert copy_all(reader, writer, 10 * BLOCK_SIZE, 7, 0) == len(CONTENT) - 7
    assert os.copy_file_range(reader, writer, 100, len(CONTENT), 0) == 0
    assert refused(os.copy_file_range, writer, reader, 100, 0, 0) == "EBADF"
    os.close(reader)
    os.close(writer)
    assert (place / "target").read_bytes() == CONTENT[7:]


def test_sendfile_moves_a_file_through_the_kernel(place: Path) -> None:
    (place / "source").write_bytes(CONTENT)
    reader, writer = os.open(place / "source", os.O_RDONLY), os.open(place / "target", os.O_CREAT | os.O_WRONLY)
    done = 0
    while count := os.sendfile(writer, reader, done, len(CONTENT)):
        done += count
    os.close(reader)
    os.close(writer)
    assert (place / "target").read_bytes() == CONTENT


def test_clone_is_refused_and_cp_copies(folder: Path) -> None:
    (folder / "source").write_bytes(CONTENT)
    reader, writer = os.open(folder / "source", os.O_RDONLY), os.open(folder / "target", os.O_CREAT | os.O_RDWR)
    assert refused(fcntl.ioctl, writer, FICLONE, reader) in {"ENOTSUP", "ENOTTY", "EINVAL"}
    os.close(reader)
    os.close(writer)
    clone = subprocess.run(["cp", "--reflink=always", folder / "source", folder / "clone"], capture_output=True, check=False)
    assert clone.returncode == 1
    subprocess.run(["cp", "--reflink=auto", folder / "source", folder / "copy"], check=True)
    assert (folder / "copy").read_bytes() == CONTENT
