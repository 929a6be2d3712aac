"""TCP connections below ASGI: a limit for slow headers, and ends other than the orderly one.

Imported by ``server.run`` and ``server.http``. uvicorn owns the connections; this adds what it has no words for.
"""

import asyncio
import os
import socket
import struct
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S: Final = 30.0
"""Time for the request line and the headers; a client that needs longer is disconnected."""

MAX_HEAD_BYTES: Final = 64 << 10
"""A request line and headers of about this size are not read to their end. What of it is allowed is for ``request`` to say."""

FAREWELL_S: Final = 0.5
"""Time for an idle client to answer the goodbye of TLS when the server ends; many never do."""

CONNECTION: Final = "connection"
"""Where ASGI's ``scope["state"]`` has the Connection."""


class Connection:
    """A connection to a client."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Take the transport."""
        self._transport = transport

    @property
    def is_closing(self) -> bool:
        """Nothing that is sent now would arrive."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send what is buffered, then end in order."""
        self._transport.close()

    def reset(self) -> None:
        """End at once, with a reset."""
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.fileno() >= 0:
            with socket.socket(fileno=os.dup(connected.fileno())) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with a limit for slow headers and with the connection shown to the application."""

    _header_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._header_timer = self.loop.call_later(HEADERS_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._stop_timer()

    def shutdown(self) -> None:
        """The server ends: an idle connection is closed, whether its client says goodbye or not."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(FAREWELL_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Something came; headers without end are not kept."""
        is_more_head = self._header_timer is not None
        super().data_received(data)
        if self._header_timer is None or self.transport.is_closing():
            return
        self._head_bytes += len(data) if is_more_head else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request line and the headers are too large.")

    def on_message_begin(self) -> None:
        """A request line begins."""
        super().on_message_begin()
        self._stop_timer()
        self._header_timer = self.loop.call_later(HEADERS_S, self.transport.close)
        self._head_bytes = 0
        self.scope["state"][CONNECTION] = Connection(self.transport)

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._stop_timer()
        super().on_headers_complete()

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
