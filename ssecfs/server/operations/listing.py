"""ListObjects, ListObjectsV2."""

import base64
import binascii
from typing import Final
from urllib.parse import quote

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.objecttable import after_prefix, common_prefix
from ssecfs.server.operations.buckets import OWNER
from ssecfs.server.records import Found, Listed
from ssecfs.server.response import Response, Tree, document, iso_time

MAX_KEYS: Final = 1000


async def list_objects_v2(call: Call) -> Response:
    """List one page; the continuation token is the next object key."""
    request = call.request
    token, after = request.parameter("continuation-token"), request.parameter("start-after") or ""
    start = _parse_token(token) if token is not None else start_behind(call, after)
    found, limit = _find(call, start)
    next_token = _token_of(found.next_key) if found.next_key is not None else None
    head = listing_head(call, limit, is_truncated=next_token is not None)
    head.append(("KeyCount", len(found.objects) + len(found.prefixes)))
    if token is not None:
        head.append(("ContinuationToken", token))
    elif after:
        head.append(("StartAfter", encoded(call, after)))
    if next_token:
        head.append(("NextContinuationToken", next_token))
    owner = OWNER if (request.parameter("fetch-owner") or "").lower() == "true" else []
    return document("ListBucketResult", head + _body(call, found, owner))


async def list_objects_v1(call: Call) -> Response:
    """List one page; the marker is the last object key or common prefix of the page before.

    As with AWS, the next one is named only with a delimiter: without, it is the last object key.
    """
    marker = call.request.parameter("marker") or ""
    found, limit = _find(call, start_behind(call, marker))
    head = listing_head(call, limit, is_truncated=found.next_key is not None)
    head.append(("Marker", encoded(call, marker)))
    if found.next_key is not None and call.request.parameter("delimiter"):
        last = max([listed.object_key for listed in found.objects[-1:]] + found.prefixes[-1:])
        head.append(("NextMarker", encoded(call, last)))
    return document("ListBucketResult", head + _body(call, found, OWNER))


def start_behind(call: Call, marker: str) -> str:
    """Where a page begins that follows a marker: behind that object, or behind all that its common prefix stands for."""
    prefix, delimiter = call.request.parameter("prefix") or "", call.request.parameter("delimiter") or ""
    common = common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None
    if common is not None:
        return after_prefix(common)
    return marker + "\0" if marker else ""


def page_limit(call: Call) -> int:
    """The ``max-keys`` of a request: 0 to 1000.

    Raises:
        S3Error: it is no number, or the request asks for an encoding that there is not.
    """
    encoding = call.request.parameter("encoding-type")
    if encoding is not None and encoding != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return call.request.number("max-keys", MAX_KEYS, MAX_KEYS)


def listing_head(call: Call, limit: int, *, is_truncated: bool) -> list[tuple[str, Tree]]:
    """What every listing begins with."""
    request = call.request
    head: list[tuple[str, Tree]] = [
        ("Name", call.bucket),
        ("Prefix", encoded(call, request.parameter("prefix") or "")),
        ("MaxKeys", limit),
        ("IsTruncated", "true" if is_truncated else "false"),
    ]
    if request.parameter("delimiter"):
        head.append(("Delimiter", encoded(call, request.parameter("delimiter") or "")))
    if request.parameter("encoding-type"):
        head.append(("EncodingType", request.parameter("encoding-type") or ""))
    return head


def common_prefixes(call: Call, prefixes: list[str]) -> list[tuple[str, Tree]]:
    """The common prefixes of a listing."""
    return [("CommonPrefixes", [("Prefix", encoded(call, prefix))]) for prefix in prefixes]


def encoded(call: Call, text: str) -> str:
    """A name as the client wants it."""
    return quote(text, safe="/*-._~") if call.request.parameter("encoding-type") == "url" else text


def _find(call: Call, start: str) -> tuple[Found, int]:
    call.storage.buckets.require(call.bucket)
    limit = page_limit(call)
    if limit == 0:
        return Found(), 0
    prefix, delimiter = call.request.parameter("prefix") or "", call.request.parameter("delimiter") or ""
    return call.storage.objects.list_current(call.bucket, prefix, delimiter, start, limit), limit


def _body(call: Call, found: Found, owner: list[tuple[str, Tree]]) -> list[tuple[str, Tree]]:
    return [("Contents", _entry(call, listed, owner)) for listed in found.objects] + common_prefixes(call, found.prefixes)


def _entry(call: Call, listed: Listed, owner: list[tuple[str, Tree]]) -> list[tuple[str, Tree]]:
    entry: list[tuple[str, Tree]] = [
        ("Key", encoded(call, listed.object_key)),
        ("LastModified", iso_time(listed.modified_ms)),
        ("ETag", listed.etag),
        ("Size", listed.size),
        ("StorageClass", "STANDARD"),
    ]
    return [*entry, ("Owner", owner)] if owner else entry


def _parse_token(token: str) -> str:
    try:
        object_key = base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError):
        object_key = ""
    if not object_key or _token_of(object_key) != token:
        message = "The continuation token provided is incorrect"
        raise S3Error("InvalidArgument", message, ArgumentName="continuation-token")
    return object_key


def _token_of(object_key: str) -> str:
    return base64.urlsafe_b64encode(object_key.encode()).decode()
