"""The route table: which operation a request asks for. Imported by ``server.service``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.operations import (
    attributes,
    buckets,
    completion,
    control,
    copying,
    deletion,
    formupload,
    listing,
    multipart,
    objects,
    tagging,
    uploadlists,
    versions,
)
from ssecfs.server.request import Request
from ssecfs.server.response import Response

Operation = Callable[[Call], Awaitable[Response]]


class Gate(Enum):
    """Where the signature of a request is."""

    REQUEST = "request"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation.

    Attributes:
        name: as the request log shows it.
        marks: query parameters that must be there.
    """

    name: str
    operation: Operation
    marks: frozenset[str] = frozenset()
    is_copy: bool = False
    gate: Gate = Gate.REQUEST


def _route(name: str, operation: Operation, *marks: str, is_copy: bool = False) -> Route:
    return Route(name, operation, frozenset(marks), is_copy)


SERVICE: Final = {
    "GET": (
        _route("GetFaults", control.get_faults, "ssecfs-faults"),
        _route("ListBuckets", buckets.list_buckets),
    ),
    "PUT": (_route("PutFaults", control.put_faults, "ssecfs-faults"),),
    "DELETE": (_route("DeleteFaults", control.delete_faults, "ssecfs-faults"),),
}

BUCKET: Final = {
    "GET": (
        _route("GetBucketLocation", buckets.bucket_location, "location"),
        _route("GetBucketVersioning", buckets.get_versioning, "versioning"),
        _route("GetBucketEncryption", buckets.get_encryption, "encryption"),
        _route("ListMultipartUploads", uploadlists.list_uploads, "uploads"),
        _route("ListObjectVersions", versions.list_object_versions, "versions"),
        _route("ListObjectsV2", listing.list_objects_v2, "list-type"),
        _route("ListObjects", listing.list_objects_v1),
    ),
    "HEAD": (_route("HeadBucket", buckets.head_bucket),),
    "PUT": (
        _route("PutBucketVersioning", buckets.put_versioning, "versioning"),
        _route("PutBucketEncryption", buckets.put_encryption, "encryption"),
        _route("CreateBucket", buckets.create_bucket),
    ),
    "DELETE": (
        _route("DeleteBucketEncryption", buckets.delete_encryption, "encryption"),
        _route("DeleteBucket", buckets.delete_bucket),
    ),
    "POST": (
        _route("DeleteObjects", deletion.delete_objects, "delete"),
        Route("PostObject", formupload.post_object, gate=Gate.FORM),
    ),
}

OBJECT: Final = {
    "GET": (
        _route("ListParts", uploadlists.list_parts, "uploadId"),
        _route("GetObjectTagging", tagging.get_tagging, "tagging"),
        _route("GetObjectAttributes", attributes.get_attributes, "attributes"),
        _route("GetObject", objects.get_object),
    ),
    "HEAD": (_route("HeadObject", objects.head_object),),
    "PUT": (
        _route("UploadPartCopy", multipart.upload_part_copy, "uploadId", "partNumber", is_copy=True),
        _route("UploadPart", multipart.upload_part, "uploadId", "partNumber"),
        _route("PutObjectTagging", tagging.put_tagging, "tagging"),
        _route("CopyObject", copying.copy_object, is_copy=True),
        _route("PutObject", objects.put_object),
    ),
    "POST": (
        _route("CreateMultipartUpload", multipart.create_upload, "uploads"),
        _route("CompleteMultipartUpload", completion.complete_upload, "uploadId"),
    ),
    "DELETE": (
        _route("AbortMultipartUpload", multipart.abort_upload, "uploadId"),
        _route("DeleteObjectTagging", tagging.delete_tagging, "tagging"),
        _route("DeleteObject", deletion.delete_object),
    ),
}

ELSEWHERE: Final = frozenset(
    {
        "accelerate", "acl", "analytics", "cors", "inventory", "legal-hold", "lifecycle", "logging", "metrics", "notification",
        "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication", "requestPayment",
        "restore", "retention", "select", "torrent", "website",
    }
)  # fmt: skip
"""Parts of S3 that are not here: 501, instead of a wrong answer of the plain operation."""

HERE: Final = frozenset(
    {"attributes", "delete", "encryption", "location", "ssecfs-faults", "tagging", "uploads", "versioning", "versions"}
)
"""Parts of S3 that are not for every method and place; where they are not, the plain operation is no answer either."""


def find_route(request: Request, unknown: frozenset[str]) -> Route:
    """The operation that a request asks for.

    Args:
        request: with all that the client sent.
        unknown: query parameters that the service does not know.

    Raises:
        S3Error: NotImplemented, MethodNotAllowed.
    """
    names = {name for name, _ in request.query} - unknown
    if names & ELSEWHERE:
        raise S3Error("NotImplemented", "A header or query you provided implies functionality that is not implemented")
    table = OBJECT if request.object_key else BUCKET if request.bucket else SERVICE
    is_copy = "x-amz-copy-source" in request.headers
    for route in table.get(request.method, ()):
        if route.marks <= names and (not route.is_copy or is_copy) and names & HERE <= route.marks:
            return route
    raise S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", Method=request.method)
