"""What botocore raises, as classes of ``errors``: one table by S3 error code, one by HTTP status.

What lives here: the translation, done once for everything that crosses this border. What does not: retries (``retry``).
Imported by ``s3.client`` only. No decision rests on the text of a message.

Where servers give the same code for different things (a wrong key is 403 AccessDenied on AWS, 400 InvalidArgument on Ceph, 400
InvalidRequest on Garage), what was sent decides: see ``KeyUse``.

Source: S3 API reference, "Error responses"; observed answers of AWS, Ceph, MinIO, Garage, OVHcloud.
"""

import ssl
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Final, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    TokenRetrievalError,
)
from urllib3.exceptions import HTTPError

from ssecfs.errors import (
    AccessDeniedError,
    BucketMissingError,
    CredentialsRefusedError,
    CustomerKeyNeededError,
    ObjectChangedError,
    ObjectMissingError,
    QuotaError,
    StoreBusyError,
    StoreError,
    StoreProtocolError,
    StoreUnreachableError,
    StoreUnsupportedError,
    TlsError,
    WrongCustomerKeyError,
)

R = TypeVar("R")

FOREIGN_ERRORS: Final = (BotoCoreError, ClientError, HTTPError, OSError)
"""What botocore raises, and what urllib3 lets through while a body is read."""


class KeyUse(Enum):
    """What a request had to do with customer keys; decides what a bare 400 or 403 means."""

    NONE = "none"
    """Listing, deleting: no key is involved."""
    READ_WITH = "read with a key"
    READ_WITHOUT = "read without a key"
    WRITE = "write"


CODES: Final[dict[str, type[StoreError]]] = {
    "NoSuchKey": ObjectMissingError,
    "NoSuchVersion": ObjectMissingError,
    "NoSuchBucket": BucketMissingError,
    "NoSuchUpload": StoreProtocolError,
    "PreconditionFailed": ObjectChangedError,
    "ConditionalRequestConflict": StoreBusyError,
    "ConcurrentModification": StoreBusyError,
    "OperationAborted": StoreBusyError,
    "InvalidAccessKeyId": CredentialsRefusedError,
    "SignatureDoesNotMatch": CredentialsRefusedError,
    "AuthorizationHeaderMalformed": CredentialsRefusedError,
    "ExpiredToken": CredentialsRefusedError,
    "InvalidToken": CredentialsRefusedError,
    "TokenRefreshRequired": CredentialsRefusedError,
    "RequestTimeTooSkewed": CredentialsRefusedError,
    "RequestExpired": CredentialsRefusedError,
    "SlowDown": StoreBusyError,
    "ServiceUnavailable": StoreBusyError,
    "InternalError": StoreBusyError,
    "Throttling": StoreBusyError,
    "ThrottlingException": StoreBusyError,
    "RequestLimitExceeded": StoreBusyError,
    "RequestTimeout": StoreBusyError,
    "TooManyRequests": StoreBusyError,
    "BadDigest": StoreBusyError,
    "IncompleteBody": StoreBusyError,
    "XAmzContentSHA256Mismatch": StoreBusyError,
    "QuotaExceeded": QuotaError,
    "XMinioStorageFull": QuotaError,
    "InsufficientCapacity": QuotaError,
    "NotImplemented": StoreUnsupportedError,
    "MethodNotAllowed": StoreUnsupportedError,
    "InvalidObjectState": StoreUnsupportedError,
    "InvalidEncryptionAlgorithmError": StoreProtocolError,
    "MalformedXML": StoreProtocolError,
    "InvalidRange": StoreProtocolError,
    "InvalidPart": StoreProtocolError,
    "InvalidPartOrder": StoreProtocolError,
    "EntityTooSmall": StoreProtocolError,
    "EntityTooLarge": StoreProtocolError,
    "PermanentRedirect": StoreProtocolError,
}

