"""Damage to what is stored: whatever is flipped, cut, swapped or missing, a GET gives the right bytes or an error."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from support.rawhttp import head
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY

from ssecfs.server.call import seal_place
from ssecfs.server.faults import Faults
from ssecfs.server.options import Durability, HttpKeys
from ssecfs.server.pieces import store_piece
from ssecfs.server.profiles import PROFILES
from ssecfs.server.records import NULL_VERSION, Kind, Piece, StoredObject
from ssecfs.server.request import Request, parse_request
from ssecfs.server.sealed import CHUNK_BYTES, SEALED_CHUNK_BYTES, DamagedError, make_seal
from ssecfs.server.service import Service
from ssecfs.server.storage import Storage
from ssecfs.ssec import CustomerKey, request_headers

SMALL: Final = b"a small object, every byte of which counts"
PARTS: Final = tuple(random.Random(4).randbytes(size) for size in (2 * CHUNK_BYTES + 100, CHUNK_BYTES, 500))
WHOLE: Final = b"".join(PARTS)


@dataclass(frozen=True)
class Sealed:
    """What is stored of one piece, in a file or in the index."""

    storage: Storage
    piece: Piece

    def read_bytes(self) -> bytes:
        if not self.piece.is_small:
            return Path(self.storage.files.path(self.piece.name)).read_bytes()
        sealed = self.storage.small.sealed(self.piece)
        assert sealed is not None
        return sealed

    def write_bytes(self, sealed: bytes) -> None:
        if self.piece.is_small:
            self.storage._database.run("UPDATE small_pieces SET sealed = ? WHERE name = ?", sealed, self.piece.name)
        else:
            Path(self.storage.files.path(self.piece.name)).write_bytes(sealed)

    def unlink(self) -> None:
        self.storage.small.drop([self.piece])
        self.storage.files.remove([self.piece])


class Rig:
    """A store with some objects under one key, and GET as clients see it, in this process."""

    def __init__(self, directory: Path, customer_key: CustomerKey) -> None:
        self._customer_key = customer_key
        self.storage = Storage(directory, Durability.KILL)
        self.storage.buckets.create("bucket")
        secrets = {ACCESS_KEY_ID: SECRET_ACCESS_KEY}
        self._service = Service(self.storage, PROFILES["ovh"], secrets, Faults(), HttpKeys.ALLOW)

    def put(self, name: str, *parts: bytes) -> list[Sealed]:
        """Store an object in parts; gives what is stored of them."""
        seal, data_key = make_seal(self._customer_key.reveal_bytes(), seal_place("bucket", name), is_ssec=True)

        async def arriving(body: bytes) -> AsyncIterator[bytes]:
            yield body

        async def store() -> tuple[Piece, ...]:
            pieces = [
                await store_piece(self.storage.files, number, data_key, seal.object_id, arriving(body))
                for number, body in enumerate(parts, 1)
            ]
            return tuple(pieces)

        pieces = asyncio.run(store())
        size, sequence = sum(map(len, parts)), self.storage.objects.next_sequence()
        self.storage.put(
            StoredObject(
                bucket="bucket",
                object_key=name,
                version_id=NULL_VERSION,
                sequence=sequence,
                kind=Kind.OBJECT,
                size=size,
                etag='"0123456789abcdef"',
                modified_ms=1,
                headers={"content-type": "text/plain"},
                checksums="",
                tags={},
                seal=seal,
                pieces=pieces,
            )
        )
        return [Sealed(self.storage, piece) for piece in pieces]

    def get(self, name: str, span: tuple[int, int] | None = None) -> bytes | None:
        """The bytes, or those of a span; None: an error, or a body that is cut off."""
        headers = request_headers(self._customer_key)
        headers |= {} if span is None else {"range": f"bytes={span[0]}-{span[1] - 1}"}
        lines = head("GET", f"/bucket/{name}", headers).rstrip().split(b"\r\n")[1:]
        raw = [(before, after) for before, _, after in (line.partition(b": ") for line in lines)]
        return asyncio.run(self._get(parse_request("GET", f"/bucket/{name}".encode(), b"", raw, is_secure=True)))

    async def _get(self, request: Request) -> bytes | None:
        async def receive() -> bytes | None:
            return None

        response = (await self._service.answer(request, receive)).response
        if response.status >= 400:
            return None
        if isinstance(response.body, bytes):
            return response.body
        try:
            body = b"".join([piece async for piece in response.body])
        except DamagedError:
            return None
        assert len(body) == response.length
        return body


@pytest.fixture
def rig(tmp_path: Path, customer_key: CustomerKey) -> Iterator[Rig]:
    rig = Rig(tmp_path / "store", customer_key)
    yield rig
    rig.storage.close()


def test_each_flipped_byte_of_sealed_data_is_an_error(rig: Rig) -> None:
    (file,) = rig.put("small", SMALL)
    original = file.read_bytes()
    for place in range(len(original)):
        file.write_bytes(original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :])
        assert rig.get("small") is None
        assert rig.get("small", (10, 11)) is None
    file.write_bytes(original)
    assert rig.get("small") == SMALL


def test_damage_in_one_chunk_leaves_the_others_readable(rig: Rig) -> None:
    file = rig.put("parts", *PARTS)[0]
    damaged = bytearray(file.read_bytes())
    damaged[SEALED_CHUNK_BYTES + 5] ^= 0x80
    file.write_bytes(damaged)
    assert rig.get("parts") is None
    assert rig.get("parts", (CHUNK_BYTES - 1, CHUNK_BYTES + 1)) is None
    for span in ((0, CHUNK_BYTES), (2 * CHUNK_BYTES, len(WHOLE))):
        assert rig.get("parts", span) == WHOLE[slice(*span)]


@pytest.mark.parametrize(
    "size", [0, 1, 15, 16, 17, -1, -16, -17, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES - 1, 2 * SEALED_CHUNK_BYTES]
)
def test_sealed_data_cut_short_is_an_error(rig: Rig, size: int) -> None:
    file = rig.put("parts", *PARTS)[0]
    file.write_bytes(file.read_bytes()[:size])
    assert rig.get("parts") is None
    assert rig.get("parts", (0, 1)) is None
    assert rig.get("parts", (len(PARTS[0]) - 1, len(PARTS[0]))) is None


def test_empty_object_is_looked_at_like_any_other(rig: Rig) -> None:
    (sealed,) = rig.put("empty", b"")
    original = sealed.read_bytes()
    for damaged in (*(original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :] for place in range(16)), b""):
        sealed.write_bytes(damaged)
        assert rig.get("empty") is None
    sealed.write_bytes(original)
    assert rig.get("empty") == b""


@pytest.mark.parametrize("body", [SMALL, PARTS[0]])
def test_object_that_its_row_calls_empty_is_an_error(rig: Rig, body: bytes) -> None:
    rig.put("a", body)
    rig.storage._database.run("UPDATE objects SET size = 0, pieces = replace(pieces, ?, ',1,0,')", f",1,{len(body)},")
    assert rig.get("a") is None
    rig.storage._database.run("UPDATE objects SET pieces = ''")
    assert rig.get("a") is None


def test_sealed_data_with_more_at_its_end_is_an_error(rig: Rig) -> None:
    for file in rig.put("parts", *PARTS):
        file.write_bytes(file.read_bytes() + b"more")
    assert rig.get("parts") is None


def test_missing_sealed_data_is_an_error(rig: Rig) -> None:
    files = rig.put("parts", *PARTS)
    files[1].unlink()
    assert rig.get("parts") is None
    assert rig.get("parts", (len(WHOLE) - 1, len(WHOLE))) == WHOLE[-1:]


def test_swapped_chunks_are_an_error(rig: Rig) -> None:
    file = rig.put("parts", *PARTS)[0]
    content = file.read_bytes()
    first, second, last = (content[begin : begin + SEALED_CHUNK_BYTES] for begin in range(0, len(content), SEALED_CHUNK_BYTES))
    for swapped in (second + first + last, first + first + last, second + second + last):
        file.write_bytes(swapped)
        assert rig.get("parts") is None


def test_file_of_another_object_part_or_time_is_an_error(rig: Rig) -> None:
    (mine,), (other,) = rig.put("mine", PARTS[1]), rig.put("other", PARTS[1])
    parts = rig.put("parts", PARTS[1], PARTS[1])
    before = mine.read_bytes()
    mine.write_bytes(other.read_bytes())
    assert rig.get("mine") is None
    (mine,) = rig.put("mine", PARTS[1])
    mine.write_bytes(before)
    assert rig.get("mine") is None
    first = parts[0].read_bytes()
    parts[0].write_bytes(parts[1].read_bytes())
    parts[1].write_bytes(first)
    assert rig.get("parts") is None


@pytest.mark.parametrize("column", ["seal", "etag", "pieces", "size", "texts", "version_id"])
@pytest.mark.parametrize("bit", [1, 4, 16])
def test_each_flipped_byte_of_the_index_gives_the_right_bytes_or_an_error(rig: Rig, column: str, bit: int) -> None:
    parts = (b"first part", b"and the second", b"")
    rig.put("small", *parts)
    whole = b"".join(parts)
    ((original,),) = rig.storage._database.rows(f"SELECT {column} FROM objects")
    text = str(original)
    for place in range(len(text)):
        changed = text[:place] + chr(ord(text[place]) ^ bit) + text[place + 1 :]
        rig.storage._database.run(f"UPDATE objects SET {column} = ?", changed)
        for span in (None, (0, 1), (len(whole) - 3, len(whole))):
            assert rig.get("small", span) in {None, whole[slice(*span)] if span else whole}, changed
    rig.storage._database.run(f"UPDATE objects SET {column} = ?", original)
    assert rig.get("small") == whole


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 1), (1, 2), (0, 0, 2), (0, 1, 2, 2), ()])
def test_row_with_other_pieces_is_an_error(rig: Rig, order: tuple[int, ...]) -> None:
    rig.put("parts", b"one", b"two", b"six")
    ((text,),) = rig.storage._database.rows("SELECT pieces FROM objects")
    pieces = text.split(" ")
    rig.storage._database.run("UPDATE objects SET pieces = ?", " ".join(pieces[place] for place in order))
    assert rig.get("parts") is None
    assert rig.get("parts", (0, 1)) is None
