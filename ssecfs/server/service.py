"""The route table, and the one place where what goes wrong becomes an answer.

Imported by ``server.http``.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ssecfs.server.body import Body, ClientGoneError, Receive
from ssecfs.server.call import Call
from ssecfs.server.errors import NotModified, S3Error, error_document
from ssecfs.server.operations import buckets, listing, multipart, objects
from ssecfs.server.profiles import Profile
from ssecfs.server.request import Request
from ssecfs.server.response import Response
from ssecfs.server.sealed import DamagedError
from ssecfs.server.sigv4 import check_signature
from ssecfs.server.storage import Storage

LOGGER: Final = logging.getLogger(__name__)

Operation = Callable[[Call], Awaitable[Response]]


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


def _route(name: str, operation: Operation, *marks: str, is_copy: bool = False) -> Route:
    return Route(name, operation, frozenset(marks), is_copy)


SERVICE: Final = {"GET": (_route("ListBuckets", buckets.list_buckets),)}

BUCKET: Final = {
    "GET": (
        _route("GetBucketLocation", buckets.bucket_location, "location"),
        _route("GetBucketVersioning", buckets.bucket_versioning, "versioning"),
        _route("ListMultipartUploads", multipart.list_uploads, "uploads"),
        _route("ListObjectsV2", listing.list_objects_v2, "list-type"),
        _route("ListObjects", listing.list_objects_v1),
    ),
    "HEAD": (_route("HeadBucket", buckets.head_bucket),),
    "PUT": (_route("CreateBucket", buckets.create_bucket),),
    "DELETE": (_route("DeleteBucket", buckets.delete_bucket),),
    "POST": (_route("DeleteObjects", objects.delete_objects, "delete"),),
}

OBJECT: Final = {
    "GET": (
        _route("ListParts", multipart.list_parts, "uploadId"),
        _route("GetObject", objects.get_object),
    ),
    "HEAD": (_route("HeadObject", objects.head_object),),
    "PUT": (
        _route("UploadPartCopy", multipart.upload_part_copy, "uploadId", "partNumber", is_copy=True),
        _route("UploadPart", multipart.upload_part, "uploadId", "partNumber"),
        _route("CopyObject", objects.copy_object, is_copy=True),
        _route("PutObject", objects.put_object),
    ),
    "POST": (
        _route("CreateMultipartUpload", multipart.create_upload, "uploads"),
        _route("CompleteMultipartUpload", multipart.complete_upload, "uploadId"),
    ),
    "DELETE": (
        _route("AbortMultipartUpload", multipart.abort_upload, "uploadId"),
        _route("DeleteObject", objects.delete_object),
    ),
}

SUBRESOURCES: Final = frozenset(
    {
        "accelerate", "acl", "analytics", "attributes", "cors", "encryption", "inventory", "legal-hold", "lifecycle", "logging",
        "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock",
        "replication", "requestPayment", "restore", "retention", "select", "tagging", "torrent", "versions", "website",
    }
)  # fmt: skip
"""Parts of S3 that are not here: 501, instead of a wrong answer of the plain operation."""


def find_route(request: Request) -> Route:
    """The operation that a request asks for.

    Raises:
        S3Error: NotImplemented, MethodNotAllowed.
    """
    names = {name for name, _ in request.query}
    if names & SUBRESOURCES:
        raise S3Error("NotImplemented", "A header or query you provided implies functionality that is not implemented")
    table = OBJECT if request.object_key else BUCKET if request.bucket else SERVICE
    is_copy = "x-amz-copy-source" in request.headers
    for route in table.get(request.method, ()):
        if route.marks <= names and (not route.is_copy or is_copy):
            return route
    raise S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", Method=request.method)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what the request log says of it."""

    response: Response
    operation: str
    request_id: str
    code: str = ""


class Service:
    """Answers requests. Owns nothing but the rules."""

    def __init__(self, storage: Storage, profile: Profile, secrets: dict[str, str]) -> None:
        """Take the collaborators; secrets are secret access keys by access key id."""
        self._storage = storage
        self._profile = profile
        self._secrets = secrets

    async def answer(self, request: Request, receive: Receive) -> Answer:
        """Answer one request; never raises but for a client that is gone."""
        request_id = os.urandom(8).hex().upper()
        operation = "Unknown"
        try:
            route = find_route(request)
            operation = route.name
            signed = check_signature(request, self._secrets, time.time())
            now_ms = time.time_ns() // 1_000_000
            call = Call(request, Body(request, signed, receive), self._storage, self._profile, now_ms)
            response = await _primed(await route.operation(call))
        except S3Error as error:
            return Answer(_refusal(request, error, request_id), operation, request_id, error.code)
        except NotModified as answer:
            return Answer(Response(304, {"etag": answer.etag}), operation, request_id)
        except ClientGoneError:
            raise
        except DamagedError:
            LOGGER.exception("request %s: stored data is damaged", request_id)
            return _failure(request, operation, request_id, "The stored object is damaged.")
        except Exception:
            # The boundary: whatever it is, the client gets an S3 error and the server goes on.
            LOGGER.exception("request %s failed", request_id)
            return _failure(request, operation, request_id, "We encountered an internal error. Please try again.")
        return Answer(response, operation, request_id)


def _failure(request: Request, operation: str, request_id: str, message: str) -> Answer:
    error = S3Error("InternalError", message)
    return Answer(_refusal(request, error, request_id), operation, request_id, error.code)


async def _primed(response: Response) -> Response:
    """Open the first piece of a body before the status is sent, so that damage there is an error and not a cut-off answer."""
    if isinstance(response.body, bytes):
        return response
    pieces = response.body
    first = await anext(pieces, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return Response(response.status, response.headers, rest(), response.length)


def _refusal(request: Request, error: S3Error, request_id: str) -> Response:
    if request.method == "HEAD":
        return Response(error.status, length=0)
    return Response(error.status, {"content-type": "application/xml"}, error_document(error, request.raw_path, request_id))
