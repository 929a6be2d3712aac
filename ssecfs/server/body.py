"""A request's body: decoded from chunks, counted, and checked against everything the request says of it.

Imported by ``server.service`` and the operations.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from ssecfs.server import checksums
from ssecfs.server.chunked import ChunkDecoder
from ssecfs.server.digests import Digests
from ssecfs.server.errors import S3Error
from ssecfs.server.request import Request, parse_number
from ssecfs.server.sigv4 import STREAMING, UNSIGNED, Signed

MAX_PUT_BYTES: Final = 5 << 30

Receive = Callable[[], Awaitable[bytes | None]]
"""The next piece of the raw body; None: it has ended."""


class ClientGoneError(Exception):
    """The connection was closed before the body was complete."""


class Body:
    """The body of one request, to be read once.

    Owns: the digests. Invariant: pieces ends normally only if the body is complete and as announced.
    """

    def __init__(self, request: Request, signed: Signed, receive: Receive) -> None:
        """Look at what the headers announce.

        Raises:
            S3Error: they make no sense.
        """
        self._receive = receive
        self._signed = signed
        self._decoder = ChunkDecoder(signed) if signed.payload_hash.startswith(STREAMING) else None
        self._length = _announced_length(request, is_chunked=self._decoder is not None)
        self._content_md5 = checksums.content_md5(request.headers)
        self._checksum = checksums.announced(request.headers)
        is_hashed = self._decoder is None and signed.payload_hash != UNSIGNED
        self._sha256 = hashlib.sha256() if is_hashed else None
        self.compute(self.announced_algorithm or checksums.DEFAULT)
        self.size = 0

    @property
    def announced_algorithm(self) -> str | None:
        """The checksum algorithm that the client chose; None: it left the choice to the server."""
        return self._checksum[0] if self._checksum else None

    def compute(self, algorithm: str) -> None:
        """Compute a checksum by an algorithm of the server's choice. Only before the body is read."""
        self._digests = Digests(algorithm, *([self._sha256] if self._sha256 else []))

    def ignore_checksum(self) -> None:
        """Take the checksum that the client announced for one of something else. Only before the body is read."""
        self._checksum = None

    @property
    def md5(self) -> bytes:
        """MD5 of what was read."""
        return self._digests.md5

    @property
    def checksum(self) -> checksums.Checksum:
        """Checksum of what was read, by the algorithm that the client chose, else by the server's own."""
        return self._digests.checksum

    async def pieces(self) -> AsyncIterator[bytes]:
        """Go through the decoded body.

        Raises:
            S3Error: length, hash, checksum or signature do not fit.
            ClientGoneError: the client left.
        """
        while (raw := await self._receive()) is not None:
            for piece in self._decoder.feed(raw) if self._decoder else (raw,):
                self.size += len(piece)
                if self._length is not None and self.size > self._length:
                    raise S3Error("IncompleteBody", "The body is longer than it was announced.")
                _check_size(self.size)
                await self._digests.update(piece)
                yield piece
        await self._digests.finish()
        self._check_complete()
        if self._sha256 and self._sha256.hexdigest() != self._signed.payload_hash:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise S3Error("XAmzContentSHA256Mismatch", message)
        if self._checksum:
            value = self._checksum[1]
            if value is None and self._decoder:
                value = self._decoder.trailers.get(checksums.PREFIX + self._checksum[0])
            checksums.require(self._checksum[0], value, self._digests.raw_checksum)
        if self._content_md5 is not None and self._content_md5 != self.md5:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")

    async def read(self, limit: int) -> bytes:
        """Read a small body at once.

        Raises:
            S3Error: it has over limit bytes.
        """
        content = bytearray()
        async for piece in self.pieces():
            content += piece
            if len(content) > limit:
                raise S3Error("MalformedXML", "The document is too large.")
        return bytes(content)

    def _check_complete(self) -> None:
        is_short = self._length is not None and self.size < self._length
        if is_short or (self._decoder is not None and not self._decoder.is_complete):
            message = "You did not provide the number of bytes specified by the Content-Length HTTP header."
            raise S3Error("IncompleteBody", message)


def _announced_length(request: Request, *, is_chunked: bool) -> int | None:
    """Bytes of the decoded body; None: not announced (HTTP's own chunks)."""
    name = "x-amz-decoded-content-length" if is_chunked else "content-length"
    text = request.headers.get(name)
    if text is None:
        if is_chunked:
            raise S3Error("MissingContentLength", "You must provide the Content-Length HTTP header.")
        return None
    length = parse_number(text)
    if length is None:
        raise S3Error("InvalidArgument", "The length of the body is not a number.")
    _check_size(length)
    return length


def _check_size(size: int) -> None:
    if size > MAX_PUT_BYTES:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise S3Error("EntityTooLarge", message, MaxSizeAllowed=str(MAX_PUT_BYTES))
