"""ListObjectVersions: all versions and delete markers of a bucket."""

from dataclasses import dataclass, field

from ssecfs.server.call import Call, is_version_id, shown_version
from ssecfs.server.errors import S3Error
from ssecfs.server.objecttable import after_prefix, common_prefix
from ssecfs.server.operations.buckets import OWNER
from ssecfs.server.operations.listing import common_prefixes, encoded, listing_head, page_limit, start_behind
from ssecfs.server.records import NULL_VERSION, Kind, StoredObject
from ssecfs.server.response import Response, Tree, document, iso_time


@dataclass(slots=True)
class _Page:
    """A page; next_marker is the object key (or common prefix) and version id behind which the next one begins."""

    versions: list[tuple[StoredObject, bool]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_marker: tuple[str, str] | None = None


async def list_object_versions(call: Call) -> Response:
    """List one page of all versions and delete markers, the newest of a name first."""
    call.storage.buckets.require(call.bucket)
    key_marker, version_marker = _markers(call)
    limit = page_limit(call)
    page = _find(call, _start(call, key_marker, version_marker), limit) if limit else _Page()
    head = listing_head(call, limit, is_truncated=page.next_marker is not None)
    head += [("KeyMarker", encoded(call, key_marker)), ("VersionIdMarker", version_marker)]
    if page.next_marker is not None:
        head.append(("NextKeyMarker", encoded(call, page.next_marker[0])))
        if page.next_marker[1]:
            head.append(("NextVersionIdMarker", page.next_marker[1]))
    body = [_entry(call, stored, is_latest=is_latest) for stored, is_latest in page.versions]
    return document("ListVersionsResult", head + body + common_prefixes(call, page.prefixes))


def _start(call: Call, key_marker: str, version_marker: str) -> tuple[str, int]:
    """Object key, and the sequence below which its versions begin; 0: all of them."""
    if not version_marker or not key_marker.startswith(call.request.parameter("prefix") or ""):
        return start_behind(call, key_marker), 0
    if version_marker != NULL_VERSION:
        return key_marker, int(version_marker)  # version ids are sequences
    marked = call.storage.objects.version(call.bucket, key_marker, NULL_VERSION)
    return key_marker, marked.sequence if marked is not None else 0


def _markers(call: Call) -> tuple[str, str]:
    """Object key and version id behind which a page begins.

    Raises:
        S3Error: InvalidArgument.
    """
    key_marker, version_marker = call.request.parameter("key-marker") or "", call.request.parameter("version-id-marker") or ""
    details = {"ArgumentName": "version-id-marker", "ArgumentValue": version_marker}
    if version_marker and not key_marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.", **details)
    if version_marker and not is_version_id(version_marker):
        raise S3Error("InvalidArgument", "Invalid version id specified", **details)
    return key_marker, version_marker


def _find(call: Call, start: tuple[str, int], limit: int) -> _Page:
    prefix, delimiter = call.request.parameter("prefix") or "", call.request.parameter("delimiter") or ""
    page = _Page()
    last = ("", "")
    while True:
        for stored, is_latest in call.storage.objects.list_versions(call.bucket, prefix, start):
            if len(page.versions) + len(page.prefixes) >= limit:
                page.next_marker = last
                return page
            common = common_prefix(stored.object_key, prefix, delimiter)
            if common is not None:
                page.prefixes.append(common)
                last, start = (common, ""), (after_prefix(common), 0)
                break
            page.versions.append((stored, is_latest))
            last = (stored.object_key, shown_version(stored))
        else:
            return page


def _entry(call: Call, stored: StoredObject, *, is_latest: bool) -> tuple[str, Tree]:
    entry: list[tuple[str, Tree]] = [
        ("Key", encoded(call, stored.object_key)),
        ("VersionId", shown_version(stored)),
        ("IsLatest", "true" if is_latest else "false"),
        ("LastModified", iso_time(stored.modified_ms)),
    ]
    if stored.kind is Kind.MARKER:
        return "DeleteMarker", [*entry, ("Owner", OWNER)]
    entry += [("ETag", stored.etag), ("Size", stored.size), ("StorageClass", "STANDARD"), ("Owner", OWNER)]
    return "Version", entry
