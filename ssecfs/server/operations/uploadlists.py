"""ListParts, ListMultipartUploads."""

from ssecfs.server.call import Call
from ssecfs.server.checksums import open_checksum
from ssecfs.server.objecttable import common_prefix
from ssecfs.server.operations.buckets import OWNER
from ssecfs.server.operations.listing import common_prefixes, encoded, start_behind
from ssecfs.server.operations.multipart import MAX_PARTS, part_key, upload_of
from ssecfs.server.records import StoredPart, StoredUpload
from ssecfs.server.response import Response, Tree, document, iso_time

MAX_SHOWN = 1000


async def list_parts(call: Call) -> Response:
    """List the parts of an upload; their checksums are sealed, so an upload that has them needs the key."""
    upload = upload_of(call)
    data_key = part_key(call, upload, call.customer_key()) if upload.checksum[0] else b""
    after = call.request.number("part-number-marker", 0, MAX_PARTS)
    limit = call.request.number("max-parts", MAX_SHOWN, MAX_SHOWN)
    parts = [part for part in call.storage.uploads.parts(upload.upload_id) if part.part_number > after]
    shown = parts[:limit]
    tree: list[tuple[str, Tree]] = [
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("UploadId", upload.upload_id),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1].part_number if shown else 0),
        ("MaxParts", limit),
        ("IsTruncated", "true" if len(parts) > len(shown) else "false"),
    ]
    if upload.checksum[0]:
        tree += [("ChecksumAlgorithm", upload.checksum[0].upper()), ("ChecksumType", upload.checksum[1])]
    return document("ListPartsResult", tree + [("Part", _part(upload, part, data_key)) for part in shown])


def _part(upload: StoredUpload, part: StoredPart, data_key: bytes) -> list[tuple[str, Tree]]:
    entry: list[tuple[str, Tree]] = [
        ("PartNumber", part.part_number),
        ("LastModified", iso_time(part.modified_ms)),
        ("ETag", part.etag),
        ("Size", part.piece.size),
    ]
    checksum = open_checksum(part.checksum, data_key, upload.seal.object_id)
    if checksum is not None:
        entry.append((f"Checksum{checksum.algorithm.upper()}", checksum.value))
    return entry


async def list_uploads(call: Call) -> Response:
    """List the uploads of a bucket, by object key, then by age, which is the order of their ids."""
    call.storage.buckets.require(call.bucket)
    request = call.request
    prefix, delimiter = request.parameter("prefix") or "", request.parameter("delimiter") or ""
    marker = (request.parameter("key-marker") or "", request.parameter("upload-id-marker") or "")
    limit = request.number("max-uploads", MAX_SHOWN, MAX_SHOWN) or MAX_SHOWN
    uploads: list[StoredUpload] = []
    prefixes: list[str] = []
    next_marker: tuple[str, str] | None = None
    start, last = start_behind(call, marker[0]), marker
    for upload in call.storage.uploads.all_of(call.bucket, prefix, marker[0] if all(marker) else start):
        if not _is_behind(upload, marker, start):
            continue
        common = common_prefix(upload.object_key, prefix, delimiter)
        if common is not None and common in prefixes[-1:]:
            continue
        if len(uploads) + len(prefixes) >= limit:
            next_marker = last
            break
        if common is None:
            uploads.append(upload)
            last = (upload.object_key, upload.upload_id)
        else:
            prefixes.append(common)
            last = (common, "")
    tree: list[tuple[str, Tree]] = [
        ("Bucket", call.bucket),
        ("KeyMarker", encoded(call, marker[0])),
        ("UploadIdMarker", marker[1]),
        ("Prefix", encoded(call, prefix)),
        ("MaxUploads", limit),
        ("IsTruncated", "true" if next_marker else "false"),
    ]
    if delimiter:
        tree.append(("Delimiter", encoded(call, delimiter)))
    if next_marker:
        tree += [("NextKeyMarker", encoded(call, next_marker[0])), ("NextUploadIdMarker", next_marker[1])]
    tree += [("Upload", _upload(call, upload)) for upload in uploads]
    return document("ListMultipartUploadsResult", tree + common_prefixes(call, prefixes))


def _is_behind(upload: StoredUpload, marker: tuple[str, str], start: str) -> bool:
    """Tell whether an upload comes after a marker; start is what ``start_behind`` says of its object key."""
    return (upload.object_key, upload.upload_id) > marker if all(marker) else upload.object_key >= start


def _upload(call: Call, upload: StoredUpload) -> list[tuple[str, Tree]]:
    entry: list[tuple[str, Tree]] = [
        ("Key", encoded(call, upload.object_key)),
        ("UploadId", upload.upload_id),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", "STANDARD"),
        ("Initiated", iso_time(upload.initiated_ms)),
    ]
    if upload.checksum[0]:
        entry += [("ChecksumAlgorithm", upload.checksum[0].upper()), ("ChecksumType", upload.checksum[1])]
    return entry
