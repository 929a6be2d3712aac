"""The ASGI application: bytes in, bytes out. What they mean is the business of ``service``.

Imported by ``server.run``.

Source: ASGI specification, HTTP connection scope.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ssecfs.server.body import ClientGoneError
from ssecfs.server.errors import S3Error, error_document
from ssecfs.server.request import Request, parse_request
from ssecfs.server.requestlog import RequestLog
from ssecfs.server.response import Response
from ssecfs.server.service import Answer, Service

Message = dict[str, Any]

MAX_DRAINED_BYTES: Final = 64 << 20
"""A refused body of up to this size is read to its end: many clients look for the answer only after they have sent all."""


class Application:
    """One ASGI application. Owns nothing but the wiring."""

    def __init__(self, service: Service, log: RequestLog) -> None:
        """Take the collaborators."""
        self._service = service
        self._log = log

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        began = time.monotonic()
        is_asking = any(name == b"expect" for name, _ in scope["headers"])
        incoming = _Incoming(receive, is_asking=is_asking)
        try:
            request, answer = await self._answer(scope, incoming)
            has_body = scope["method"] != "HEAD"
            sent = await _send(answer, send, incoming, has_body=has_body)
        except ClientGoneError:
            return
        self._log.note(
            operation=answer.operation,
            method=scope["method"],
            bucket=request.bucket if request else "",
            object_key=request.object_key if request else "",
            status=answer.response.status,
            code=answer.code,
            range=request.headers.get("range", "") if request else "",
            bytes_in=incoming.received,
            bytes_out=sent,
            seconds=round(time.monotonic() - began, 6),
        )

    async def _answer(self, scope: Message, incoming: "_Incoming") -> tuple[Request | None, Answer]:
        try:
            request = parse_request(
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                scope["headers"],
                is_secure=scope["scheme"] == "https",
            )
        except S3Error as error:
            body = b"" if scope["method"] == "HEAD" else error_document(error, "", "")
            response = Response(error.status, {"content-type": "application/xml"}, body)
            return None, Answer(response, "Unknown", "", error.code)
        return request, await self._service.answer(request, incoming.next)


class _Incoming:
    """The body of a request, as it arrives."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], *, is_asking: bool) -> None:
        self._receive = receive
        self._is_asking = is_asking
        self.received = 0
        self.has_ended = False

    @property
    def is_withheld(self) -> bool:
        """The client waits for 100 Continue, and was not told to go on."""
        return self._is_asking and not self.received and not self.has_ended

    async def next(self) -> bytes | None:
        while not self.has_ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self.has_ended = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            self.received += len(piece)
            if piece:
                return piece
        return None


async def _send(answer: Answer, send: Callable[[Message], Awaitable[None]], incoming: _Incoming, *, has_body: bool) -> int:
    """Send an answer; gives the number of body bytes."""
    response = answer.response
    length = response.length if response.length is not None else len(response.body) if isinstance(response.body, bytes) else 0
    headers = response.headers | {"x-amz-request-id": answer.request_id, "server": "ssecfs"}
    if response.status not in {204, 304}:
        headers["content-length"] = str(length)
    if not incoming.has_ended and not await _drain(incoming):
        headers["connection"] = "close"
    raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw_headers})
    if not has_body or isinstance(response.body, bytes):
        body = b"" if not has_body or not isinstance(response.body, bytes) else response.body
        await send({"type": "http.response.body", "body": body})
        return len(body)
    async for piece in response.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return length


async def _drain(incoming: _Incoming) -> bool:
    """Read the rest of a small body that nobody wanted; tells whether it was small enough."""
    if incoming.is_withheld:
        return False
    begin = incoming.received
    while await incoming.next() is not None:
        if incoming.received - begin > MAX_DRAINED_BYTES:
            return False
    return True
