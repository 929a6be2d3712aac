"""Object tags: in a header, in a document. No I/O. Imported by the operations."""

import re
from typing import Final
from urllib.parse import parse_qsl

from ssecfs.server.errors import S3Error
from ssecfs.server.xml import child_text, children, malformed, parse_document

MAX_TAGS: Final = 10
MAX_NAME: Final = 128
MAX_VALUE: Final = 256
_TEXT: Final = re.compile(r"[\w\s+\-=.:/@]*")


def tags_of_header(text: str | None) -> dict[str, str]:
    """The tags in ``x-amz-tagging``.

    Raises:
        S3Error: InvalidArgument, InvalidTag.
    """
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        pairs = []
    if not pairs or len(dict(pairs)) < len(pairs):
        message = (
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
            "duplicates."
        )
        raise S3Error("InvalidArgument", message, ArgumentName="x-amz-tagging", ArgumentValue=text)
    return checked_tags(pairs)


def checked_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Tags, if there are not too many and all of them may be called so.

    Raises:
        S3Error: InvalidTag.
    """
    if len(pairs) > MAX_TAGS:
        raise S3Error("InvalidTag", "Object tags cannot be greater than 10")
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    for name, value in pairs:
        if not name or len(name) > MAX_NAME or not _TEXT.fullmatch(name):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if name.startswith("aws:"):
            raise S3Error("InvalidTag", "Your TagKey cannot be prefixed with aws:", TagKey=name)
        if len(value) > MAX_VALUE or not _TEXT.fullmatch(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=name, TagValue=value)
    return tags


def tags_of_document(content: bytes) -> list[tuple[str, str]]:
    """The tags in a ``Tagging`` document, unchecked.

    Raises:
        S3Error: MalformedXML.
    """
    sets = children(parse_document(content, "Tagging"), "TagSet")
    if len(sets) != 1:
        raise malformed()
    pairs = [(child_text(tag, "Key"), child_text(tag, "Value")) for tag in children(sets[0], "Tag")]
    if any(name is None or value is None for name, value in pairs):
        raise malformed()
    return [(name or "", value or "") for name, value in pairs]
