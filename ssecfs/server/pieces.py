"""Pieces of data: received and sealed into a file, opened and sent.

Imported by the operations. A piece is sealed chunk by chunk while it arrives; memory holds one read from the network.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Final

from ssecfs.server.datafiles import DataFiles
from ssecfs.server.records import Piece
from ssecfs.server.sealed import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    DamagedError,
    PieceCipher,
    chunk_count,
    sealed_size,
)

SEND_CHUNKS: Final = 16
"""Chunks that are read, opened and sent at once: 1 MiB."""


async def store_piece(files: DataFiles, number: int, data_key: bytes, object_id: bytes, pieces: AsyncIterator[bytes]) -> Piece:
    """Seal what arrives into a new file; nothing is left of it when receiving fails.

    Args:
        files: where to.
        number: 0, or the part number.
        data_key: of the object.
        object_id: of its seal.
        pieces: the plaintext.
    """
    name, salt = os.urandom(16).hex(), os.urandom(16)
    cipher = PieceCipher(data_key, object_id, number, salt)
    path = files.incoming_path(name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        size = await _seal_stream(descriptor, cipher, pieces)
        files.publish(name, descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a text: see DataFiles
        raise
    finally:
        os.close(descriptor)
    return Piece(name, number, size, salt)


async def _seal_stream(descriptor: int, cipher: PieceCipher, pieces: AsyncIterator[bytes]) -> int:
    """Seal and write a stream; the last chunk is known only when the stream has ended."""
    rest = bytearray()
    chunk_no = size = 0
    async for piece in pieces:
        size += len(piece)
        rest += piece
        if len(rest) > CHUNK_BYTES:
            view = memoryview(rest)
            whole = (len(rest) - 1) // CHUNK_BYTES
            sealed = [
                cipher.seal(chunk_no + place, view[place * CHUNK_BYTES : (place + 1) * CHUNK_BYTES], is_last=False)
                for place in range(whole)
            ]
            view.release()
            del rest[: whole * CHUNK_BYTES]
            chunk_no += whole
            _write_all(descriptor, b"".join(sealed))
    _write_all(descriptor, cipher.seal(chunk_no, bytes(rest), is_last=True))
    return size


async def read_pieces(
    files: DataFiles, pieces: tuple[Piece, ...], data_key: bytes, object_id: bytes, start: int, stop: int
) -> AsyncIterator[bytes]:
    """Open the bytes [start, stop) of an object that lies in pieces.

    Raises:
        DamagedError: a chunk does not open; nothing of it is given out.
    """
    offset = 0
    wanted: list[tuple[Piece, int, int]] = []
    for piece in pieces:
        first, last = max(start - offset, 0), min(stop - offset, piece.size)
        if first < last:
            wanted.append((piece, first, last))
        offset += piece.size
    with files.reading([piece for piece, _, _ in wanted]):
        for piece, first, last in wanted:
            cipher = PieceCipher(data_key, object_id, piece.number, piece.salt)
            descriptor = _open_piece(files, piece)
            try:
                for opened in _open_range(descriptor, cipher, piece.size, first, last):
                    yield opened
            finally:
                os.close(descriptor)


def _open_range(descriptor: int, cipher: PieceCipher, size: int, first: int, last: int) -> Iterator[bytes]:
    chunks = chunk_count(size)
    stop_chunk = (last - 1) // CHUNK_BYTES + 1
    for begin in range(first // CHUNK_BYTES, stop_chunk, SEND_CHUNKS):
        end = min(begin + SEND_CHUNKS, stop_chunk)
        sealed = memoryview(os.pread(descriptor, (end - begin) * SEALED_CHUNK_BYTES, begin * SEALED_CHUNK_BYTES))
        opened = b"".join(
            cipher.open(
                chunk_no,
                sealed[(chunk_no - begin) * SEALED_CHUNK_BYTES : (chunk_no - begin + 1) * SEALED_CHUNK_BYTES],
                is_last=chunk_no == chunks - 1,
            )
            for chunk_no in range(begin, end)
        )
        base = begin * CHUNK_BYTES
        yield opened[max(first - base, 0) : last - base]


def _open_piece(files: DataFiles, piece: Piece) -> int:
    try:
        descriptor = os.open(files.path(piece.name), os.O_RDONLY)
    except FileNotFoundError as error:
        raise DamagedError from error
    if os.fstat(descriptor).st_size != sealed_size(piece.size):
        os.close(descriptor)
        raise DamagedError
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
