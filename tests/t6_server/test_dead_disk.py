"""A disk that takes or gives nothing more: S3 errors, no half object, and a server that goes on."""

from pathlib import Path
from typing import Final

from support.atrest import named_pieces, stored_pieces
from support.rawhttp import ask, exchange, head, stored_keys
from support.s3server import s3_server

from ssecfs.ssec import CustomerKey, request_headers

MIB: Final = 1 << 20


def test_full_disk_is_an_s3_error_and_leaves_the_old_objects(tmp_path: Path, customer_key: CustomerKey) -> None:
    headers = request_headers(customer_key)
    # No file of the server can grow beyond 2 MiB: neither a data file nor the index.
    with s3_server(tmp_path / "server", tls="off", around=("prlimit", f"--fsize={2 * MIB}")) as server:
        assert ask(server, "PUT", "/bucket/a", b"old", headers)[0] == 200
        assert ask(server, "PUT", "/bucket/a", bytes(3 * MIB), headers)[:2] == (500, "InternalError")
        kept = {"a"}
        for size in (60_000, 70_000):  # in the index, and in a file that the index names
            while ask(server, "PUT", f"/bucket/{len(kept):02}", bytes(size), headers)[0] == 200:
                kept.add(f"{len(kept):02}")
        assert 10 < len(kept) < 60
        status, code, answer = ask(server, "PUT", "/bucket/more", bytes(70_000), headers)
        assert (status, code) == (500, "InternalError")
        assert b"The server cannot use its directory: disk I/O error" in answer
        assert ask(server, "GET", "/bucket/a", headers=headers) == (200, "", b"old")
        assert stored_keys(server) == kept
        assert list((server.directory / "incoming").iterdir()) == []
        assert stored_pieces(server.directory) == named_pieces(server.directory)


def test_disk_that_fails_in_the_middle_of_a_body_cuts_it_off(tmp_path: Path, customer_key: CustomerKey) -> None:
    headers, body = request_headers(customer_key), bytes(3 * MIB)
    with s3_server(tmp_path / "server", tls="off") as server:
        assert ask(server, "PUT", "/bucket/a", body, headers)[0] == 200
        (file,) = (path for path in (server.directory / "data").rglob("*") if path.is_file())
    second_read = ("--inject=pread64:error=EIO:when=2", f"--trace-path={file}", "--output=/dev/null")
    with s3_server(tmp_path / "server", tls="off", around=("strace", "--daemonize", "--follow-forks", *second_read)) as server:
        server.requests()
        answer = exchange(server, head("GET", "/bucket/a", headers | {"connection": "close"}))
        assert len(answer) < len(body)
        assert [request["ending"] for request in server.requests()] == ["reset"]
        assert ask(server, "GET", "/bucket/a", headers=headers) == (200, "", body)
