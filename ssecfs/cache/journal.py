"""Journal: what is unsaved, as sealed records that outlive the daemon. Synchronous, no trio.

What lives here: SQLite, fsync. What does not: what a record holds (``records``), when something is recorded
(``fs.ledger``), what the next mount makes of it (``fs.recovery``). Imported by both and by ``app``.

A change is in the file when the method returns, so it survives the end of the daemon; a power cut it survives after ``sync``.
SQLite itself syncs nothing but checkpoints: who is to be told that something is kept waits for one fdatasync of the write-ahead
log, and that is good for everything before it. Unlike the index, the journal may not forget: what does not open stays where it
is and is counted; a file that is damaged as such is set aside, and what can be read of it goes into a new one.
"""

import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NewType, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ssecfs.cache.containers import sync_folder
from ssecfs.cache.records import (
    FileRecord,
    MoveRecord,
    format_file,
    format_move,
    format_removal,
    format_upload,
    parse_file,
    parse_move,
    parse_removal,
    parse_upload,
)
from ssecfs.cache.salvage import PAGE_BYTES, Row, is_log_begun, is_sound, read_rows
from ssecfs.cache.seal import ContentId, open_record, seal_record
from ssecfs.errors import BrokenSealError, CacheFullError, LocalError, SpoolError
from ssecfs.s3.types import ObjectVersion, Upload

LOGGER: Final = logging.getLogger(__name__)

RecordId = NewType("RecordId", int)

_Record = TypeVar("_Record")

_SETTINGS: Final = f"""
PRAGMA page_size = {PAGE_BYTES};
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
"""

