"""What lies in the server's directory, read by the format in ssecfs-server(1) alone: nothing of the server is used.

Imported by tests of the format and of what a kill leaves.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEK_INFO: Final = "ssecfs-s3/kek/v1"
VERIFIER_INFO: Final = "ssecfs-s3/verify/v1"
PIECE_INFO: Final = "ssecfs-s3/piece/v1"
NOTE_INFO: Final = "ssecfs-s3/note/v1"
MAGIC: Final = "SSO1"
CHUNK_BYTES: Final = 65_536
TAG_BYTES: Final = 16


@contextmanager
def _index(directory: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{directory}/index.sqlite?mode=ro", uri=True)) as index:
        index.row_factory = sqlite3.Row
        yield index


def read_stored(directory: Path, object_key: str, customer_key: bytes | None) -> bytes | None:
    """The content of an object in the bucket "bucket"; None: there is none. Raises if anything is not as the manual says."""
    row = _row(directory, object_key)
    if row is None:
        return None
    object_id, data_key = _open_seal(directory, row, customer_key)
    content = b"".join(_open_piece(directory, piece, data_key, object_id) for piece in row["pieces"].split(" "))
    assert len(content) == row["size"]
    return content


def read_checksum(directory: Path, object_key: str, customer_key: bytes | None) -> list[str]:
    """The checksum that is kept of an object: algorithm, value, type."""
    row = _row(directory, object_key)
    assert row is not None
    object_id, data_key = _open_seal(directory, row, customer_key)
    sealed = bytes.fromhex(json.loads(row["texts"])[1])
    opened = AESGCM(_hkdf(data_key, b"", NOTE_INFO.encode())).decrypt(sealed[:12], sealed[12:], object_id)
    algorithm, value, kind = json.loads(opened)
    return [algorithm, value, kind]


def named_pieces(directory: Path) -> tuple[set[str], set[str]]:
    """The names of all pieces that objects and parts have: of those in files, and of those in the index."""
    queries = ("SELECT pieces FROM objects", "SELECT pieces FROM old_versions", "SELECT piece FROM parts")
    with _index(directory) as index:
        pieces = [piece.split(",") for query in queries for (text,) in index.execute(query) for piece in text.split()]
    is_small = {name: int(size) <= CHUNK_BYTES for name, _, size, _ in pieces}
    return {name for name in is_small if not is_small[name]}, {name for name in is_small if is_small[name]}


def stored_pieces(directory: Path) -> tuple[set[str], set[str]]:
    """The names of all pieces that there are: in files, and in the index."""
    files = {path.name for path in (directory / "data").rglob("*") if path.is_file()}
    with _index(directory) as index:
        return files, {name for (name,) in index.execute("SELECT name FROM small_pieces")}


def _row(directory: Path, object_key: str) -> Any:
    with _index(directory) as index:
        return index.execute("SELECT * FROM objects WHERE bucket = 'bucket' AND object_key = ?", (object_key,)).fetchone()


def _open_seal(directory: Path, row: Any, customer_key: bytes | None) -> tuple[bytes, bytes]:
    """Object id and data key of an object."""
    *texts, owner = row["seal"].split(" ")
    object_id, salt, wrapped, verifier = map(bytes.fromhex, texts)
    assert list(map(len, (object_id, salt, wrapped, verifier))) == [16, 32, 60, 32]
    assert owner == ("server" if customer_key is None else "ssec")
    secret = (directory / "server.key").read_bytes() if customer_key is None else customer_key
    found = HMAC(_hkdf(secret, salt, VERIFIER_INFO.encode() + bytes(4)), SHA256())
    found.update(object_id)
    found.verify(verifier)
    place = f"{row['bucket']}/{row['object_key']}".encode()
    kek = _hkdf(secret, salt, KEK_INFO.encode() + len(place).to_bytes(4, "big") + place)
    return object_id, AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], object_id)


def _open_piece(directory: Path, text: str, data_key: bytes, object_id: bytes) -> bytes:
    name, number, size, salt = text.split(",")
    number_bytes = int(number).to_bytes(4, "big")
    cipher = AESGCM(_hkdf(data_key, bytes.fromhex(salt), PIECE_INFO.encode() + number_bytes))
    sealed = _sealed_piece(directory, name, int(size))
    step = CHUNK_BYTES + TAG_BYTES
    chunks = [sealed[begin : begin + step] for begin in range(0, len(sealed), step)]
    opened = [
        cipher.decrypt(
            chunk_no.to_bytes(12, "big"),
            chunk,
            MAGIC.encode() + object_id + number_bytes + chunk_no.to_bytes(8, "big") + bytes([chunk_no == len(chunks) - 1]),
        )
        for chunk_no, chunk in enumerate(chunks)
    ]
    assert [len(chunk) for chunk in opened[:-1]] == [CHUNK_BYTES] * (len(chunks) - 1)
    assert sum(map(len, opened)) == int(size)
    return b"".join(opened)


def _sealed_piece(directory: Path, name: str, size: int) -> bytes:
    if size > CHUNK_BYTES:
        return (directory / "data" / name[:2] / name).read_bytes()
    with _index(directory) as index:
        (sealed,) = index.execute("SELECT sealed FROM small_pieces WHERE name = ?", (name,)).fetchone()
        return bytes(sealed)


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
