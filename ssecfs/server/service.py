"""One request answered, and the one place where what goes wrong becomes an answer.

Imported by ``server.http``.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from ssecfs.server.authentication import authenticate
from ssecfs.server.body import Body, ClientGoneError, Receive
from ssecfs.server.call import Call
from ssecfs.server.customer_keys import SOURCE_HEADERS, TARGET_HEADERS
from ssecfs.server.errors import NotModified, S3Error, error_document
from ssecfs.server.faults import Fault, FaultKind, Faults, status_error, throttling_error
from ssecfs.server.formaccess import read_form
from ssecfs.server.options import HttpKeys
from ssecfs.server.profiles import Case, Profile
from ssecfs.server.request import Request, parse_number
from ssecfs.server.response import Response
from ssecfs.server.routes import Gate, Route, find_route
from ssecfs.server.sealed import DamagedError
from ssecfs.server.storage import Storage

LOGGER: Final = logging.getLogger(__name__)


class Ending(Enum):
    """How an answer ends; the values are those of the request log."""

    WHOLE = "whole"
    SHORT = "short"
    """In order, in the middle of its body."""
    RESET = "reset"
    """By a reset, in the middle of the client's body or of its own."""
    LOST = "lost"
    """By a reset, before its first byte."""
    GONE = "gone"
    """The client left."""


_ENDINGS: Final = {
    FaultKind.SHORT: Ending.SHORT,
    FaultKind.RESET: Ending.RESET,
    FaultKind.LOST_ANSWER: Ending.LOST,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what the request log says of it."""

    response: Response
    operation: str
    request_id: str
    code: str = ""
    ending: Ending = Ending.WHOLE


class Service:
    """Answers requests. Owns nothing but the rules."""

    def __init__(
        self, storage: Storage, profile: Profile, secrets: dict[str, str], faults: Faults, http_keys: HttpKeys
    ) -> None:
        """Take the collaborators; secrets are secret access keys by access key id."""
        self._storage = storage
        self._profile = profile
        self._secrets = secrets
        self._faults = faults
        self._http_keys = http_keys

    async def answer(self, request: Request, receive: Receive) -> Answer:
        """Answer one request; never raises. The answer to a client that is gone has status 0 and is not sent."""
        request_id = os.urandom(8).hex().upper()
        operation, ending = "Unknown", Ending.WHOLE
        try:
            route = find_route(request, self._profile.unknown_queries)
            operation = route.name
            due = self._faults.due(operation) if "ssecfs-faults" not in route.marks else []
            ending = next((_ENDINGS[fault.kind] for fault in due if fault.kind in _ENDINGS), Ending.WHOLE)
            if due:
                early = await _misbehave(request, receive, due)
                if early is not None:
                    return replace(early, operation=operation, request_id=request_id)
            response = await self._run(route, request, receive)
        except S3Error as error:
            return Answer(_refusal(request, error, request_id), operation, request_id, error.code, ending)
        except NotModified as answer:
            response = Response(304, {"etag": answer.etag})
        except ClientGoneError:
            return Answer(Response(0), operation, request_id, ending=Ending.GONE)
        except Exception as failure:  # noqa: BLE001 - the boundary: whatever it is, the client gets an S3 error
            return _failed(request, operation, request_id, failure)
        return Answer(response, operation, request_id, "", ending)

    async def _run(self, route: Route, request: Request, receive: Receive) -> Response:
        if self._http_keys is HttpKeys.REFUSE and not request.is_secure and _has_customer_key(request):
            message = (
                "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
            )
            raise S3Error("InvalidRequest", message)
        now_ms = time.time_ns() // 1_000_000
        if route.gate is Gate.FORM:
            request, body = await read_form(request, receive, self._secrets, now_ms / 1000)
        else:
            signed = authenticate(request, self._secrets, now_ms / 1000)
            if "x-amz-trailer" in request.headers:
                case = Case.TRAILER if "content-length" in request.headers else Case.TRAILER_UNSIZED
                self._profile.refuse(case, Header="x-amz-trailer")
            request = self._as_understood(request)
            body = Body(request, signed, receive)
        call = Call(request, body, self._storage, self._profile, self._faults, now_ms)
        return await _primed(await route.operation(call))

    def _as_understood(self, request: Request) -> Request:
        """A request without the headers that the service does not know."""
        unknown = self._profile.unknown_headers
        if not unknown:
            return request
        known = {name: value for name, value in request.headers.items() if not name.startswith(unknown)}
        return replace(request, headers=known)


async def _misbehave(request: Request, receive: Receive, due: list[Fault]) -> Answer | None:
    """Do what goes wrong before an operation; gives the answer if there is to be none of the operation.

    Raises:
        S3Error: asked for.
    """
    kinds = {fault.kind for fault in due}
    await asyncio.sleep(sum(fault.value for fault in due if fault.kind is FaultKind.LATENCY))
    for fault in due:
        if fault.kind is FaultKind.STATUS:
            raise status_error(int(fault.value))
        if fault.kind is FaultKind.THROTTLE:
            raise throttling_error()
    if FaultKind.ERROR_IN_200 in kinds:
        error = S3Error("InternalError", "We encountered an internal error. Please try again.")
        body = error_document(error, request.raw_path, "")
        return Answer(Response(200, {"content-type": "application/xml"}, body), "", "", error.code)
    length = _length_of_body(request)
    if FaultKind.RESET in kinds and length:
        received = 0
        while received < length // 2 and (piece := await receive()) is not None:
            received += len(piece)
        return Answer(Response(0), "", "", "", Ending.RESET)
    return None


def _length_of_body(request: Request) -> int:
    """Bytes of the client's body; a body that HTTP cuts in chunks may still say how long it is decoded."""
    text = request.headers.get("content-length") or request.headers.get("x-amz-decoded-content-length") or ""
    return parse_number(text) or 0


def _has_customer_key(request: Request) -> bool:
    return any(name in request.headers for name in TARGET_HEADERS + SOURCE_HEADERS)


def _failed(request: Request, operation: str, request_id: str, failure: Exception) -> Answer:
    """The answer to what is no fault of the client's; the log says more of it."""
    if isinstance(failure, OSError | sqlite3.Error):
        LOGGER.error("request %s: the directory cannot be used: %s", request_id, failure)
        reason = failure.strerror if isinstance(failure, OSError) else failure
        message = f"The server cannot use its directory: {reason}"
    elif isinstance(failure, DamagedError):
        LOGGER.error("request %s: stored data is damaged", request_id, exc_info=failure)
        message = "The stored object is damaged."
    else:
        LOGGER.error("request %s failed", request_id, exc_info=failure)
        message = "We encountered an internal error. Please try again."
    error = S3Error("InternalError", message)
    return Answer(_refusal(request, error, request_id), operation, request_id, error.code)


async def _primed(response: Response) -> Response:
    """Open the first piece of a body before the status is sent, so that damage there is an error and not a cut-off answer."""
    if isinstance(response.body, bytes):
        return response
    pieces = response.body
    first = await anext(pieces, b"")
    if len(first) == response.length:
        return Response(response.status, response.headers, first)

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return Response(response.status, response.headers, rest(), response.length)


def _refusal(request: Request, error: S3Error, request_id: str) -> Response:
    if request.method == "HEAD":
        return Response(error.status, error.headers, length=0)
    headers = {"content-type": "application/xml"} | error.headers
    return Response(error.status, headers, error_document(error, request.raw_path, request_id))
