"""What is stored: the index and the data files together, so that neither ever names what the other has not.

Imported by the operations and ``server.run``. Synchronous; all of it runs in the server's one thread, so a method is atomic.

    DIRECTORY/index.sqlite      what there is (``database``), with the sealed pieces of a single chunk
    DIRECTORY/data/, incoming/  the other sealed pieces (``datafiles``)
    DIRECTORY/server.key        32 bytes: wraps the data keys of objects without SSE-C

A data file is complete before it is moved into ``data``, and there before the index names it; a piece in the index comes with
the row that names it. So after a kill there is the old object or the new one. Data files that no row names are removed at the
next start.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from ssecfs.server.buckettable import BucketTable
from ssecfs.server.database import Database
from ssecfs.server.datafiles import DataFiles
from ssecfs.server.objecttable import ObjectTable, newest_object
from ssecfs.server.options import Durability
from ssecfs.server.piecetable import PieceTable
from ssecfs.server.records import (
    NULL_VERSION,
    Bucket,
    Piece,
    StoredObject,
    StoredPart,
    Versioning,
    delete_marker,
)
from ssecfs.server.uploadtable import UploadTable

SECRET_BYTES: Final = 32


class DirectoryError(Exception):
    """A directory that cannot be gone on with as it is; the message says why and what to do."""


class Storage:
    """The store. Owns: the index and the data files."""

    def __init__(self, directory: Path, durability: Durability) -> None:
        """Open or begin a store, and remove what an earlier process left unfinished.

        Raises:
            DirectoryError: the index or the server's key is missing or cut, but not the data.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        index = directory / "index.sqlite"
        self.files: Final = DataFiles(directory, durability)
        if not index.exists() and self.files.has_pieces():
            message = f"{directory} holds data but no index.sqlite: bring the index back, or serve another directory"
            raise DirectoryError(message)
        self._database = Database(index, durability)
        self.buckets: Final = BucketTable(self._database)
        self.objects: Final = ObjectTable(self._database)
        self.uploads: Final = UploadTable(self._database)
        self.small: Final = PieceTable(self._database)
        self.server_secret: Final = _load_or_make_secret(directory / "server.key")
        named = {piece.name for table in (self.objects, self.uploads) for piece in table.all_pieces()}
        self.files.clean_up(named)

    def close(self) -> None:
        """Close the index."""
        self._database.close()

    def delete_bucket(self, bucket: str) -> bool:
        """Remove an empty bucket and its unfinished uploads; tells whether it was empty."""
        if not self.objects.is_empty(bucket):
            return False
        for upload in list(self.uploads.all_of(bucket)):
            self.drop_upload(upload.upload_id)
        self.buckets.delete(bucket)
        return True

    def put(self, new: StoredObject) -> None:
        """Make a version what its name shows; the one before is kept if the bucket keeps versions, else removed."""
        bucket = self.buckets.require(new.bucket)
        with self._naming(new.pieces):
            removed = self._make_way(bucket, new)
            self.small.keep(new.pieces)
            self.objects.put_current(new)
            self.uploads.overtake(new.bucket, new.object_key)
        self.files.remove(removed)

    def version_id_for(self, bucket: Bucket, sequence: int) -> str:
        """The version id of something new in a bucket."""
        return str(sequence) if bucket.versioning is Versioning.ENABLED else NULL_VERSION

    def delete(self, bucket_name: str, object_key: str, now_ms: int) -> StoredObject | None:
        """Delete what a name shows; in a bucket with versions that adds a delete marker, which is returned."""
        bucket = self.buckets.require(bucket_name)
        current = self.objects.current(bucket_name, object_key)
        if bucket.versioning is Versioning.OFF:
            if current is not None:
                with self._database.transaction():
                    self.objects.drop_current(current)
                    self.small.drop(current.pieces)
                    self.uploads.overtake(bucket_name, object_key)
                self.files.remove(current.pieces)
            return None
        sequence = self.objects.next_sequence()
        marker = delete_marker(bucket_name, object_key, self.version_id_for(bucket, sequence), sequence, now_ms)
        with self._database.transaction():
            removed = self._make_way(bucket, marker)
            if current is not None:
                self.objects.drop_current(current)
            self.objects.put_old(marker)
            self.uploads.overtake(bucket_name, object_key)
        self.files.remove(removed)
        return marker

    def delete_version(self, bucket: str, object_key: str, version_id: str) -> StoredObject | None:
        """Remove one version for good; what is the newest then shows. Gives what was removed."""
        stored = self.objects.version(bucket, object_key, version_id)
        if stored is None:
            return None
        with self._database.transaction():
            current = self.objects.current(bucket, object_key)
            if current is not None and current.version_id == version_id:
                self.objects.drop_current(current)
                current = None
            else:
                self.objects.drop_old(stored)
            promoted = newest_object(self.objects.old_versions(bucket, object_key)) if current is None else None
            if promoted is not None:
                self.objects.drop_old(promoted)
                self.objects.put_current(promoted)
            self.small.drop(stored.pieces)
            self.uploads.overtake(bucket, object_key)
        self.files.remove(stored.pieces)
        return stored

    def set_tags(self, stored: StoredObject, tags: dict[str, str]) -> None:
        """Give a version other tags."""
        tagged = replace(stored, tags=tags)
        current = self.objects.current(stored.bucket, stored.object_key)
        if current is not None and current.version_id == stored.version_id:
            self.objects.put_current(tagged)
        else:
            self.objects.put_old(tagged)

    def put_part(self, upload_id: str, part: StoredPart) -> None:
        """Add a part, in place of one of the same number."""
        with self._naming((part.piece,)):
            replaced = self.uploads.put_part(upload_id, part)
            self.small.drop(replaced)
            self.small.keep((part.piece,))
        self.files.remove(replaced)

    def finish_upload(self, upload_id: str, new: StoredObject) -> None:
        """Turn an upload into an object; parts that are not in it are removed."""
        used = {piece.name for piece in new.pieces}
        unused = [part.piece for part in self.uploads.parts(upload_id) if part.piece.name not in used]
        bucket = self.buckets.require(new.bucket)
        with self._database.transaction():
            removed = self._make_way(bucket, new)
            self.objects.put_current(new)
            self.uploads.drop(upload_id)
            self.small.drop(unused)
            self.uploads.overtake(new.bucket, new.object_key)
        self.files.remove(unused + removed)

    def drop_upload(self, upload_id: str) -> None:
        """Abort an upload."""
        pieces = [part.piece for part in self.uploads.parts(upload_id)]
        with self._database.transaction():
            self.uploads.drop(upload_id)
            self.small.drop(pieces)
        self.files.remove(pieces)

    @contextmanager
    def _naming(self, pieces: tuple[Piece, ...]) -> Iterator[None]:
        """A change of the index that names new pieces; if it fails, nobody needs them."""
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self.files.remove(pieces)
            raise

    def _make_way(self, bucket: Bucket, new: StoredObject) -> list[Piece]:
        """Before something new gets a name: keep what must be kept, remove the rest, give its pieces."""
        current = self.objects.current(new.bucket, new.object_key)
        removed = []
        if current is not None:
            if bucket.versioning is Versioning.OFF or current.version_id == new.version_id:
                removed.append(current)
            else:
                self.objects.put_old(current)
        if new.version_id == NULL_VERSION and bucket.versioning is Versioning.SUSPENDED:
            for old in self.objects.old_versions(new.bucket, new.object_key):
                if old.version_id == NULL_VERSION:
                    self.objects.drop_old(old)
                    removed.append(old)
        pieces = [piece for stored in removed for piece in stored.pieces]
        self.small.drop(pieces)
        return pieces


def _load_or_make_secret(path: Path) -> bytes:
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        message = f"{path} has {len(secret)} bytes instead of {SECRET_BYTES}: bring the right one back"
        raise DirectoryError(message)
    return secret
