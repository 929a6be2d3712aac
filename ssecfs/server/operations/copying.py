"""CopyObject, and the source of any copy: opened with the source's key, sealed anew with the target's."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from ssecfs.server.call import Call, Side, is_version_id, kept_headers
from ssecfs.server.checksums import DEFAULT, FULL_OBJECT, checked_algorithm
from ssecfs.server.conditions import check_copy_source, check_write
from ssecfs.server.digests import Digests
from ssecfs.server.errors import S3Error, invalid_version
from ssecfs.server.operations.objects import new_object, object_checksum, publish
from ssecfs.server.pieces import read_pieces, store_piece
from ssecfs.server.profiles import Case, Write
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


async def copy_object(call: Call) -> Response:
    """Copy an object."""
    call.storage.buckets.require(call.bucket)
    given = call.new_customer_key() if call.profile.encrypts_copies else None
    source = open_source(call, Case.COPY_OF_SSEC, Side.SOURCE)
    metadata = _directive(call, "x-amz-metadata-directive")
    tagging = _directive(call, "x-amz-tagging-directive")
    _require_change(call, source.stored, given, metadata)
    if source.stored.size > MAX_COPY_BYTES:
        message = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        raise S3Error("InvalidRequest", message)
    check_write(call, Write.COPY)
    headers = dict(source.stored.headers) if metadata == "COPY" else kept_headers(call.request.headers)
    tags = dict(source.stored.tags) if tagging == "COPY" else tags_of_header(call.header("x-amz-tagging"))
    seal, data_key = call.new_seal(given)
    digests = Digests(_algorithm(call, source))
    plaintext = digests.through(source.plaintext(0, source.stored.size))
    piece = await store_piece(call.storage.files, 0, data_key, seal.object_id, plaintext)
    sealed = digests.checksum.sealed(data_key, seal.object_id)
    stored = new_object(call, seal, (piece,), call.new_etag(digests.md5, given), headers=headers, tags=tags, checksums=sealed)
    publish(call, stored, Write.COPY)
    result: list[tuple[str, Tree]] = [
        ("LastModified", iso_time(stored.modified_ms)),
        ("ETag", call.copied_etag(stored.etag)),
        ("ChecksumType", FULL_OBJECT),
        (f"Checksum{digests.checksum.algorithm.upper()}", digests.checksum.value),
    ]
    shown = call.copy_echo(given) | call.new_version_headers(stored) | source_version(call, source.stored)
    return document("CopyObjectResult", result, headers=shown)


def open_source(call: Call, case: Case, side: Side) -> Source:
    """Open the source of a copy.

    Args:
        call: of the copy.
        case: that of a source with a customer key.
        side: which key opens it.

    Raises:
        S3Error: it is missing, its conditions fail, its key does not fit, or this service does not copy such objects.
    """
    path, _, query = (call.header("x-amz-copy-source") or "").partition("?")
    bucket, _, object_key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not object_key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    version_id = unquote(query.removeprefix("versionId=")) if query.startswith("versionId=") else None
    stored = _source_object(call, bucket, object_key, version_id)
    if stored.seal.is_ssec:
        call.profile.refuse(case)
    data_key = call.open_key(stored, side)
    check_copy_source(call, stored)

    def plaintext(start: int, stop: int) -> AsyncIterator[bytes]:
        return read_pieces(call.storage, stored.pieces, data_key, stored.seal.object_id, start, stop)

    return Source(stored, data_key, plaintext)


def _source_object(call: Call, bucket: str, object_key: str, version_id: str | None) -> StoredObject:
    if version_id is not None and not is_version_id(version_id):
        raise invalid_version(version_id)
    try:
        return call.require_object(bucket, object_key, version_id)
    except S3Error as error:
        if error.code != "MethodNotAllowed":
            raise
        message = "The source of a copy request may not specifically refer to a delete marker by version id."
        raise S3Error("InvalidRequest", message) from None


def _directive(call: Call, name: str) -> str:
    directive = call.header(name) or "COPY"
    if directive not in DIRECTIVES:
        raise S3Error("InvalidArgument", "Unknown directive.", ArgumentName=name, ArgumentValue=directive)
    return directive


def _require_change(call: Call, source: StoredObject, given: CustomerKey | None, metadata: str) -> None:
    """A copy onto itself must change something; that of an older version does."""
    is_same_name = (source.bucket, source.object_key) == (call.bucket, call.object_key)
    current = call.storage.objects.current(call.bucket, call.object_key) if is_same_name else None
    is_self = current is not None and current.sequence == source.sequence
    if is_self and metadata == "COPY" and given is None and not source.seal.is_ssec:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )
        raise S3Error("InvalidRequest", message)


def _algorithm(call: Call, source: Source) -> str:
    """The checksum algorithm of the copy: the one asked for, else the source's, else the server's own."""
    asked = call.header("x-amz-checksum-algorithm")
    if asked is not None:
        return checked_algorithm(asked)
    kept = object_checksum(source.stored, source.data_key)
    return kept.algorithm if kept is not None and kept.kind == FULL_OBJECT else DEFAULT


def source_version(call: Call, source: StoredObject) -> dict[str, str]:
    """The version id of what was copied."""
    shown = call.version_headers(source).get("x-amz-version-id")
    return {"x-amz-copy-source-version-id": shown} if shown else {}
