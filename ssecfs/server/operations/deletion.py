"""DeleteObject, DeleteObjects. No key is needed to delete."""

from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from ssecfs.server.call import Call, is_version_id
from ssecfs.server.conditions import check_delete, check_match
from ssecfs.server.errors import S3Error, no_such_version
from ssecfs.server.profiles import Write
from ssecfs.server.records import Kind, StoredObject, Versioning
from ssecfs.server.response import Response, Tree, document
from ssecfs.server.xml import child_text, children, malformed, parse_document

MAX_DELETED: Final = 1000
MAX_DOCUMENT_BYTES: Final = 4 << 20


async def delete_object(call: Call) -> Response:
    """Remove an object, or one version of it; what is not there is no error."""
    call.storage.buckets.require(call.bucket)
    check_delete(call)
    done = _delete(call, call.object_key, call.version_id)
    return Response(204, _shown(call, done))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object to delete; version_id and etag may be empty."""

    object_key: str
    version_id: str
    etag: str


async def delete_objects(call: Call) -> Response:
    """Remove up to 1000 objects; what is named twice is removed once. One that cannot be removed does not stop the others."""
    call.storage.buckets.require(call.bucket)
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "Delete")
    wanted = [_wanted(item) for item in children(root, "Object")]
    if not 1 <= len(wanted) <= MAX_DELETED:
        raise malformed()
    is_quiet = (child_text(root, "Quiet") or "").strip().lower() == "true"
    results = [_delete_one(call, one) for one in dict.fromkeys(wanted)]
    return document("DeleteResult", [result for result in results if result[0] == "Error" or not is_quiet])


def _wanted(item: Element) -> _Wanted:
    object_key, version_id, etag = (child_text(item, name) or "" for name in ("Key", "VersionId", "ETag"))
    if not object_key:
        raise malformed()
    return _Wanted(object_key, version_id, etag)


def _delete_one(call: Call, wanted: _Wanted) -> tuple[str, Tree]:
    """Delete one of several objects; gives what the answer says of it."""
    shown: list[tuple[str, Tree]] = [("Key", wanted.object_key)]
    if wanted.version_id:
        shown.append(("VersionId", wanted.version_id))
    try:
        if wanted.version_id and not is_version_id(wanted.version_id):
            raise no_such_version(wanted.object_key, wanted.version_id)
        if wanted.etag:
            check_match(call, wanted.object_key, wanted.etag, Write.DELETE)
        done = _delete(call, wanted.object_key, wanted.version_id or None)
    except S3Error as error:
        return "Error", [*shown, ("Code", error.code), ("Message", error.message)]
    if done is not None and done.kind is Kind.MARKER:
        shown += [("DeleteMarker", "true"), ("DeleteMarkerVersionId", done.version_id)]
    return "Deleted", shown


def _delete(call: Call, object_key: str, version_id: str | None) -> StoredObject | None:
    """Delete; gives the delete marker that was made, or the version that was removed."""
    if version_id is None:
        return call.storage.delete(call.bucket, object_key, call.now_ms)
    stored_id = call.stored_version_id(call.bucket, object_key, version_id)
    return call.storage.delete_version(call.bucket, object_key, stored_id)


def _shown(call: Call, done: StoredObject | None) -> dict[str, str]:
    if done is None or call.storage.buckets.require(call.bucket).versioning is Versioning.OFF:
        return {}
    marker = {"x-amz-delete-marker": "true"} if done.kind is Kind.MARKER else {}
    return {"x-amz-version-id": done.version_id, **marker}
