"""The index's table of attributes: sealed, bound to the object, bounded, and unknown when damaged."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ssecfs.cache.index import BATCH, Index
from ssecfs.cache.keys import make_cache_keys
from ssecfs.s3.types import ObjectKey

A, B = ObjectKey("folder/a-telling-name"), ObjectKey("folder/b")
VALUE = b"telling attributes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


def opened(path: Path, *, data_key: bytes = bytes(32), max_attributes: int = 1000) -> closing[Index]:
    return closing(Index(path, make_cache_keys(data_key), max_attributes))


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with opened(path) as index:
        yield index


def rows(path: Path) -> list[tuple[bytes, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, value FROM attributes").fetchall()


def test_attributes_are_there_after_the_file_was_closed_and_opened_again(path: Path) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
    with opened(path) as index:
        assert (index.load_attributes(A), index.load_attributes(B)) == (VALUE, None)


def test_attributes_stored_again_replace_the_old_ones_and_dropped_ones_are_gone(index: Index) -> None:
    index.store_attributes(A, VALUE)
    index.store_attributes(A, b"newer")
    assert index.load_attributes(A) == b"newer"
    index.drop_attributes(A)
    assert index.load_attributes(A) is None


def test_file_shows_neither_names_nor_attributes(path: Path) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
    content = path.read_bytes()
    assert (b"telling" in content, len(rows(path))) == (False, 1)


def test_attributes_moved_to_another_object_are_unknown(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
        index.store_attributes(B, b"other")
    with closing(sqlite3.connect(path)) as connection:
        (name_a, value_a), (name_b, _) = rows(path)
        connection.execute("UPDATE attributes SET value = ? WHERE name = ?", (value_a, name_b))
        connection.execute("DELETE FROM attributes WHERE name = ?", (name_a,))
        connection.commit()
    with opened(path) as index, caplog.at_level(logging.WARNING):
        assert (index.load_attributes(A), index.load_attributes(B)) == (None, None)
        assert "do not open" in caplog.text
        caplog.clear()
        assert (index.load_attributes(B), caplog.text) == (None, ""), "what is damaged is forgotten"


@pytest.mark.parametrize("position", [0, 5, 12, 25, -1])
def test_attributes_with_a_changed_byte_are_unknown(path: Path, position: int, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
    ((name, value),) = rows(path)
    damaged = bytearray(value)
    damaged[position] ^= 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attributes SET value = ? WHERE name = ?", (bytes(damaged), name))
        connection.commit()
    with opened(path) as index, caplog.at_level(logging.WARNING):
        assert index.load_attributes(A) is None


def test_attributes_sealed_under_another_key_are_not_even_found(path: Path) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
    with opened(path, data_key=bytes(31) + b"\1") as index:
        assert index.load_attributes(A) is None


def test_only_the_attributes_written_last_are_kept(path: Path) -> None:
    names = [ObjectKey(f"object-{number}") for number in range(3 * BATCH)]
    with opened(path, max_attributes=BATCH) as index:
        for name in names:
            index.store_attributes(name, VALUE)
        assert len([name for name in names if index.load_attributes(name)]) <= 2 * BATCH
    with opened(path, max_attributes=BATCH) as index:
        assert [name for name in names if index.load_attributes(name)] == names[-BATCH:]


def test_damaged_file_is_set_aside_and_its_attributes_are_unknown(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as index:
        index.store_attributes(A, VALUE)
    path.write_bytes(b"no database".ljust(8192, b"."))
    with caplog.at_level(logging.ERROR), opened(path) as index:
        assert index.load_attributes(A) is None
        index.store_attributes(A, VALUE)
        assert index.load_attributes(A) == VALUE
    assert "damaged" in caplog.text
