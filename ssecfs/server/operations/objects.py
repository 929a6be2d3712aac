"""PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects, CopyObject."""

import hashlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from ssecfs.server.call import Call, Side, kept_headers
from ssecfs.server.conditions import check_copy_source, check_read, check_write
from ssecfs.server.errors import S3Error
from ssecfs.server.pieces import read_pieces, store_piece
from ssecfs.server.records import StoredObject
from ssecfs.server.request import parse_range
from ssecfs.server.response import Response, Tree, document, http_time, iso_time

MAX_DELETED = 1000
MAX_DOCUMENT_BYTES = 4 << 20
MAX_COPY_BYTES = 5 << 30
DEFAULT_TYPE = "binary/octet-stream"

Plaintext = Callable[[int, int], AsyncIterator[bytes]]
"""Gives the bytes from start to stop."""


async def put_object(call: Call) -> Response:
    """Store an object."""
    call.storage.require_bucket(call.bucket)
    given = call.customer_key()
    headers = kept_headers(call.request.headers)
    check_write(call.request, call.storage.find(call.bucket, call.object_key))
    seal, data_key = call.new_seal(given)
    piece = await store_piece(call.storage, 0, data_key, seal.object_id, call.body.pieces())
    stored = StoredObject(
        bucket=call.bucket,
        object_key=call.object_key,
        version_id=call.new_version_id(),
        size=piece.size,
        etag=call.new_etag(call.body.md5, given),
        modified_ms=call.now_ms,
        headers=headers,
        seal=seal,
        pieces=(piece,),
    )
    publish(call, stored)
    return Response(headers={"etag": stored.etag, **call.echo(given), **call.version_headers(stored.version_id)})


def publish(call: Call, stored: StoredObject) -> None:
    """Make a complete object visible, if its conditions hold now. Atomic."""
    try:
        call.storage.require_bucket(call.bucket)
        check_write(call.request, call.storage.find(call.bucket, call.object_key))
    except S3Error:
        call.storage.remove_pieces(stored.pieces)
        raise
    call.storage.store(stored)


async def get_object(call: Call) -> Response:
    """Give out an object, or a range of it."""
    stored = call.require_object(call.bucket, call.object_key)
    data_key = call.open_key(stored)
    check_read(call.request, stored)
    headers = _object_headers(call, stored)
    selected = parse_range(call.header("range"), stored.size)
    start, stop = selected or (0, stored.size)
    if selected:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{stored.size}"
    body = read_pieces(call.storage, stored.pieces, data_key, stored.seal.object_id, start, stop)
    return Response(206 if selected else 200, headers, body, stop - start)


async def head_object(call: Call) -> Response:
    """Describe an object."""
    stored = call.require_object(call.bucket, call.object_key)
    call.open_key(stored)
    check_read(call.request, stored)
    headers = _object_headers(call, stored)
    selected = parse_range(call.header("range"), stored.size)
    if selected:
        headers["content-range"] = f"bytes {selected[0]}-{selected[1] - 1}/{stored.size}"
        return Response(206, headers, length=selected[1] - selected[0])
    return Response(200, headers, length=stored.size)


async def delete_object(call: Call) -> Response:
    """Remove an object; no key is needed, and one that is not there is no error."""
    call.storage.require_bucket(call.bucket)
    call.storage.remove(call.bucket, call.object_key)
    return Response(204)


async def delete_objects(call: Call) -> Response:
    """Remove up to 1000 objects."""
    call.storage.require_bucket(call.bucket)
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "Delete")
    names = [_text(item, "Key") for item in root if _tag(item) == "Object"]
    if not names or len(names) > MAX_DELETED:
        raise malformed()
    is_quiet = any(_tag(item) == "Quiet" and (item.text or "").strip() == "true" for item in root)
    for name in names:
        call.storage.remove(call.bucket, name)
    deleted: list[tuple[str, Tree]] = [] if is_quiet else [("Deleted", [("Key", name)]) for name in names]
    return document("DeleteResult", deleted)


