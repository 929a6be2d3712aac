"""XML bodies of requests, parsed without whatever XML bombs are made of. No I/O. Imported by the operations."""

from typing import Final
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from ssecfs.server.errors import S3Error

MAX_TAGS: Final = 200_000
"""More than the largest document has: 10 000 parts, each with five checksums. Nothing else is served while one is parsed."""


def parse_document(content: bytes, root: str) -> Element:
    """Parse a body whose outermost element has a name.

    Raises:
        S3Error: MalformedXML.
    """
    if content.count(b"<") > MAX_TAGS:
        raise malformed()
    try:
        element: Element = ElementTree.fromstring(content, forbid_dtd=True)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise malformed() from error
    if tag_of(element) != root:
        raise malformed()
    return element


def tag_of(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, name: str) -> list[Element]:
    """The children of a name."""
    return [child for child in element if tag_of(child) == name]


def child_text(element: Element, name: str) -> str | None:
    """The text of the first child of a name; None: there is no such child."""
    found = children(element, name)
    return (found[0].text or "") if found else None


def malformed() -> S3Error:
    """The XML body is not what it must be."""
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return S3Error("MalformedXML", message)
