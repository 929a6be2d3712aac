"""Who sent a request: by the Authorization header, by a presigned URL, or by the policy of a form. No I/O.

Imported by ``server.service`` and the form upload.

Source: "Authenticating Requests: Using the Authorization Header", "… Using Query Parameters", "Browser-Based Uploads Using
POST".
"""

import calendar
import hmac
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ssecfs.server.errors import S3Error
from ssecfs.server.request import Request
from ssecfs.server.sigv4 import ALGORITHM, STREAMING, UNSIGNED, Scope, Signed, canonical_request, signature_of, signing_key

MAX_SKEW_S: Final = 15 * 60
MAX_EXPIRES_S: Final = 7 * 24 * 60 * 60
_CREDENTIAL: Final = re.compile(r"([^/,\s]+)/(\d{8})/([^/,\s]*)/s3/aws4_request")
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM}\s+Credential=({_CREDENTIAL.pattern.replace('(', '(?:')})\s*,"
    r"\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]{64})\s*"
)
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)
_VERSION_2: Final = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
_PRESIGNED: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)


def authenticate(request: Request, secrets: Mapping[str, str], now_s: float) -> Signed:
    """Check the signature of a request.

    Args:
        request: as sent.
        secrets: secret access keys by access key id.
        now_s: seconds since the epoch.

    Raises:
        S3Error: as the real service answers.
    """
    authorization = request.headers.get("authorization")
    is_presigned = any(request.parameter(name) is not None for name in ("X-Amz-Signature", "X-Amz-Algorithm"))
    if authorization is not None:
        if is_presigned:
            message = (
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
                "or the Authorization header should be specified"
            )
            raise S3Error("InvalidArgument", message, ArgumentName="Authorization")
        return _by_header(request, authorization, secrets, now_s)
    if is_presigned:
        return _by_query(request, secrets, now_s)
    if request.parameter("Signature") is not None:
        raise S3Error("InvalidRequest", _VERSION_2)
    raise S3Error("AccessDenied", "Access Denied")


def parse_credential(text: str) -> Scope | None:
    """The parts of a credential; None: it is none."""
    found = _CREDENTIAL.fullmatch(text)
    return Scope(*found.groups()) if found else None


@lru_cache(maxsize=64)
def parse_moment(text: str) -> int | None:
    """Seconds since the epoch of a time like 20261124T161730Z; None: it is none."""
    try:
        return calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return None


def secret_of(access_key_id: str, secrets: Mapping[str, str]) -> str:
    """The secret access key of a pair.

    Raises:
        S3Error: InvalidAccessKeyId.
    """
    secret = secrets.get(access_key_id)
    if secret is None:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise S3Error("InvalidAccessKeyId", message, AWSAccessKeyId=access_key_id)
    return secret


