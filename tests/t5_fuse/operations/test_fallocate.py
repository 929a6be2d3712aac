"""fallocate(2): objects have no holes and reserve no room, so it is refused, and what the C library can do instead is done."""

import ctypes
import errno
import os
import subprocess
from pathlib import Path

import pytest
from support.syscalls import refused

pytestmark = pytest.mark.mount

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 0x01, 0x02, 0x08, 0x10, 0x20
"""Source: linux/falloc.h."""

LIBC = ctypes.CDLL(None, use_errno=True)
MODES = (0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, KEEP_SIZE | ZERO_RANGE, INSERT_RANGE)


def fallocate(file: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) itself, which Python does not offer."""
    if LIBC.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("mode", MODES)
def test_room_cannot_be_reserved_nor_holes_made(folder: Path, mode: int) -> None:
    (folder / "file").write_bytes(b"content")
    file = os.open(folder / "file", os.O_RDWR)
    assert refused(fallocate, file, mode, 0, 4096) == errno.errorcode[errno.EOPNOTSUPP]
    os.close(file)
    assert (folder / "file").read_bytes() == b"content"


def test_c_library_makes_room_by_writing(place: Path) -> None:
    """posix_fallocate(3) grows a file with zeros and leaves what is there."""
    (place / "file").write_bytes(b"content")
    file = os.open(place / "file", os.O_RDWR)
    os.posix_fallocate(file, 0, 20_000)
    os.posix_fallocate(file, 3, 5)
    os.close(file)
    assert (place / "file").read_bytes() == b"content".ljust(20_000, b"\0")


def test_posix_fallocate_refuses_what_makes_no_sense(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    reader, writer = os.open(place / "file", os.O_RDONLY), os.open(place / "file", os.O_RDWR)
    assert refused(os.posix_fallocate, reader, 0, 10) == "EBADF"
    assert refused(os.posix_fallocate, writer, 0, 0) == "EINVAL"
    os.close(reader)
    os.close(writer)


def test_programs_that_ask_for_room_go_on_without_it(folder: Path) -> None:
    """cp --sparse makes its holes by seeking, dd and rsync ask first and take no for an answer."""
    (folder / "file").write_bytes(b"start" + bytes(1_000_000) + b"end")
    subprocess.run(["cp", "--sparse=always", folder / "file", folder / "sparse"], check=True)
    subprocess.run(["rsync", "--preallocate", folder / "file", folder / "preallocated"], check=True)
    subprocess.run(["dd", f"if={folder / 'file'}", f"of={folder / 'dd'}", "conv=sparse", "status=none"], check=True)
    for name in ("sparse", "preallocated", "dd"):
        assert (folder / name).read_bytes() == b"start" + bytes(1_000_000) + b"end"
