"""A parsed request. No I/O.

Imported by ``server.service`` and the operations.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from ssecfs.server.errors import S3Error

MAX_OBJECT_KEY_BYTES: Final = 1024
MAX_HEADER_BYTES: Final = 16 << 10
_BUCKET_NAME: Final = re.compile(r"(?!\d+(\.\d+){3}$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_RANGE: Final = re.compile(r"bytes=(\d{0,30})-(\d{0,30})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for; the body comes separately.

    Attributes:
        raw_path: as sent, percent-encoded; the signature covers it.
        query: decoded, in the order sent; a name without a value has an empty one.
        headers: by lower-case name; several of one name are joined with commas.
        bucket: empty for the service itself.
        object_key: empty for the bucket itself.
    """

    method: str
    raw_path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    bucket: str
    object_key: str
    is_secure: bool

    def parameter(self, name: str) -> str | None:
        """The value of a query parameter."""
        return next((value for other, value in self.query if other == name), None)

    def number(self, name: str, default: int, highest: int) -> int:
        """The value of a query parameter that is a number from 0 to highest; higher ones are cut down."""
        text = self.parameter(name)
        if text is None or text == "":
            return default
        number = parse_number(text)
        if number is None:
            raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name)
        return min(number, highest)


def parse_request(
    method: str, raw_path: bytes, query_string: bytes, raw_headers: list[tuple[bytes, bytes]], *, is_secure: bool
) -> Request:
    """Parse the request line and the headers.

    Raises:
        S3Error: not UTF-8, NUL in a name, object key over 1024 bytes, headers too large.
    """
    if sum(len(name) + len(value) for name, value in raw_headers) > MAX_HEADER_BYTES:
        raise S3Error("InvalidRequest", "Your request header section exceeds the maximum allowed size.")
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = _decode(raw_path)
    bucket, _, object_key = path.removeprefix("/").partition("/")
    if len(object_key.encode()) > MAX_OBJECT_KEY_BYTES:
        raise S3Error("KeyTooLongError", "Your key is too long", MaxSizeAllowed=str(MAX_OBJECT_KEY_BYTES))
    if bucket and not is_bucket_name(bucket):
        raise S3Error("InvalidBucketName", "The specified bucket is not valid.", BucketName=bucket)
    return Request(
        method=method,
        raw_path=raw_path.decode("latin-1"),
        query=_parse_query(query_string),
        headers=headers,
        bucket=bucket,
        object_key=object_key,
        is_secure=is_secure,
    )


def is_bucket_name(text: str) -> bool:
    """Tell whether a bucket may be called so."""
    return _BUCKET_NAME.fullmatch(text) is not None


def parse_number(text: str) -> int | None:
    """A decimal number of ASCII digits, as long as any that makes sense here; None: it is something else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def header_value(text: str) -> str:
    """A text from elsewhere as a header would have brought it: its UTF-8 bytes, read as Latin-1.

    Raises:
        S3Error: InvalidArgument: no header can carry it.
    """
    if _CONTROL.search(text):
        raise S3Error("InvalidArgument", "A value contains characters that no header can carry.")
    return text.encode().decode("latin-1")


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range of bytes that a Range header asks for; None: the whole object.

    Several ranges, other units and nonsense are ignored, as S3 does.

    Raises:
        S3Error: InvalidRange (416): it begins behind the end.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
        is_behind = int(last) == 0 or size == 0
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
        is_behind = start >= size
    if is_behind:
        message = "The requested range is not satisfiable"
        raise S3Error("InvalidRange", message, RangeRequested=text or "", ActualObjectSize=str(size))
    return start, stop


def _parse_query(query_string: bytes) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in query_string.split(b"&"):
        if item:
            name, _, value = item.partition(b"=")
            pairs.append((_decode(name.replace(b"+", b" ")), _decode(value.replace(b"+", b" "))))
    return tuple(pairs)


def _decode(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from error
    if "\0" in text:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.")
    return text
