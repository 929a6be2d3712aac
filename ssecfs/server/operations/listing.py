"""ListObjects, ListObjectsV2."""

import base64
import binascii
from typing import Final
from urllib.parse import quote

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.objecttable import after_prefix
from ssecfs.server.operations.buckets import OWNER
from ssecfs.server.records import Found, Listed
from ssecfs.server.response import Response, Tree, document, iso_time

MAX_KEYS: Final = 1000


async def list_objects_v2(call: Call) -> Response:
    """List one page; the continuation token is the next object key."""
    request = call.request
    token, after = request.parameter("continuation-token"), request.parameter("start-after") or ""
    start = _parse_token(token) if token is not None else (after + "\0" if after else "")
    found, limit = _find(call, start)
    next_token = base64.urlsafe_b64encode(found.next_key.encode()).decode() if found.next_key is not None else None
    head = listing_head(call, limit, is_truncated=next_token is not None)
    head.append(("KeyCount", len(found.objects) + len(found.prefixes)))
    if token is not None:
        head.append(("ContinuationToken", token))
    if after:
        head.append(("StartAfter", encoded(call, after)))
    if next_token:
        head.append(("NextContinuationToken", next_token))
    owner = OWNER if (request.parameter("fetch-owner") or "").lower() == "true" else []
    return document("ListBucketResult", head + _body(call, found, owner))


async def list_objects_v1(call: Call) -> Response:
    """List one page; the marker is the last object key or common prefix of the page before."""
    marker = call.request.parameter("marker") or ""
    found, limit = _find(call, start_behind(call, marker))
    head = listing_head(call, limit, is_truncated=found.next_key is not None)
    head.append(("Marker", encoded(call, marker)))
    if found.next_key is not None:
        last = max([listed.object_key for listed in found.objects[-1:]] + found.prefixes[-1:])
        head.append(("NextMarker", encoded(call, last)))
    return document("ListBucketResult", head + _body(call, found, OWNER))


def start_behind(call: Call, marker: str) -> str:
    """Where a page begins that follows a marker: behind that object, or behind all that a common prefix stands for."""
    delimiter = call.request.parameter("delimiter") or ""
    if delimiter and marker.endswith(delimiter):
        return after_prefix(marker)
    return marker + "\0" if marker else ""


def page_limit(call: Call) -> int:
    """The ``max-keys`` of a request: 0 to 1000."""
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
    encoding = call.request.parameter("encoding-type")
    if encoding is not None and encoding.lower() != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
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
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError) as error:
        message = "The continuation token provided is incorrect"
        raise S3Error("InvalidArgument", message, ArgumentName="continuation-token") from error
