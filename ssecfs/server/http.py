"""The ASGI application: bytes in, bytes out. What they mean is the business of ``service``.

Imported by ``server.run``.

Source: ASGI specification, HTTP connection scope.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
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
        incoming = _Incoming(receive, self._idle_s, {name for name, _ in scope["headers"]})
        connection: Connection = scope["state"][CONNECTION]
        try:
            await self._serve(scope, incoming, connection, send)
        except asyncio.CancelledError:
            # The server ends, and the time that requests under way have had for it is over.
            connection.reset()
            with suppress(asyncio.CancelledError):
                await incoming.wait_for_end()

    async def _serve(self, scope: Message, incoming: "_Incoming", connection: Connection, send: Send) -> None:
        began = time.monotonic()
        request, answer = await self._answer(scope, incoming)

        def note(ending: Ending, sent: int) -> None:
            LOGGER.debug("request %s: %s: %s %s", answer.request_id, answer.operation, answer.response.status, answer.code)
            self._log.note(
                request_id=answer.request_id,
                operation=answer.operation,
                method=scope["method"],
                bucket=request.bucket if request else "",
                object_key=request.object_key if request else "",
                status=answer.response.status,
                code=answer.code,
                ending=ending.value,
                range=request.headers.get("range", "") if request else "",
                bytes_in=incoming.received,
                bytes_out=sent,
                seconds=round(time.monotonic() - began, 6),
            )

        outgoing = _Outgoing(send, connection, self._idle_s, note)
        ending = await outgoing.send(answer, incoming, has_body=scope["method"] != "HEAD")
        if ending in {Ending.SHORT, Ending.RESET, Ending.LOST}:
            await incoming.wait_for_end()

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

    def __init__(self, receive: Callable[[], Awaitable[Message]], idle_s: float, header_names: set[bytes]) -> None:
        self._receive = receive
        self._idle_s = idle_s
        self._is_asking = b"expect" in header_names
        self._has_stalled = False
        self.received = 0
        self.has_ended = not header_names & {b"content-length", b"transfer-encoding"}

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
    """The answer to a request. Owns: how many bytes of its body are sent.

    Each answer is noted once, before its end goes out: who has the answer finds its line in the log.
    """

    def __init__(self, send: Send, connection: Connection, idle_s: float, note: Callable[[Ending, int], None]) -> None:
        self._send = send
        self._connection = connection
        self._idle_s = idle_s
        self._note = note
        self._sent = 0

    async def send(self, answer: Answer, incoming: _Incoming, *, has_body: bool) -> Ending:
        """Send an answer; gives how it ended, which damage or the client may decide."""
        response, body, ending = answer.response, answer.response.body, answer.ending
        length = response.length if response.length is not None else len(body) if isinstance(body, bytes) else 0
        has_body = has_body and bool(length)
        if ending is Ending.RESET and response.status and not has_body:
            ending = Ending.LOST
        if ending in {Ending.GONE, Ending.LOST} or not response.status:
            return self._cut(ending)
        headers = response.headers | {"x-amz-request-id": answer.request_id, "server": "ssecfs"}
        if response.status not in {204, 304}:
            headers["content-length"] = str(length)
        try:
            if not incoming.has_ended and not await incoming.drain():
                headers["connection"] = "close"
        except ClientGoneError:
            return self._cut(Ending.GONE)
        raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": response.status, "headers": raw_headers}
        if not has_body:
            self._note(Ending.WHOLE, 0)
            await self._send(start)
            await self._send({"type": "http.response.body", "body": b""})
            return Ending.WHOLE
        await self._send(start)
        if ending is not Ending.WHOLE:
            return await self._send_half(body, length, ending)
        if isinstance(body, bytes):
            return await self._send_last(body)
        return await self._send_pieces(body, length)

    async def _send_last(self, piece: bytes) -> Ending:
        """Send the end of a body."""
        self._sent += len(piece)
        self._note(Ending.WHOLE, self._sent)
        await self._send({"type": "http.response.body", "body": piece})
        return Ending.WHOLE

    async def _send_pieces(self, pieces: AsyncIterator[bytes], length: int) -> Ending:
        """Send a body piece by piece; what cannot be sent whole ends with a reset, never with an end that looks orderly."""
        try:
            async for piece in pieces:
                if self._connection.is_closing:
                    return self._cut(Ending.GONE)
                is_last = self._sent + len(piece) >= length
                async with asyncio.timeout(self._idle_s):
                    await self._send({"type": "http.response.body", "body": b"" if is_last else piece, "more_body": True})
                if is_last:  # and there is room for it now
                    await self._send_last(piece)
                else:
                    self._sent += len(piece)
        except DamagedError:
            LOGGER.exception("stored data is damaged in the middle of a body")
            return self._cut(Ending.RESET)
        except TimeoutError:
            return self._cut(Ending.RESET)
        except OSError as error:
            LOGGER.error("the directory cannot be read in the middle of a body: %s", error)  # noqa: TRY400 - it says it all
            return self._cut(Ending.RESET)
        return Ending.WHOLE if self._sent == length else self._cut(Ending.RESET)

    async def _send_half(self, body: bytes | AsyncIterator[bytes], length: int, ending: Ending) -> Ending:
        pieces = _once(body) if isinstance(body, bytes) else body
        async for piece in pieces:
            part = piece[: length // 2 - self._sent]
            if part:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self._sent += len(part)
            if self._sent >= length // 2:
                break
        return self._cut(ending)

    def _cut(self, ending: Ending) -> Ending:
        self._note(ending, self._sent)
        if ending is Ending.SHORT:
            self._connection.close()
        elif ending is not Ending.GONE:
            self._connection.reset()
        return ending


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
