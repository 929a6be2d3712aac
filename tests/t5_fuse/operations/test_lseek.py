"""lseek(2): positions in any way, and a file that is all data, because objects have no holes."""

import os
from pathlib import Path

import pytest
from support.syscalls import refused

pytestmark = pytest.mark.mount


@pytest.fixture
def file(place: Path) -> int:
    (place / "file").write_bytes(b"0123456789")
    return os.open(place / "file", os.O_RDWR)


def test_positions_are_set_from_the_start_from_here_and_from_the_end(file: int) -> None:
    assert os.lseek(file, 4, os.SEEK_SET) == 4
    assert os.lseek(file, 3, os.SEEK_CUR) == 7
    assert os.lseek(file, -2, os.SEEK_END) == 8
    assert os.read(file, 10) == b"89"
    assert os.lseek(file, 100, os.SEEK_END) == 110
    assert os.read(file, 10) == b""
    assert refused(os.lseek, file, -1, os.SEEK_SET) == "EINVAL"
    assert refused(os.lseek, file, -200, os.SEEK_CUR) == "EINVAL"
    assert os.lseek(file, 0, os.SEEK_CUR) == 110
    os.close(file)


def test_end_moves_with_what_others_write(file: int, place: Path) -> None:
    with (place / "file").open("ab") as other:
        other.write(b"more")
    assert os.lseek(file, 0, os.SEEK_END) == 14
    os.truncate(place / "file", 3)
    assert os.lseek(file, 0, os.SEEK_END) == 3
    os.close(file)


def test_everything_up_to_the_end_is_data(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        file.seek(1_000_000)
        file.write(b"end")
    handle = os.open(folder / "file", os.O_RDONLY)
    assert os.lseek(handle, 0, os.SEEK_DATA) == 0
    assert os.lseek(handle, 500_000, os.SEEK_DATA) == 500_000
    assert os.lseek(handle, 0, os.SEEK_HOLE) == 1_000_003
    assert refused(os.lseek, handle, 1_000_003, os.SEEK_DATA) == "ENXIO"
    assert refused(os.lseek, handle, 1_000_003, os.SEEK_HOLE) == "ENXIO"
    os.close(handle)
