"""PutObject, GetObject, HeadObject."""

from typing import Final

from ssecfs.server.call import Call, kept_headers
from ssecfs.server.checksums import Checksum, open_checksum
from ssecfs.server.conditions import check_read, check_write
from ssecfs.server.errors import S3Error
from ssecfs.server.pieces import read_pieces, store_piece
from ssecfs.server.profiles import Case, Write
from ssecfs.server.records import Kind, Piece, StoredObject
from ssecfs.server.request import header_value, parse_range
from ssecfs.server.response import Response, http_time
from ssecfs.server.sealed import Seal
from ssecfs.server.tags import tags_of_header

DEFAULT_TYPE: Final = "binary/octet-stream"
OVERRIDABLE: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)


async def put_object(call: Call) -> Response:
    """Store an object."""
    call.storage.buckets.require(call.bucket)
    given = call.new_customer_key()
    headers, tags = kept_headers(call.request.headers), tags_of_header(call.header("x-amz-tagging"))
    check_write(call, Write.PUT)
    seal, data_key = call.new_seal(given)
    piece = await store_piece(call.storage.files, 0, data_key, seal.object_id, call.body.pieces())
    checksum = call.body.checksum
    stored = new_object(
        call,
        seal,
        (piece,),
        call.new_etag(call.body.md5, given),
        headers=headers,
        tags=tags,
        checksums=checksum.sealed(data_key, seal.object_id),
    )
    publish(call, stored, Write.PUT)
    shown = checksum.headers() if call.profile.has_checksums else {}
    return Response(headers={"etag": stored.etag, **shown, **call.echo(given), **call.new_version_headers(stored)})


def new_object(
    call: Call,
    seal: Seal,
    pieces: tuple[Piece, ...],
    etag: str,
    *,
    headers: dict[str, str],
    tags: dict[str, str],
    checksums: str,
) -> StoredObject:
    """A complete object at the request's place, not visible yet."""
    version_id, sequence = call.new_version()
    return StoredObject(
        bucket=call.bucket,
        object_key=call.object_key,
        version_id=version_id,
        sequence=sequence,
        kind=Kind.OBJECT,
        size=sum(piece.size for piece in pieces),
        etag=etag,
        modified_ms=call.now_ms,
        headers=headers,
        checksums=checksums,
        tags=tags,
        seal=seal,
        pieces=pieces,
    )


def publish(call: Call, stored: StoredObject, write: Write) -> None:
    """Make a complete object visible, if its conditions hold now. Atomic."""
    try:
        call.storage.buckets.require(call.bucket)
        check_write(call, write)
    except S3Error:
        call.storage.files.remove(stored.pieces)
        raise
    call.storage.put(stored)


async def get_object(call: Call) -> Response:
    """Give out an object, a range or a part of it."""
    stored = requested_object(call)
    data_key = call.open_key(stored)
    check_read(call.request, stored)
    status, headers, (start, stop) = _selection(call, stored)
    headers |= _shown_headers(call, stored, data_key, is_whole=stop - start == stored.size)
    body = read_pieces(call.storage, stored.pieces, data_key, stored.seal.object_id, start, stop)
    return Response(status, headers, body, stop - start)


async def head_object(call: Call) -> Response:
    """Describe an object."""
    stored = requested_object(call)
    data_key = call.open_key(stored)
    check_read(call.request, stored)
    status, headers, (start, stop) = _selection(call, stored)
    headers |= _shown_headers(call, stored, data_key, is_whole=stop - start == stored.size)
    return Response(status, headers, length=stop - start)


def requested_object(call: Call) -> StoredObject:
    """The object, or the version of it, that a request names.

    Raises:
        S3Error: there is none, or the request asks for an encryption that reads do not know.
    """
    if "x-amz-server-side-encryption" in call.request.headers:
        raise call.profile.error(Case.SSE_ON_READ)
    return call.require_object(call.bucket, call.object_key, call.version_id)


def _selection(call: Call, stored: StoredObject) -> tuple[int, dict[str, str], tuple[int, int]]:
    """Status, headers and bytes of what is asked for: a part, a range, or all."""
    if call.profile.reads_parts and call.request.parameter("partNumber") is not None:
        if call.header("range") is not None:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        number = call.request.number("partNumber", 0, 10_000)
        bounds = _part_bounds(stored, number)
        headers = {"content-range": f"bytes {bounds[0]}-{bounds[1] - 1}/{stored.size}"} if stored.size else {}
        if any(piece.number for piece in stored.pieces):
            headers["x-amz-mp-parts-count"] = str(len(stored.pieces))
        return 206, headers, bounds
    ranges = call.header("range") or ""
    selected = parse_range(ranges.partition(",")[0] if call.profile.takes_first_range else ranges, stored.size)
    if selected is None:
        return 200, {}, (0, stored.size)
    return 206, {"content-range": f"bytes {selected[0]}-{selected[1] - 1}/{stored.size}"}, selected


def _part_bounds(stored: StoredObject, number: int) -> tuple[int, int]:
    if not 1 <= number <= len(stored.pieces):
        details = {"PartNumberRequested": str(number), "ActualPartCount": str(len(stored.pieces))}
        raise S3Error("InvalidPartNumber", "The requested partnumber is not satisfiable", **details)
    start = sum(piece.size for piece in stored.pieces[: number - 1])
    return start, start + stored.pieces[number - 1].size


def _shown_headers(call: Call, stored: StoredObject, data_key: bytes, *, is_whole: bool) -> dict[str, str]:
    headers = {
        "content-type": DEFAULT_TYPE,
        **stored.headers,
        "etag": stored.etag,
        "last-modified": http_time(stored.modified_ms),
        "accept-ranges": "bytes",
        **call.version_headers(stored),
        **call.read_echo(stored),
    }
    if call.profile.shows_version:
        headers["x-amz-storage-class"] = "STANDARD"
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    if is_whole and (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
        checksum = object_checksum(stored, data_key)
        headers |= checksum.headers() if checksum else {}
    for name in OVERRIDABLE:
        override = call.request.parameter(f"response-{name}")
        if override is not None:
            headers[name] = header_value(override)
    return headers


def object_checksum(stored: StoredObject, data_key: bytes) -> Checksum | None:
    """The checksum that is kept of an object."""
    return open_checksum(stored.checksums, data_key, stored.seal.object_id)
