"""Journal: what is unsaved, as sealed records that outlive the daemon. Synchronous, no trio.

What lives here: SQLite, fsync. What does not: what a record holds (``records``), when something is recorded
(``fs.ledger``), what the next mount makes of it (``fs.recovery``). Imported by both and by ``app``.

A change is in the file when the method returns, so it survives the end of the daemon; a power cut it survives after ``sync``.
SQLite itself syncs nothing but checkpoints: who is to be told that something is kept waits for one fdatasync of the write-ahead
log, and that is good for everything before it. Unlike the index, the journal may not forget: what does not open stays where it
is and is counted.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NewType

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ssecfs.cache.containers import sync_folder
from ssecfs.cache.records import (
    FileRecord,
    MoveRecord,
    format_file,
    format_move,
    format_removal,
    parse_file,
    parse_move,
    parse_removal,
)
from ssecfs.cache.seal import open_record, seal_record
from ssecfs.errors import BrokenSealError, CacheFullError, LocalError, SpoolError
from ssecfs.s3.types import ObjectVersion

LOGGER: Final = logging.getLogger(__name__)

RecordId = NewType("RecordId", int)

_SCHEMA: Final = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS records (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS moves (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS removals (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL);
"""

_FULL: Final = "disk is full"


class Journal:
    """The journal of one cache directory.

    Owns: the SQLite file and the descriptor of its log.

    Attributes:
        damaged: records that do not open.
    """

    def __init__(self, path: Path, cipher: AESGCM) -> None:
        """Open the file, or begin one; one that SQLite does not understand is set aside, not removed.

        Raises:
            CacheFullError: no room on the disk.
            SpoolError: the disk fails.
        """
        self._path = path
        self._cipher = cipher
        self._lock = threading.Lock()
        self._changes = 0
        self._synced = 0
        self.damaged = 0
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise _translate(error) from error
            self._set_aside(error)
            self._connection = self._open()
        ((last,),) = self._connection.execute(
            "SELECT coalesce(max(record_id), 0) FROM (SELECT record_id FROM records "
            "UNION ALL SELECT record_id FROM moves UNION ALL SELECT record_id FROM removals)"
        )
        self._last = RecordId(last)
        self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        sync_folder(path.parent)

    def load(self) -> dict[RecordId, FileRecord]:
        """All records that open, oldest first."""
        records = {}
        self.damaged = 0
        for record_id, value in self._connection.execute("SELECT record_id, value FROM records ORDER BY record_id"):
            try:
                records[RecordId(record_id)] = parse_file(open_record(self._cipher, _label(record_id), value))
            except (BrokenSealError, ValueError, KeyError, TypeError):
                self.damaged += 1
        if self.damaged:
            LOGGER.error("%d records of the journal do not open; they are left as they are", self.damaged)
        return records

    def load_removals(self) -> dict[RecordId, ObjectVersion]:
        """What was to be deleted when an earlier mount ended; one that does not open counts as damaged."""
        removals = {}
        for record_id, value in self._connection.execute("SELECT record_id, value FROM removals ORDER BY record_id"):
            try:
                text = open_record(self._cipher, _removal_label(record_id), value)
                removals[RecordId(record_id)] = parse_removal(text)
            except (BrokenSealError, ValueError, KeyError, TypeError):
                self.damaged += 1
        return removals

    @property
    def is_doubtful(self) -> bool:
        """Tell whether something was recorded that cannot be read any more: then no container may be taken for rubbish."""
        return self.damaged > 0 or any(self._path.parent.glob(f"{self._path.stem}.damaged-*"))

    def load_moves(self) -> dict[RecordId, MoveRecord]:
        """The renames that were under way when an earlier mount ended; one that does not open counts as damaged."""
        moves = {}
        for record_id, value in self._connection.execute("SELECT record_id, value FROM moves ORDER BY record_id"):
            try:
                moves[RecordId(record_id)] = parse_move(open_record(self._cipher, _move_label(record_id), value))
            except (BrokenSealError, ValueError, KeyError, TypeError):
                self.damaged += 1
        return moves

    def new_id(self) -> RecordId:
        """An id that no record has."""
        self._last = RecordId(self._last + 1)
        return self._last

    def store(self, record_id: RecordId, record: FileRecord, removed: Iterable[RecordId] = ()) -> None:
        """Keep a record, in place of an older one with its id, and drop others in the same moment.

        Raises:
            CacheFullError: no room on the disk; everything is as before.
            SpoolError: the disk fails.
        """
        value = seal_record(self._cipher, _label(record_id), format_file(record))
        with self._change() as connection:
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (record_id, value))
            connection.executemany("DELETE FROM records WHERE record_id = ?", [(other,) for other in removed])

    def remove(self, record_id: RecordId) -> None:
        """Drop a record; on a disk that fails it stays, which costs a look at the server after the next mount."""
        try:
            with self._change() as connection:
                connection.execute("DELETE FROM records WHERE record_id = ?", (record_id,))
        except LocalError as error:
            LOGGER.warning("a record stays in the journal, although its file is saved: %s", error)

    def store_move(self, record_id: RecordId, move: MoveRecord) -> None:
        """Keep a rename; errors as store."""
        value = seal_record(self._cipher, _move_label(record_id), format_move(move))
        with self._change() as connection:
            connection.execute("INSERT OR REPLACE INTO moves VALUES (?, ?)", (record_id, value))

    def remove_move(self, record_id: RecordId) -> None:
        """Drop a rename that has ended; errors as store."""
        with self._change() as connection:
            connection.execute("DELETE FROM moves WHERE record_id = ?", (record_id,))

    def store_removal(self, record_id: RecordId, version: ObjectVersion) -> None:
        """Keep a removal; errors as store."""
        value = seal_record(self._cipher, _removal_label(record_id), format_removal(version))
        with self._change() as connection:
            connection.execute("INSERT OR REPLACE INTO removals VALUES (?, ?)", (record_id, value))

    def remove_removals(self, record_ids: Sequence[RecordId]) -> None:
        """Drop removals that are done; on a disk that fails they stay, at the cost of a look after the next mount."""
        try:
            with self._change() as connection:
                connection.executemany("DELETE FROM removals WHERE record_id = ?", [(record_id,) for record_id in record_ids])
        except LocalError as error:
            LOGGER.warning("removals stay in the journal, although they are done: %s", error)

    def sync(self) -> None:
        """Make everything so far survive a power cut. Thread: any.

        Raises:
            SpoolError: the disk fails.
        """
        wanted = self._changes
        with self._lock:
            if self._synced >= wanted:
                return  # another thread's sync was good for ours as well
            covered = self._changes
            try:
                os.fdatasync(self._log)
            except OSError as error:
                message = f"the disk of the cache directory fails: {error.strerror}"
                raise SpoolError(message) from error
            self._synced = covered

    def close(self) -> None:
        """Close the file."""
        os.close(self._log)
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.close()
            raise
        self._path.chmod(0o600)
        return connection

    def _set_aside(self, error: sqlite3.Error) -> None:
        number = 1
        while (aside := self._path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        LOGGER.error("the journal is damaged (%s); it is kept as %s, and a new one is begun", error, aside.name)
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").replace(f"{aside}{suffix}")

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All changes of the block, or none."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translate(error) from error
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()
        self._changes += 1


def _translate(error: sqlite3.Error) -> CacheFullError | SpoolError:
    if _FULL in str(error):
        return CacheFullError("the disk of the cache directory is full; free some space")
    return SpoolError(f"the journal in the cache directory cannot be used: {error}")


def _label(record_id: int) -> bytes:
    return b"journal" + record_id.to_bytes(8, "little")


def _removal_label(record_id: int) -> bytes:
    return b"removal" + record_id.to_bytes(8, "little")


def _move_label(record_id: int) -> bytes:
    return b"move" + record_id.to_bytes(8, "little")
