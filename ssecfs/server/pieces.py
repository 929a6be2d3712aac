"""Pieces of data: received and sealed, opened and sent.

Imported by the operations. A piece is sealed chunk by chunk while it arrives; memory holds one read from the network. A piece
of a single chunk goes into the index with its object, a larger one into a file.
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
from ssecfs.server.storage import Storage

SEND_CHUNKS: Final = 16
"""Chunks that are read, opened and sent at once: 1 MiB."""

MAX_VECTORS: Final = 1024
"""Buffers of one write (IOV_MAX of Linux)."""


async def store_piece(files: DataFiles, number: int, data_key: bytes, object_id: bytes, pieces: AsyncIterator[bytes]) -> Piece:
    """Seal what arrives: a single chunk stays in the piece, more go into a new file. Nothing is left when receiving fails.

    Args:
        files: where to.
        number: 0, or the part number.
        data_key: of the object.
        object_id: of its seal.
        pieces: the plaintext.
    """
    name, salt = os.urandom(16).hex(), os.urandom(16)
    sealer = _Sealer(PieceCipher(data_key, object_id, number, salt))
    async for piece in pieces:
        sealed = sealer.take(piece)
        if sealed:
            await _store_file(files, name, sealer, sealed, pieces)
            return Piece(name, number, sealer.size, salt)
    return Piece(name, number, sealer.size, salt, sealer.finish())


class _Sealer:
    """Cuts a stream in chunks and seals them. Owns: what may be the last chunk, which is known only at the end."""

    def __init__(self, cipher: PieceCipher) -> None:
        self._cipher = cipher
        self._rest = bytearray()
        self._chunk_no = 0
        self.size = 0

    def take(self, piece: bytes) -> list[bytes]:
        """The sealed chunks that piece completes."""
        self.size += len(piece)
        view = memoryview(piece)
        sealed = []
        while len(self._rest) + len(view) > CHUNK_BYTES:
            missing = CHUNK_BYTES - len(self._rest)
            chunk = self._rest + view[:missing] if self._rest else view[:missing]
            sealed.append(self._cipher.seal(self._chunk_no, chunk, is_last=False))
            self._chunk_no += 1
            self._rest = bytearray()
            view = view[missing:]
        self._rest += view
        return sealed

    def finish(self) -> bytes:
        """The sealed last chunk."""
        return self._cipher.seal(self._chunk_no, self._rest, is_last=True)


async def _store_file(files: DataFiles, name: str, sealer: _Sealer, sealed: list[bytes], pieces: AsyncIterator[bytes]) -> None:
    """Write sealed chunks, then those of the rest of a stream, into a file, and publish it."""
    path = files.incoming_path(name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write_all(descriptor, sealed)
        async for piece in pieces:
            _write_all(descriptor, sealer.take(piece))
        _write_all(descriptor, [sealer.finish()])
        await files.publish(name, descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a text: see DataFiles
        raise
    finally:
        os.close(descriptor)


async def read_pieces(
    storage: Storage, pieces: tuple[Piece, ...], data_key: bytes, object_id: bytes, start: int, stop: int
) -> AsyncIterator[bytes]:
    """Open the bytes [start, stop) of an object that lies in pieces.

    Raises:
        DamagedError: a chunk does not open; nothing of it is given out.
    """
    offset = 0
    wanted: list[tuple[Piece, int, int]] = []
    for piece in pieces:
        first, last = max(start - offset, 0), min(stop - offset, piece.size)
        if first < last or not piece.size:  # an empty one is looked at, too: it may have been cut to nothing
            wanted.append((piece, first, last))
        offset += piece.size

    def cipher_of(piece: Piece) -> PieceCipher:
        return PieceCipher(data_key, object_id, piece.number, piece.salt)

    # The object may be removed meanwhile: small pieces (one or two, as parts have a least size) are opened at once.
    small = {piece.name: _open_small(storage, piece, cipher_of(piece)) for piece, _, _ in wanted if piece.is_small}
    with storage.files.reading([piece for piece, _, _ in wanted]):
        for piece, first, last in wanted:
            if piece.is_small:
                if first < last:
                    yield small[piece.name][first:last]
                continue
            descriptor = _open_file(storage.files, piece)
            try:
                for opened in _open_range(descriptor, cipher_of(piece), piece.size, first, last):
                    yield opened
            finally:
                os.close(descriptor)


def _open_small(storage: Storage, piece: Piece, cipher: PieceCipher) -> bytes:
    sealed = storage.small.sealed(piece)
    if sealed is None or len(sealed) != sealed_size(piece.size):
        raise DamagedError
    return cipher.open(0, sealed, is_last=True)


def _open_range(descriptor: int, cipher: PieceCipher, size: int, first: int, last: int) -> Iterator[bytes]:
    stop_chunk = (last - 1) // CHUNK_BYTES + 1
    for begin in range(first // CHUNK_BYTES, stop_chunk, SEND_CHUNKS):
        base = begin * CHUNK_BYTES
        chunk_nos = range(begin, min(begin + SEND_CHUNKS, stop_chunk))
        yield _open_chunks(descriptor, cipher, size, chunk_nos)[max(first - base, 0) : last - base]


def _open_chunks(descriptor: int, cipher: PieceCipher, size: int, chunk_nos: range) -> bytes:
    """Read and open some chunks. A function of its own, so that a slow client keeps no sealed ones in memory."""
    sealed = memoryview(os.pread(descriptor, len(chunk_nos) * SEALED_CHUNK_BYTES, chunk_nos.start * SEALED_CHUNK_BYTES))
    begins = range(0, len(chunk_nos) * SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES)
    last_no = chunk_count(size) - 1
    return b"".join(
        cipher.open(chunk_no, sealed[begin : begin + SEALED_CHUNK_BYTES], is_last=chunk_no == last_no)
        for chunk_no, begin in zip(chunk_nos, begins, strict=True)
    )


def _open_file(files: DataFiles, piece: Piece) -> int:
    try:
        descriptor = os.open(files.path(piece.name), os.O_RDONLY)
    except FileNotFoundError as error:
        raise DamagedError from error
    if os.fstat(descriptor).st_size != sealed_size(piece.size):
        os.close(descriptor)
        raise DamagedError
    return descriptor


def _write_all(descriptor: int, sealed: list[bytes]) -> None:
    """Write chunks; a write that is cut short is gone on with."""
    left: list[bytes | memoryview] = list(sealed)
    while left:
        written = os.writev(descriptor, left[:MAX_VECTORS])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = memoryview(left[0])[written:]
