"""What is stored: buckets, objects and uploads in SQLite, sealed data in files.

Imported by the operations and ``server.run``. Synchronous; all of it runs in the server's one thread, so a method is atomic.

    DIRECTORY/index.sqlite      what there is
    DIRECTORY/data/XX/NAME      the sealed chunks of one piece (an object, or a part of one)
    DIRECTORY/incoming/         pieces that are being received; removed at the start
    DIRECTORY/server.key        32 bytes: wraps the data keys of objects without SSE-C

A piece is complete before it is moved into ``data``, and there before the index names it: after a kill there is the old
object or the new one. Data files that no row names are removed at the next start.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ssecfs.server.errors import no_such_bucket, no_such_upload
from ssecfs.server.options import Durability
from ssecfs.server.records import (
    Found,
    Listed,
    Piece,
    StoredObject,
    StoredPart,
    StoredUpload,
    object_from,
    pieces_from,
    pieces_text,
    seal_from,
    seal_text,
)

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, object_key TEXT NOT NULL, version_id TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL, headers TEXT NOT NULL, seal TEXT NOT NULL, pieces TEXT NOT NULL,
    PRIMARY KEY (bucket, object_key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    upload_id TEXT PRIMARY KEY, bucket TEXT NOT NULL, object_key TEXT NOT NULL, initiated_ms INTEGER NOT NULL,
    headers TEXT NOT NULL, seal TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload_id TEXT NOT NULL, part_number INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL,
    piece TEXT NOT NULL,
    PRIMARY KEY (upload_id, part_number)
) WITHOUT ROWID;
"""


