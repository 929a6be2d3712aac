"""PostObject: an upload from a web page; ``server.formaccess`` has turned its form into a request."""

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ssecfs.server.call import Call
from ssecfs.server.formaccess import REDIRECT_FIELDS, STATUS_FIELD
from ssecfs.server.operations.objects import put_object
from ssecfs.server.response import Response, Tree, document

_STATUSES: Final = {"200": 200, "201": 201}


async def post_object(call: Call) -> Response:
    """Store the file of a form, and answer as the form asks."""
    stored = await put_object(call)
    place = f"{call.request.raw_path.rstrip('/')}/{quote(call.object_key)}"
    headers = stored.headers | {"location": place}
    target = next((found for name in REDIRECT_FIELDS if (found := call.header(name))), "")
    if _is_web_address(target):
        return Response(303, headers | {"location": _with_result(target, call, headers["etag"])})
    status = _STATUSES.get(call.header(STATUS_FIELD) or "", 204)
    if status != 201:  # noqa: PLR2004 - HTTP
        return Response(status, headers)
    tree: list[tuple[str, Tree]] = [
        ("Location", place),
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("ETag", headers["etag"]),
    ]
    return document("PostResponse", tree, 201, headers)


def _is_web_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme in {"http", "https"}
    except ValueError:
        return False


def _with_result(target: str, call: Call, etag: str) -> str:
    parts = urlsplit(target)
    query = [*parse_qsl(parts.query), ("bucket", call.bucket), ("key", call.object_key), ("etag", etag)]
    return urlunsplit(parts._replace(query=urlencode(query)))
