"""The index of the cache: which content is where, in SQLite. Synchronous, no trio.

Imported by ``cache`` and ``app``. Names are HMACs and values sealed, so the file tells nothing. It may lie or vanish: every
record authenticates itself, and the worst case is a miss. So nothing is fsynced, and changes are committed in batches.

Tables: ``contents`` (content id, HMAC of the object key, sealed binding to a version), ``segments`` (which blocks a container
holds, when it was used), ``records`` (sealed values for the floors above, by HMAC of a name), ``attributes`` (sealed attributes
of objects, by HMAC of the object key; only the last ones written are kept).
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ssecfs.cache.keys import CacheKeys
from ssecfs.cache.seal import ContentId, open_record, seal_record
from ssecfs.cache.spans import SEGMENT_BLOCKS
from ssecfs.errors import BrokenSealError
from ssecfs.s3.types import ETag, ObjectKey, ObjectVersion

LOGGER: Final = logging.getLogger(__name__)

BATCH: Final = 500
"""Changes in one transaction."""

MAX_ATTRIBUTES: Final = 250_000
"""Attributes kept: of the objects whose attributes were written last, about 100 MB on disk."""

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS contents (content_id BLOB PRIMARY KEY, name BLOB NOT NULL, binding BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS contents_by_name ON contents (name);
CREATE TABLE IF NOT EXISTS segments (
    content_id BLOB NOT NULL, segment_no INTEGER NOT NULL, mask INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (content_id, segment_no)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attributes (written INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
"""

_DAMAGE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises over a damaged file; the latter is from a message that quotes it."""

_DROP_OLD_ATTRIBUTES: Final = "DELETE FROM attributes WHERE written <= (SELECT max(written) FROM attributes) - ?"

_BINDINGS: Final = "SELECT content_id, binding FROM contents WHERE typeof(content_id) = 'blob' AND typeof(binding) = 'blob'"
_SEGMENTS: Final = """
SELECT content_id, segment_no, mask, bytes FROM segments
WHERE typeof(content_id) = 'blob' AND length(content_id) = 16 AND typeof(segment_no) = 'integer' AND segment_no >= 0
    AND typeof(mask) = 'integer' AND mask BETWEEN 1 AND ?
