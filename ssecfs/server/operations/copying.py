"""CopyObject, and the source of any copy: opened with the source's key, sealed anew with the target's."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from ssecfs.server.call import Call, Side, kept_headers
from ssecfs.server.checksums import ALGORITHMS, DEFAULT, FULL_OBJECT, Checksum, encode
from ssecfs.server.conditions import check_copy_source, check_write
from ssecfs.server.errors import S3Error
from ssecfs.server.operations.objects import new_object, object_checksum, publish
from ssecfs.server.pieces import read_pieces, store_piece
from ssecfs.server.records import StoredObject
from ssecfs.server.response import Response, Tree, document, iso_time
from ssecfs.server.tags import tags_of_header
from ssecfs.ssec import CustomerKey

MAX_COPY_BYTES: Final = 5 << 30
DIRECTIVES: Final = frozenset({"COPY", "REPLACE"})


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a copy, opened."""

    stored: StoredObject
    data_key: bytes
    plaintext: Callable[[int, int], AsyncIterator[bytes]]
    """Gives the bytes from start to stop."""


class Digests:
    """MD5 and a checksum of what passes through. Owns: both."""

    def __init__(self, algorithm: str) -> None:
        """Begin."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._algorithm = algorithm
        self._running = ALGORITHMS[algorithm]()

    @property
    def md5(self) -> bytes:
        """MD5 of what passed."""
        return self._md5.digest()

    @property
    def checksum(self) -> Checksum:
        """Checksum of what passed."""
        return Checksum(self._algorithm, encode(self._running.digest()), FULL_OBJECT)

    async def through(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Let pieces pass."""
        async for piece in pieces:
            self._md5.update(piece)
            self._running.update(piece)
            yield piece


async def copy_object(call: Call) -> Response:
    """Copy an object."""
    call.storage.buckets.require(call.bucket)
    given = call.new_customer_key()
    source = open_source(call)
    metadata = _directive(call, "x-amz-metadata-directive")
    tagging = _directive(call, "x-amz-tagging-directive")
    _require_change(call, source.stored, given, metadata)
    if source.stored.size > MAX_COPY_BYTES:
        message = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        raise S3Error("InvalidRequest", message)
    check_write(call)
    headers = dict(source.stored.headers) if metadata == "COPY" else kept_headers(call.request.headers)
    tags = dict(source.stored.tags) if tagging == "COPY" else tags_of_header(call.header("x-amz-tagging"))
    seal, data_key = call.new_seal(given)
    digests = Digests(_algorithm(call, source))
    plaintext = digests.through(source.plaintext(0, source.stored.size))
    piece = await store_piece(call.storage.files, 0, data_key, seal.object_id, plaintext)
    sealed = digests.checksum.sealed(data_key, seal.object_id)
    stored = new_object(call, seal, (piece,), call.new_etag(digests.md5, given), headers=headers, tags=tags, checksums=sealed)
    publish(call, stored)
    result: list[tuple[str, Tree]] = [
        ("LastModified", iso_time(stored.modified_ms)),
        ("ETag", stored.etag),
        ("ChecksumType", FULL_OBJECT),
        (f"Checksum{digests.checksum.algorithm.upper()}", digests.checksum.value),
    ]
    shown = call.echo(given) | call.version_headers(stored) | _source_version(call, source.stored)
    return document("CopyObjectResult", result, headers=shown)


def open_source(call: Call) -> Source:
    """Open the source of a copy.

    Raises:
        S3Error: it is missing, its conditions fail, its key does not fit, or this service does not copy such objects.
    """
    path, _, query = (call.header("x-amz-copy-source") or "").partition("?")
    bucket, _, object_key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not object_key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    version_id = query.removeprefix("versionId=") if query.startswith("versionId=") else None
    stored = call.require_object(bucket, object_key, version_id)
    if stored.seal.is_ssec and not call.profile.can_copy_ssec:
        raise S3Error("NotImplemented", "A header you provided implies functionality that is not implemented.")
    data_key = call.open_key(stored, Side.SOURCE)
    check_copy_source(call.request, stored)

    def plaintext(start: int, stop: int) -> AsyncIterator[bytes]:
        return read_pieces(call.storage.files, stored.pieces, data_key, stored.seal.object_id, start, stop)

    return Source(stored, data_key, plaintext)


def _directive(call: Call, name: str) -> str:
    directive = call.header(name) or "COPY"
    if directive not in DIRECTIVES:
        raise S3Error("InvalidArgument", "Unknown directive.", ArgumentName=name, ArgumentValue=directive)
    return directive


def _require_change(call: Call, source: StoredObject, given: CustomerKey | None, metadata: str) -> None:
    """A copy onto itself must change something."""
    is_self = (source.bucket, source.object_key) == (call.bucket, call.object_key)
    if is_self and metadata == "COPY" and given is None and not source.seal.is_ssec:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )
        raise S3Error("InvalidRequest", message)


def _algorithm(call: Call, source: Source) -> str:
    """The checksum algorithm of the copy: the one asked for, else the source's, else the server's own."""
    asked = (call.header("x-amz-checksum-algorithm") or "").lower()
    if asked in ALGORITHMS:
        return asked
    kept = object_checksum(source.stored, source.data_key)
    return kept.algorithm if kept is not None and kept.kind == FULL_OBJECT else DEFAULT


def _source_version(call: Call, source: StoredObject) -> dict[str, str]:
    shown = call.version_headers(source).get("x-amz-version-id")
    return {"x-amz-copy-source-version-id": shown} if shown else {}
