"""Bodies in signed chunks and with trailers: AWS's published examples, the three forms over HTTP, and all that is wrong."""

import asyncio
import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from support.rawhttp import exchange, head, parsed
from support.s3calls import read, seeded_bytes, trio
from support.s3server import REGION, SECRET_ACCESS_KEY, S3Server

from ssecfs.server.body import Body
from ssecfs.server.chunked import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, ChunkDecoder
from ssecfs.server.errors import S3Error
from ssecfs.server.request import parse_request
from ssecfs.server.sigv4 import Signed, canonical_request, signature_of, signing_key
from ssecfs.ssec import CustomerKey, request_headers

EMPTY: Final = hashlib.sha256(b"").hexdigest()
CONTENT: Final = seeded_bytes(41, 20_000)
PLACES: Final = (0, 8192, 16_384, 20_000)
each_form = pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


@dataclass
class Chain:
    """Signatures of chunks, each going on from the one before, calculated apart from the server."""

    previous: str
    signing_key: bytes
    moment: str
    scope: str

    def _next(self, kind: str, *rest: str) -> str:
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", self.moment, self.scope, self.previous, *rest))
        self.previous = hmac.digest(self.signing_key, text.encode(), "sha256").hex()
        return self.previous

    def chunk(self, data: bytes) -> str:
        return self._next("PAYLOAD", EMPTY, hashlib.sha256(data).hexdigest())

    def trailer(self, line: str) -> str:
        return self._next("TRAILER", hashlib.sha256(f"{line}\n".encode()).hexdigest())


def encoded(chain: Chain, form: str, content: bytes, places: tuple[int, ...], trailer: str = "") -> bytes:
    """A body as it is sent; places are where its chunks begin and end."""
    sent = bytearray()
    for data in [*(content[start:stop] for start, stop in pairwise(places)), b""]:
        extension = f";chunk-signature={chain.chunk(data)}" if form != UNSIGNED_TRAILER else ""
        sent += f"{len(data):x}{extension}\r\n".encode() + data + (b"\r\n" if data else b"")
    if trailer:
        sent += f"{trailer}\r\n".encode()
        if form == SIGNED_TRAILER:
            sent += f"x-amz-trailer-signature:{chain.trailer(trailer)}\r\n".encode()
    return bytes(sent + b"\r\n")


# AWS's examples: 66560 times "a", in chunks of 64 KiB.
PUBLISHED_KEY: Final = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
PUBLISHED_MOMENT: Final = "20130524T000000Z"
PUBLISHED_SCOPE: Final = "20130524/us-east-1/s3/aws4_request"
PUBLISHED_PLACES: Final = (0, 65_536, 66_560)
PUBLISHED: Final = {
    SIGNED: (
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        "",
    ),
    SIGNED_TRAILER: (
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    ),
}
PUBLISHED_TRAILER: Final = "x-amz-checksum-crc32c:sOO8/Q=="


def published_headers(form: str) -> dict[str, str]:
    headers = {
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": form,
        "x-amz-date": PUBLISHED_MOMENT,
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "content-encoding": "aws-chunked",
    }
    return headers | ({"content-length": "66824"} if form == SIGNED else {"x-amz-trailer": "x-amz-checksum-crc32c"})


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
def test_published_chunks_are_accepted(form: str) -> None:
    seed, signatures, trailer_signature = PUBLISHED[form]
    raw = [(name.encode(), value.encode()) for name, value in published_headers(form).items()]
    request = parse_request("PUT", b"/examplebucket/chunkObject.txt", b"", raw, is_secure=True)
    names = sorted(published_headers(form))
    assert signature_of(PUBLISHED_KEY, canonical_request(request, names, form), PUBLISHED_MOMENT, PUBLISHED_SCOPE) == seed
    trailer = PUBLISHED_TRAILER if form == SIGNED_TRAILER else ""
    chain = Chain(seed, PUBLISHED_KEY, PUBLISHED_MOMENT, PUBLISHED_SCOPE)
    sent = encoded(chain, form, b"a" * 66_560, PUBLISHED_PLACES, trailer)
    found = re.findall(rb"signature[=:]([0-9a-f]{64})", sent)
    assert [signature.decode() for signature in found] == [*signatures, *([trailer_signature] if trailer else [])]
    pieces = iter([sent])

    async def receive() -> bytes | None:
        return next(pieces, None)

    async def read_all() -> bytes:
        signed = Signed("AKIAIOSFODNN7EXAMPLE", form, seed, PUBLISHED_KEY, PUBLISHED_MOMENT, PUBLISHED_SCOPE)
        return b"".join([piece async for piece in Body(request, signed, receive).pieces()])

    assert asyncio.run(read_all()) == b"a" * 66_560


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
def test_data_of_a_large_signed_chunk_is_given_out_as_it_comes_but_its_end_only_if_signed(form: str) -> None:
    piece, count = b"a" * 65_536, 16
    seed = Chain("5eed" * 16, PUBLISHED_KEY, PUBLISHED_MOMENT, PUBLISHED_SCOPE)
    right = seed.chunk(piece * count)
    for signature in (right, "0" * 64):
        decoder = ChunkDecoder(Signed("", form, "5eed" * 16, PUBLISHED_KEY, PUBLISHED_MOMENT, PUBLISHED_SCOPE))
        assert list(decoder.feed(f"{count * len(piece):x};chunk-signature={signature}\r\n".encode())) == []
        for _ in range(count - 1):
            assert list(decoder.feed(piece)) == [piece]
        if signature == right:
            assert list(decoder.feed(piece)) == [piece]
        else:
            with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
                next(decoder.feed(piece))