async def copy_object(call: Call) -> Response:
    """Copy an object: opened with the source's key, sealed anew with the target's."""
    call.storage.require_bucket(call.bucket)
    given = call.customer_key()
    source, plaintext = open_source(call)
    directive = call.header("x-amz-metadata-directive") or "COPY"
    if directive not in {"COPY", "REPLACE"}:
        raise S3Error("InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive")
    is_self = (source.bucket, source.object_key) == (call.bucket, call.object_key)
    if is_self and directive == "COPY" and given is None and not source.seal.is_ssec:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )
        raise S3Error("InvalidRequest", message)
    if source.size > MAX_COPY_BYTES:
        message = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        raise S3Error("InvalidRequest", message)
    check_write(call.request, call.storage.find(call.bucket, call.object_key))
    headers = source.headers if directive == "COPY" else kept_headers(call.request.headers)
    seal, data_key = call.new_seal(given)
    digest = hashlib.md5(usedforsecurity=False)
    piece = await store_piece(call.storage, 0, data_key, seal.object_id, _hashed(plaintext(0, source.size), digest))
    stored = StoredObject(
        bucket=call.bucket,
        object_key=call.object_key,
        version_id=call.new_version_id(),
        size=piece.size,
        etag=call.new_etag(digest.digest(), given),
        modified_ms=call.now_ms,
        headers=headers,
        seal=seal,
        pieces=(piece,),
    )
    publish(call, stored)
    result: list[tuple[str, Tree]] = [("LastModified", iso_time(stored.modified_ms)), ("ETag", stored.etag)]
    return document("CopyObjectResult", result, headers=call.echo(given) | call.version_headers(stored.version_id))


def open_source(call: Call) -> tuple[StoredObject, Plaintext]:
    """The source of a copy: the object, and a function that gives its plaintext from start to stop.

    Raises:
        S3Error: it is missing, its conditions fail, or its key does not fit.
    """
    text = unquote(call.header("x-amz-copy-source") or "").removeprefix("/").partition("?")[0]
    bucket, _, object_key = text.partition("/")
    if not bucket or not object_key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    stored = call.require_object(bucket, object_key)
    source_key = call.open_key(stored, Side.SOURCE)
    check_copy_source(call.request, stored)

    def plaintext(start: int, stop: int) -> AsyncIterator[bytes]:
        return read_pieces(call.storage, stored.pieces, source_key, stored.seal.object_id, start, stop)

    return stored, plaintext


def parse_document(content: bytes, root: str) -> Element:
    """Parse the XML body of a request.

    Raises:
        S3Error: MalformedXML, also for anything that XML bombs are made of.
    """
    try:
        element: Element = ElementTree.fromstring(content, forbid_dtd=True)
    except (ElementTree.ParseError, ValueError) as error:
        raise malformed() from error
    if _tag(element) != root:
        raise malformed()
    return element


def malformed() -> S3Error:
    """The XML body is not what it must be."""
    return S3Error("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: Element, name: str) -> str:
    for child in element:
        if _tag(child) == name and child.text:
            return str(child.text)
    raise malformed()


async def _hashed(pieces: AsyncIterator[bytes], digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    async for piece in pieces:
        digest.update(piece)
        yield piece


def _object_headers(call: Call, stored: StoredObject) -> dict[str, str]:
    headers = {
        "content-type": DEFAULT_TYPE,
        **stored.headers,
        "etag": stored.etag,
        "last-modified": http_time(stored.modified_ms),
        "accept-ranges": "bytes",
        "x-amz-storage-class": "STANDARD",
        **call.version_headers(stored.version_id),
        **call.echo(call.customer_key()),
    }
    if not call.profile.shows_version:
        del headers["x-amz-storage-class"]
    for name in ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"):
        override = call.request.parameter(f"response-{name}")
        if override is not None:
            headers[name] = override
    return headers
