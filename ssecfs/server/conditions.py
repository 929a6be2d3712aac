"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since. No I/O.

Imported by the operations.

Source: S3 API reference; RFC 9110 section 13.
"""

from email.utils import parsedate_to_datetime

from ssecfs.server.errors import NotModified, S3Error, no_such_key, not_implemented, precondition_failed
from ssecfs.server.records import StoredObject
from ssecfs.server.request import Request


def check_read(request: Request, stored: StoredObject) -> None:
    """Check the conditions of GET and HEAD.

    Raises:
        S3Error: PreconditionFailed.
        NotModified: the client has it already.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and not _matches(match, stored.etag):
        raise precondition_failed("If-Match")
    if match is None and _is_modified_since(request.headers.get("if-unmodified-since"), stored):
        raise precondition_failed("If-Unmodified-Since")
    if none_match is not None:
        if _matches(none_match, stored.etag):
            raise NotModified(stored.etag)
    elif _is_modified_since(request.headers.get("if-modified-since"), stored) is False:
        raise NotModified(stored.etag)


def check_copy_source(request: Request, stored: StoredObject) -> None:
    """Check the conditions that a copy puts on its source.

    Raises:
        S3Error: PreconditionFailed.
    """
    prefix = "x-amz-copy-source-"
    match, none_match = request.headers.get(prefix + "if-match"), request.headers.get(prefix + "if-none-match")
    if match is not None and not _matches(match, stored.etag):
        raise precondition_failed(prefix + "If-Match")
    if match is None and _is_modified_since(request.headers.get(prefix + "if-unmodified-since"), stored):
        raise precondition_failed(prefix + "If-Unmodified-Since")
    if none_match is not None and _matches(none_match, stored.etag):
        raise precondition_failed(prefix + "If-None-Match")
    if none_match is None and _is_modified_since(request.headers.get(prefix + "if-modified-since"), stored) is False:
        raise precondition_failed(prefix + "If-Modified-Since")


def check_write(request: Request, current: StoredObject | None) -> None:
    """Check the conditions of an upload, against what is there at this moment.

    Raises:
        S3Error: PreconditionFailed, NoSuchKey, NotImplemented.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and none_match is not None:
        raise not_implemented("If-Match,If-None-Match")
    if none_match is not None:
        if none_match != "*":
            raise not_implemented("If-None-Match")
        if current is not None:
            raise precondition_failed("If-None-Match")
    if match is not None:
        if current is None:
            raise no_such_key(request.object_key)
        if not _matches(match, current.etag):
            raise precondition_failed("If-Match")


def _matches(wanted: str, etag: str) -> bool:
    values = [value.strip().removeprefix("W/").strip('"') for value in wanted.split(",")]
    return "*" in values or etag.strip('"') in values


def _is_modified_since(text: str | None, stored: StoredObject) -> bool | None:
    """Tell whether an object is newer than a date; None: no date was given, or it is none."""
    if text is None:
        return None
    try:
        moment_s = int(parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError) as error:
        raise S3Error("InvalidArgument", "A date in a condition cannot be read.") from error
    return stored.modified_ms // 1000 > moment_s
