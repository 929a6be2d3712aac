"""ListObjects, ListObjectsV2."""

import base64
import binascii
from urllib.parse import quote

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.records import Found
from ssecfs.server.response import Response, Tree, document, iso_time

MAX_KEYS = 1000


async def list_objects_v2(call: Call) -> Response:
    """List one page; the continuation token is the next object key."""
    request = call.request
    token, after = request.parameter("continuation-token"), request.parameter("start-after") or ""
    start = _parse_token(token) if token is not None else (after + "\0" if after else "")
    found, limit = _find(call, start)
    next_token = base64.urlsafe_b64encode(found.next_key.encode()).decode() if found.next_key is not None else None
    head: list[tuple[str, Tree]] = [
        *_head(call, limit),
        ("KeyCount", len(found.objects) + len(found.prefixes)),
        ("IsTruncated", "true" if next_token else "false"),
    ]
    if token is not None:
        head.append(("ContinuationToken", token))
    if after:
        head.append(("StartAfter", _encoded(call, after)))
    if next_token:
        head.append(("NextContinuationToken", next_token))
    return document("ListBucketResult", head + _body(call, found))


async def list_objects_v1(call: Call) -> Response:
    """List one page; the marker is the last object key or common prefix of the page before."""
    marker = call.request.parameter("marker") or ""
    delimiter = call.request.parameter("delimiter") or ""
    is_prefix = bool(delimiter) and marker.endswith(delimiter)
    start = "" if not marker else (marker + "\U0010ffff" if is_prefix else marker + "\0")
    found, limit = _find(call, start)
    head: list[tuple[str, Tree]] = [
        *_head(call, limit),
        ("Marker", _encoded(call, marker)),
        ("IsTruncated", "false" if found.next_key is None else "true"),
    ]
    if found.next_key is not None:
        last = max([listed.object_key for listed in found.objects[-1:]] + found.prefixes[-1:])
        head.append(("NextMarker", _encoded(call, last)))
    return document("ListBucketResult", head + _body(call, found))


def _find(call: Call, start: str) -> tuple[Found, int]:
    call.storage.require_bucket(call.bucket)
    request = call.request
    limit = request.number("max-keys", MAX_KEYS, MAX_KEYS)
    if limit == 0:
        return Found(), 0
    prefix, delimiter = request.parameter("prefix") or "", request.parameter("delimiter") or ""
    return call.storage.list_objects(call.bucket, prefix, delimiter, start, limit), limit


def _head(call: Call, limit: int) -> list[tuple[str, Tree]]:
    request = call.request
    head: list[tuple[str, Tree]] = [
        ("Name", call.bucket),
        ("Prefix", _encoded(call, request.parameter("prefix") or "")),
        ("MaxKeys", limit),
    ]
    if request.parameter("delimiter"):
        head.append(("Delimiter", _encoded(call, request.parameter("delimiter") or "")))
    if request.parameter("encoding-type"):
        head.append(("EncodingType", request.parameter("encoding-type") or ""))
    return head


def _body(call: Call, found: Found) -> list[tuple[str, Tree]]:
    objects: list[tuple[str, Tree]] = [
        (
            "Contents",
            [
                ("Key", _encoded(call, listed.object_key)),
                ("LastModified", iso_time(listed.modified_ms)),
                ("ETag", listed.etag),
                ("Size", listed.size),
                ("StorageClass", "STANDARD"),
            ],
        )
        for listed in found.objects
    ]
    prefixes: list[tuple[str, Tree]] = [("CommonPrefixes", [("Prefix", _encoded(call, prefix))]) for prefix in found.prefixes]
    return objects + prefixes


def _encoded(call: Call, text: str) -> str:
    return quote(text, safe="/*-._~") if call.request.parameter("encoding-type") == "url" else text


def _parse_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError) as error:
        message = "The continuation token provided is incorrect"
        raise S3Error("InvalidArgument", message, ArgumentName="continuation-token") from error
