"""The ASGI application: bytes in, bytes out. What they mean is the business of ``service``.

Imported by ``server.run``.

Source: ASGI specification, HTTP connection scope.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from ssecfs.server.body import ClientGoneError
from ssecfs.server.connections import CONNECTION, Connection
from ssecfs.server.errors import S3Error, error_document
from ssecfs.server.request import Request, parse_request
from ssecfs.server.requestlog import RequestLog
from ssecfs.server.response import Response
from ssecfs.server.sealed import DamagedError
from ssecfs.server.service import Answer, Ending, Service

LOGGER: Final = logging.getLogger(__name__)
Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

MAX_DRAINED_BYTES: Final = 64 << 20
"""A refused body of up to this size is read to its end: many clients look for the answer only after they have sent all."""


class Application:
    """One ASGI application. Owns nothing but the wiring."""

    def __init__(self, service: Service, log: RequestLog, idle_s: float) -> None:
        """Take the collaborators, and how long a client may neither send nor read."""
        self._service = service
        self._log = log
        self._idle_s = idle_s

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        began = time.monotonic()
        is_asking = any(name == b"expect" for name, _ in scope["headers"])
        incoming = _Incoming(receive, self._idle_s, is_asking=is_asking)
        connection: Connection = scope["state"][CONNECTION]
        try:
            request, answer = await self._answer(scope, incoming)
            outgoing = _Outgoing(send, connection, self._idle_s)
            sent = await outgoing.send(answer, incoming, has_body=scope["method"] != "HEAD")
        except ClientGoneError:
            return
        if outgoing.is_cut:
            await incoming.wait_for_end()
        self._log.note(
            operation=answer.operation,
            method=scope["method"],
            bucket=request.bucket if request else "",
            object_key=request.object_key if request else "",
            status=answer.response.status,
            code=answer.code,
            ending=answer.ending.value,
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

    def __init__(self, receive: Callable[[], Awaitable[Message]], idle_s: float, *, is_asking: bool) -> None:
        self._receive = receive
        self._idle_s = idle_s
        self._is_asking = is_asking
        self._has_stalled = False
        self.received = 0
        self.has_ended = False

    @property
    def is_hopeless(self) -> bool:
        """The rest will not come: the client has stalled, or waits for 100 Continue and was not told to go on."""
        return self._has_stalled or (self._is_asking and not self.received and not self.has_ended)

    async def next(self) -> bytes | None:
        """The next piece; None: it has ended.

        Raises:
            S3Error: RequestTimeout.
            ClientGoneError: the connection has ended first.
        """
        while not self.has_ended:
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await self._receive()
            except TimeoutError:
                text = "Your socket connection to the server was not read from or written to within the timeout period."
                self._has_stalled = True
                raise S3Error("RequestTimeout", f"{text} Idle connections will be closed.") from None
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self.has_ended = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            self.received += len(piece)
            if piece:
                return piece
        return None

    async def drain(self) -> bool:
        """Read the rest of a small body that nobody wanted; tells whether it was small enough."""
        if self.is_hopeless:
            return False
        begin = self.received
        try:
            while await self.next() is not None:
                if self.received - begin > MAX_DRAINED_BYTES:
                    return False
        except S3Error:
            return False
        return True

    async def wait_for_end(self) -> None:
        """Wait until a connection that was cut is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Outgoing:
    """The answer to a request. Owns: whether the connection was cut."""

    def __init__(self, send: Send, connection: Connection, idle_s: float) -> None:
        self._send = send
        self._connection = connection
        self._idle_s = idle_s
        self.is_cut = False

    async def send(self, answer: Answer, incoming: _Incoming, *, has_body: bool) -> int:
        """Send an answer; gives the number of body bytes."""
        if answer.ending is Ending.LOST:
            return self._cut(Ending.LOST)
        response = answer.response
        body = response.body
        length = response.length if response.length is not None else len(body) if isinstance(body, bytes) else 0
        headers = response.headers | {"x-amz-request-id": answer.request_id, "server": "ssecfs"}
        if response.status not in {204, 304}:
            headers["content-length"] = str(length)
        if not incoming.has_ended and not await incoming.drain():
            headers["connection"] = "close"
        raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": response.status, "headers": raw_headers})
        if not has_body or not length:
            await self._send({"type": "http.response.body", "body": b""})
            return 0
        if answer.ending is not Ending.WHOLE:
            return await self._send_half(body, length, answer.ending)
        if isinstance(body, bytes):
            await self._send({"type": "http.response.body", "body": body})
            return len(body)
        return await self._send_pieces(body, length)

    async def _send_pieces(self, pieces: AsyncIterator[bytes], length: int) -> int:
        """Send a body piece by piece; what cannot be sent whole ends with a reset, never with an end that looks orderly."""
        sent = 0
        try:
            async for piece in pieces:
                if self._connection.is_closing:
                    return sent
                sent += len(piece)
                async with asyncio.timeout(self._idle_s):
                    await self._send({"type": "http.response.body", "body": piece, "more_body": sent < length})
        except DamagedError:
            LOGGER.exception("stored data is damaged in the middle of a body")
            return self._cut(Ending.RESET)
        except TimeoutError:
            return self._cut(Ending.RESET)
        return sent

    async def _send_half(self, body: bytes | AsyncIterator[bytes], length: int, ending: Ending) -> int:
        sent = 0
        pieces = _once(body) if isinstance(body, bytes) else body
        async for piece in pieces:
            part = piece[: length // 2 - sent]
            sent += len(part)
            if part:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            if sent >= length // 2:
                break
        self._cut(ending)
        return sent

    def _cut(self, ending: Ending) -> int:
        self.is_cut = True
        if ending is Ending.SHORT:
            self._connection.close()
        else:
            self._connection.reset()
        return 0


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
