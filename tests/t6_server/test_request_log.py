"""The request log: one JSON object on a line for each request, to be counted, and without any secret."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.rawhttp import ask, connected, exchange, head, unsigned_head
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server
from support.secretwatch import SecretWatch

from ssecfs.ssec import CustomerKey, copy_source_headers, request_headers

MANUAL: Final = (Path(__file__).parents[2] / "man" / "ssecfs-server.1").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("log") / "server", tls="off") as running:
        yield running


def test_each_request_has_one_line_that_can_be_counted(server: S3Server) -> None:
    server.requests()
    for name in ("a", "b/c", "d"):
        ask(server, "PUT", f"/bucket/{name}", b"12345")
    ask(server, "GET", "/bucket/a", headers={"range": "bytes=1-3"})
    ask(server, "GET", "/bucket/missing")
    ask(server, "GET", "/bucket?list-type=2")
    exchange(server, unsigned_head("GET", "/bucket/a"))
    exchange(server, unsigned_head("GET", "/bucket/a?acl"))
    exchange(server, unsigned_head("GET", "/No!bucket"))
    requests = server.requests()
    counted = [tuple(request[name] for name in ("operation", "status", "code", "object_key")) for request in requests]
    assert counted == [
        ("PutObject", 200, "", "a"),
        ("PutObject", 200, "", "b/c"),
        ("PutObject", 200, "", "d"),
        ("GetObject", 206, "", "a"),
        ("GetObject", 404, "NoSuchKey", "missing"),
        ("ListObjectsV2", 200, "", ""),
        ("GetObject", 403, "AccessDenied", "a"),
        ("Unknown", 501, "NotImplemented", "a"),
        ("Unknown", 400, "InvalidBucketName", ""),
    ]
    part = requests[3]
    assert (part["method"], part["bucket"], part["range"], part["bytes_out"]) == ("GET", "bucket", "bytes=1-3", 3)
    assert [request["bytes_in"] for request in requests[:4]] == [5, 5, 5, 0]
    times = [request["time"] for request in requests]
    assert times == sorted(times)
    assert all(0 < request["seconds"] < 60 for request in requests)
    assert {request["ending"] for request in requests} == {"whole"}


def test_request_id_is_the_one_of_the_answer(server: S3Server) -> None:
    server.requests()
    answer = exchange(server, head("HEAD", "/bucket", {"connection": "close"})).decode()
    (request,) = server.requests()
    assert f"\r\nx-amz-request-id: {request['request_id']}\r\n" in answer
    refused = ask(server, "GET", "/bucket/missing")[2].decode()
    (request,) = server.requests()
    assert f"<RequestId>{request['request_id']}</RequestId>" in refused


def test_client_that_leaves_in_the_middle_has_a_line_and_its_object_none(server: S3Server) -> None:
    server.requests()
    with connected(server) as connection:
        connection.sendall(head("PUT", "/bucket/half", {"content-length": "1000"}) + b"x" * 500)
        ask(server, "GET", "/bucket/half")  # answered later than the half was received
    assert ask(server, "GET", "/bucket/half")[1] == "NoSuchKey"
    gone = [request for request in server.requests() if request["operation"] == "PutObject"]
    assert [(request["status"], request["ending"], request["bytes_in"]) for request in gone] == [(0, "gone", 500)]


def test_log_holds_no_secret_whatever_a_request_brings(tmp_path: Path, customer_key: CustomerKey, secrets: SecretWatch) -> None:
    secrets.add(SECRET_ACCESS_KEY)
    headers = request_headers(customer_key)
    with s3_server(tmp_path / "server", tls="off") as server:
        assert ask(server, "PUT", "/bucket/a", b"x", headers)[0] == 200
        assert ask(server, "GET", "/bucket/a", headers=headers)[2] == b"x"
        copy = {"x-amz-copy-source": "bucket/a", **copy_source_headers(customer_key), **headers}
        assert ask(server, "PUT", "/bucket/b", headers=copy)[0] == 200
        # Names and values where they do not belong: a key as a parameter of the query, a signature in the query.
        query = f"X-Amz-Signature={'5' * 64}&x-amz-server-side-encryption-customer-key={customer_key.reveal_bytes().hex()}"
        assert exchange(server, unsigned_head("GET", f"/bucket/a?{query}")).startswith(b"HTTP/1.1 400")
        assert len(server.requests()) == 4
        log = server.request_log
        assert secrets.files_showing(tmp_path) == []
        assert not re.search(rf"5{{64}}|{ACCESS_KEY_ID}|AWS4|x-amz-|{re.escape(customer_key.md5)}", log.read_text())
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_log_is_continued_by_the_next_server(tmp_path: Path) -> None:
    for _ in range(2):
        with s3_server(tmp_path / "server", tls="off") as server:
            ask(server, "HEAD", "/bucket")
    assert [request["operation"] for request in server.requests()] == ["HeadBucket", "HeadBucket"]


def test_manual_describes_every_field_and_every_ending(server: S3Server) -> None:
    server.requests()
    ask(server, "HEAD", "/bucket")
    (request,) = server.requests()
    section = re.search(r"^\.SH REQUEST LOG\n(.*?)(?=^\.SH )", MANUAL, re.MULTILINE | re.DOTALL)
    assert section
    assert re.findall(r"^\.B (\w+)$", section[1], re.MULTILINE) == list(request)
    (example,) = re.findall(r"^\{.*\}$", section[1], re.MULTILINE)
    assert list(json.loads(example.replace("\\-", "-"))) == list(request)
    for ending in ("whole", "short", "reset", "lost", "gone"):
        assert f"\\fB{ending}\\fR" in section[1]


def test_log_that_cannot_be_written_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    with s3_server(tmp_path / "server", "--request-log", "/dev/full", tls="off") as server:
        assert ask(server, "PUT", "/bucket/a", b"12345")[0] == 200
        assert ask(server, "GET", "/bucket/a")[2] == b"12345"
    assert server.process.returncode == 0
    complaints = (tmp_path / "server-errors.txt").read_text().splitlines()
    assert {complaint.partition(": ")[2] for complaint in complaints} == {
        "the request log cannot be written: No space left on device"
    }
