"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since. No I/O.

Imported by the operations.

Source: S3 API reference; RFC 9110 section 13.
"""

from email.utils import parsedate_to_datetime

from ssecfs.server.call import Call
from ssecfs.server.customer_keys import TARGET_HEADERS
from ssecfs.server.errors import NotModified, S3Error, not_implemented, precondition_failed
from ssecfs.server.profiles import Case, Write
from ssecfs.server.records import StoredObject, StoredUpload
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


def check_copy_source(call: Call, stored: StoredObject) -> None:
    """Check the conditions that a copy puts on its source. A time still to come is no condition to AWS.

    Raises:
        S3Error: PreconditionFailed.
    """
    prefix = "x-amz-copy-source-"
    match, none_match = call.header(prefix + "if-match"), call.header(prefix + "if-none-match")
    since = _moment(call.header(prefix + "if-modified-since"))
    if match is not None and not _matches(match, stored.etag):
        raise precondition_failed(prefix + "If-Match")
    if match is None and _is_modified_since(call.header(prefix + "if-unmodified-since"), stored):
        raise precondition_failed(prefix + "If-Unmodified-Since")
    if none_match is not None and _matches(none_match, stored.etag):
        raise precondition_failed(prefix + "If-None-Match")
    if none_match is None and since is not None and _seconds(stored) <= since <= call.now_ms // 1000:
        raise precondition_failed(prefix + "If-Modified-Since")


def check_write(call: Call, write: Write) -> None:
    """Check the conditions of an upload, against what is there at this moment.

    Raises:
        S3Error: PreconditionFailed, NoSuchKey, NotImplemented.
    """
    match, none_match = call.header("if-match"), call.header("if-none-match")
    if (match is None and none_match is None) or write not in call.profile.conditional:
        return
    if match is not None and none_match is not None:
        more = "Multiple conditional request headers present in the request"
        call.profile.refuse(Case.TWO_CONDITIONS, Header="If-Match,If-None-Match", additionalMessage=more)
    if is_ssec_request(call.request):
        call.profile.refuse(Case.CONDITION_ON_SSEC, **_value_of("If-Match" if match is not None else "If-None-Match"))
    if none_match is not None:
        if none_match.strip() != "*":
            call.profile.refuse(Case.NONE_MATCH_ETAG, **_value_of("If-None-Match"))
        current = call.storage.objects.current(call.bucket, call.object_key)
        if current is not None and _matches_write(call, none_match, current.etag):
            raise precondition_failed("If-None-Match")
    if match is not None:
        if match.strip() == "*":
            call.profile.refuse(Case.MATCH_ANY, **_value_of("If-Match"))
        check_match(call, call.object_key, match, write)


def check_match(call: Call, object_key: str, match: str, write: Write) -> None:
    """Check that what a name shows has an ETag.

    Raises:
        S3Error: PreconditionFailed, NoSuchKey.
    """
    if write not in call.profile.conditional:
        return
    current = call.storage.objects.current(call.bucket, object_key)
    if current is None:
        raise call.profile.error(Case.MATCH_MISSING, Key=object_key)
    if not _matches_write(call, match, current.etag):
        raise precondition_failed("If-Match")


def check_completion(call: Call, upload: StoredUpload) -> None:
    """Check the conditions of the end of a multipart upload; what changed since its beginning is a conflict.

    Raises:
        S3Error: as check_write; ConditionalRequestConflict.
    """
    check_write(call, Write.COMPLETE)
    has_condition = call.header("if-match") is not None or call.header("if-none-match") is not None
    if has_condition and Write.COMPLETE in call.profile.conditional and upload.is_overtaken:
        message = "The conditional request cannot succeed due to a conflicting operation against this resource."
        condition = "If-None-Match" if call.header("if-match") is None else "If-Match"
        raise S3Error("ConditionalRequestConflict", message, Condition=condition, Key=call.object_key)


def check_delete(call: Call) -> None:
    """Check the condition of a delete, against what is there at this moment.

    Raises:
        S3Error: PreconditionFailed, NoSuchKey, NotImplemented.
    """
    for name in ("x-amz-if-match-size", "x-amz-if-match-last-modified-time"):
        if call.header(name) is not None:
            raise not_implemented(name)
    match = call.header("if-match")
    if match is not None:
        check_match(call, call.object_key, match, Write.DELETE)


def is_ssec_request(request: Request) -> bool:
    """Tell whether a request brings a customer key for its target."""
    return any(name in request.headers for name in TARGET_HEADERS)


def _value_of(header: str) -> dict[str, str]:
    return {"Header": header, "additionalMessage": f"We don't accept the provided value of {header} header for this API"}


def _matches_write(call: Call, wanted: str, etag: str) -> bool:
    return _matches(wanted, etag) if call.profile.unquotes_etags else wanted.strip() in {"*", etag.strip('"')}


def _matches(wanted: str, etag: str) -> bool:
    values = [value.strip().removeprefix("W/").strip('"') for value in wanted.split(",")]
    return "*" in values or etag.strip('"') in values


def _is_modified_since(text: str | None, stored: StoredObject) -> bool | None:
    """Tell whether an object is newer than a date; None: no date was given."""
    moment_s = _moment(text)
    return None if moment_s is None else _seconds(stored) > moment_s


def _moment(text: str | None) -> int | None:
    """Seconds since the epoch of a date; None: no date was given."""
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError, OverflowError) as error:
        raise S3Error("InvalidArgument", "A date in a condition cannot be read.") from error


def _seconds(stored: StoredObject) -> int:
    """When an object was stored, as its Last-Modified says."""
    return stored.modified_ms // 1000
