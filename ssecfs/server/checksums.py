"""Checksums of request bodies: Content-MD5 and ``x-amz-checksum-…``. No I/O.

Imported by ``server.body``.

Source: S3 user guide, "Checking object integrity".
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from awscrt import checksums as crt

from ssecfs.server.errors import S3Error

PREFIX: Final = "x-amz-checksum-"


class Running(Protocol):
    """A checksum being computed."""

    def update(self, piece: bytes, /) -> None:
        """Go on with piece."""

    def digest(self) -> bytes:
        """The checksum so far."""


class _Crc:
    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, piece: bytes, /) -> None:
        self._value = self._step(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


ALGORITHMS: Final[dict[str, Callable[[], Running]]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(crt.crc32c, 4),
    "crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def announced(headers: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The checksum that a request brings: algorithm, and value (None: it comes as a trailer); None: it brings none.

    Raises:
        S3Error: several, unknown, or malformed ones.
    """
    given = [(name.removeprefix(PREFIX), value) for name, value in headers.items() if name.removeprefix(PREFIX) in ALGORITHMS]
    trailer = headers.get("x-amz-trailer", "").lower()
    if trailer:
        if trailer.removeprefix(PREFIX) not in ALGORITHMS:
            raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        given.append((trailer.removeprefix(PREFIX), None))  # type: ignore[arg-type]
    if len(given) > 1:
        message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise S3Error("InvalidRequest", message)
    return given[0] if given else None


def require(algorithm: str, value: str | None, found: bytes) -> None:
    """Compare an announced checksum with the computed one.

    Raises:
        S3Error: malformed, missing or different.
    """
    try:
        wanted = base64.b64decode(value or "", validate=True)
    except (binascii.Error, ValueError):
        wanted = b""
    if len(wanted) != len(found):
        raise S3Error("InvalidRequest", f"Value for {PREFIX}{algorithm} header is invalid.")
    if wanted != found:
        raise S3Error("BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum.")


def content_md5(headers: Mapping[str, str]) -> bytes | None:
    """The value of Content-MD5, decoded.

    Raises:
        S3Error: it is none.
    """
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:  # noqa: PLR2004 - bytes of an MD5
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return value
