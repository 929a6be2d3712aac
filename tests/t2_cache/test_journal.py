"""The journal: records survive, a full disk changes nothing, and damage is counted and never taken for the truth."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from support.journals import CIPHER, CONTENT_ID, MOVE, NAMESPACE_ID, file_record, open_journal

from ssecfs.cache.journal import Journal, RecordId, may_hold_records
from ssecfs.cache.records import (
    ContentRecord,
    FileRecord,
    MoveRecord,
    Phase,
    SpooledContent,
    Step,
    format_file,
    format_move,
    parse_file,
    parse_move,
)
from ssecfs.cache.seal import ContentId
from ssecfs.errors import CacheFullError
from ssecfs.s3.types import ETag, ObjectKey, ObjectVersion, Upload

NUMBERS = st.integers(0, 1 << 45)
BLOCK_NUMBERS = st.integers(0, 1 << 26)
TEXTS = st.text(st.characters(codec="utf-8"))
VERSIONS = st.builds(ObjectVersion, TEXTS.map(ObjectKey), TEXTS.map(ETag), NUMBERS, NUMBERS, st.booleans())
SPOOLED = st.builds(
    SpooledContent,
    st.binary(min_size=16, max_size=16).map(ContentId),
    st.dictionaries(BLOCK_NUMBERS, st.integers(1, (1 << 32) - 1)),
    st.dictionaries(BLOCK_NUMBERS, st.binary()),
    st.dictionaries(BLOCK_NUMBERS, st.integers(1, 1 << 31)),
)
CONTENTS = st.builds(
    ContentRecord,
    size=NUMBERS,
    base=st.none() | VERSIONS,
    base_limit=NUMBERS,
    dirty=st.lists(st.tuples(NUMBERS, NUMBERS)).map(tuple),
    spooled=st.none() | SPOOLED,
)
FILES = st.builds(
    FileRecord,
    path=st.binary(),
    phase=st.sampled_from(Phase),
    metadata=st.dictionaries(TEXTS, TEXTS),
    version=st.none() | VERSIONS,
    seals=st.frozensets(TEXTS),
    sent=st.frozensets(TEXTS),
    noted_s=NUMBERS,
    content=CONTENTS,
)
MOVES = st.builds(
    MoveRecord,
    step=st.sampled_from(Step),
    source=TEXTS,
    target=TEXTS,
    source_path=st.binary(),
    target_path=st.binary(),
    had_target=st.booleans(),
    copied_s=NUMBERS,
    old_markers=st.lists(TEXTS.map(ObjectKey)).map(tuple),
)

FILE, OTHER = file_record(b"unmistakable-name"), file_record(b"other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def opened(path: Path, cipher: AESGCM = CIPHER, namespace_id: bytes = NAMESPACE_ID) -> AbstractContextManager[Journal]:
    return closing(Journal(path, cipher, namespace_id))


def change(path: Path, statement: str) -> None:
    """Do to a journal that nobody has open what no journal does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@given(FILES)
def test_every_file_is_the_same_after_it_was_text(record: FileRecord) -> None:
    assert parse_file(format_file(record)) == record


@given(MOVES)
def test_every_rename_is_the_same_after_it_was_text(move: MoveRecord) -> None:
    assert parse_move(format_move(move)) == move


def test_records_are_there_after_a_restart_and_ids_are_not_used_again(path: Path) -> None:
    with opened(path) as journal:
        first, second, third = journal.new_id(), journal.new_id(), journal.new_id()
        journal.store(first, FILE)
        journal.store(second, OTHER)
        journal.store_move(third, MOVE)
    with opened(path) as journal:
        assert journal.load() == {first: FILE, second: OTHER}
        assert journal.load_moves() == {third: MOVE}
        assert journal.new_id() not in {first, second, third}
        assert not journal.is_doubtful


def test_record_replaces_the_one_with_its_id_and_takes_others_away_with_it(path: Path) -> None:
    with opened(path) as journal:
        first, second, third = journal.new_id(), journal.new_id(), journal.new_id()
        for record_id in (first, second, third):
            journal.store(record_id, FILE)
        journal.store(first, OTHER, removed=[second])
        journal.remove(third)
        journal.remove(RecordId(99))
        assert journal.load() == {first: OTHER}


def test_rename_that_ended_leaves_no_record(path: Path) -> None:
    with opened(path) as journal:
        record_id = journal.new_id()
        journal.store_move(record_id, MOVE)
        journal.store_move(record_id, replace(MOVE, step=Step.DELETING))
        assert journal.load_moves() == {record_id: replace(MOVE, step=Step.DELETING)}
        journal.remove_move(record_id)
        assert journal.load_moves() == {}