def require_same(wanted: str, signature: str, access_key_id: str) -> None:
    """Compare signatures, in constant time.

    Raises:
        S3Error: SignatureDoesNotMatch.
    """
    if not hmac.compare_digest(wanted.encode(), signature.encode()):
        message = (
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
        raise S3Error("SignatureDoesNotMatch", message, AWSAccessKeyId=access_key_id)


def _by_header(request: Request, authorization: str, secrets: Mapping[str, str], now_s: float) -> Signed:
    if not authorization.startswith(ALGORITHM):
        raise S3Error("InvalidRequest", _VERSION_2)
    found = _AUTHORIZATION.fullmatch(authorization)
    scope = parse_credential(found[1]) if found else None
    if found is None or scope is None:
        raise S3Error("AuthorizationHeaderMalformed", "The authorization header that you provided is not valid.")
    moment = _moment(request, now_s)
    if not moment.startswith(scope.date):
        message = "The authorization header is malformed; the date in the credential does not match."
        raise S3Error("AuthorizationHeaderMalformed", message)
    secret = secret_of(scope.access_key_id, secrets)
    names = found[2].split(";")
    _check_signed_headers(request, names)
    payload_hash = _payload_hash(request)
    derived = signing_key(secret, scope.date, scope.region)
    canonical = canonical_request(request, names, payload_hash)
    require_same(signature_of(derived, canonical, moment, scope.text), found[3], scope.access_key_id)
    return Signed(scope.access_key_id, payload_hash, found[3], derived, moment, scope.text)


def _by_query(request: Request, secrets: Mapping[str, str], now_s: float) -> Signed:
    given = {name: request.parameter(name) or "" for name in _PRESIGNED}
    if not all(value and value.isascii() for value in given.values()):
        message = (
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
        raise _bad_query(message)
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise _bad_query('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"')
    scope, sent_s = parse_credential(given["X-Amz-Credential"]), parse_moment(given["X-Amz-Date"])
    if scope is None:
        message = 'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'  # noqa: E501 - the service's own text
        raise _bad_query(message)
    if sent_s is None:
        raise _bad_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if not given["X-Amz-Date"].startswith(scope.date):
        raise _bad_query("Invalid credential date. This date is not the same as X-Amz-Date.")
    _check_expiry(given["X-Amz-Date"], sent_s, given["X-Amz-Expires"], now_s)
    secret = secret_of(scope.access_key_id, secrets)
    names = given["X-Amz-SignedHeaders"].split(";")
    _check_signed_headers(request, names)
    derived = signing_key(secret, scope.date, scope.region)
    canonical = canonical_request(request, names, UNSIGNED)
    wanted = signature_of(derived, canonical, given["X-Amz-Date"], scope.text)
    require_same(wanted, given["X-Amz-Signature"], scope.access_key_id)
    return Signed(scope.access_key_id, UNSIGNED, wanted, derived, given["X-Amz-Date"], scope.text)


def _check_expiry(moment: str, sent_s: int, expires: str, now_s: float) -> None:
    if not _DIGITS.fullmatch(expires.removeprefix("-")):
        raise _bad_query("X-Amz-Expires should be a number")
    if expires.startswith("-"):
        raise _bad_query("X-Amz-Expires must be non-negative")
    if int(expires) > MAX_EXPIRES_S:
        message = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
        raise _bad_query(message)
    if sent_s - now_s > MAX_SKEW_S:
        raise S3Error("AccessDenied", "Request is not valid yet", **{"X-Amz-Date": moment}, ServerTime=_shown_time(now_s))
    if now_s > sent_s + int(expires):
        details = {"X-Amz-Expires": expires, "Expires": _shown_time(sent_s + int(expires)), "ServerTime": _shown_time(now_s)}
        raise S3Error("AccessDenied", "Request has expired", **details)


def _bad_query(message: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message)


def _moment(request: Request, now_s: float) -> str:
    """The time of a signature by header, in ISO 8601; the Date header serves where x-amz-date is missing."""
    moment = request.headers.get("x-amz-date")
    if moment is None:
        moment = _moment_of_date(request.headers.get("date", ""))
    sent_s = parse_moment(moment)
    if sent_s is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(now_s - sent_s) > MAX_SKEW_S:
        message = "The difference between the request time and the current time is too large."
        raise S3Error(
            "RequestTimeTooSkewed",
            message,
            RequestTime=moment,
            ServerTime=_shown_time(now_s),
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_S * 1000),
        )
    return moment


def _moment_of_date(text: str) -> str:
    try:
        return time.strftime("%Y%m%dT%H%M%SZ", time.strptime(text, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        return text


def _shown_time(moment_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_s))


def _check_signed_headers(request: Request, names: list[str]) -> None:
    needed = {"host"} | {name for name in request.headers if name.startswith("x-amz-")}
    unsigned = sorted(needed - set(names))
    if unsigned:
        message = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", message, HeadersNotSigned=", ".join(unsigned))


def _payload_hash(request: Request) -> str:
    payload_hash = request.headers.get("x-amz-content-sha256")
    if payload_hash is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if payload_hash != UNSIGNED and not payload_hash.startswith(STREAMING) and not _HEX_DIGEST.fullmatch(payload_hash):
        raise S3Error("InvalidRequest", "The value of x-amz-content-sha256 header is invalid.")
    return payload_hash
