"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging. No key is needed: tags are not encrypted."""

from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.records import StoredObject
from ssecfs.server.response import Response, Tree, document
from ssecfs.server.tags import checked_tags, tags_of_document

MAX_DOCUMENT_BYTES: Final = 64 << 10


async def get_tagging(call: Call) -> Response:
    """Show the tags of an object."""
    stored = _requested(call)
    tags: list[tuple[str, Tree]] = [("Tag", [("Key", name), ("Value", value)]) for name, value in stored.tags.items()]
    return document("Tagging", [("TagSet", tags)], headers=call.version_headers(stored))


async def put_tagging(call: Call) -> Response:
    """Replace the tags of an object."""
    tags = checked_tags(tags_of_document(await call.body.read(MAX_DOCUMENT_BYTES)))
    return _set(call, tags, 200)


async def delete_tagging(call: Call) -> Response:
    """Remove the tags of an object."""
    return _set(call, {}, 204)


def _set(call: Call, tags: dict[str, str], status: int) -> Response:
    stored = _requested(call)
    call.storage.set_tags(stored, tags)
    return Response(status, call.version_headers(stored))


def _requested(call: Call) -> StoredObject:
    return call.require_object(call.bucket, call.object_key, call.version_id)
