"""DeleteObject, DeleteObjects. No key is needed to delete."""

from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.conditions import check_delete
from ssecfs.server.errors import S3Error
from ssecfs.server.records import Kind, StoredObject, Versioning
from ssecfs.server.response import Response, Tree, document
from ssecfs.server.xml import child_text, children, malformed, parse_document

MAX_DELETED: Final = 1000
MAX_DOCUMENT_BYTES: Final = 4 << 20


async def delete_object(call: Call) -> Response:
    """Remove an object, or one version of it; what is not there is no error."""
    call.storage.buckets.require(call.bucket)
    check_delete(call)
    done = _delete(call, call.object_key, call.request.parameter("versionId"))
    return Response(204, _shown(call, done))


async def delete_objects(call: Call) -> Response:
    """Remove up to 1000 objects."""
    call.storage.buckets.require(call.bucket)
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "Delete")
    wanted = [(child_text(item, "Key"), child_text(item, "VersionId")) for item in children(root, "Object")]
    if not 1 <= len(wanted) <= MAX_DELETED:
        raise malformed()
    is_quiet = (child_text(root, "Quiet") or "").strip().lower() == "true"
    results: list[tuple[str, Tree]] = []
    for object_key, version_id in wanted:
        if not object_key:
            raise malformed()
        done = _delete(call, object_key, version_id)
        if is_quiet:
            continue
        shown: list[tuple[str, Tree]] = [("Key", object_key)]
        if version_id:
            shown.append(("VersionId", version_id))
        if done is not None and done.kind is Kind.MARKER:
            shown += [("DeleteMarker", "true"), ("DeleteMarkerVersionId", done.version_id)]
        results.append(("Deleted", shown))
    return document("DeleteResult", results)


def _delete(call: Call, object_key: str, version_id: str | None) -> StoredObject | None:
    """Delete; gives the delete marker that was made, or the version that was removed."""
    if not object_key:
        raise S3Error("InvalidArgument", "The object key is empty.")
    if version_id is None:
        return call.storage.delete(call.bucket, object_key, call.now_ms)
    stored_id = call.stored_version_id(call.bucket, object_key, version_id)
    return call.storage.delete_version(call.bucket, object_key, stored_id)


def _shown(call: Call, done: StoredObject | None) -> dict[str, str]:
    if done is None or call.storage.buckets.require(call.bucket).versioning is Versioning.OFF:
        return {}
    marker = {"x-amz-delete-marker": "true"} if done.kind is Kind.MARKER else {}
    return {"x-amz-version-id": done.version_id, **marker}
