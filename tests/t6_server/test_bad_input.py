"""Requests that ask for what must not be: each gets an S3 error or exactly what it asked for, and the next one is served."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from support.rawhttp import GOOD, Answer, ask, exchange, head, parsed, still_serving, stored_keys, unsigned_head
from support.s3server import S3Server, s3_server

from ssecfs.server.body import Body
from ssecfs.server.errors import S3Error
from ssecfs.server.request import parse_request
from ssecfs.server.sigv4 import UNSIGNED, Signed


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("bad") / "server", tls="off") as running:
        yield running


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    with still_serving(running):
        yield running


def test_many_headers_are_served_and_large_ones_refused(server: S3Server) -> None:
    many = {f"a-header-{number}": "value" for number in range(100)}
    assert ask(server, "GET", "/bucket/good", headers=many)[2] == GOOD
    assert ask(server, "GET", "/bucket/good", headers={"a-header": "a" * (17 << 10)})[:2] == (400, "InvalidRequest")


def test_announced_body_of_more_than_five_gibibytes_is_refused_before_it_comes(server: S3Server) -> None:
    headers = {"content-length": str((5 << 30) + 1), "expect": "100-continue"}
    assert parsed(exchange(server, head("PUT", "/bucket/large", headers)))[:2] == (400, "EntityTooLarge")


def test_body_of_unknown_length_is_refused_at_five_gibibytes() -> None:
    async def read_last(before: int) -> bytes:
        arriving = iter([b"a", b"b"])

        async def receive() -> bytes | None:
            return next(arriving, None)

        body = Body(parse_request("PUT", b"/bucket/a", b"", [], is_secure=True), Signed("", UNSIGNED, "", b"", "", ""), receive)
        body.size = before
        return b"".join([piece async for piece in body.pieces()])

    assert asyncio.run(read_last((5 << 30) - 2)) == b"ab"
    with pytest.raises(S3Error, match="EntityTooLarge"):
        asyncio.run(read_last((5 << 30) - 1))


def bomb(inner: str) -> bytes:
    laughs = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]>{inner.replace("TEXT", "&l9;")}'.encode()


@pytest.mark.parametrize(
    ("method", "target", "inner"),
    [
        ("POST", "/bucket?delete", "<Delete><Object><Key>TEXT</Key></Object></Delete>"),
        ("PUT", "/bucket/good?tagging", "<Tagging><TagSet><Tag><Key>TEXT</Key><Value>a</Value></Tag></TagSet></Tagging>"),
        ("PUT", "/bucket?versioning", "<VersioningConfiguration><Status>TEXT</Status></VersioningConfiguration>"),
        ("POST", "/bucket/good?uploadId=a", "<CompleteMultipartUpload><Part>TEXT</Part></CompleteMultipartUpload>"),
        (
            "PUT",
            "/bucket?encryption",
            "<ServerSideEncryptionConfiguration><Rule>TEXT</Rule></ServerSideEncryptionConfiguration>",
        ),
    ],
)
def test_bad_document_is_refused(server: S3Server, method: str, target: str, inner: str) -> None:
    foreign = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>{inner.replace("TEXT", "&x;")}'
    documents = [
        bomb(inner),
        foreign.encode(),
        f'<!DOCTYPE a SYSTEM "{server.url}/dtd">{inner}'.encode(),
        inner[:-1].encode(),
        inner.encode().replace(b"TEXT", b"\xff"),
        f'<?xml version="1.0" encoding="nonsense"?>{inner}'.encode(),
        b"<a>" * 100_000,
        b"<Other/>",
        b"",
    ]
    for content in documents:
        assert ask(server, method, target, content)[:2] == (400, "MalformedXML")
    assert all(request["bucket"] != "dtd" for request in server.requests()), "somebody fetched the DTD"


def test_document_of_too_many_elements_is_refused_and_the_largest_useful_one_is_read(server: S3Server) -> None:
    names = ("PartNumber", "ETag", *(f"Checksum{name}" for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")))
    part = f"<Part>{''.join(f'<{name}>1</{name}>' for name in names)}</Part>"
    for inner, code in ((part * 10_000, "NoSuchUpload"), ("<a/>" * 1_000_000, "MalformedXML")):
        document = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
        assert ask(server, "POST", "/bucket/good?uploadId=none", document)[1] == code


@pytest.mark.parametrize(
    "path",
    [
        "../x", "../../../x", "%2e%2e/x", "%2E%2E%2F%2e%2e%2fx", "a/../b", "a/./b", "a//b", "/leading", "//", "trailing/",
        ".", "..", "...", "..%5Cx", "%2F..%2Fx", "%2Fetc%2Fpasswd", "%25%32%65", "%zz", "%", "+", "%20", "%0D%0A", "%01%7F",
        "%C2%85", "%EF%BF%BF", "%F0%9F%98%80", "%F4%8F%BF%BF", "%E2%80%AE%EF%BB%BF", "%C3%A9", "e%CC%81", "%ED%9F%BF",
        "~", ";a=b", "index.sqlite", "a" * 1024, "%C3%A9" * 512,
    ],
)  # fmt: skip
def test_odd_object_key_is_stored_as_it_is(server: S3Server, path: str) -> None:
    assert ask(server, "PUT", f"/bucket/{path}", path.encode())[:2] == (200, "")
    assert ask(server, "GET", f"/bucket/{path}") == (200, "", path.encode())
    assert stored_keys(server) == {"good", unquote(path)}
    assert ask(server, "DELETE", f"/bucket/{path}")[0] == 204
    assert ask(server, "GET", f"/bucket/{path}")[:2] == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/bucket/" + "a" * 1025, "KeyTooLongError"),
        ("/bucket/" + "%C3%A9" * 512 + "a", "KeyTooLongError"),
        ("/bucket/a%00b", "InvalidURI"),
        ("/bucket/%FF", "InvalidURI"),
        ("/bucket/%C0%AF..", "InvalidURI"),
        ("/bucket/%ED%A0%80", "InvalidURI"),
        ("/bucket?prefix=%FF", "InvalidURI"),
        ("/../index.sqlite", "InvalidBucketName"),
        ("/%2e%2e/index.sqlite", "InvalidBucketName"),
        ("/Bucket/a", "InvalidBucketName"),
        ("/" + "b" * 64, "InvalidBucketName"),
        ("*", "InvalidBucketName"),
        ("//bucket/good", "AccessDenied"),
    ],
)
def test_path_that_can_be_no_object_is_refused(server: S3Server, target: str, code: str) -> None:
    status, found, _ = parsed(exchange(server, unsigned_head("PUT", target)))
    assert (status, found) == (403 if code == "AccessDenied" else 400, code)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("bytes=-", 200), ("bytes=", 200), ("bytes=5-2", 200), ("bytes=--1", 200), ("bytes=-1-2", 200), ("bytes=a-b", 200),
        ("bytes=0x0-0x5", 200), ("items=0-1", 200), ("bytes=0-1,3-4", 200), ("bytes 0-1", 200), ("bytes=0-" + "9" * 5000, 200),
        ("bytes=0-" + "9" * 25, 206), ("bytes=-" + "9" * 25, 206), ("bytes=-0", 416), ("bytes=24-", 416), ("bytes=24-30", 416),
    ],
)  # fmt: skip
def test_odd_range_gets_all_or_nothing(server: S3Server, text: str, status: int) -> None:
    found, code, body = ask(server, "GET", "/bucket/good", headers={"range": text})
    assert (found, code) == (status, "InvalidRange" if status == 416 else "")
    assert status == 416 or body == GOOD


@pytest.mark.parametrize("value", ["a%0D%0Aset-cookie:%20b", "%01", "%7F", "%0A"])
def test_answer_cannot_be_given_further_headers(server: S3Server, value: str) -> None:
    status, code, body = ask(server, "GET", f"/bucket/good?response-content-disposition={value}")
    assert (status, code) == (400, "InvalidArgument")
    assert b"set-cookie" not in body


def test_answer_shows_the_header_that_was_asked_for_in_any_script(server: S3Server) -> None:
    close = {"connection": "close"}
    answer = exchange(server, head("GET", f"/bucket/good?response-content-type={quote('text/€')}", close))
    assert "\r\ncontent-type: text/€\r\n".encode() in answer


def form_of(server: S3Server, fields: dict[str, str]) -> bytes:
    client = server.client(signature_version="s3v4")
    try:
        post = client.generate_presigned_post(
            "bucket", "form", Fields=dict(fields), Conditions=[{name: value} for name, value in fields.items()]
        )
    finally:
        client.close()
    begin = "--x\r\nContent-Disposition: form-data; name="
    parts = [f'{begin}"{name}"\r\n\r\n{value}\r\n' for name, value in post["fields"].items()]
    return "".join([*parts, f'{begin}"file"; filename="a"\r\n\r\nfile\r\n--x--\r\n']).encode()


def post_form(server: S3Server, body: bytes) -> Answer:
    kind = "multipart/form-data; boundary=x"
    return parsed(exchange(server, unsigned_head("POST", "/bucket", content_type=kind, content_length=str(len(body))), body))


def test_form_with_any_text_is_stored_and_can_be_read(server: S3Server) -> None:
    fields = {"x-amz-meta-a": "€ é", "success_action_redirect": "http://["}
    body = form_of(server, fields)
    assert post_form(server, body[: -len("--x--\r\n")])[1] == "MalformedPOSTRequest"
    assert stored_keys(server) == {"good"}
    assert post_form(server, body)[0] == 204
    answer = exchange(server, head("GET", "/bucket/form", {"connection": "close"}))
    assert "\r\nx-amz-meta-a: € é\r\n".encode() in answer
    assert ask(server, "DELETE", "/bucket/form")[0] == 204
    bad = {"x-amz-meta-a": "a\r\nset-cookie: b"}
    assert post_form(server, form_of(server, bad))[1] == "InvalidArgument"
