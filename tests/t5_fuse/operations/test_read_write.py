"""read(2) and write(2) in all their forms, at any offset, through any handle."""

import os
import random
from pathlib import Path

import pytest
from support.budgets import status
from support.mounts import Mounting
from support.syscalls import another_process, in_another_process, refused

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.sizes import MIB, TIB

pytestmark = pytest.mark.mount

NOISE = random.Random(1).randbytes(2 * MIB)
PLACES = (0, 1, 100, 4095, 4096, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE - 7, MIB - 1, MIB, MIB + 5)
LENGTHS = (1, 2, 4095, 4096, 4097, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 300_000)


@pytest.mark.parametrize("seed", range(3))
def test_any_reads_and_writes_agree_with_a_bytearray(folder: Path, seed: int) -> None:
    """Two handles, plain, positioned and scattered calls, truncations and closes between them."""
    chance = random.Random(seed)
    model = bytearray()
    handles = [os.open(folder / "file", os.O_CREAT | os.O_RDWR) for _ in range(2)]
    for number in range(150):
        file, place, length = chance.choice(handles), chance.choice(PLACES), chance.choice(LENGTHS)
        what = chance.choice(["pwrite", "pwritev", "write", "pread", "preadv", "read", "truncate", "reopen"])
        piece = NOISE[number * 1000 : number * 1000 + length]
        if what in {"pwrite", "pwritev", "write"}:
            assert write_by(file, what, place, piece) == length
            model.extend(bytes(max(0, place - len(model))))
            model[place : place + length] = piece
        elif what == "truncate":
            os.ftruncate(file, place)
            del model[place:]
            model.extend(bytes(place - len(model)))
        elif what == "reopen":
            os.close(file)
            handles[handles.index(file)] = os.open(folder / "file", os.O_RDWR)
        else:
            assert read_by(file, what, place, length) == model[place : place + length]
        assert os.fstat(handles[0]).st_size == len(model)
    for file in handles:
        os.close(file)
    assert (folder / "file").read_bytes() == model


