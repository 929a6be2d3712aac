"""GetObjectAttributes."""

from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.operations.objects import object_checksum, requested_object
from ssecfs.server.records import StoredObject
from ssecfs.server.request import parse_number
from ssecfs.server.response import Response, Tree, document, http_time

ATTRIBUTES: Final = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
MAX_PARTS: Final = 1000


async def get_attributes(call: Call) -> Response:
    """Show those attributes of an object that the request names."""
    wanted = {name.strip() for name in (call.header("x-amz-object-attributes") or "").split(",") if name.strip()}
    if not wanted or not wanted <= ATTRIBUTES:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    stored = requested_object(call)
    data_key = call.open_key(stored)
    checksum = object_checksum(stored, data_key)
    tree: list[tuple[str, Tree]] = []
    if "ETag" in wanted:
        tree.append(("ETag", stored.etag.strip('"')))
    if "Checksum" in wanted and checksum is not None:
        value = checksum.value.partition("-")[0]
        tree.append(("Checksum", [(f"Checksum{checksum.algorithm.upper()}", value), ("ChecksumType", checksum.kind)]))
    if "ObjectParts" in wanted and any(piece.number for piece in stored.pieces):
        tree.append(("ObjectParts", _parts(call, stored)))
    if "StorageClass" in wanted:
        tree.append(("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        tree.append(("ObjectSize", stored.size))
    headers = {"last-modified": http_time(stored.modified_ms), **call.version_headers(stored)}
    return document("GetObjectAttributesResponse", tree, headers=headers)


def _parts(call: Call, stored: StoredObject) -> list[tuple[str, Tree]]:
    after, limit = _number(call, "x-amz-part-number-marker", 0), _number(call, "x-amz-max-parts", MAX_PARTS)
    rest = [(number, piece) for number, piece in enumerate(stored.pieces, 1) if number > after]
    shown = rest[: min(limit, MAX_PARTS)]
    tree: list[tuple[str, Tree]] = [
        ("PartsCount", len(stored.pieces)),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1][0] if shown else 0),
        ("MaxParts", limit),
        ("IsTruncated", "true" if len(rest) > len(shown) else "false"),
    ]
    return tree + [("Part", [("PartNumber", number), ("Size", piece.size)]) for number, piece in shown]


def _number(call: Call, name: str, default: int) -> int:
    text = call.header(name)
    if text is None:
        return default
    number = parse_number(text)
    if number is None:
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name)
    return number