_TABLES: Final = {
    "moves": "CREATE TABLE moves (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "records": "CREATE TABLE records (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "removals": "CREATE TABLE removals (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "uploads": "CREATE TABLE uploads (record_id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
}

_KINDS: Final = {"records": b"journal", "moves": b"move", "removals": b"removal", "uploads": b"upload"}
"""What the seal of a row is bound to, by its table."""

_NOT_DAMAGE: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
}
"""Failures that say nothing of what is in the file."""


class Journal:
    """The journal of one cache directory.

    Owns: the SQLite file and the descriptor of its log.
    """

    def __init__(self, path: Path, cipher: AESGCM, namespace_id: bytes) -> None:
        """Open the file, or begin one; a damaged one is set aside, not removed.

        Args:
            path: of the file.
            cipher: seals records.
            namespace_id: 16 bytes, bound into each.

        Raises:
            CacheFullError: no room on the disk.
            SpoolError: the disk fails.
        """
        self._path = path
        self._cipher = cipher
        self._namespace_id = namespace_id
        self._lock = threading.Lock()
        self._changes = 0
        self._synced = 0
        self._damaged: dict[str, int] = {}
        self._connection = self._open_or_mend()
        last = [self._connection.execute(f"SELECT coalesce(max(record_id), 0) FROM {table}").fetchone()[0] for table in _TABLES]
        self._last = RecordId(max(last))
        self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        sync_folder(path.parent)

    def load(self) -> dict[RecordId, FileRecord]:
        """All records of files that open, oldest first; those that do not are counted."""
        return self._load("records", parse_file)

    def load_moves(self) -> dict[RecordId, MoveRecord]:
        """The renames that were under way when an earlier mount ended; as load."""
        return self._load("moves", parse_move)

    def load_removals(self) -> dict[RecordId, ObjectVersion]:
        """What was to be deleted when an earlier mount ended; as load."""
        return self._load("removals", parse_removal)

    def load_uploads(self) -> dict[RecordId, Upload]:
        """The multipart uploads that were under way when an earlier mount ended; as load."""
        return self._load("uploads", parse_upload)

    @property
    def damaged(self) -> int:
        """Count the records that did not open when they were loaded."""
        return sum(self._damaged.values())

    @property
    def unreadable(self) -> int:
        """Count what was recorded and cannot be read any more: records, and files that were set aside."""
        aside = self._path.parent.glob(f"{self._path.stem}.damaged-*")
        return self.damaged + sum(1 for path in aside if path.suffix.lstrip(".").removeprefix("damaged-").isdecimal())

    @property
    def is_doubtful(self) -> bool:
        """Tell whether something was recorded that cannot be read any more."""
        return self.unreadable > 0

    def claims(self, records: Iterable[FileRecord]) -> Callable[[ContentId], bool]:
        """Tells of a content whether it may be that of an unsaved file, so that its containers are no rubbish."""
        spooled = {record.content.spooled.content_id for record in records if record.content.spooled is not None}
        is_doubtful = self.is_doubtful
        return lambda content_id: is_doubtful or content_id in spooled

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
        self._store("records", record_id, format_file(record), removed)

    def remove(self, record_id: RecordId) -> None:
        """Drop a record; on a disk that fails it stays, which costs a look at the server after the next mount."""
        self._remove("records", [record_id])

    def store_move(self, record_id: RecordId, move: MoveRecord) -> None:
        """Keep a rename; errors as store."""
        self._store("moves", record_id, format_move(move))

    def remove_move(self, record_id: RecordId) -> None:
        """Drop a rename that has ended; as remove."""
        self._remove("moves", [record_id])

    def store_removal(self, record_id: RecordId, version: ObjectVersion) -> None:
        """Keep a removal; errors as store."""
        self._store("removals", record_id, format_removal(version))

    def remove_removals(self, record_ids: Sequence[RecordId]) -> None:
        """Drop removals that are done; as remove."""
        self._remove("removals", record_ids)

    def store_upload(self, record_id: RecordId, upload: Upload) -> None:
        """Keep a multipart upload; errors as store."""
        self._store("uploads", record_id, format_upload(upload))

    def remove_upload(self, record_id: RecordId) -> None:
        """Drop an upload that has ended; as remove."""
        self._remove("uploads", [record_id])

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

    def _store(self, table: str, record_id: RecordId, text: bytes, removed: Iterable[RecordId] = ()) -> None:
        value = seal_record(self._cipher, self._label(table, record_id), text)
        with self._change() as connection:
            connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (record_id, value))
            connection.executemany(f"DELETE FROM {table} WHERE record_id = ?", [(other,) for other in removed])

    def _remove(self, table: str, record_ids: Sequence[RecordId]) -> None:
        try:
            with self._change() as connection:
                connection.executemany(f"DELETE FROM {table} WHERE record_id = ?", [(number,) for number in record_ids])
        except LocalError as error:
            LOGGER.warning("%d rows of %s stay in the journal, although they are settled: %s", len(record_ids), table, error)

    def _load(self, table: str, parse: Callable[[bytes], _Record]) -> dict[RecordId, _Record]:
        found = {}
        self._damaged[table] = 0
        for record_id, value in self._connection.execute(f"SELECT record_id, value FROM {table} ORDER BY record_id"):
            try:
                found[RecordId(record_id)] = parse(open_record(self._cipher, self._label(table, record_id), value))
            except (BrokenSealError, ValueError, KeyError, TypeError):
                self._damaged[table] += 1
        if self._damaged[table]:
            LOGGER.error("%d %s in the journal do not open; they are left as they are", self._damaged[table], table)
        return found

    def _label(self, table: str, record_id: int) -> bytes:
        return _KINDS[table] + self._namespace_id + record_id.to_bytes(8, "little", signed=True)

    def _open_or_mend(self) -> sqlite3.Connection:
        try:
            return self._open()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from a message of SQLite's that quotes the file
            if _code(error) in _NOT_DAMAGE:
                raise _translate(error) from error
            damage = error
        except OSError as error:
            raise _translate(error) from error
        try:
            rows = self._choose(*read_rows(self._path, list(_TABLES)))
            self._set_aside(damage, len(rows))
            connection = self._open()
            connection.execute("BEGIN")
            for table, record_id, value in rows:
                connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (record_id, value))
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise _translate(error) from error
        return connection

    def _choose(self, before: list[Row], after: list[Row]) -> list[Row]:
        """Of the rows before and after the damage: what comes later if it opens, else what was there before."""
        chosen = {(table, record_id): value for table, record_id, value in before}
        for table, record_id, value in after:
            if (table, record_id) not in chosen or self._opens(table, record_id, value):
                chosen[table, record_id] = value
        return [(table, record_id, value) for (table, record_id), value in chosen.items()]

    def _opens(self, table: str, record_id: int, value: bytes) -> bool:
        try:
            open_record(self._cipher, self._label(table, record_id), value)
        except (BrokenSealError, AttributeError, OverflowError):  # a damaged row need not have a number of ours
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        if not is_sound(self._path):
            message = "its log, or its size"
            raise sqlite3.DatabaseError(message)
        self._path.touch(mode=0o600)  # SQLite gives its other files the same mode
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.text_factory = bytes  # there is no text, but for a damaged byte
        try:
            connection.executescript(_SETTINGS)
            connection.execute("BEGIN IMMEDIATE")
            _check(connection)
            connection.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError):
            connection.close()
            raise
        return connection

    def _set_aside(self, damage: Exception, saved: int) -> None:
        number = 1
        while (aside := self._path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        LOGGER.error("the journal is damaged (%s): it is kept as %s, %d records could be read", damage, aside.name, saved)
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").replace(f"{aside}{suffix}")
        aside.touch(mode=0o600)

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


def may_hold_records(path: Path) -> bool:
    """Tell whether there may be something in a journal, without its key; the file is not touched."""
    if is_log_begun(path):
        return True
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            found = connection.execute(
                f"SELECT EXISTS ({' UNION ALL '.join(f'SELECT 1 FROM {table}' for table in _TABLES)})"
            ).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return True
    return found != [(0,)]


def _check(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, and look whether an old one is whole; SQLite passes over much that is not.

    Raises:
        sqlite3.DatabaseError: it is not.
    """
    ((verdict,),) = connection.execute("PRAGMA integrity_check(1)")
    tables = dict(connection.execute("SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema"))
    wanted = {name.encode(): statement.encode() for name, statement in _TABLES.items()}
    if verdict != b"ok" or not tables.items() <= wanted.items():
        raise sqlite3.DatabaseError(verdict)
    for name, statement in _TABLES.items():
        if name.encode() not in tables:
            connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")  # can it be written?


def _code(error: Exception) -> int:
    """What kind of failure an error of SQLite is; 0: we raised it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translate(error: Exception) -> CacheFullError | SpoolError:
    if _code(error) == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return CacheFullError("the disk of the cache directory is full; free some space")
    return SpoolError(f"the journal in the cache directory cannot be used: {error}")
