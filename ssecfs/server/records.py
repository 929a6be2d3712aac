"""What the index says of buckets, objects, uploads and parts: values, and their form in a row. No I/O.

Imported by the tables, ``server.storage`` and the operations.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from ssecfs.server.sealed import CHUNK_BYTES, Seal

NULL_VERSION: Final = "null"
"""Version id of what is stored while versioning is off."""


class Versioning(Enum):
    """State of a bucket's versioning; once on, it is never off again, only suspended."""

    OFF = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class Kind(Enum):
    """What a version is."""

    OBJECT = "object"
    MARKER = "delete marker"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket.

    Attributes:
        blocked: encryption types whose uploads are refused (``SSE-C``).
        encryption: the XML document of its default encryption, as it was put; empty: none.
    """

    name: str
    created_ms: int
    versioning: Versioning
    encryption: str
    blocked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """Sealed data: of one chunk, in the index; of more, in a file.

    Attributes:
        name: 32 hex digits.
        number: 0 for a whole object, else the part number.
        size: bytes of plaintext.
        salt: 16 bytes, for the piece's key.
        fresh: a single chunk that the index does not have yet, sealed; else empty.
    """

    name: str
    number: int
    size: int
    salt: bytes
    fresh: bytes = field(default=b"", repr=False)

    @property
    def is_small(self) -> bool:
        """Tell whether it is a single chunk, and so in the index."""
        return self.size <= CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of an object, or a delete marker.

    Attributes:
        sequence: newer versions have higher ones.
        headers: content headers and user metadata, as answers carry them, by lower-case name.
        checksums: sealed (``checksums.Stored``), because they tell something of the content; empty: none.
    """

    bucket: str
    object_key: str
    version_id: str
    sequence: int
    kind: Kind
    size: int
    etag: str
    modified_ms: int
    headers: Mapping[str, str]
    checksums: str
    tags: Mapping[str, str]
    seal: Seal
    pieces: tuple[Piece, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether there are pieces, in order, and together as long as the object; their order is sealed nowhere."""
        is_ordered = all(before.number < after.number for before, after in pairwise(self.pieces))
        return bool(self.pieces) and is_ordered and self.size == sum(piece.size for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A multipart upload in progress.

    Attributes:
        checksum: algorithm and type of the whole object's checksum that the client asked for; empty: none.
        is_overtaken: what its name shows has changed since it began.
    """

    upload_id: str
    bucket: str
    object_key: str
    initiated_ms: int
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    checksum: tuple[str, str]
    seal: Seal
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of an upload.

    Attributes:
        checksum: sealed, of the upload's algorithm; empty: the upload has none.
    """

    part_number: int
    etag: str
    modified_ms: int
    checksum: str
    piece: Piece


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing."""

    object_key: str
    size: int
    etag: str
    modified_ms: int


@dataclass(slots=True)
class Found:
    """A page of a listing; next_key is where the next one begins, None: there is no more."""

    objects: list[Listed] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_key: str | None = None


def delete_marker(bucket: str, object_key: str, version_id: str, sequence: int, now_ms: int) -> StoredObject:
    """A delete marker."""
    seal = Seal(b"", b"", b"", b"", is_ssec=False)
    return StoredObject(bucket, object_key, version_id, sequence, Kind.MARKER, 0, "", now_ms, {}, "", {}, seal, ())


def object_row(stored: StoredObject) -> tuple[object, ...]:
    """An object as a row; object_from is its inverse."""
    return (
        stored.bucket,
        stored.object_key,
        stored.sequence,
        stored.version_id,
        stored.kind.value,
        stored.size,
        stored.etag,
        stored.modified_ms,
        json.dumps([dict(stored.headers), stored.checksums, dict(stored.tags)]),
        seal_text(stored.seal),
        pieces_text(stored.pieces),
    )


def object_from(row: tuple[Any, ...]) -> StoredObject:
    """An object from its row."""
    bucket, object_key, sequence, version_id, kind, size, etag, modified_ms, texts, seal, pieces = row
    headers, checksums, tags = json.loads(texts)
    return StoredObject(
        bucket=bucket,
        object_key=object_key,
        version_id=version_id,
        sequence=sequence,
        kind=Kind(kind),
        size=size,
        etag=etag,
        modified_ms=modified_ms,
        headers=headers,
        checksums=checksums,
        tags=tags,
        seal=seal_from(seal),
        pieces=pieces_from(pieces),
    )


def seal_text(seal: Seal) -> str:
    """A seal as text; seal_from is its inverse."""
    texts = (seal.object_id.hex(), seal.salt.hex(), seal.wrapped.hex(), seal.verifier.hex())
    return " ".join((*texts, "ssec" if seal.is_ssec else "server"))


def seal_from(text: str) -> Seal:
    """A seal from its text."""
    *texts, owner = text.split(" ")
    object_id, salt, wrapped, verifier = map(bytes.fromhex, texts)
    return Seal(object_id, salt, wrapped, verifier, owner == "ssec")


def pieces_text(pieces: tuple[Piece, ...]) -> str:
    """Pieces as text; pieces_from is its inverse."""
    return " ".join(f"{piece.name},{piece.number},{piece.size},{piece.salt.hex()}" for piece in pieces)


def pieces_from(text: str) -> tuple[Piece, ...]:
    """Pieces from their text."""
    fields = (item.split(",") for item in text.split(" ") if item)
    return tuple(Piece(name, int(number), int(size), bytes.fromhex(salt)) for name, number, size, salt in fields)
