"""CreateMultipartUpload, UploadPart, UploadPartCopy, ListParts, ListMultipartUploads, Complete…, Abort…."""

import hashlib
import os
import re
from collections.abc import AsyncIterator
from xml.etree.ElementTree import Element

from ssecfs.server.call import Call, kept_headers, seal_place
from ssecfs.server.conditions import check_write
from ssecfs.server.errors import S3Error
from ssecfs.server.operations.objects import malformed, open_source, parse_document
from ssecfs.server.pieces import store_piece
from ssecfs.server.profiles import ETags
from ssecfs.server.records import StoredObject, StoredPart, StoredUpload
from ssecfs.server.response import Response, Tree, document, iso_time
from ssecfs.server.sealed import WrongKeyError, open_seal
from ssecfs.ssec import CustomerKey

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 << 20
MAX_DOCUMENT_BYTES = 4 << 20
_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


async def create_upload(call: Call) -> Response:
    """Begin an upload; a customer key is bound to it."""
    call.storage.require_bucket(call.bucket)
    given = call.customer_key()
    seal, _ = call.new_seal(given)
    upload = StoredUpload(
        os.urandom(24).hex(), call.bucket, call.object_key, call.now_ms, kept_headers(call.request.headers), seal
    )
    call.storage.add_upload(upload)
    children: list[tuple[str, Tree]] = [
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("UploadId", upload.upload_id),
    ]
    return document("InitiateMultipartUploadResult", children, headers=call.echo(given))


async def upload_part(call: Call) -> Response:
    """Store one part."""
    upload, number = _upload_of(call), _part_number(call)
    given, data_key = _part_key(call, upload)
    piece = await store_piece(call.storage, number, data_key, upload.seal.object_id, call.body.pieces())
    etag = call.new_etag(call.body.md5, given)
    _store_part(call, upload, StoredPart(number, etag, call.now_ms, piece))
    return Response(headers={"etag": etag, **call.echo(given)})


async def upload_part_copy(call: Call) -> Response:
    """Make a part from a range of an object."""
    upload, number = _upload_of(call), _part_number(call)
    given, data_key = _part_key(call, upload)
    source, plaintext = open_source(call)
    start, stop = _copy_range(call.header("x-amz-copy-source-range"), source.size)
    digest = hashlib.md5(usedforsecurity=False)

    async def hashed() -> AsyncIterator[bytes]:
        async for opened in plaintext(start, stop):
            digest.update(opened)
            yield opened

    piece = await store_piece(call.storage, number, data_key, upload.seal.object_id, hashed())
    etag = call.new_etag(digest.digest(), given)
    _store_part(call, upload, StoredPart(number, etag, call.now_ms, piece))
    result: list[tuple[str, Tree]] = [("LastModified", iso_time(call.now_ms)), ("ETag", etag)]
    return document("CopyPartResult", result, headers=call.echo(given))


async def list_parts(call: Call) -> Response:
    """List the parts of an upload."""
    upload = _upload_of(call)
    after, limit = call.request.number("part-number-marker", 0, MAX_PARTS), call.request.number("max-parts", 1000, 1000)
    parts = [part for part in call.storage.parts(upload.upload_id) if part.part_number > after]
    shown = parts[:limit]
    children: list[tuple[str, Tree]] = [
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("UploadId", upload.upload_id),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1].part_number if shown else 0),
        ("MaxParts", limit),
        ("IsTruncated", "true" if len(parts) > len(shown) else "false"),
    ]
    children += [
        (
            "Part",
            [
                ("PartNumber", part.part_number),
                ("LastModified", iso_time(part.modified_ms)),
                ("ETag", part.etag),
                ("Size", part.piece.size),
            ],
        )
        for part in shown
    ]
    return document("ListPartsResult", children)


async def list_uploads(call: Call) -> Response:
    """List the uploads of a bucket."""
    call.storage.require_bucket(call.bucket)
    prefix = call.request.parameter("prefix") or ""
    children: list[tuple[str, Tree]] = [
        ("Bucket", call.bucket),
        ("KeyMarker", ""),
        ("UploadIdMarker", ""),
        ("Prefix", prefix),
        ("MaxUploads", 1000),
        ("IsTruncated", "false"),
    ]
    children += [
        (
            "Upload",
            [
                ("Key", upload.object_key),
                ("UploadId", upload.upload_id),
                ("StorageClass", "STANDARD"),
                ("Initiated", iso_time(upload.initiated_ms)),
            ],
        )
        for upload in call.storage.uploads(call.bucket, prefix)
    ]
    return document("ListMultipartUploadsResult", children)


