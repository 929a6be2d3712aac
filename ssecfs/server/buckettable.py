"""Buckets in the index. Synchronous. Imported by ``server.storage``."""

import json
import time
from typing import Any, Final

from ssecfs.server.database import Database
from ssecfs.server.errors import no_such_bucket
from ssecfs.server.records import Bucket, Versioning

_COLUMNS: Final = "name, created_ms, versioning, encryption, blocked"


class BucketTable:
    """Buckets by name. Owns: what was read of them; every request asks for one, and nobody else changes the file."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database
        self._known: dict[str, Bucket] = {}

    def create(self, name: str) -> bool:
        """Make a bucket; tells whether it is new."""
        now_ms = time.time_ns() // 1_000_000
        cursor = self._database.run("INSERT OR IGNORE INTO buckets VALUES (?, ?, '', '', '[]')", name, now_ms)
        return cursor.rowcount > 0

    def all(self) -> list[Bucket]:
        """All buckets, by name."""
        return [_bucket_from(row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM buckets ORDER BY name")]

    def require(self, name: str) -> Bucket:
        """A bucket.

        Raises:
            S3Error: NoSuchBucket.
        """
        bucket = self._known.get(name)
        if bucket is None:
            row = self._database.row(f"SELECT {_COLUMNS} FROM buckets WHERE name = ?", name)
            if row is None:
                raise no_such_bucket(name)
            bucket = self._known[name] = _bucket_from(row)
        return bucket

    def set_versioning(self, name: str, versioning: Versioning) -> None:
        """Turn versioning on, or suspend it."""
        self._known.pop(name, None)
        self._database.run("UPDATE buckets SET versioning = ? WHERE name = ?", versioning.value, name)

    def set_encryption(self, name: str, encryption: str, blocked: frozenset[str]) -> None:
        """Keep the document of the default encryption, and what it blocks."""
        texts = (encryption, json.dumps(sorted(blocked)))
        self._known.pop(name, None)
        self._database.run("UPDATE buckets SET encryption = ?, blocked = ? WHERE name = ?", *texts, name)

    def delete(self, name: str) -> None:
        """Remove a bucket, which is empty."""
        self._known.pop(name, None)
        self._database.run("DELETE FROM buckets WHERE name = ?", name)


def _bucket_from(row: tuple[Any, ...]) -> Bucket:
    name, created_ms, versioning, encryption, blocked = row
    return Bucket(name, created_ms, Versioning(versioning), encryption, frozenset(json.loads(blocked)))
