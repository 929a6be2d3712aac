"""CreateMultipartUpload, UploadPart, UploadPartCopy, AbortMultipartUpload.

What they share with ``completion``, which turns the parts into an object, and ``uploadlists``, which shows what is in progress,
is here too.
"""

import os
import re
from typing import Final

from ssecfs.server.call import Call, Side, kept_headers, seal_place
from ssecfs.server.checksums import DEFAULT, Checksum, checked_algorithm, checked_type
from ssecfs.server.digests import Digests
from ssecfs.server.errors import S3Error
from ssecfs.server.operations.copying import open_source, source_version
from ssecfs.server.pieces import store_piece
from ssecfs.server.profiles import Case, SourceKey
from ssecfs.server.records import StoredPart, StoredUpload
from ssecfs.server.response import Response, Tree, document, iso_time
from ssecfs.server.sealed import WrongKeyError, open_seal
from ssecfs.server.tags import tags_of_header
from ssecfs.ssec import CustomerKey

MAX_PARTS: Final = 10_000
_COPY_RANGE: Final = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


async def create_upload(call: Call) -> Response:
    """Begin an upload; a customer key is bound to it."""
    call.storage.buckets.require(call.bucket)
    given = call.new_customer_key()
    headers, tags = kept_headers(call.request.headers), tags_of_header(call.header("x-amz-tagging"))
    algorithm, kind = call.header("x-amz-checksum-algorithm"), call.header("x-amz-checksum-type") or ""
    checksum = ("", "")
    if algorithm is not None:
        name = checked_algorithm(algorithm)
        checksum = (name, checked_type(name, kind))
    elif kind:
        message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        raise S3Error("InvalidRequest", message)
    seal, _ = call.new_seal(given)
    upload_id = f"{call.storage.objects.next_sequence():016x}{os.urandom(16).hex()}"  # in the order of time
    call.storage.uploads.add(StoredUpload(upload_id, call.bucket, call.object_key, call.now_ms, headers, tags, checksum, seal))
    shown = {"x-amz-checksum-algorithm": checksum[0].upper(), "x-amz-checksum-type": checksum[1]} if checksum[0] else {}
    tree: list[tuple[str, Tree]] = [("Bucket", call.bucket), ("Key", call.object_key), ("UploadId", upload_id)]
    return document("InitiateMultipartUploadResult", tree, headers=call.echo(given) | shown)


async def upload_part(call: Call) -> Response:
    """Store one part."""
    upload, number = upload_of(call), _part_number(call)
    given = call.new_customer_key()
    data_key = part_key(call, upload, given)
    asked, announced = upload.checksum[0], call.body.announced_algorithm
    if asked and announced and asked != announced:
        message = f"Checksum Type mismatch occurred, expected checksum Type: {asked}, actual checksum Type: {announced}"
        raise S3Error("InvalidRequest", message)
    if not announced:
        call.body.compute(asked or DEFAULT)
    piece = await store_piece(call.storage.files, number, data_key, upload.seal.object_id, call.body.pieces())
    checksum = call.body.checksum
    etag = call.new_etag(call.body.md5, given)
    _store_part(call, upload, StoredPart(number, etag, call.now_ms, _kept(upload, checksum, data_key), piece))
    shown = {f"x-amz-checksum-{checksum.algorithm}": checksum.value} if asked or announced else {}
    return Response(headers={"etag": etag, **call.echo(given), **shown})


async def upload_part_copy(call: Call) -> Response:
    """Make a part from a range of an object."""
    upload, number = upload_of(call), _part_number(call)
    given = call.new_customer_key()
    data_key = part_key(call, upload, given)
    side = Side.SOURCE if call.profile.part_copy_key is SourceKey.SOURCE else Side.TARGET
    source = open_source(call, Case.PART_COPY_OF_SSEC, side)
    start, stop = _copy_range(call.header("x-amz-copy-source-range"), source.stored.size)
    digests = Digests(upload.checksum[0] or DEFAULT)
    plaintext = digests.through(source.plaintext(start, stop))
    piece = await store_piece(call.storage.files, number, data_key, upload.seal.object_id, plaintext)
    etag = call.new_etag(digests.md5, given)
    _store_part(call, upload, StoredPart(number, etag, call.now_ms, _kept(upload, digests.checksum, data_key), piece))
    tree: list[tuple[str, Tree]] = [("LastModified", iso_time(call.now_ms)), ("ETag", call.copied_etag(etag))]
    if upload.checksum[0]:
        tree.append((f"Checksum{upload.checksum[0].upper()}", digests.checksum.value))
    return document("CopyPartResult", tree, headers=call.copy_echo(given) | source_version(call, source.stored))


async def abort_upload(call: Call) -> Response:
    """Drop an upload; no key is needed."""
    call.storage.drop_upload(upload_of(call).upload_id)
    return Response(204)


def upload_of(call: Call) -> StoredUpload:
    """The upload that a request names.

    Raises:
        S3Error: NoSuchBucket, NoSuchUpload.
    """
    call.storage.buckets.require(call.bucket)
    return call.storage.uploads.require(call.bucket, call.object_key, call.request.parameter("uploadId") or "")


def part_key(call: Call, upload: StoredUpload, given: CustomerKey | None) -> bytes:
    """The data key of an upload, for a request that must bring the upload's customer key.

    Raises:
        S3Error: it brings none, or another.
    """
    if given is None and upload.seal.is_ssec:
        raise call.profile.error(Case.PART_KEY_MISSING)
    if given is not None and not upload.seal.is_ssec:
        call.profile.refuse(Case.PART_KEY_NEEDLESS)
    secret = given.reveal_bytes() if given is not None and upload.seal.is_ssec else call.storage.server_secret
    try:
        return open_seal(upload.seal, secret, seal_place(upload.bucket, upload.object_key))
    except WrongKeyError:
        raise call.profile.error(Case.PART_KEY_OTHER) from None


def _part_number(call: Call) -> int:
    number = call.request.number("partNumber", 0, MAX_PARTS + 1)
    if not 1 <= number <= MAX_PARTS:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise S3Error("InvalidArgument", message, ArgumentName="partNumber")
    return number


def _kept(upload: StoredUpload, checksum: Checksum, data_key: bytes) -> str:
    """A part's checksum as it is kept: only if the upload asked for one."""
    return checksum.sealed(data_key, upload.seal.object_id) if upload.checksum[0] else ""


def _store_part(call: Call, upload: StoredUpload, part: StoredPart) -> None:
    """Add a part, unless its upload ended while it was received."""
    try:
        upload_of(call)
    except S3Error:
        call.storage.files.remove((part.piece,))
        raise
    call.storage.put_part(upload.upload_id, part)


def _copy_range(text: str | None, size: int) -> tuple[int, int]:
    if text is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(text)
    details = {"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text}
    if found is None or int(found[1]) > int(found[2]):
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy"
        )
        raise S3Error("InvalidArgument", message, **details)
    if int(found[1]) >= size:
        raise S3Error("InvalidRequest", "The specified copy range is invalid for the source object size")
    if int(found[2]) >= size:
        raise S3Error("InvalidArgument", f"Range specified is not valid for source object of size: {size}", **details)
    return int(found[1]), int(found[2]) + 1