async def complete_upload(call: Call) -> Response:
    """Turn parts into an object; a key is not needed, but must fit if it is given."""
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "CompleteMultipartUpload")
    upload = _upload_of(call)
    given = call.customer_key()
    if given is not None:
        _open_upload(call, upload, given)
    chosen = _chosen_parts(root, {part.part_number: part for part in call.storage.parts(upload.upload_id)})
    check_write(call.request, call.storage.find(call.bucket, call.object_key))
    pieces = tuple(part.piece for part in chosen)
    stored = StoredObject(
        bucket=call.bucket,
        object_key=call.object_key,
        version_id=call.new_version_id(),
        size=sum(piece.size for piece in pieces),
        etag=_whole_etag(call, upload, chosen),
        modified_ms=call.now_ms,
        headers=upload.headers,
        seal=upload.seal,
        pieces=pieces,
    )
    call.storage.finish_upload(upload.upload_id, stored)
    children: list[tuple[str, Tree]] = [
        ("Location", f"/{call.bucket}/{call.object_key}"),
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("ETag", stored.etag),
    ]
    return document("CompleteMultipartUploadResult", children, headers=call.version_headers(stored.version_id))


async def abort_upload(call: Call) -> Response:
    """Drop an upload; no key is needed."""
    call.storage.drop_upload(_upload_of(call).upload_id)
    return Response(204)


def _upload_of(call: Call) -> StoredUpload:
    call.storage.require_bucket(call.bucket)
    return call.storage.upload(call.bucket, call.object_key, call.request.parameter("uploadId") or "")


def _part_number(call: Call) -> int:
    number = call.request.number("partNumber", 0, MAX_PARTS + 1)
    if not 1 <= number <= MAX_PARTS:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise S3Error("InvalidArgument", message, ArgumentName="partNumber")
    return number


def _part_key(call: Call, upload: StoredUpload) -> tuple[CustomerKey | None, bytes]:
    """The customer key of a part request and the upload's data key."""
    given = call.customer_key()
    if (given is not None) != upload.seal.is_ssec:
        message = (
            "The multipart upload initiate requested encryption. "
            "Subsequent part requests must include the appropriate encryption parameters."
        )
        raise S3Error("InvalidRequest", message)
    return given, _open_upload(call, upload, given)


def _open_upload(call: Call, upload: StoredUpload, given: CustomerKey | None) -> bytes:
    secret = given.reveal_bytes() if given is not None else call.storage.server_secret
    try:
        return open_seal(upload.seal, secret, seal_place(upload.bucket, upload.object_key))
    except WrongKeyError:
        message = "The provided encryption parameters did not match the ones used originally."
        raise S3Error("InvalidRequest", message) from None


def _store_part(call: Call, upload: StoredUpload, part: StoredPart) -> None:
    """Add a part, unless its upload ended while it was received."""
    try:
        call.storage.upload(upload.bucket, upload.object_key, upload.upload_id)
    except S3Error:
        call.storage.remove_pieces((part.piece,))
        raise
    call.storage.store_part(upload.upload_id, part)


def _copy_range(text: str | None, size: int) -> tuple[int, int]:
    if text is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy"
        )
        raise S3Error("InvalidArgument", message, ArgumentName="x-amz-copy-source-range")
    if int(found[2]) >= size:
        raise S3Error("InvalidArgument", f"Range specified is not valid for source object of size: {size}")
    return int(found[1]), int(found[2]) + 1


def _chosen_parts(root: Element, parts: dict[int, StoredPart]) -> list[StoredPart]:
    """The parts that a Complete document names, in its order."""
    chosen: list[StoredPart] = []
    for item in root:
        fields = {str(child.tag).rpartition("}")[2]: (child.text or "").strip() for child in item}
        if not fields.get("PartNumber", "").isdigit():
            raise malformed()
        number = int(fields["PartNumber"])
        if chosen and number <= chosen[-1].part_number:
            message = "The list of parts was not in ascending order. Parts must be ordered by part number."
            raise S3Error("InvalidPartOrder", message)
        part = parts.get(number)
        if part is None or part.etag.strip('"') != fields.get("ETag", "").strip('"'):
            message = (
                "One or more of the specified parts could not be found.  The part may not have been uploaded, "
                "or the specified entity tag may not match the part's entity tag."
            )
            raise S3Error("InvalidPart", message, PartNumber=str(number))
        chosen.append(part)
    if not chosen:
        raise malformed()
    for part in chosen[:-1]:
        if part.piece.size < MIN_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise S3Error("EntityTooSmall", message, MinSizeAllowed=str(MIN_PART_BYTES), PartNumber=str(part.part_number))
    return chosen


def _whole_etag(call: Call, upload: StoredUpload, chosen: list[StoredPart]) -> str:
    if upload.seal.is_ssec and call.profile.etags is ETags.RANDOM:
        return f'"{os.urandom(16).hex()}-{len(chosen)}"'
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in chosen)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}"'