@dataclass
class Upload:
    """An upload in chunks that is signed and not sent yet."""

    server: S3Server
    start: bytes
    chain: Chain

    def send(self, body: bytes) -> tuple[int, str, str]:
        """Status, code and message of the answer."""
        status, code, answer = parsed(exchange(self.server, self.start, body))
        return status, code, ET.fromstring(answer).findtext("Message", "") if status >= 400 else ""


def upload(server: S3Server, bucket: str, form: str, length: int = len(CONTENT), **more: str) -> Upload:
    headers = {"connection": "close", "x-amz-content-sha256": form, "x-amz-decoded-content-length": str(length)}
    if form != SIGNED:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    headers |= {"content-encoding": "aws-chunked"} | {name.replace("_", "-"): value for name, value in more.items()}
    if "transfer-encoding" not in headers:
        headers.setdefault("content-length", str(sent_length(form, length)))
    start = head("PUT", f"/{bucket}/a", {name: value for name, value in headers.items() if value})
    signature, moment = (re.search(pattern, start) for pattern in (rb"Signature=([0-9a-f]{64})", rb"x-amz-date: (\w+)"))
    assert signature
    assert moment
    date = moment[1][:8].decode()
    scope = f"{date}/{REGION}/s3/aws4_request"
    return Upload(
        server, start, Chain(signature[1].decode(), signing_key(SECRET_ACCESS_KEY, date, REGION), moment[1].decode(), scope)
    )


def sent_length(form: str, length: int) -> int:
    """Bytes of a body in chunks of 8 KiB, with a trailer where the form has one."""
    blank = Chain("", b"", "", "")
    places = (*range(0, length, 8192), length)
    return len(encoded(blank, form, bytes(length), places, "" if form == SIGNED else f"x-amz-checksum-crc32:{crc32(b'')}"))


def trailer_of(form: str, content: bytes = CONTENT) -> str:
    return "" if form == SIGNED else f"x-amz-checksum-crc32:{crc32(content)}"


@each_form
def test_body_in_chunks_is_stored_as_what_it_means(
    aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey, form: str
) -> None:
    request = upload(aws, bucket, form, **request_headers(customer_key))
    body = encoded(request.chain, form, CONTENT, PLACES, trailer_of(form))
    assert request.send(body) == (200, "", "")
    head_of = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED", **trio(customer_key))
    assert (head_of["ContentLength"], "ContentEncoding" in head_of) == (len(CONTENT), False)
    assert form == SIGNED or head_of["ChecksumCRC32"] == crc32(CONTENT)
    assert read(s3, bucket, "a", **trio(customer_key)) == CONTENT


@each_form
@pytest.mark.parametrize("length", [0, 1, 8192])
def test_body_of_one_chunk_or_none_is_stored(aws: S3Server, s3: Any, bucket: str, form: str, length: int) -> None:
    request, content = upload(aws, bucket, form, length), CONTENT[:length]
    places = (0, length) if length else ()
    assert request.send(encoded(request.chain, form, content, places, trailer_of(form, content)))[0] == 200
    assert read(s3, bucket, "a") == content


@each_form
def test_chunks_may_come_inside_those_of_http(aws: S3Server, s3: Any, bucket: str, form: str) -> None:
    request = upload(aws, bucket, form, transfer_encoding="chunked")
    body = encoded(request.chain, form, CONTENT, PLACES, trailer_of(form))
    cut = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces_of(body, 3000))
    assert request.send(cut + b"0\r\n\r\n")[0] == 200
    assert read(s3, bucket, "a") == CONTENT


