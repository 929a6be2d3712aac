"""Requests to the embedded server byte by byte, as no client library would send them; signed, so that they get somewhere.

The signature comes from the server's own calculation: these requests are about what is wrong beside it.
"""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from support.s3server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server

from ssecfs.server.request import parse_request
from ssecfs.server.sigv4 import canonical_request, signature_of, signing_key

GOOD: Final = b"what a good request gets"
_OWN_FILES: Final = re.compile(r"index\.sqlite(-wal|-shm)?|server\.key|lock|data/[0-9a-f]{2}/[0-9a-f]{32}")
Answer = tuple[int, str, bytes]


@contextmanager
def still_serving(server: S3Server) -> Iterator[S3Server]:
    """Expect that after the block the server does its work, and has written nothing but its own files."""
    assert ask(server, "PUT", "/bucket/good", GOOD)[0] == 200
    yield server
    assert ask(server, "GET", "/bucket/good") == (200, "", GOOD)
    beside = {path.name.removeprefix(server.directory.name) for path in server.directory.parent.iterdir()}
    assert beside == {"", "-requests.jsonl", "-errors.txt"}
    files = [str(path.relative_to(server.directory)) for path in server.directory.rglob("*") if path.is_file()]
    assert [name for name in files if not _OWN_FILES.fullmatch(name)] == []


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    """Request line and headers, signed."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    signed = {"host": "localhost", "x-amz-date": moment, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    signed |= {name: value for name, value in headers.items() if name.startswith("x-amz-")}
    path, _, query = target.partition("?")
    raw = [(name.encode(), value.encode()) for name, value in signed.items()]
    request = parse_request(method, path.encode(), query.encode(), raw, is_secure=False)
    scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
    canonical = canonical_request(request, sorted(signed), signed["x-amz-content-sha256"])
    signature = signature_of(signing_key(SECRET_ACCESS_KEY, moment[:8], REGION), canonical, moment, scope)
    parts = f"Credential={ACCESS_KEY_ID}/{scope}, SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
    lines = [f"{name}: {value}" for name, value in (headers | signed).items()]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, f"authorization: AWS4-HMAC-SHA256 {parts}", "", ""]).encode()


def unsigned_head(method: str, target: str, **headers: str) -> bytes:
    """Request line and headers, not signed."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: localhost", "connection: close", *lines, "", ""]).encode()


def connected(server: S3Server) -> socket.socket:
    """A connection without TLS."""
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), timeout=20)


@contextmanager
def secured(server: S3Server) -> Iterator[socket.socket]:
    """A connection with TLS if the server speaks it."""
    with connected(server) as plain:
        if server.ca_bundle is None:
            yield plain
            return
        context = ssl.create_default_context(cafile=server.ca_bundle)
        with context.wrap_socket(plain, server_hostname=urlsplit(server.url).hostname) as connection:
            yield connection


def exchange(server: S3Server, *sent: bytes, is_ended: bool = False) -> bytes:
    """Send, and read until the server closes the connection."""
    answer = b""
    with secured(server) as connection, suppress(ConnectionError):
        for piece in sent:
            connection.sendall(piece)
        if is_ended:
            with suppress(OSError):  # the server was quicker, and is gone already
                connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(1 << 20):
            answer += more
    return answer


def parsed(answer: bytes) -> Answer:
    """Status, code of the error, and body."""
    first, _, body = answer.partition(b"\r\n\r\n")
    status = int(first.split()[1])
    code = ET.fromstring(body).findtext("Code") or "" if status >= 400 else ""
    return status, code, body


def ask(server: S3Server, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Send a signed request, take its answer apart."""
    more = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
    return parsed(exchange(server, head(method, target, more), body))


def stored_keys(server: S3Server) -> set[str]:
    """The object keys in the bucket, which has few."""
    listing = ET.fromstring(ask(server, "GET", "/bucket?list-type=2&encoding-type=url")[2])
    return {unquote(entry.text or "") for entry in listing.iterfind("{*}Contents/{*}Key")}
