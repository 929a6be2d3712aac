"""The SQLite file: schema, durability, transactions. Imported by the tables and ``storage``.

``objects`` holds what each name shows now; ``old_versions`` everything that a versioned bucket keeps beside it, delete markers
included. So the listing of a bucket never steps over old versions.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ssecfs.server.options import Durability

_VERSION_COLUMNS: Final = """
    bucket TEXT NOT NULL, object_key TEXT NOT NULL, sequence INTEGER NOT NULL, version_id TEXT NOT NULL, kind TEXT NOT NULL,
    size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL, texts TEXT NOT NULL, seal TEXT NOT NULL,
    pieces TEXT NOT NULL
"""

_SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL, versioning TEXT NOT NULL, encryption TEXT NOT NULL,
    blocked TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects ({_VERSION_COLUMNS});
CREATE UNIQUE INDEX IF NOT EXISTS objects_by_key ON objects (bucket, object_key);
CREATE TABLE IF NOT EXISTS old_versions ({_VERSION_COLUMNS});
CREATE UNIQUE INDEX IF NOT EXISTS old_versions_by_key ON old_versions (bucket, object_key, sequence DESC);
CREATE TABLE IF NOT EXISTS small_pieces (name TEXT NOT NULL, sealed BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS small_pieces_by_name ON small_pieces (name);
CREATE TABLE IF NOT EXISTS uploads (
    upload_id TEXT PRIMARY KEY, bucket TEXT NOT NULL, object_key TEXT NOT NULL, initiated_ms INTEGER NOT NULL,
    texts TEXT NOT NULL, seal TEXT NOT NULL, is_overtaken INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_key ON uploads (bucket, object_key);
CREATE TABLE IF NOT EXISTS parts (
    upload_id TEXT NOT NULL, part_number INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL,
    checksum TEXT NOT NULL, piece TEXT NOT NULL, PRIMARY KEY (upload_id, part_number)
) WITHOUT ROWID;
"""


class Database:
    """One connection. Owns: it. Outside of a transaction, each statement is one."""

    def __init__(self, path: Path, durability: Durability) -> None:
        """Open the file, or begin a new one, which is private: it names objects."""
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability is Durability.POWER_CUT else 'OFF'}")

    def run(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        """Run a statement."""
        return self._connection.execute(statement, parameters)

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._connection.execute(statement, parameters).fetchall()

    def row(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found: tuple[Any, ...] | None = self._connection.execute(statement, parameters).fetchone()
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything in the block one change. May be nested: the outermost one counts."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.OperationalError):  # on a full disk SQLite has ended it by itself
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
