"""What the index says of objects, uploads and parts: values, and their form in a row. No I/O.

Imported by ``server.storage`` and the operations.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ssecfs.server.sealed import Seal


@dataclass(frozen=True, slots=True)
class Piece:
    """Sealed data in one file.

    Attributes:
        name: of the file: 32 hex digits.
        number: 0 for a whole object, else the part number.
        size: bytes of plaintext.
        salt: 16 bytes, for the piece's key.
    """

    name: str
    number: int
    size: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object.

    Attributes:
        headers: content headers and user metadata, as answers carry them, by lower-case name.
    """

    bucket: str
    object_key: str
    version_id: str
    size: int
    etag: str
    modified_ms: int
    headers: dict[str, str]
    seal: Seal
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A multipart upload in progress."""

    upload_id: str
    bucket: str
    object_key: str
    initiated_ms: int
    headers: dict[str, str]
    seal: Seal


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of an upload."""

    part_number: int
    etag: str
    modified_ms: int
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


def object_from(row: tuple[Any, ...]) -> StoredObject:
    """An object from its row."""
    bucket, object_key, version_id, size, etag, modified_ms, headers, seal, pieces = row
    return StoredObject(
        bucket, object_key, version_id, size, etag, modified_ms, json.loads(headers), seal_from(seal), pieces_from(pieces)
    )


def seal_text(seal: Seal) -> str:
    """A seal as text; seal_from is its inverse."""
    fields = asdict(seal)
    return json.dumps({name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()})


def seal_from(text: str) -> Seal:
    """A seal from its text."""
    fields = json.loads(text)
    object_id, salt, wrapped, verifier = (bytes.fromhex(fields[name]) for name in ("object_id", "salt", "wrapped", "verifier"))
    return Seal(object_id, salt, wrapped, verifier, bool(fields["is_ssec"]))


def pieces_text(pieces: tuple[Piece, ...]) -> str:
    """Pieces as text; pieces_from is its inverse."""
    return json.dumps([[piece.name, piece.number, piece.size, piece.salt.hex()] for piece in pieces])


def pieces_from(text: str) -> tuple[Piece, ...]:
    """Pieces from their text."""
    return tuple(Piece(name, number, size, bytes.fromhex(salt)) for name, number, size, salt in json.loads(text))
