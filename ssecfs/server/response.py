"""What the server answers: status, headers, body. And the XML documents. No I/O.

Imported by the operations and ``server.http``.
"""

import re
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL: Final = re.compile(f"[&<>\r]|{_NOT_XML.pattern}")

Tree = str | int | list[tuple[str, "Tree"]]
"""An element's content: text, or elements in order."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        body: at once, or piece by piece.
        length: Content-Length; None: that of body. HEAD has a length without a body.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None


def document(root: str, children: list[tuple[str, Tree]], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with an XML body."""
    inner = "".join(_element(name, tree) for name, tree in children)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'
    return Response(status, {"content-type": "application/xml"} | (headers or {}), text.encode())


def xml_text(text: str) -> str:
    """A text as it stands in a document. What no XML document can hold (object keys can) is shown as U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"}) if _SPECIAL.search(text) else text


def iso_time(time_ms: int) -> str:
    """A time as XML documents show it."""
    return f"{_iso_second(time_ms // 1000)}.{time_ms % 1000:03}Z"


def http_time(time_ms: int) -> str:
    """A time as headers show it."""
    return _http_time(time_ms // 1000)


@lru_cache(maxsize=4096)
def _iso_second(time_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_s))


@lru_cache(maxsize=4096)
def _http_time(time_s: int) -> str:
    return formatdate(time_s, usegmt=True)


def _element(name: str, tree: Tree) -> str:
    if isinstance(tree, list):
        return f"<{name}>{_inner(tree)}</{name}>"
    return f"<{name}>{xml_text(str(tree))}</{name}>"


def _inner(children: Iterable[tuple[str, Tree]]) -> str:
    return "".join(_element(name, tree) for name, tree in children)
