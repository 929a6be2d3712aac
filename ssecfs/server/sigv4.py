"""Signatures, version 4: checked, never trusted. No I/O.

Imported by ``server.service``.

Source: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
"""

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ssecfs.server.errors import S3Error
from ssecfs.server.request import Request

MAX_SKEW_S: Final = 15 * 60
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMING: Final = "STREAMING-"
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/(\d{8})/([^/,\s]*)/s3/aws4_request\s*,"
    r"\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]{64})\s*"
)
_SAFE: Final = "-._~"
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature holds.

    Attributes:
        payload_hash: x-amz-content-sha256 as sent.
        signature: seed of the signatures of chunks.
        signing_key: for the same.
        moment: ISO 8601, for the same.
        scope: for the same.
    """

    access_key_id: str
    payload_hash: str
    signature: str
    signing_key: bytes
    moment: str
    scope: str


def check_signature(request: Request, secrets: Mapping[str, str], now_s: float) -> Signed:
    """Check the Authorization header of a request.

    Args:
        request: as sent.
        secrets: secret access keys by access key id.
        now_s: seconds since the epoch.

    Raises:
        S3Error: as the real service answers.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        raise S3Error("AccessDenied", "Access Denied")
    if not authorization.startswith("AWS4-HMAC-SHA256"):
        raise S3Error("InvalidRequest", "Please use AWS4-HMAC-SHA256: signature version 2 is not supported.")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise S3Error("AuthorizationHeaderMalformed", "The authorization header that you provided is not valid.")
    access_key_id, date, region, signed_headers, signature = found.groups()
    moment = request.headers.get("x-amz-date", "")
    _check_moment(moment, date, now_s)
    secret = secrets.get(access_key_id)
    if secret is None:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise S3Error("InvalidAccessKeyId", message, AWSAccessKeyId=access_key_id)
    names = signed_headers.split(";")
    _check_signed_headers(request, names)
    payload_hash = _payload_hash(request)
    scope = f"{date}/{region}/s3/aws4_request"
    signing_key = _signing_key(secret, date, region)
    text = _string_to_sign(_canonical_request(request, names, payload_hash), moment, scope)
    wanted = hmac.new(signing_key, text, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, signature):
        message = (
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
        raise S3Error("SignatureDoesNotMatch", message, AWSAccessKeyId=access_key_id)
    return Signed(access_key_id, payload_hash, signature, signing_key, moment, scope)


def _check_moment(moment: str, date: str, now_s: float) -> None:
    try:
        sent_s = calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        message = "AWS authentication requires a valid Date or x-amz-date header"
        raise S3Error("AccessDenied", message) from error
    if abs(now_s - sent_s) > MAX_SKEW_S:
        message = "The difference between the request time and the current time is too large."
        raise S3Error(
            "RequestTimeTooSkewed",
            message,
            RequestTime=moment,
            ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s)),
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_S * 1000),
        )
    if not moment.startswith(date):
        message = "The authorization header is malformed; the date in the credential does not match."
        raise S3Error("AuthorizationHeaderMalformed", message)


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


def _canonical_request(request: Request, names: list[str], payload_hash: str) -> bytes:
    path = "/".join(quote(unquote_to_bytes(part), safe=_SAFE) for part in request.raw_path.split("/"))
    encoded = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in request.query)
    query = "&".join(f"{name}={value}" for name, value in encoded)
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    text = "\n".join((request.method, path, query, headers, ";".join(names), payload_hash))
    return text.encode("latin-1")  # as the bytes of the headers were read


def _string_to_sign(canonical_request: bytes, moment: str, scope: str) -> bytes:
    return f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical_request).hexdigest()}".encode()


@lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    signing_key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    return signing_key