ORDER BY used
"""

_LAST_USED: Final = "SELECT coalesce(max(used), 0) FROM segments WHERE typeof(used) = 'integer' AND used < 1 << 62"

SegmentRow = tuple[ContentId, int, int, int]
"""Content id, segment number, bit mask of the blocks, bytes."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Which version of which object a content is.

    Attributes:
        generations: of its blocks, where they are not 0.
    """

    content_id: ContentId
    version: ObjectVersion
    generations: Mapping[int, int]


class Index:
    """The SQLite file of one cache directory.

    Owns: the connection and the open transaction. Invariant: no method raises for a damaged file: it is set aside, and what was
    in it is forgotten.
    """

    def __init__(self, path: Path, keys: CacheKeys, max_attributes: int = MAX_ATTRIBUTES) -> None:
        """Open the file, or begin a new one."""
        self._path = path
        self._keys = keys
        self._max_attributes = max_attributes
        self._changes = 0
        self._connection = self._connect()

    def load_segments(self) -> list[SegmentRow]:
        """All segments, the least recently used first."""
        rows = self._query(_SEGMENTS, ((1 << SEGMENT_BLOCKS) - 1,))
        return [(ContentId(content_id), segment_no, mask, size) for content_id, segment_no, mask, size in rows]

    def last_used(self) -> int:
        """The largest number by which segments are ordered; 0 if there are none."""
        return next((int(used) for (used,) in self._query(_LAST_USED, ())), 0)

    def store_segment(self, row: SegmentRow, used: int) -> None:
        """Remember which blocks a container holds; used orders segments by their last use."""
        self._change("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)", (*row, used))

    def drop_segment(self, content_id: ContentId, segment_no: int) -> None:
        """Forget a container."""
        self._change("DELETE FROM segments WHERE content_id = ? AND segment_no = ?", (content_id, segment_no))

    def bind(self, binding: Binding) -> None:
        """Say which version of which object a content is; whatever was said of either before is forgotten."""
        content_id, version = binding.content_id, binding.version
        shown = [version.object_key, version.etag, version.size, version.modified_s, version.is_estimated]
        text = json.dumps([*shown, dict(binding.generations)]).encode()
        sealed = seal_record(self._keys.records, b"binding" + content_id, text)
        name = self._name(b"object", version.object_key)
        self._change("DELETE FROM contents WHERE name = ?", (name,))
        self._change("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", (content_id, name, sealed))

    def unbind(self, content_id: ContentId) -> None:
        """Forget a content."""
        self._change("DELETE FROM contents WHERE content_id = ?", (content_id,))

    def find(self, object_key: ObjectKey) -> Binding | None:
        """The content that is kept of an object, and the version it is."""
        name = self._name(b"object", object_key)
        for content_id, sealed in self._query(f"{_BINDINGS} AND name = ?", (name,)):
            binding = self._open_binding(content_id, sealed)
            if binding is None:
                LOGGER.warning("a binding in the cache index does not open; its content is forgotten")
                self.unbind(content_id)
            elif binding.version.object_key == object_key:
                return binding
        return None

    def bindings(self) -> list[Binding]:
        """All bindings that open."""
        found = [self._open_binding(content_id, sealed) for content_id, sealed in self._query(_BINDINGS, ())]
        return [binding for binding in found if binding is not None]

    def store_record(self, name: str, value: bytes) -> None:
        """Keep a value, sealed, under a name."""
        hashed = self._name(b"record", name)
        sealed = seal_record(self._keys.records, b"record" + hashed, value)
        self._change("INSERT OR REPLACE INTO records VALUES (?, ?)", (hashed, sealed))

    def load_record(self, name: str) -> bytes | None:
        """The value under a name; None: there is none, or it was damaged."""
        hashed = self._name(b"record", name)
        for (sealed,) in self._query("SELECT value FROM records WHERE name = ? AND typeof(value) = 'blob'", (hashed,)):
            try:
                return open_record(self._keys.records, b"record" + hashed, sealed)
            except BrokenSealError:
                LOGGER.warning("a record in the cache index does not open; it is forgotten")
                self.drop_record(name)
        return None

    def drop_record(self, name: str) -> None:
        """Forget the value under a name."""
        self._change("DELETE FROM records WHERE name = ?", (self._name(b"record", name),))

    def store_attributes(self, object_key: ObjectKey, value: bytes) -> None:
        """Keep what is known of an object, sealed, until much else was stored after it."""
        name = self._name(b"attributes", object_key)
        sealed = seal_record(self._keys.records, b"attributes" + name, value)
        self._change("INSERT OR REPLACE INTO attributes (name, value) VALUES (?, ?)", (name, sealed))

    def load_attributes(self, object_key: ObjectKey) -> bytes | None:
        """What was stored of an object; None: nothing, or it was damaged."""
        name = self._name(b"attributes", object_key)
        for (sealed,) in self._query("SELECT value FROM attributes WHERE name = ? AND typeof(value) = 'blob'", (name,)):
            try:
                return open_record(self._keys.records, b"attributes" + name, sealed)
            except BrokenSealError:
                LOGGER.warning("attributes in the cache index do not open; they are forgotten")
                self.drop_attributes(object_key)
        return None

    def drop_attributes(self, object_key: ObjectKey) -> None:
        """Forget what was stored of an object."""
        self._change("DELETE FROM attributes WHERE name = ?", (self._name(b"attributes", object_key),))

    def commit(self) -> None:
        """End the batch."""
        self._changes = 0
        try:
            self._connection.execute(_DROP_OLD_ATTRIBUTES, (self._max_attributes,))
            self._connection.commit()
        except _DAMAGE as error:
            self._start_over(error)

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._connection.close()

    def _open_binding(self, content_id: bytes, sealed: bytes) -> Binding | None:
        try:
            text = open_record(self._keys.records, b"binding" + content_id, sealed)
        except BrokenSealError:
            return None
        object_key, etag, size, modified_s, is_estimated, generations = json.loads(text)
        version = ObjectVersion(ObjectKey(object_key), ETag(etag), size, modified_s, is_estimated)
        return Binding(ContentId(content_id), version, {int(number): count for number, count in generations.items()})

    def _name(self, kind: bytes, name: str) -> bytes:
        encoded = kind + b"\0" + name.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(encoded, digest_size=16, key=self._keys.name_key).digest()

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open()
        except (*_DAMAGE, OSError) as error:
            return self._set_aside(error)

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)  # SQLite gives its other files the same mode
        connection = sqlite3.connect(self._path)
        try:
            connection.executescript(_SCHEMA)
        except _DAMAGE:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: Exception) -> sqlite3.Connection:
        """Move a damaged file away and begin a new one; on a disk that takes none, the index lives in memory."""
        LOGGER.error("the cache index is damaged (%s); a new one is begun, nothing but cached blocks is lost", error)
        try:
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._path.replace(self._path.with_suffix(".damaged"))
            return self._open()
        except (*_DAMAGE, OSError):
            connection = sqlite3.connect(":memory:")
            connection.executescript(_SCHEMA)
            return connection

    def _start_over(self, error: Exception) -> None:
        self._connection.close()
        self._connection = self._set_aside(error)

    def _query(self, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except _DAMAGE as error:
            self._start_over(error)
            return []

    def _change(self, statement: str, parameters: tuple[object, ...]) -> None:
        try:
            self._connection.execute(statement, parameters)
        except _DAMAGE as error:
            self._start_over(error)
            return
        self._changes += 1
        if self._changes >= BATCH:
            self.commit()