STATUSES: Final[dict[int, type[StoreError]]] = {
    HTTPStatus.UNAUTHORIZED: CredentialsRefusedError,
    HTTPStatus.FORBIDDEN: AccessDeniedError,
    HTTPStatus.NOT_FOUND: ObjectMissingError,
    HTTPStatus.METHOD_NOT_ALLOWED: StoreUnsupportedError,
    HTTPStatus.REQUEST_TIMEOUT: StoreBusyError,
    HTTPStatus.CONFLICT: StoreBusyError,
    HTTPStatus.PRECONDITION_FAILED: ObjectChangedError,
    HTTPStatus.TOO_MANY_REQUESTS: StoreBusyError,
    HTTPStatus.NOT_IMPLEMENTED: StoreUnsupportedError,
    HTTPStatus.INSUFFICIENT_STORAGE: QuotaError,
}

HINTS: Final[dict[str, str]] = {
    "RequestTimeTooSkewed": "the clock of this machine is off by more than the server allows; set it (for example with NTP)",
    "RequestExpired": "the clock of this machine is off; set it (for example with NTP)",
    "InvalidAccessKeyId": "the server does not know the access key; check AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "the secret access key does not fit; check AWS_SECRET_ACCESS_KEY or the profile",
    "AuthorizationHeaderMalformed": "the region does not fit; give the server's with --region",
    "ExpiredToken": "the session token has expired; log in again",
    "InvalidObjectState": "the object is archived; restore it first",
}


def translate(error: Exception, what: str, key_use: KeyUse) -> StoreError:
    """The error of ours for what botocore or urllib3 raised.

    Args:
        error: as caught.
        what: the request and the object, without secrets, for the message.
        key_use: how customer keys were involved.
    """
    if isinstance(error, ClientError):
        return _from_answer(error, what, key_use)
    if isinstance(error, SSLError) and _is_verification_failure(error):
        return TlsError(f"{what}: the server's certificate does not verify; nothing was sent")
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | TokenRetrievalError):
        return CredentialsRefusedError(f"{what}: no usable credentials ({type(error).__name__})")
    # HTTPClientError: botocore's own; HTTPError and OSError: what urllib3 lets through while a body is read.
    if isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError | HTTPError | OSError):
        return StoreUnreachableError(f"{what}: the connection failed ({type(error).__name__})")
    if isinstance(error, BotoCoreError):
        return StoreProtocolError(f"{what}: the request could not be made ({type(error).__name__})")
    return StoreProtocolError(f"{what}: {type(error).__name__}")


def guarded(what: str, request: Callable[[], R], key_use: KeyUse) -> Callable[[], R]:
    """A request whose failures are ours."""

    def run() -> R:
        try:
            return request()
        except FOREIGN_ERRORS as error:
            raise translate(error, what, key_use) from error

    return run


def answer_code(error: ClientError) -> str:
    """The S3 error code of an answer; after HEAD only a number as text."""
    return str(error.response.get("Error", {}).get("Code", ""))


def answer_status(error: ClientError) -> int:
    """The HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _from_answer(error: ClientError, what: str, key_use: KeyUse) -> StoreError:
    code, status = answer_code(error), answer_status(error)
    kind = CODES.get(code)
    if kind is None:
        kind = _by_key_use(status, key_use) or STATUSES.get(status)
    if kind is None:
        kind = StoreBusyError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StoreProtocolError
    hint = HINTS.get(code)
    return kind(f"{what}: {hint}" if hint else f"{what}: the server answers {status} {code}".rstrip())


def _by_key_use(status: int, key_use: KeyUse) -> type[StoreError] | None:
    """What a 400 or 403 without a telling code means for a read."""
    if status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
        return None
    if key_use is KeyUse.READ_WITH:
        return WrongCustomerKeyError
    if key_use is KeyUse.READ_WITHOUT and status == HTTPStatus.BAD_REQUEST:
        return CustomerKeyNeededError
    return None


def _is_verification_failure(error: BaseException) -> bool:
    """Look for a failed certificate check anywhere in the chain of causes and arguments."""
    seen: list[object] = [error]
    for item in seen:
        if isinstance(item, ssl.SSLCertVerificationError | ssl.CertificateError):
            return True
        if isinstance(item, BaseException) and len(seen) < MAX_CHAIN:
            kwargs = getattr(item, "kwargs", {})
            reason = getattr(item, "reason", None)
            seen += [part for part in (item.__cause__, item.__context__, reason, *item.args, *kwargs.values()) if part]
    return False


MAX_CHAIN: Final = 50
