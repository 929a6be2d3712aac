"""Encryption at rest. Pure, no I/O.

Imported by ``server.storage`` and the operations; the only module of ``server`` that names cryptography's ciphers.

Each object (each version, each multipart upload) has a random 32-byte data key. It is wrapped with AES-256-GCM under
HKDF-SHA256(customer key, salt, bucket and object key), and beside it stands a verifier, HMAC-SHA256 under another HKDF of the
customer key: GCM does not commit to its key, the HMAC does, and it tells a wrong key (403) from damage (500). Objects without
SSE-C have their data key wrapped under the server's own. The customer key is stored nowhere.

The data is cut in chunks of 64 KiB, each sealed with AES-256-GCM under a key of its own piece (a part, or the whole object):
nonce = chunk number, associated data = object id, piece number, chunk number, whether it is the last. So nothing can be
reordered, cut off or swapped. An empty piece is one empty last chunk.
"""

import hmac
import os
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_BYTES: Final = 64 << 10
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
_ASSOCIATED: Final = struct.Struct(">4s16sIQB")
_FORMAT: Final = b"SSO1"


class DamagedError(Exception):
    """Stored data does not open under the right key."""


class WrongKeyError(Exception):
    """The key is not the object's."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What is stored of an object's encryption; none of it is secret.

    Attributes:
        object_id: 16 random bytes.
        salt: 32 random bytes.
        wrapped: 12 bytes of nonce and the data key, wrapped.
        verifier: 32 bytes.
        is_ssec: wrapped under a customer key.
    """

    object_id: bytes
    salt: bytes
    wrapped: bytes
    verifier: bytes
    is_ssec: bool


def make_seal(secret: bytes, place: str, *, is_ssec: bool) -> tuple[Seal, bytes]:
    """Make the seal of a new object, and its data key.

    Args:
        secret: 32 bytes: the customer key, or the server's own.
        place: bucket and object key, bound in.
        is_ssec: whether secret is a customer key.
    """
    object_id, salt, data_key, nonce = os.urandom(16), os.urandom(32), os.urandom(32), os.urandom(12)
    wrapped = nonce + AESGCM(_derive(secret, salt, b"kek", place)).encrypt(nonce, data_key, object_id)
    return Seal(object_id, salt, wrapped, _verifier(secret, salt, object_id), is_ssec), data_key


def open_seal(seal: Seal, secret: bytes, place: str) -> bytes:
    """The data key of an object.

    Raises:
        WrongKeyError: secret is not what it was sealed under.
        DamagedError: it is, and the seal is damaged or was moved.
    """
    if not hmac.compare_digest(_verifier(secret, seal.salt, seal.object_id), seal.verifier):
        raise WrongKeyError
    nonce, sealed = seal.wrapped[:12], seal.wrapped[12:]
    try:
        return AESGCM(_derive(secret, seal.salt, b"kek", place)).decrypt(nonce, sealed, seal.object_id)
    except InvalidTag as error:
        raise DamagedError from error


def is_key_of(seal: Seal, secret: bytes) -> bool:
    """Tell whether a secret is what a seal was made under."""
    return hmac.compare_digest(_verifier(secret, seal.salt, seal.object_id), seal.verifier)


class PieceCipher:
    """Seals and opens the chunks of one piece."""

    def __init__(self, data_key: bytes, object_id: bytes, piece_no: int, piece_salt: bytes) -> None:
        """Derive the piece's key; piece_salt is 16 random bytes, new for each upload of the piece."""
        info = b"ssecfs-s3/piece/v1" + piece_no.to_bytes(4, "big")
        self._cipher = AESGCM(_hkdf(data_key, piece_salt, info))
        self._object_id = object_id
        self._piece_no = piece_no

    def seal(self, chunk_no: int, chunk: bytes | bytearray | memoryview, *, is_last: bool) -> bytes:
        """Seal one chunk: CHUNK_BYTES, the last may be shorter."""
        return self._cipher.encrypt(chunk_no.to_bytes(12, "big"), chunk, self._associated(chunk_no, is_last=is_last))

    def open(self, chunk_no: int, sealed: bytes | memoryview, *, is_last: bool) -> bytes:
        """Open one chunk.

        Raises:
            DamagedError: it is not what was sealed as this chunk.
        """
        try:
            return self._cipher.decrypt(chunk_no.to_bytes(12, "big"), sealed, self._associated(chunk_no, is_last=is_last))
        except InvalidTag as error:
            raise DamagedError from error

    def _associated(self, chunk_no: int, *, is_last: bool) -> bytes:
        return _ASSOCIATED.pack(_FORMAT, self._object_id, self._piece_no, chunk_no, is_last)


def chunk_count(size: int) -> int:
    """Chunks of a piece of size bytes: at least one."""
    return max(1, -(-size // CHUNK_BYTES))


def sealed_size(size: int) -> int:
    """Bytes on disk of a piece of size bytes."""
    return size + TAG_BYTES * chunk_count(size)


def _derive(secret: bytes, salt: bytes, use: bytes, place: str) -> bytes:
    encoded = place.encode()
    return _hkdf(secret, salt, b"ssecfs-s3/" + use + b"/v1" + len(encoded).to_bytes(4, "big") + encoded)


def _verifier(secret: bytes, salt: bytes, object_id: bytes) -> bytes:
    return hmac.digest(_derive(secret, salt, b"verify", ""), object_id, "sha256")


def seal_note(data_key: bytes, object_id: bytes, text: str) -> str:
    """Seal a short text of an object (its checksums tell something of the content), as hex."""
    nonce = os.urandom(12)
    return (nonce + AESGCM(_note_key(data_key)).encrypt(nonce, text.encode(), object_id)).hex()


def open_note(data_key: bytes, object_id: bytes, note: str) -> str:
    """The inverse of seal_note.

    Raises:
        DamagedError: it is not what was sealed.
    """
    raw = bytes.fromhex(note)
    try:
        return AESGCM(_note_key(data_key)).decrypt(raw[:12], raw[12:], object_id).decode()
    except InvalidTag as error:
        raise DamagedError from error


def _note_key(data_key: bytes) -> bytes:
    return _hkdf(data_key, b"", b"ssecfs-s3/note/v1")


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 for 32 bytes, which is one step of expansion: a third of the library's time, on the path of every request.

    Source: RFC 5869.
    """
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")
