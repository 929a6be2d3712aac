"""S3 errors: code, status, message, and the XML document that says so. No I/O.

Imported by every module of ``server``. Texts are those of the real services: clients and tests match on them.

Source: recorded answers of AWS; S3 API reference, "Error responses".
"""

from typing import Final

from ssecfs.server.response import xml_text

STATUSES: Final = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "BadDigest": 400,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidChunkSizeError": 400,
    "InvalidDigest": 400,
    "InvalidEncryptionAlgorithmError": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidPartNumber": 416,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidURI": 400,
    "KeyTooLongError": 400,
    "MalformedTrailerError": 400,
    "MalformedXML": 400,
    "MetadataTooLarge": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NoSuchTagSet": 404,
    "InvalidTag": 400,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "AuthorizationQueryParametersError": 400,
    "ConditionalRequestConflict": 409,
    "IllegalVersioningConfigurationException": 400,
    "MalformedPOSTRequest": 400,
    "InvalidPolicyDocument": 400,
    "MaxPostPreDataLengthExceededError": 400,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "RequestTimeout": 400,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
    "XAmzContentSHA256Mismatch": 400,
    "XMinioStorageFull": 507,
}


class S3Error(Exception):
    """An answer other than success.

    Attributes:
        code: as clients know it.
        status: HTTP status.
        details: further elements of the document.
        headers: further headers of the answer.
    """

    def __init__(self, code: str, message: str, /, **details: str) -> None:
        """Take code and text; the status follows from the code."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = STATUSES[code]
        self.message = message
        self.details = details
        self.headers: dict[str, str] = {}


class NotModified(Exception):  # noqa: N818 - it is an answer, not an error
    """The object is what the client has already (304, no body)."""

    def __init__(self, etag: str) -> None:
        """Take the ETag that the answer shows."""
        super().__init__("not modified")
        self.etag = etag


def error_document(error: S3Error, resource: str, request_id: str) -> bytes:
    """The XML body of an error."""
    elements = {"Code": error.code, "Message": error.message, **error.details, "Resource": resource, "RequestId": request_id}
    inner = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in elements.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}<HostId>ssecfs</HostId></Error>'.encode()


def no_such_bucket(bucket: str) -> S3Error:
    """The bucket is missing."""
    return S3Error("NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)


def no_such_key(object_key: str) -> S3Error:
    """The object is missing."""
    return S3Error("NoSuchKey", "The specified key does not exist.", Key=object_key)


def no_such_version(object_key: str, version_id: str) -> S3Error:
    """The version is missing."""
    return S3Error("NoSuchVersion", "The specified version does not exist.", Key=object_key, VersionId=version_id)


def invalid_version(version_id: str) -> S3Error:
    """No version can be called so."""
    message = "Invalid version id specified" if version_id else "Version id cannot be the empty string"
    return S3Error("InvalidArgument", message, ArgumentName="versionId", ArgumentValue=version_id)


def no_such_upload(upload_id: str) -> S3Error:
    """The multipart upload is missing."""
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
    return S3Error("NoSuchUpload", message, UploadId=upload_id)


def precondition_failed(condition: str) -> S3Error:
    """A condition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error("PreconditionFailed", message, Condition=condition)


def not_implemented(header: str) -> S3Error:
    """The server does not do this."""
    message = "A header you provided implies functionality that is not implemented"
    more = f"We don't accept the provided value of {header} header for this API"
    return S3Error("NotImplemented", message, Header=header, additionalMessage=more)
