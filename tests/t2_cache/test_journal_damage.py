"""Every byte of a small journal, damaged in turn: a record is as it was, or it is known that something is missing."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.journals import MOVE, Files, Small, file_record, make_small, open_journal, read_files, write_files

STEP = 31
"""Without ``--long`` every so many bytes are damaged, and each of those that say what the file is, and what tables it has."""

TELLING = {*range(112), *range(3850, 4096)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("journals") / "small")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, because each journal that is begun is synced."""
    logging.disable()  # ten thousand times the same
    with TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)
    logging.disable(logging.NOTSET)


def check(folder: Path, files: Files, small: Small) -> None:
    """Open a damaged journal: whatever it holds is true, what is missing is known, and new records are kept."""
    write_files(folder, files)
    with closing(open_journal(folder)) as journal:
        files_found, moves_found = journal.load(), journal.load_moves()
        assert all(small.records[record_id - 1] == record for record_id, record in files_found.items())
        assert all(move == MOVE for move in moves_found.values())
        assert (len(files_found), len(moves_found)) == (2, 1) or journal.is_doubtful
        new_id = journal.new_id()
        journal.store(new_id, file_record(b"new"))
        assert journal.load()[new_id] == file_record(b"new")


def places(content: bytes, step: int) -> list[int]:
    return [place for place in range(len(content)) if place in TELLING or place % step == 0]


def flip_all(folder: Path, small: Small, bits: int, step: int) -> None:
    for state in (small.killed, small.closed):
        for name, content in state.items():
            for place in places(content, step):
                damaged = bytearray(content)
                damaged[place] ^= bits
                check(folder, {**state, name: bytes(damaged)}, small)


@pytest.mark.parametrize("bits", [0xFF, 0x01])
def test_no_flipped_byte_gives_a_wrong_record_or_hides_one(bits: int, folder: Path, small: Small) -> None:
    flip_all(folder, small, bits, STEP)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bits", [0xFF, 0x01, 0x80])
def test_none_of_all_flipped_bytes_gives_a_wrong_record_or_hides_one(bits: int, folder: Path, small: Small) -> None:
    flip_all(folder, small, bits, 1)


def test_journal_that_is_cut_short_gives_no_wrong_record(folder: Path, small: Small) -> None:
    """A closed one; the log of a killed one may end anywhere, because that is how a write looks that was cut."""
    content = small.closed["journal.sqlite"]
    for size in range(1, len(content), 97):
        check(folder, {"journal.sqlite": content[:size]}, small)


def test_log_that_is_cut_short_gives_no_wrong_record(folder: Path, small: Small) -> None:
    log = small.killed["journal.sqlite-wal"]
    for size in range(0, len(log), 97):
        write_files(folder, {**small.killed, "journal.sqlite-wal": log[:size]})
        with closing(open_journal(folder)) as journal:
            found = journal.load()
            assert all(small.records[record_id - 1] == record for record_id, record in found.items())
            assert 1 in found


def test_one_damaged_record_in_the_log_costs_no_other(folder: Path, small: Small) -> None:
    log = bytearray(small.killed["journal.sqlite-wal"])
    log[log.index(b"SSR1") + 30] ^= 1
    write_files(folder, {**small.killed, "journal.sqlite-wal": bytes(log)})
    with closing(open_journal(folder)) as journal:
        assert len(journal.load()) + len(journal.load_moves()) == 2
    assert read_files(folder)["journal.damaged-1-wal"] == bytes(log)


def test_damaged_checksum_costs_nothing_but_a_copy_of_the_journal(folder: Path, small: Small) -> None:
    log = bytearray(small.killed["journal.sqlite-wal"])
    log[24] ^= 1
    write_files(folder, {**small.killed, "journal.sqlite-wal": bytes(log)})
    with closing(open_journal(folder)) as journal:
        assert (len(journal.load()), len(journal.load_moves()), journal.unreadable) == (2, 1, 1)


def test_log_of_another_journal_gives_nothing_wrong(folder: Path, small: Small, tmp_path: Path) -> None:
    other = make_small(tmp_path / "other")
    check(folder, {**small.closed, "journal.sqlite-wal": other.killed["journal.sqlite-wal"]}, small)
    check(folder, {**other.closed, "journal.sqlite-wal": small.killed["journal.sqlite-wal"]}, small)


def test_power_cut_in_what_was_not_synced_leaves_what_was(folder: Path, tmp_path: Path) -> None:
    """Of the frames after the last sync the disk has kept the end and not the pages before: as a power cut may leave it."""
    with closing(open_journal(tmp_path)) as journal:
        numbers = [journal.new_id() for _ in range(4)]
        for number in numbers[:2]:
            journal.store(number, file_record(b"synced %d" % number))
        journal.sync()
        synced = len(read_files(tmp_path)["journal.sqlite-wal"])
        for number in numbers[2:]:
            journal.store(number, file_record(b"later %d" % number, b"x" * 9000))
        files = dict(read_files(tmp_path))
    log = files["journal.sqlite-wal"]
    frame = 24 + 4096
    for lost in range(synced, len(log) - frame, frame):
        files["journal.sqlite-wal"] = log[: lost + 24] + bytes(4096) + log[lost + frame :]
        for path in folder.iterdir():
            path.unlink()
        write_files(folder, files)
        with closing(open_journal(folder)) as journal:
            found = journal.load()
            assert {found[number].path for number in numbers[:2]} == {b"synced %d" % number for number in numbers[:2]}