def pieces_of(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def test_other_content_encoding_is_kept(aws: S3Server, s3: Any, bucket: str) -> None:
    for given, kept in (("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip"), ("aws-chunked", None)):
        request = upload(aws, bucket, UNSIGNED_TRAILER, content_encoding=given)
        assert request.send(encoded(request.chain, UNSIGNED_TRAILER, CONTENT, PLACES, trailer_of(UNSIGNED_TRAILER)))[0] == 200
        assert s3.head_object(Bucket=bucket, Key="a").get("ContentEncoding") == kept


def test_part_may_come_in_chunks(aws: S3Server, s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "a"}
    place["UploadId"] = s3.create_multipart_upload(**place, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
    client = aws.client(request_checksum_calculation="when_supported")
    part = client.upload_part(**place, PartNumber=1, Body=CONTENT)
    client.close()
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": crc32(CONTENT)}]}
    assert s3.complete_multipart_upload(**place, MultipartUpload=parts)["ChecksumCRC32"] == crc32(CONTENT)


def flipped(body: bytes, name: bytes, number: int = 0) -> bytes:
    """The body with another last digit of one of the signatures of a name."""
    place = list(re.finditer(name + rb"[0-9a-f]{64}", body))[number].end() - 1
    return body[:place] + (b"1" if body[place : place + 1] == b"0" else b"0") + body[place + 1 :]


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_chunk_with_a_wrong_signature_is_refused(aws: S3Server, s3: Any, bucket: str, form: str, number: int) -> None:
    request = upload(aws, bucket, form)
    body = encoded(request.chain, form, CONTENT, PLACES, trailer_of(form))
    assert request.send(flipped(body, b"chunk-signature=", number))[:2] == (403, "SignatureDoesNotMatch")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_changed_data_of_a_signed_chunk_is_refused(aws: S3Server, s3: Any, bucket: str) -> None:
    request = upload(aws, bucket, SIGNED)
    body = encoded(request.chain, SIGNED, CONTENT, PLACES)
    changed = body.replace(CONTENT[100:110], bytes(10))
    assert changed != body
    assert request.send(changed)[:2] == (403, "SignatureDoesNotMatch")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_seed_of_another_request_does_not_sign_the_chunks(aws: S3Server, bucket: str) -> None:
    one, other = upload(aws, bucket, SIGNED), upload(aws, f"{bucket}-x", SIGNED)
    assert one.send(encoded(other.chain, SIGNED, CONTENT, PLACES))[:2] == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("form", "trailer", "answer"),
    [
        (SIGNED_TRAILER, f"x-amz-checksum-crc32:{crc32(b'other')}", (400, "BadDigest")),
        (UNSIGNED_TRAILER, f"x-amz-checksum-crc32:{crc32(b'other')}", (400, "BadDigest")),
        (UNSIGNED_TRAILER, "x-amz-checksum-crc32:AAA", (400, "InvalidRequest")),
        (UNSIGNED_TRAILER, "x-amz-checksum-sha1:AAAA", (400, "InvalidRequest")),
        (UNSIGNED_TRAILER, "", (400, "InvalidRequest")),
        (UNSIGNED_TRAILER, "no colon", (400, "MalformedTrailerError")),
        (SIGNED, f"x-amz-checksum-crc32:{crc32(CONTENT)}", (400, "MalformedTrailerError")),
    ],
)
def test_trailer_that_does_not_fit_is_refused(
    aws: S3Server, s3: Any, bucket: str, form: str, trailer: str, answer: tuple[int, str]
) -> None:
    request = upload(aws, bucket, form, content_length="", transfer_encoding="chunked")
    body = encoded(request.chain, form, CONTENT, PLACES, trailer)
    assert request.send(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")[:2] == answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_trailer_with_a_wrong_signature_is_refused(aws: S3Server, bucket: str) -> None:
    request = upload(aws, bucket, SIGNED_TRAILER)
    body = encoded(request.chain, SIGNED_TRAILER, CONTENT, PLACES, trailer_of(SIGNED_TRAILER))
    assert request.send(flipped(body, b"x-amz-trailer-signature:"))[:2] == (403, "SignatureDoesNotMatch")


def test_only_the_last_chunk_may_be_small(aws: S3Server, bucket: str) -> None:
    request = upload(aws, bucket, UNSIGNED_TRAILER, content_length="", transfer_encoding="chunked")
    body = encoded(request.chain, UNSIGNED_TRAILER, CONTENT, (0, 8191, 20_000), trailer_of(UNSIGNED_TRAILER))
    status, code, message = request.send(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    assert (status, code) == (400, "InvalidChunkSizeError")
    assert message == "Only the last chunk is allowed to have a size less than 8192 bytes"


@each_form
@pytest.mark.parametrize("off", [-1, 1])
def test_decoded_length_must_be_the_one_announced(aws: S3Server, s3: Any, bucket: str, form: str, off: int) -> None:
    length = str(len(CONTENT) + off)
    request = upload(aws, bucket, form, x_amz_decoded_content_length=length)
    assert request.send(encoded(request.chain, form, CONTENT, PLACES, trailer_of(form)))[:2] == (400, "IncompleteBody")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({"x_amz_decoded_content_length": ""}, (411, "MissingContentLength")),
        ({"x_amz_decoded_content_length": "many"}, (400, "InvalidArgument")),
        ({"x_amz_trailer": "x-amz-meta-a"}, (400, "InvalidRequest")),
        ({"x_amz_content_sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, (501, "NotImplemented")),
        ({"x_amz_content_sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"}, (501, "NotImplemented")),
        ({"x_amz_content_sha256": "STREAMING-"}, (501, "NotImplemented")),
    ],
)
def test_headers_that_announce_no_such_body_are_refused(
    aws: S3Server, bucket: str, more: dict[str, str], answer: tuple[int, str]
) -> None:
    request = upload(aws, bucket, UNSIGNED_TRAILER, **more)
    body = encoded(request.chain, UNSIGNED_TRAILER, CONTENT, PLACES, trailer_of(UNSIGNED_TRAILER))
    assert request.send(body)[:2] == answer
