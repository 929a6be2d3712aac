"""Sealed records: AES-256-GCM with everything that identifies them bound in. Pure, no I/O.

Imported by ``cache`` only; with ``keys`` the only module of the client that names cryptography's ciphers.

A record, as stored::

    offset  bytes  content
    0       4      magic "SSB1" (block) or "SSR1" (other record): format and version
    4       4      length of the plaintext, little-endian
    8       12     nonce, random for each record
    20      n      ciphertext
    20+n    16     tag

Associated data of a block: magic, length, namespace id (16 bytes), content id (16 bytes), block number and generation (4 bytes
each). A content id is random and names the bytes of one version of one object; which object and version that is, a sealed
*binding* record says. So a copy of ours that changes the version but not the bytes needs one new binding, not gigabytes sealed
again. When some blocks of a content get other bytes, their *generation* rises, and sealed records say which one counts. So no
block can be taken for another: not from another file, place, version or cache, and not an older one of its own.
"""

import os
import struct
from dataclasses import dataclass
from typing import Final, NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ssecfs.errors import BrokenSealError

ContentId = NewType("ContentId", bytes)
"""16 random bytes that name the content of one version."""

BLOCK_MAGIC: Final = b"SSB1"
RECORD_MAGIC: Final = b"SSR1"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
HEADER: Final = struct.Struct("<4sI12s")
SEAL_BYTES: Final = HEADER.size + TAG_BYTES
"""What sealing adds: 36 bytes."""

_BLOCK_PLACE: Final = struct.Struct("<4sI16s16sII")


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where a block belongs; bound into its seal.

    Attributes:
        namespace_id: 16 bytes: endpoint, bucket and prefix.
        content_id: the bytes it is part of.
        block_no: index in the file.
        generation: how often the block got other bytes under the same content id.
    """

    namespace_id: bytes
    content_id: ContentId
    block_no: int
    generation: int = 0


def new_content_id() -> ContentId:
    """Make a content id."""
    return ContentId(os.urandom(16))


def seal_block(cipher: AESGCM, place: BlockPlace, plaintext: bytes | bytearray | memoryview) -> bytes:
    """Seal one block; the nonce is fresh and random, so a block may be sealed any number of times."""
    nonce = os.urandom(NONCE_BYTES)
    associated = _associated_data(place, len(plaintext))
    return HEADER.pack(BLOCK_MAGIC, len(plaintext), nonce) + cipher.encrypt(nonce, plaintext, associated)


def open_block(cipher: AESGCM, place: BlockPlace, record: bytes) -> bytes:
    """Open a sealed block; bytes after the record are ignored.

    Raises:
        BrokenSealError: damaged, cut short, from another place, or sealed under another key.
    """
    length, nonce, sealed = _split(record, BLOCK_MAGIC)
    return _decrypt(cipher, nonce, sealed, _associated_data(place, length))


def seal_record(cipher: AESGCM, label: bytes, plaintext: bytes) -> bytes:
    """Seal a record other than a block; label says what it is and whose, and is needed to open it."""
    nonce = os.urandom(NONCE_BYTES)
    header = HEADER.pack(RECORD_MAGIC, len(plaintext), nonce)
    return header + cipher.encrypt(nonce, plaintext, RECORD_MAGIC + label)


def open_record(cipher: AESGCM, label: bytes, record: bytes) -> bytes:
    """Open a sealed record.

    Raises:
        BrokenSealError: damaged, with another label, or sealed under another key.
    """
    _, nonce, sealed = _split(record, RECORD_MAGIC)
    return _decrypt(cipher, nonce, sealed, RECORD_MAGIC + label)


def _associated_data(place: BlockPlace, length: int) -> bytes:
    return _BLOCK_PLACE.pack(BLOCK_MAGIC, length, place.namespace_id, place.content_id, place.block_no, place.generation)


def _split(record: bytes, magic: bytes) -> tuple[int, bytes, bytes]:
    if len(record) < SEAL_BYTES:
        message = "a sealed record is cut short"
        raise BrokenSealError(message)
    found, length, nonce = HEADER.unpack_from(record)
    sealed = record[HEADER.size : HEADER.size + length + TAG_BYTES]
    if found != magic or len(sealed) != length + TAG_BYTES:
        message = "a sealed record has no proper header"
        raise BrokenSealError(message)
    return length, nonce, sealed


def _decrypt(cipher: AESGCM, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, associated)
    except InvalidTag as error:
        message = "a sealed record does not open"
        raise BrokenSealError(message) from error