class Storage:
    """The store. Owns: the SQLite connection and the data files."""

    def __init__(self, directory: Path, durability: Durability) -> None:
        """Open or begin a store, and remove what an earlier process left unfinished."""
        self._data = directory / "data"
        self._incoming = directory / "incoming"
        for folder in (directory, self._data, self._incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(256):
            (self._data / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        self._durability = durability
        self._connection = sqlite3.connect(directory / "index.sqlite", isolation_level=None)
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability is Durability.POWER_CUT else 'OFF'}")
        self.server_secret: Final = _load_or_make_secret(directory / "server.key")
        self._clean_up()

    def close(self) -> None:
        """Close the index."""
        self._connection.close()

    # Buckets

    def create_bucket(self, bucket: str) -> bool:
        """Make a bucket; tells whether it is new."""
        cursor = self._connection.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?)", (bucket, _now_ms()))
        return cursor.rowcount > 0

    def buckets(self) -> list[tuple[str, int]]:
        """Names and times (ms) of all buckets, by name."""
        return self._connection.execute("SELECT name, created_ms FROM buckets ORDER BY name").fetchall()

    def require_bucket(self, bucket: str) -> None:
        """Insist on a bucket.

        Raises:
            S3Error: NoSuchBucket.
        """
        if self._connection.execute("SELECT 1 FROM buckets WHERE name = ?", (bucket,)).fetchone() is None:
            raise no_such_bucket(bucket)

    def delete_bucket(self, bucket: str) -> bool:
        """Remove an empty bucket; tells whether it was empty."""
        if self._connection.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (bucket,)).fetchone():
            return False
        for (upload_id,) in self._connection.execute("SELECT upload_id FROM uploads WHERE bucket = ?", (bucket,)).fetchall():
            self.drop_upload(upload_id)
        self._connection.execute("DELETE FROM buckets WHERE name = ?", (bucket,))
        return True

    # Objects

    def find(self, bucket: str, object_key: str) -> StoredObject | None:
        """An object; None: there is none."""
        row = self._connection.execute(
            "SELECT * FROM objects WHERE bucket = ? AND object_key = ?", (bucket, object_key)
        ).fetchone()
        return object_from(row) if row else None

    def store(self, new: StoredObject) -> None:
        """Make an object what its name shows from now on; what it replaces is removed."""
        old = self.find(new.bucket, new.object_key)
        self._connection.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.bucket,
                new.object_key,
                new.version_id,
                new.size,
                new.etag,
                new.modified_ms,
                json.dumps(new.headers),
                seal_text(new.seal),
                pieces_text(new.pieces),
            ),
        )
        if old is not None:
            self.remove_pieces(old.pieces)

    def remove(self, bucket: str, object_key: str) -> None:
        """Remove an object; one that is not there is no error."""
        old = self.find(bucket, object_key)
        if old is not None:
            self._connection.execute("DELETE FROM objects WHERE bucket = ? AND object_key = ?", (bucket, object_key))
            self.remove_pieces(old.pieces)

    def list_objects(self, bucket: str, prefix: str, delimiter: str, start: str, limit: int) -> Found:
        """One page of a listing.

        Args:
            bucket: exists.
            prefix: of the object keys.
            delimiter: may be empty.
            start: object keys from here on, inclusive.
            limit: objects and common prefixes together.
        """
        found = Found()
        position = max(start, prefix)
        while True:
            rows = self._connection.execute(
                "SELECT object_key, size, etag, modified_ms FROM objects "
                "WHERE bucket = ? AND object_key >= ? ORDER BY object_key LIMIT ?",
                (bucket, position, limit + 1),
            )
            for object_key, size, etag, modified_ms in rows:
                if not object_key.startswith(prefix):
                    return found
                if len(found.objects) + len(found.prefixes) >= limit:
                    found.next_key = object_key
                    return found
                end = object_key.find(delimiter, len(prefix)) if delimiter else -1
                if end >= 0:
                    common = object_key[: end + len(delimiter)]
                    found.prefixes.append(common)
                    position = _after_prefix(common)
                    break
                found.objects.append(Listed(object_key, size, etag, modified_ms))
            else:
                return found

    # Uploads

    def add_upload(self, upload: StoredUpload) -> None:
        """Begin an upload."""
        self._connection.execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)",
            (
                upload.upload_id,
                upload.bucket,
                upload.object_key,
                upload.initiated_ms,
                json.dumps(upload.headers),
                seal_text(upload.seal),
            ),
        )

    def upload(self, bucket: str, object_key: str, upload_id: str) -> StoredUpload:
        """An upload.

        Raises:
            S3Error: NoSuchUpload.
        """
        row = self._connection.execute("SELECT * FROM uploads WHERE upload_id = ?", (upload_id,)).fetchone()
        if row is None or (row[1], row[2]) != (bucket, object_key):
            raise no_such_upload(upload_id)
        return StoredUpload(row[0], row[1], row[2], row[3], json.loads(row[4]), seal_from(row[5]))

    def uploads(self, bucket: str, prefix: str) -> list[StoredUpload]:
        """The uploads of a bucket, by object key."""
        rows = self._connection.execute(
            "SELECT * FROM uploads WHERE bucket = ? ORDER BY object_key, upload_id", (bucket,)
        ).fetchall()
        return [
            StoredUpload(row[0], row[1], row[2], row[3], json.loads(row[4]), seal_from(row[5]))
            for row in rows
            if row[2].startswith(prefix)
        ]

    def store_part(self, upload_id: str, part: StoredPart) -> None:
        """Add a part, in place of one of the same number."""
        old = self._connection.execute(
            "SELECT piece FROM parts WHERE upload_id = ? AND part_number = ?", (upload_id, part.part_number)
        ).fetchone()
        self._connection.execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)",
            (upload_id, part.part_number, part.etag, part.modified_ms, pieces_text((part.piece,))),
        )
        if old:
            self.remove_pieces(pieces_from(old[0]))

    def parts(self, upload_id: str) -> list[StoredPart]:
        """The parts of an upload, by number."""
        rows = self._connection.execute(
            "SELECT part_number, etag, modified_ms, piece FROM parts WHERE upload_id = ? ORDER BY part_number", (upload_id,)
        ).fetchall()
        return [StoredPart(number, etag, modified_ms, pieces_from(piece)[0]) for number, etag, modified_ms, piece in rows]

    def finish_upload(self, upload_id: str, new: StoredObject) -> None:
        """Turn an upload into an object; parts that are not in it are removed."""
        used = {piece.name for piece in new.pieces}
        unused = [part.piece for part in self.parts(upload_id) if part.piece.name not in used]
        with self._transaction():
            self.store(new)
            self._connection.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))
            self._connection.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))
        self.remove_pieces(tuple(unused))

    def drop_upload(self, upload_id: str) -> None:
        """Abort an upload."""
        pieces = tuple(part.piece for part in self.parts(upload_id))
        with self._transaction():
            self._connection.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))
            self._connection.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))
        self.remove_pieces(pieces)

    # Data files

    def incoming_path(self, name: str) -> Path:
        """Where a piece is written while it is received."""
        return self._incoming / name

    def publish(self, name: str, descriptor: int) -> None:
        """Move a complete piece to where the index may name it."""
        if self._durability is Durability.POWER_CUT:
            os.fsync(descriptor)
        self.incoming_path(name).rename(self.data_path(name))
        if self._durability is Durability.POWER_CUT:
            _fsync_folder(self.data_path(name).parent)

    def data_path(self, name: str) -> Path:
        """Where a complete piece is."""
        return self._data / name[:2] / name

    def remove_pieces(self, pieces: tuple[Piece, ...]) -> None:
        """Remove data files."""
        for piece in pieces:
            self.data_path(piece.name).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _clean_up(self) -> None:
        for path in self._incoming.iterdir():
            path.unlink()
        named = set()
        for table, column in (("objects", "pieces"), ("parts", "piece")):
            for (text,) in self._connection.execute(f"SELECT {column} FROM {table}"):  # noqa: S608 - two constants
                named |= {piece.name for piece in pieces_from(text)}
        for folder in self._data.iterdir():
            for path in folder.iterdir():
                if path.name not in named:
                    path.unlink()


def _after_prefix(common: str) -> str:
    """The first object key behind all that begin with a common prefix."""
    last = ord(common[-1])
    # Skip the surrogates: they are no characters of their own.
    following = 0xE000 if last == 0xD7FF else last + 1  # noqa: PLR2004 - limits of Unicode
    return common[:-1] + chr(following)


def _load_or_make_secret(path: Path) -> bytes:
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    return path.read_bytes()


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