def write_by(file: int, what: str, place: int, piece: bytes) -> int:
    if what == "pwrite":
        return os.pwrite(file, piece, place)
    if what == "pwritev":
        return os.pwritev(file, [piece[: len(piece) // 3], b"", piece[len(piece) // 3 :]], place)
    os.lseek(file, place, os.SEEK_SET)
    return os.write(file, piece)


def read_by(file: int, what: str, place: int, length: int) -> bytes:
    if what == "pread":
        return os.pread(file, length, place)
    if what == "preadv":
        buffers = [bytearray(length // 2), bytearray(length - length // 2)]
        count = os.preadv(file, buffers, place)
        return b"".join(buffers)[:count]
    os.lseek(file, place, os.SEEK_SET)
    return os.read(file, length)


def test_read_at_and_over_the_end_is_short_or_empty(place: Path) -> None:
    (place / "file").write_bytes(NOISE[:1000])
    file = os.open(place / "file", os.O_RDONLY)
    assert os.pread(file, 100, 990) == NOISE[990:1000]
    assert os.pread(file, 100, 1000) == b""
    assert os.pread(file, 100, 5 * MIB) == b""
    assert os.pread(file, 0, 0) == b""
    os.close(file)


def test_gap_between_the_end_and_a_write_reads_as_zeros(place: Path) -> None:
    file = os.open(place / "file", os.O_CREAT | os.O_RDWR)
    os.pwrite(file, b"x", 3 * BLOCK_SIZE + 1)
    assert os.pread(file, 4 * BLOCK_SIZE, 0) == bytes(3 * BLOCK_SIZE + 1) + b"x"
    os.close(file)


def test_write_of_nothing_changes_nothing(place: Path) -> None:
    (place / "file").write_bytes(b"content")
    before = (place / "file").stat()
    file = os.open(place / "file", os.O_WRONLY)
    assert os.pwrite(file, b"", 100) == 0
    os.close(file)
    after = (place / "file").stat()
    assert (after.st_size, after.st_mtime_ns) == (7, before.st_mtime_ns)


def test_write_over_the_largest_size_is_refused_and_changes_nothing(folder: Path) -> None:
    """5 TiB: what an S3 object can have."""
    (folder / "file").write_bytes(b"content")
    file = os.open(folder / "file", os.O_RDWR)
    assert refused(os.pwrite, file, b"x", 5 * TIB) == "EFBIG"
    assert refused(os.ftruncate, file, 5 * TIB + 1) == "EFBIG"
    assert refused(os.pwrite, file, b"x", -1) == "EINVAL"
    os.close(file)
    assert (folder / "file").read_bytes() == b"content"


def test_what_is_written_is_read_by_other_handles_and_processes_before_it_is_closed(place: Path) -> None:
    writer, reader = os.open(place / "file", os.O_CREAT | os.O_WRONLY), os.open(place / "file", os.O_RDONLY)
    os.write(writer, b"first")
    assert os.read(reader, 100) == b"first"
    os.write(writer, b", second")
    assert os.read(reader, 100) == b", second"
    assert in_another_process("print(open(arguments[0]).read())", place / "file") == "first, second\n"
    in_another_process("os.pwrite(os.open(arguments[0], os.O_WRONLY), b'FIRST', 0)", place / "file")
    assert os.pread(reader, 100, 0) == b"FIRST, second"
    os.close(writer)
    os.close(reader)


APPENDING = """
file = os.open(arguments[0], os.O_WRONLY | os.O_APPEND)
sys.stdin.read(1)
for number in range(200):
    os.write(file, f"{arguments[1]} {number}\\n".encode())
os.close(file)
"""


def test_lines_appended_by_two_processes_are_all_there_and_whole(place: Path) -> None:
    (place / "log").touch()
    with another_process(APPENDING, place / "log", "a") as one, another_process(APPENDING, place / "log", "b") as other:
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go")
            process.stdin.close()
    assert (one.returncode, other.returncode) == (0, 0)
    lines = (place / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in "ab" for number in range(200))
    for name in "ab":
        assert [line for line in lines if line.startswith(name)] == [f"{name} {number}" for number in range(200)]


def test_appending_handles_of_one_process_take_turns_at_the_end(place: Path) -> None:
    one, other = (os.open(place / "file", os.O_CREAT | os.O_WRONLY | os.O_APPEND) for _ in range(2))
    for number in range(5):
        os.write(one, b"a%d " % number)
        os.write(other, b"b%d " % number)
    os.close(one)
    os.write(other, b"end")
    os.close(other)
    assert (place / "file").read_bytes() == b"a0 b0 a1 b1 a2 b2 a3 b3 a4 b4 end"


def test_content_with_holes_is_the_same_after_a_remount_from_the_cache_and_from_the_server(own_mount: Mounting) -> None:
    """Read from start to end, backwards and at random: whatever the read-ahead makes of it."""
    path = own_mount.path / "file"
    model = bytearray(18 * MIB + 123)
    with path.open("wb") as file:
        file.truncate(len(model))
        for place in range(0, len(model) - 5000, 250_007):
            piece = NOISE[place % MIB : place % MIB + 5000]
            model[place : place + 5000] = piece
            os.pwrite(file.fileno(), piece, place)
    own_mount.remount()
    assert path.read_bytes() == model
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    chance = random.Random(3)
    with path.open("rb", buffering=0) as file:
        for place in [*range(len(model) - 70_000, 0, -1_000_003), *(chance.randrange(len(model)) for _ in range(50))]:
            assert os.pread(file.fileno(), 70_000, place) == model[place : place + 70_000]
        assert file.read() == model


def test_pages_of_an_unchanged_file_stay_in_the_kernel_when_it_is_closed(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(NOISE)

    def asked_for() -> int:
        counts = status(shared_mount)
        return int(counts["cache_hits"]) + int(counts["cache_misses"])

    before = asked_for()
    assert (folder / "file").read_bytes() == NOISE
    between = asked_for()
    assert (folder / "file").read_bytes() == NOISE
    assert before < between == asked_for()
