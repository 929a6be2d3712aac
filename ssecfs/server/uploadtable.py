"""Multipart uploads and their parts in the index. Synchronous. Imported by ``server.storage``."""

import json
from collections.abc import Iterator
from typing import Any

from ssecfs.server.database import Database
from ssecfs.server.errors import no_such_upload
from ssecfs.server.records import Piece, StoredPart, StoredUpload, pieces_from, pieces_text, seal_from, seal_text


class UploadTable:
    """Uploads by id, parts by number."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def add(self, upload: StoredUpload) -> None:
        """Begin an upload."""
        self._database.run(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, 0)",
            upload.upload_id,
            upload.bucket,
            upload.object_key,
            upload.initiated_ms,
            json.dumps([dict(upload.headers), dict(upload.tags), upload.checksum]),
            seal_text(upload.seal),
        )

    def require(self, bucket: str, object_key: str, upload_id: str) -> StoredUpload:
        """An upload.

        Raises:
            S3Error: NoSuchUpload.
        """
        row = self._database.row("SELECT * FROM uploads WHERE upload_id = ?", upload_id)
        if row is None or (row[1], row[2]) != (bucket, object_key):
            raise no_such_upload(upload_id)
        return _upload_from(row)

    def all_of(self, bucket: str, prefix: str = "", start: str = "") -> Iterator[StoredUpload]:
        """Go through the uploads of a bucket from an object key on, by object key, then by id."""
        statement = "SELECT * FROM uploads WHERE bucket = ? AND object_key >= ? ORDER BY object_key, upload_id"
        for row in self._database.run(statement, bucket, max(prefix, start)):
            if not row[2].startswith(prefix):
                return
            yield _upload_from(row)

    def overtake(self, bucket: str, object_key: str) -> None:
        """Note for the uploads of a name that what it shows has changed."""
        self._database.run("UPDATE uploads SET is_overtaken = 1 WHERE bucket = ? AND object_key = ?", bucket, object_key)

    def put_part(self, upload_id: str, part: StoredPart) -> tuple[Piece, ...]:
        """Add a part; gives the pieces of the one it replaces."""
        old = self._database.row("SELECT piece FROM parts WHERE upload_id = ? AND part_number = ?", upload_id, part.part_number)
        self._database.run(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
            upload_id,
            part.part_number,
            part.etag,
            part.modified_ms,
            part.checksum,
            pieces_text((part.piece,)),
        )
        return pieces_from(old[0]) if old else ()

    def parts(self, upload_id: str) -> list[StoredPart]:
        """The parts of an upload, by number."""
        rows = self._database.rows(
            "SELECT part_number, etag, modified_ms, checksum, piece FROM parts WHERE upload_id = ? ORDER BY part_number",
            upload_id,
        )
        return [
            StoredPart(number, etag, modified_ms, checksum, pieces_from(piece)[0])
            for number, etag, modified_ms, checksum, piece in rows
        ]

    def drop(self, upload_id: str) -> None:
        """Remove an upload and its parts from the index."""
        with self._database.transaction():
            self._database.run("DELETE FROM parts WHERE upload_id = ?", upload_id)
            self._database.run("DELETE FROM uploads WHERE upload_id = ?", upload_id)

    def all_pieces(self) -> Iterator[Piece]:
        """Every piece that a part names."""
        for (text,) in self._database.run("SELECT piece FROM parts"):
            yield from pieces_from(text)


def _upload_from(row: tuple[Any, ...]) -> StoredUpload:
    headers, tags, checksum = json.loads(row[4])
    chosen = (checksum[0], checksum[1])
    return StoredUpload(row[0], row[1], row[2], row[3], headers, tags, chosen, seal_from(row[5]), bool(row[6]))
