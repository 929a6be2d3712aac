"""Checksums of objects: Content-MD5 and ``x-amz-checksum-…``, checked when they arrive, kept, and given out again. No I/O.

Imported by ``server.body`` and the operations.

Source: S3 user guide, "Checking object integrity"; recorded answers of AWS.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from awscrt import checksums as crt

from ssecfs.server.errors import S3Error
from ssecfs.server.sealed import open_note, seal_note

PREFIX: Final = "x-amz-checksum-"
FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"
_NO_ALGORITHMS: Final = frozenset({"algorithm", "mode", "type"})
DEFAULT: Final = "crc64nvme"
"""What the server computes when the client brings nothing."""


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


_COMBINE: Final[dict[str, Callable[[int, int, int], int]]] = {
    "crc32": crt.combine_crc32,
    "crc32c": crt.combine_crc32c,
    "crc64nvme": crt.combine_crc64nvme,
}
_WIDTHS: Final = {"crc32": 4, "crc32c": 4, "crc64nvme": 8}


@dataclass(frozen=True, slots=True)
class Checksum:
    """One checksum of an object or a part.

    Attributes:
        value: as headers carry it: base64, and ``-N`` for a composite of N parts.
        kind: FULL_OBJECT or COMPOSITE.
    """

    algorithm: str
    value: str
    kind: str

    def headers(self) -> dict[str, str]:
        """The headers that show it."""
        return {f"{PREFIX}{self.algorithm}": self.value, f"{PREFIX}type": self.kind}

    def sealed(self, data_key: bytes, object_id: bytes) -> str:
        """As it is kept."""
        return seal_note(data_key, object_id, json.dumps([self.algorithm, self.value, self.kind]))


def open_checksum(note: str, data_key: bytes, object_id: bytes) -> Checksum | None:
    """A kept checksum; None: nothing is kept."""
    if not note:
        return None
    algorithm, value, kind = json.loads(open_note(data_key, object_id, note))
    return Checksum(algorithm, value, kind)


def announced(headers: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The checksum that a request brings: algorithm, and value (None: it comes as a trailer); None: it brings none.

    Raises:
        S3Error: several, unknown, or malformed ones.
    """
    named = {name.removeprefix(PREFIX): value for name, value in headers.items() if name.startswith(PREFIX)}
    given: list[tuple[str, str | None]] = [(name, value) for name, value in named.items() if name not in _NO_ALGORITHMS]
    if not ALGORITHMS.keys() >= dict(given).keys():
        raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    trailer = headers.get("x-amz-trailer", "").lower()
    if trailer:
        if trailer.removeprefix(PREFIX) not in ALGORITHMS:
            raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        given.append((trailer.removeprefix(PREFIX), None))
    if len(given) > 1:
        message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise S3Error("InvalidRequest", message)
    if not given and "x-amz-sdk-checksum-algorithm" in headers:
        message = (
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        )
        raise S3Error("InvalidRequest", message)
    return given[0] if given else None


def require(algorithm: str, value: str | None, found: bytes) -> None:
    """Compare an announced checksum with the computed one.

    Raises:
        S3Error: malformed, missing or different.
    """
    wanted = _decode(value or "")
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
    value = _decode(text)
    if len(value) != 16:  # noqa: PLR2004 - bytes of an MD5
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return value


def composite(algorithm: str, parts: list[str]) -> Checksum:
    """The checksum of checksums of an object's parts."""
    running = ALGORITHMS[algorithm]()
    for value in parts:
        running.update(_decode(value))
    return Checksum(algorithm, f"{encode(running.digest())}-{len(parts)}", COMPOSITE)


def combined(algorithm: str, parts: list[tuple[str, int]]) -> Checksum:
    """The checksum of the whole object from those of its parts, each with its size in bytes."""
    total = 0
    for value, size in parts:
        total = _COMBINE[algorithm](total, int.from_bytes(_decode(value), "big"), size)
    return Checksum(algorithm, encode(total.to_bytes(_WIDTHS[algorithm], "big")), FULL_OBJECT)


def checked_type(algorithm: str, kind: str) -> str:
    """The type of a multipart upload's checksum: what was asked for, or the algorithm's own default.

    Raises:
        S3Error: the algorithm has no such type.
    """
    default = FULL_OBJECT if algorithm == DEFAULT else COMPOSITE
    if kind not in {"", FULL_OBJECT, COMPOSITE}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if (kind == FULL_OBJECT and algorithm not in _COMBINE) or (kind == COMPOSITE and algorithm == DEFAULT):
        message = f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise S3Error("InvalidRequest", message)
    return kind or default


def checked_algorithm(name: str) -> str:
    """An algorithm's name as clients write it, in lower case.

    Raises:
        S3Error: there is no such algorithm.
    """
    if name.lower() not in ALGORITHMS:
        raise S3Error(
            "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types."
        )
    return name.lower()


def encode(digest: bytes) -> str:
    """A digest as headers carry it."""
    return base64.b64encode(digest).decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