def test_files_are_ours_alone_and_show_no_name(path: Path) -> None:
    with opened(path) as journal:
        journal.store(journal.new_id(), FILE)
        journal.store_move(journal.new_id(), replace(MOVE, source="unmistakable-name/"))
        for file in (path, Path(f"{path}-wal")):
            assert file.stat().st_mode & 0o777 == 0o600
            assert b"unmistakable-name" not in file.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_full_disk_leaves_the_record_that_was_there(small_disk: Path) -> None:
    large = replace(FILE, metadata={"large": "x" * 300_000})
    with opened(small_disk / "journal.sqlite") as journal:
        record_id = journal.new_id()
        journal.store(record_id, FILE)
        with pytest.raises(CacheFullError):
            journal.store(record_id, large, removed=[record_id])
        assert journal.load() == {record_id: FILE}
        journal.store(record_id, OTHER)
    with opened(small_disk / "journal.sqlite") as journal:
        assert journal.load() == {record_id: OTHER}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET value = zeroblob(100) WHERE record_id = 1",
        "UPDATE records SET value = substr(value, 1, length(value) - 1) WHERE record_id = 1",
        "UPDATE records SET value = (SELECT value FROM records WHERE record_id = 2) WHERE record_id = 1",
        "UPDATE records SET value = (SELECT value FROM moves) WHERE record_id = 1",
        "UPDATE records SET record_id = -1 WHERE record_id = 1",
    ],
    ids=["overwritten", "cut short", "swapped", "of another kind", "moved"],
)
def test_damaged_record_is_counted_and_left_and_others_go_on(damage: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as journal:
        journal.store(journal.new_id(), FILE)
        journal.store(journal.new_id(), OTHER)
        journal.store_move(journal.new_id(), MOVE)
    change(path, damage)
    for _ in range(2):
        with opened(path) as journal:
            assert journal.load() == {2: OTHER}
            assert (journal.damaged, journal.unreadable, journal.is_doubtful) == (1, 1, True)
    assert "1 records in the journal do not open" in caplog.text


@pytest.mark.parametrize(
    ("cipher", "namespace_id"), [(AESGCM(bytes([1] * 32)), NAMESPACE_ID), (CIPHER, bytes([1] * 16))], ids=["key", "namespace"]
)
def test_record_of_another_cache_does_not_open(cipher: AESGCM, namespace_id: bytes, path: Path) -> None:
    with opened(path, cipher, namespace_id) as journal:
        journal.store(journal.new_id(), FILE)
        journal.store_move(journal.new_id(), MOVE)
    with opened(path) as journal:
        assert (journal.load(), journal.load_moves()) == ({}, {})
        assert journal.damaged == 2


def test_content_of_a_damaged_record_may_still_be_somebodys(path: Path) -> None:
    with opened(path) as journal:
        journal.store(journal.new_id(), FILE)
        claims = journal.claims(journal.load().values())
        assert [claims(CONTENT_ID), claims(ContentId(b"other" * 3 + b"!"))] == [True, False]
    change(path, "UPDATE records SET value = zeroblob(100)")
    with opened(path) as journal:
        claims = journal.claims(journal.load().values())
        assert [claims(CONTENT_ID), claims(ContentId(b"other" * 3 + b"!"))] == [True, True]


@pytest.mark.parametrize("damage", [b"no database at all" * 500, b""], ids=["text", "empty"])
def test_damaged_file_is_kept_and_a_new_one_begun(damage: bytes, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as journal:
        journal.store(journal.new_id(), FILE)
        log = Path(f"{path}-wal").read_bytes()
    path.write_bytes(damage)
    Path(f"{path}-wal").write_bytes(log)
    for _ in range(2):
        with opened(path) as journal:
            journal.store(journal.new_id(), OTHER)
            assert OTHER in journal.load().values()
            assert (journal.unreadable, journal.is_doubtful) == (1, True)
    aside = path.with_suffix(".damaged-1")
    assert aside.read_bytes() == damage
    assert Path(f"{aside}-wal").read_bytes() == log
    assert "the journal is damaged" in caplog.text
    assert {found.name for found in path.parent.iterdir()} == {path.name, aside.name, f"{aside.name}-wal"}


def test_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    for damage in (b"first" * 1000, b"second" * 1000):
        path.write_bytes(damage)
        with opened(path) as journal:
            assert journal.load() == {}
    kept = [path.with_suffix(f".damaged-{number}").read_bytes() for number in (1, 2)]
    assert kept == [b"first" * 1000, b"second" * 1000]


def test_threads_that_sync_at_the_same_time_share_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow_sync(descriptor: int) -> None:
        calls.append(descriptor)
        began.set()
        assert may_end.wait(10)

    with opened(path) as journal:
        monkeypatch.setattr(os, "fdatasync", slow_sync)
        journal.store(journal.new_id(), FILE)
        threads = [threading.Thread(target=journal.sync) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert began.wait(10)
        may_end.set()
        for thread in threads:
            thread.join()
        assert len(calls) == 1
        journal.store(journal.new_id(), OTHER)
        journal.sync()
        journal.sync()
        assert len(calls) == 2


def test_change_during_a_sync_needs_another_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    with opened(path) as journal:

        def sync_and_store(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == 1:
                journal.store(journal.new_id(), OTHER)

        monkeypatch.setattr(os, "fdatasync", sync_and_store)
        journal.store(journal.new_id(), FILE)
        journal.sync()
        journal.sync()
        journal.sync()
    assert len(calls) == 2


Prepare = Callable[[Path], object]


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda _: None, False),
        (lambda path: Path(f"{path}-wal").write_bytes(bytes(100)), True),
        (lambda path: path.write_bytes(b"no database"), True),
    ],
    ids=["nothing", "log", "damaged"],
)
def test_files_alone_tell_whether_there_may_be_records(prepare: Prepare, expected: bool, path: Path) -> None:
    prepare(path)
    assert may_hold_records(path) is expected


def test_records_are_seen_without_the_key(path: Path) -> None:
    with opened(path) as journal:
        record_id = journal.new_id()
        journal.store(record_id, FILE)
    assert may_hold_records(path)
    with opened(path) as journal:
        journal.remove(record_id)
    assert not may_hold_records(path)


def test_journal_from_before_uploads_were_recorded_goes_on(tmp_path: Path) -> None:
    with closing(open_journal(tmp_path)) as journal:
        journal.store(journal.new_id(), file_record(b"file"))
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.execute("DROP TABLE uploads")
    with closing(open_journal(tmp_path)) as journal:
        assert (list(journal.load().values()), journal.is_doubtful) == ([file_record(b"file")], False)
        upload = Upload(ObjectKey("file"), "id", "md5")
        journal.store_upload(journal.new_id(), upload)
        assert list(journal.load_uploads().values()) == [upload]
