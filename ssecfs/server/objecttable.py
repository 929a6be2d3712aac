"""Objects and their versions in the index. Synchronous. Imported by ``server.storage`` and the listing operations."""

import time
from collections.abc import Iterator
from typing import Final

from ssecfs.server.database import Database
from ssecfs.server.records import Found, Kind, Listed, Piece, StoredObject, object_from, object_row, pieces_from

_LAST_CHARACTER: Final = "\U0010ffff"
_PLACES: Final = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"


class ObjectTable:
    """Versions of objects.

    Invariants: ``objects`` has at most one row for a name, never a delete marker, and it is newer than every old version of the
    name; a name whose newest version is a delete marker has no row in ``objects``.
    """

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database
        # The clock may have been set back since these were stored.
        tables = ("objects", "old_versions")
        found = [database.row(f"SELECT max(sequence) FROM {table}") for table in tables]
        self._last_sequence = max(row[0] or 0 for row in found if row)

    def next_sequence(self) -> int:
        """A number higher than all before: microseconds, which also serve as version ids."""
        self._last_sequence = max(self._last_sequence + 1, time.time_ns() // 1000)
        return self._last_sequence

    def current(self, bucket: str, object_key: str) -> StoredObject | None:
        """What a name shows; None: nothing."""
        row = self._database.row("SELECT * FROM objects WHERE bucket = ? AND object_key = ?", bucket, object_key)
        return object_from(row) if row else None

    def version(self, bucket: str, object_key: str, version_id: str) -> StoredObject | None:
        """One version, or delete marker, of a name."""
        current = self.current(bucket, object_key)
        if current is not None and current.version_id == version_id:
            return current
        statement = "SELECT * FROM old_versions WHERE bucket = ? AND object_key = ? AND version_id = ?"
        row = self._database.row(statement, bucket, object_key, version_id)
        return object_from(row) if row else None

    def old_versions(self, bucket: str, object_key: str) -> list[StoredObject]:
        """The versions and delete markers of a name beside the current one, newest first."""
        rows = self._database.rows(
            "SELECT * FROM old_versions WHERE bucket = ? AND object_key = ? ORDER BY sequence DESC", bucket, object_key
        )
        return [object_from(row) for row in rows]

    def hiding_marker(self, bucket: str, object_key: str) -> StoredObject | None:
        """The delete marker because of which a name shows nothing; None: the name was never there."""
        statement = "SELECT * FROM old_versions WHERE bucket = ? AND object_key = ? ORDER BY sequence DESC LIMIT 1"
        row = self._database.row(statement, bucket, object_key)
        return object_from(row) if row else None

    def put_current(self, stored: StoredObject) -> None:
        """Make a version what its name shows; what was there before is overwritten."""
        self._database.run(f"INSERT OR REPLACE INTO objects VALUES ({_PLACES})", *object_row(stored))

    def put_old(self, stored: StoredObject) -> None:
        """Keep a version, or delete marker, beside the current one."""
        self._database.run(f"INSERT OR REPLACE INTO old_versions VALUES ({_PLACES})", *object_row(stored))

    def drop_current(self, stored: StoredObject) -> None:
        """Take a version away from its name."""
        self._database.run("DELETE FROM objects WHERE bucket = ? AND object_key = ?", stored.bucket, stored.object_key)

    def drop_old(self, stored: StoredObject) -> None:
        """Remove a version, or delete marker, that is not current."""
        self._database.run(
            "DELETE FROM old_versions WHERE bucket = ? AND object_key = ? AND sequence = ?",
            stored.bucket,
            stored.object_key,
            stored.sequence,
        )

    def is_empty(self, bucket: str) -> bool:
        """Tell whether a bucket has neither objects nor old versions."""
        return not any(
            self._database.row(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", bucket)
            for table in ("objects", "old_versions")
        )

    def all_pieces(self) -> Iterator[Piece]:
        """Every piece that a version names."""
        for table in ("objects", "old_versions"):
            for (text,) in self._database.run(f"SELECT pieces FROM {table}"):
                yield from pieces_from(text)

    def list_current(self, bucket: str, prefix: str, delimiter: str, start: str, limit: int) -> Found:
        """One page of a listing.

        Args:
            bucket: exists.
            prefix: of the object keys.
            delimiter: may be empty.
            start: object keys from here on, inclusive.
            limit: objects and common prefixes together, above 0.
        """
        found = Found()
        position = max(start, prefix)
        while True:
            rows = self._database.run(
                "SELECT object_key, size, etag, modified_ms FROM objects "
                "WHERE bucket = ? AND object_key >= ? ORDER BY object_key LIMIT ?",
                bucket,
                position,
                limit + 1,
            )
            for object_key, size, etag, modified_ms in rows:
                if not object_key.startswith(prefix):
                    return found
                if len(found.objects) + len(found.prefixes) >= limit:
                    found.next_key = object_key
                    return found
                common = common_prefix(object_key, prefix, delimiter)
                if common is not None:
                    found.prefixes.append(common)
                    position = after_prefix(common)
                    break
                found.objects.append(Listed(object_key, size, etag, modified_ms))
            else:
                return found

    def list_versions(self, bucket: str, prefix: str, start: tuple[str, int]) -> Iterator[tuple[StoredObject, bool]]:
        """Go through all versions from a place on, by name, the newest of a name first.

        Args:
            bucket: exists.
            prefix: of the object keys.
            start: object key, and sequence below which its versions begin; 0: all of them. With a sequence, the object key
                begins with the prefix.

        Yields:
            The version, and whether it is the newest of its name.
        """
        object_key, below = start
        if below:
            yield from self._versions_below(bucket, object_key, below)
            object_key += "\0"
        rows = self._database.run(
            "SELECT * FROM objects WHERE bucket = ?1 AND object_key >= ?2 "
            "UNION ALL SELECT * FROM old_versions WHERE bucket = ?1 AND object_key >= ?2 "
            "ORDER BY object_key, sequence DESC",
            bucket,
            max(object_key, prefix),
        )
        previous = None
        for row in rows:
            stored = object_from(row)
            if not stored.object_key.startswith(prefix):
                return
            yield stored, stored.object_key != previous
            previous = stored.object_key

    def _versions_below(self, bucket: str, object_key: str, below: int) -> Iterator[tuple[StoredObject, bool]]:
        newest = self.current(bucket, object_key) or self.hiding_marker(bucket, object_key)
        rows = self._database.run(
            "SELECT * FROM objects WHERE bucket = ?1 AND object_key = ?2 AND sequence < ?3 "
            "UNION ALL SELECT * FROM old_versions WHERE bucket = ?1 AND object_key = ?2 AND sequence < ?3 "
            "ORDER BY sequence DESC",
            bucket,
            object_key,
            below,
        )
        for row in rows:
            stored = object_from(row)
            yield stored, newest is not None and stored.sequence == newest.sequence


def common_prefix(object_key: str, prefix: str, delimiter: str) -> str | None:
    """What stands for an object key in a listing with a delimiter; None: itself."""
    end = object_key.find(delimiter, len(prefix)) if delimiter else -1
    return object_key[: end + len(delimiter)] if end >= 0 else None


def after_prefix(common: str) -> str:
    """The first object key behind all that begin with a common prefix."""
    stem = common.rstrip(_LAST_CHARACTER)
    if not stem:
        return _LAST_CHARACTER * 512  # behind every object key: they have up to 1024 bytes
    last = ord(stem[-1])
    # Skip the surrogates: they are no characters of their own.
    following = 0xE000 if last == 0xD7FF else last + 1  # noqa: PLR2004 - limits of Unicode
    return stem[:-1] + chr(following)


def newest_object(versions: list[StoredObject]) -> StoredObject | None:
    """The version that a name shows when these are all there are, newest first; None: a delete marker, or nothing."""
    return versions[0] if versions and versions[0].kind is Kind.OBJECT else None
