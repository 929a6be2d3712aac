"""Clients that are broken or slow, or no HTTP clients at all: each is refused or disconnected, and the next one is served."""

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest
import uvicorn
from support.rawhttp import ask, connected, exchange, head, parsed, still_serving, stored_keys, unsigned_head
from support.s3server import S3Server, s3_server
from uvicorn.server import ServerState

from ssecfs.server import connections


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("bad") / "server", "--idle-timeout", "1", tls="off") as running:
        yield running


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    with still_serving(running):
        yield running


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\na: "])
def test_headers_without_end_are_cut_off(server: S3Server, start: bytes) -> None:
    endless = b"a: b\r\n" if start.endswith(b"\n") else b"a"
    answer = exchange(server, start, *[endless * 10_000] * 200)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        ({"content-length": "-1"}, b"a"),
        ({"content-length": "+1"}, b"a"),
        ({"content-length": "0x1"}, b"a"),
        ({"content-length": "one"}, b"a"),
        ({"content-length": "1, 2"}, b"a"),
        ({"content-length": "9" * 30}, b"a"),
        ({"content-length": "5", "transfer-encoding": "chunked"}, b"1\r\na\r\n0\r\n\r\n"),
        ({"transfer-encoding": "chunked"}, b"-1\r\na\r\n0\r\n\r\n"),
        ({"transfer-encoding": "chunked"}, b"zz\r\na\r\n0\r\n\r\n"),
        ({"transfer-encoding": "chunked"}, b"1\r\nabc\r\n0\r\n\r\n"),
        ({"transfer-encoding": "chunked"}, b"5\r\nabc"),
        ({"transfer-encoding": "chunked"}, b"3\r\nabc\r\n"),
        ({"transfer-encoding": "chunked", "x-amz-decoded-content-length": "9" * 5000}, b"0\r\n\r\n"),
        ({"content-length": "10"}, b"too short"),
        ({"content-length": str(6 << 30)}, b"too large"),
    ],
)
def test_body_that_is_not_as_long_as_it_says_is_not_stored(server: S3Server, lengths: dict[str, str], body: bytes) -> None:
    if "x-amz-decoded-content-length" in lengths:
        lengths = lengths | {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    answer = exchange(server, head("PUT", "/bucket/length", lengths), body, is_ended=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert "length" not in stored_keys(server)


def test_body_longer_than_it_says_is_cut_and_one_in_chunks_is_whole(server: S3Server) -> None:
    answer = exchange(server, head("PUT", "/bucket/length", {"content-length": "4"}), b"fourand more\r\n\r\n")
    assert b"HTTP/1.1 400 " in answer
    status, _, body = ask(server, "GET", "/bucket/length")
    assert status == 404 or body == b"four"
    chunks = head("PUT", "/bucket/length", {"transfer-encoding": "chunked", "connection": "close"})
    assert exchange(server, chunks, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert ask(server, "GET", "/bucket/length")[2] == b"abcde"
    assert ask(server, "DELETE", "/bucket/length")[0] == 204


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 1000,
        bytes(range(256)) * 10,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\na\x00b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\n: c\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"",
    ],
)
def test_what_is_not_http_is_refused(server: S3Server, sent: bytes) -> None:
    answer = exchange(server, sent, is_ended=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


def test_strange_but_allowed_http_gets_an_s3_answer(server: S3Server) -> None:
    upgrade = b"connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: a\r\nsec-websocket-version: 13\r\n\r\n"
    for sent in (
        unsigned_head("GET", "http://elsewhere/bucket/good"),
        unsigned_head("PROPFIND", "/bucket"),
        b"GET /bucket HTTP/1.0\r\n\r\n",
        b"GET /bucket HTTP/1.1\r\n" + upgrade,
    ):
        assert parsed(exchange(server, sent))[1] in {"AccessDenied", "MethodNotAllowed"}


def test_client_that_stops_in_a_body_is_told_and_disconnected(server: S3Server) -> None:
    answer = exchange(server, head("PUT", "/bucket/half", {"content-length": "10"}), b"half")
    assert parsed(answer)[1] == "RequestTimeout"
    nothing = exchange(server, head("PUT", "/bucket/half", {"transfer-encoding": "chunked"}))
    assert parsed(nothing)[1] == "RequestTimeout"
    assert stored_keys(server) == {"good"}
    assert list((server.directory / "incoming").iterdir()) == []


def test_client_that_does_not_read_is_disconnected(server: S3Server) -> None:
    assert ask(server, "PUT", "/bucket/large", b"large" * (4 << 20))[0] == 200
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head("GET", "/bucket/large", {}))
        poll = select.poll()
        poll.register(connection, 0)  # errors only
        assert poll.poll(20_000), "it was not reset"
    assert ask(server, "DELETE", "/bucket/large")[0] == 204


def test_client_that_never_ends_its_headers_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.1)

    async def application(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    async def main() -> list[bytes]:
        config = uvicorn.Config(application, http=connections.Protocol, interface="asgi3", ws="none", lifespan="off")
        state = ServerState()
        listener = await asyncio.get_running_loop().create_server(
            lambda: connections.Protocol(config, state, {}), "127.0.0.1", 0
        )
        async with listener, asyncio.timeout(20):
            return [
                await silent(listener.sockets[0].getsockname(), sent) for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\na:")
            ]

    async def silent(place: tuple[str, int], sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(main()) == [b"", b"", b""]
