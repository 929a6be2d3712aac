"""``aws-chunked`` bodies: the chunks taken apart, their signatures and trailers checked. No I/O.

Imported by ``server.body``.

Source: "Signature calculations for the Authorization header: transferring payload in multiple chunks (chunked upload)", with
and without trailers.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from ssecfs.server.errors import S3Error
from ssecfs.server.sigv4 import Signed

SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
FORMS: Final = frozenset({SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER})

MAX_LINE_BYTES: Final = 1024
MIN_CHUNK_BYTES: Final = 8192

_CHUNK_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


class _Expect(Enum):
    LINE = "chunk line"
    DATA = "data"
    DATA_END = "end of data"
    TRAILER = "trailer"
    NOTHING = "nothing"


class ChunkDecoder:
    """Takes the encoded body piece by piece and gives the decoded one.

    Owns: what has not been decoded yet: a line at most, however large a chunk is. Invariants: a chunk's signature is checked
    before the last of its data is given out, so what was given out counts only once is_complete is true; then trailers holds
    what came.
    """

    def __init__(self, signed: Signed) -> None:
        """Begin; the form is that of x-amz-content-sha256."""
        if signed.payload_hash not in FORMS:
            raise S3Error("NotImplemented", "This form of chunked upload is not implemented.")
        self._signed = signed
        self._is_signed = signed.payload_hash != UNSIGNED_TRAILER
        self._has_trailer = signed.payload_hash != SIGNED
        self._previous = signed.signature
        self._buffer = bytearray()
        self._expect = _Expect.LINE
        self._missing = 0
        self._sha256 = hashlib.sha256()
        self._was_small = False
        self._signature = ""
        self._raw_trailers: list[tuple[str, str]] = []
        self.trailers: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Tell whether the last chunk and its trailers have come."""
        return self._expect is _Expect.NOTHING

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a piece of the encoded body; give the decoded data that it completes.

        Raises:
            S3Error: framing, signature or trailer is wrong.
        """
        self._buffer += piece
        while True:
            if self._expect is _Expect.DATA:
                data = self._take_data()
                if data is None:
                    return
                yield data
            elif self._expect is _Expect.NOTHING:
                if self._buffer:
                    raise S3Error("IncompleteBody", "There is data after the last chunk.")
                return
            else:
                line = self._take_line()
                if line is None:
                    return
                self._handle_line(line)

    def _take_data(self) -> bytes | None:
        """What has come of the current chunk's data; None: nothing yet."""
        data = bytes(self._buffer[: self._missing])
        if not data:
            return None
        del self._buffer[: len(data)]
        self._missing -= len(data)
        if self._is_signed:
            self._sha256.update(data)
        if not self._missing:
            self._end_chunk(_Expect.DATA_END)
        return data

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end > MAX_LINE_BYTES or (end < 0 and len(self._buffer) > MAX_LINE_BYTES):
            raise S3Error("InvalidRequest", "A line of the chunked body is too long.")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _handle_line(self, line: bytes) -> None:
        if self._expect is _Expect.DATA_END:
            if line:
                raise S3Error("IncompleteBody", "A chunk is longer than it says.")
            self._expect = _Expect.LINE
        elif self._expect is _Expect.LINE:
            self._begin_chunk(line)
        else:
            self._handle_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        found = _CHUNK_LINE.fullmatch(line)
        if found is None or (found[2] is None) == self._is_signed:
            raise S3Error("InvalidRequest", "A chunk of the body does not begin as it must.")
        size = int(found[1], 16)
        self._signature = found[2].decode() if found[2] else ""
        if size and self._was_small:
            raise S3Error("InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes")
        self._was_small = size < MIN_CHUNK_BYTES
        self._missing = size
        self._sha256 = hashlib.sha256()
        if size:
            self._expect = _Expect.DATA
        else:
            self._end_chunk(_Expect.TRAILER)

    def _end_chunk(self, expect: _Expect) -> None:
        if self._is_signed:
            signed, digest = self._signed, self._sha256.hexdigest()
            scope = f"{signed.moment}\n{signed.scope}"
            self._require(f"AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{self._previous}\n{_EMPTY_SHA256}\n{digest}", self._signature)
        self._expect = expect

    def _handle_trailer(self, line: bytes) -> None:
        if line:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not self._has_trailer or len(self._raw_trailers) > 8:  # noqa: PLR2004 - two are known
                raise S3Error("MalformedTrailerError", "The request contained trailing data that was not well-formed")
            self._raw_trailers.append((name.strip().lower(), value.strip()))
            return
        signature = dict(self._raw_trailers).get("x-amz-trailer-signature")
        self.trailers = {name: value for name, value in self._raw_trailers if name != "x-amz-trailer-signature"}
        if self._is_signed and self._has_trailer:
            self._check_trailer(signature or "")
        self._expect = _Expect.NOTHING

    def _check_trailer(self, signature: str) -> None:
        lines = "".join(f"{name}:{value}\n" for name, value in self.trailers.items())
        digest = hashlib.sha256(lines.encode("latin-1")).hexdigest()
        signed = self._signed
        self._require(f"AWS4-HMAC-SHA256-TRAILER\n{signed.moment}\n{signed.scope}\n{self._previous}\n{digest}", signature)

    def _require(self, text: str, signature: str) -> None:
        wanted = hmac.new(self._signed.signing_key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match.")
        self._previous = wanted
