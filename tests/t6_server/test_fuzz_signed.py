"""Generated requests, right and wrong: parsed, signed and in chunks. An S3 error or the right value, nothing else."""

import asyncio
import hashlib
import hmac
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ssecfs.server.authentication import authenticate, parse_moment
from ssecfs.server.body import Body
from ssecfs.server.checksums import ALGORITHMS, encode
from ssecfs.server.chunked import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER
from ssecfs.server.errors import S3Error, error_document
from ssecfs.server.request import Request, parse_request
from ssecfs.server.sigv4 import Signed, canonical_request, signature_of, signing_key

SECRETS: Final = {"TESTACCESSKEY": "test-secret-access-key-0123456789"}
DATE: Final = "20261124"
MOMENT: Final = f"{DATE}T161730Z"
NOW_S: Final = float(parse_moment(MOMENT) or 0)
SCOPE: Final = f"{DATE}/us-east-1/s3/aws4_request"
SIGNING_KEY: Final = signing_key(SECRETS["TESTACCESSKEY"], DATE, "us-east-1")
QUERY: Final = "partNumber=1&uploadId=abc"
LATIN: Final = st.text(st.characters(max_codepoint=255), max_size=60)
UNLIKE_BLANKS: Final = st.text(st.characters(max_codepoint=255, exclude_characters=" \t"), min_size=1, max_size=60)
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives; None: an S3 error, which must be one that can be shown. Anything else ends the test."""
    try:
        return call()
    except S3Error as error:
        refused = error
    assert ET.fromstring(error_document(refused, "/bucket", "1")).findtext("Code") == refused.code
    return None


def receiving(pieces: Iterable[bytes]) -> Callable[[], Any]:
    waiting: Iterator[bytes] = iter(pieces)

    async def receive() -> bytes | None:
        return next(waiting, None)

    return receive


def a_request(headers: dict[str, str], *, path: str = "/bucket/a%20name", query: str = QUERY, method: str = "PUT") -> Request:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return parse_request(method, path.encode(), query.encode(), raw, is_secure=True)


def signed_headers() -> dict[str, str]:
    headers = {
        "host": "localhost:9000",
        "x-amz-date": MOMENT,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-meta-a": "b c",
    }
    signature = signature_of(
        SIGNING_KEY, canonical_request(a_request(headers), list(headers), "UNSIGNED-PAYLOAD"), MOMENT, SCOPE
    )
    parts = f"Credential=TESTACCESSKEY/{SCOPE}, SignedHeaders={';'.join(headers)}, Signature={signature}"
    return headers | {"authorization": f"AWS4-HMAC-SHA256 {parts}"}


def presigned_query() -> dict[str, str]:
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"TESTACCESSKEY/{SCOPE}",
        "X-Amz-Date": MOMENT,
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": "host",
    }
    canonical = canonical_request(a_request({"host": "h"}, query=query_text(query)), ["host"], "UNSIGNED-PAYLOAD")
    return query | {"X-Amz-Signature": signature_of(SIGNING_KEY, canonical, MOMENT, SCOPE)}


def query_text(query: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())


def accepts(request: Request) -> bool:
    return outcome(lambda: authenticate(request, SECRETS, NOW_S)) is not None


HEADERS: Final = signed_headers()
PRESIGNED: Final = presigned_query()


@given(
    st.text(max_size=5),
    st.binary(max_size=60) | st.text(max_size=30).map(lambda text: quote(f"/bucket/{text}", safe="/").encode()),
    st.binary(max_size=60),
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=5),
)
@example("GET", b"/bucket/" + b"%C3%A9" * 513, b"", [])
@example("GET", b"/bucket/%ED%A0%80", b"", [])
@example("GET", b"/bucket", b"", [(b"a", b"b" * (17 << 10))])
def test_any_request_is_parsed_or_refused(method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    request = outcome(lambda: parse_request(method, path, query, headers, is_secure=False))
    assert request is None or len(request.object_key.encode()) <= 1024


def test_header_keeps_every_byte_but_the_blanks_around_it() -> None:
    value = "voilà".encode()
    request = parse_request("GET", b"/", b"", [(b"X-Amz-Meta-A", b" \t" + value + b"\t ")], is_secure=True)
    assert request.headers["x-amz-meta-a"].encode("latin-1") == value


@given(
    st.dictionaries(st.sampled_from([*HEADERS, "date", "x-amz-trailer"]), LATIN),
    st.dictionaries(st.sampled_from(list(PRESIGNED)), TEXT),
)
def test_made_up_signature_is_refused(headers: dict[str, str], query: dict[str, str]) -> None:
    assert not accepts(a_request(headers, query=query_text(query)))


def test_valid_signatures_are_accepted() -> None:
    assert accepts(a_request(HEADERS))
    assert accepts(a_request({"host": "h"}, query=query_text(PRESIGNED)))


@given(st.sampled_from(list(HEADERS)), st.integers(0, 400), UNLIKE_BLANKS)
@example("authorization", 30, "\xb2")
@example("x-amz-meta-a", 1, "\xa0")
def test_changed_signed_header_is_refused(name: str, place: int, put_in: str) -> None:
    value = HEADERS[name]
    place %= len(value)
    changed = value[:place] + put_in + value[place + 1 :]
    assume(changed != value)
    assert not accepts(a_request(HEADERS | {name: changed}))


@given(st.sampled_from(list(PRESIGNED)), st.integers(0, 400), TEXT.filter(bool))
@example("X-Amz-Credential", len("TESTACCESSKEY/20261124/u"), "€")
@example("X-Amz-SignedHeaders", 3, "t;€")
@example("X-Amz-Date", 14, "\u0663")
@example("X-Amz-Expires", 0, "9" * 17)
def test_changed_presigned_parameter_is_refused(name: str, place: int, put_in: str) -> None:
    value = PRESIGNED[name]
    place %= len(value)
    changed = value[:place] + put_in + value[place + 1 :]
    assume(changed != value)
    assert not accepts(a_request({"host": "h"}, query=query_text(PRESIGNED | {name: changed})))


@given(TEXT, TEXT, st.sampled_from(["GET", "POST", "DELETE", "HEAD"]))
def test_signature_of_another_request_is_refused(name: str, value: str, method: str) -> None:
    more = query_text({name: value})
    assert not accepts(a_request(HEADERS, method=method))
    assert not accepts(a_request(HEADERS, path="/bucket/a%20name" + quote(name or "x")))
    assert not accepts(a_request(HEADERS, query=f"{QUERY}&{more}")) or more == "="
    assert not accepts(a_request(HEADERS | {"x-amz-copy-source": "bucket/other"}))
    assert not any(
        accepts(a_request({other: HEADERS[other] for other in HEADERS if other != left_out})) for left_out in HEADERS
    )


def chunked(body: bytes, sizes: Iterable[int], form: str) -> tuple[bytes, Signed]:
    """A body in chunks, and the signature that it goes on from."""
    signed = Signed("TESTACCESSKEY", form, "5eed" * 16, SIGNING_KEY, MOMENT, SCOPE)
    encoded, previous = bytearray(), signed.signature

    def signature(kind: str, rest: str) -> str:
        text = f"{kind}\n{MOMENT}\n{SCOPE}\n{previous}\n{rest}"
        return hmac.new(SIGNING_KEY, text.encode(), hashlib.sha256).hexdigest()

    places = [0, *sizes, len(body)]
    for chunk in [*(body[first:last] for first, last in pairwise(places)), b""]:
        if form != UNSIGNED_TRAILER:
            digests = f"{hashlib.sha256(b'').hexdigest()}\n{hashlib.sha256(chunk).hexdigest()}"
            previous = signature("AWS4-HMAC-SHA256-PAYLOAD", digests)
            encoded += f"{len(chunk):x};chunk-signature={previous}\r\n".encode()
        else:
            encoded += f"{len(chunk):x}\r\n".encode()
        encoded += chunk + (b"\r\n" if chunk else b"")
    if form != SIGNED:
        line = f"x-amz-checksum-crc32:{crc32(body)}"
        encoded += f"{line}\r\n".encode()
        if form == SIGNED_TRAILER:
            found = signature("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(f"{line}\n".encode()).hexdigest())
            encoded += f"x-amz-trailer-signature:{found}\r\n".encode()
    return bytes(encoded + b"\r\n"), signed


def crc32(body: bytes) -> str:
    running = ALGORITHMS["crc32"]()
    running.update(body)
    return encode(running.digest())


def decoded(raw: bytes, signed: Signed, length: int, splits: Iterable[int] = ()) -> bytes | None:
    """The body as an operation gets it, when it arrives in pieces; None: it is refused."""
    headers = {"x-amz-decoded-content-length": str(length)}
    headers |= {} if signed.payload_hash == SIGNED else {"x-amz-trailer": "x-amz-checksum-crc32"}
    places = sorted({0, len(raw), *(place % (len(raw) + 1) for place in splits)})
    receive = receiving(raw[first:last] for first, last in pairwise(places))

    async def read() -> bytes:
        return b"".join([piece async for piece in Body(a_request(headers), signed, receive).pieces()])

    return outcome(lambda: asyncio.run(read()))


FORMS: Final = st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])


@given(FORMS, st.integers(1, 40_000), st.lists(st.integers(0, 50_000), max_size=12))
def test_chunked_body_is_the_same_however_it_arrives(form: str, size: int, splits: list[int]) -> None:
    body = random.Random(size).randbytes(size)
    raw, signed = chunked(body, range(8192, size, 8192), form)
    assert decoded(raw, signed, size, splits) == body
    assert decoded(raw[:-1], signed, size, splits) is None
    assert decoded(raw + b"x", signed, size, splits) is None


@given(FORMS, st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_any_chunked_body_is_decoded_or_refused(form: str, raw: bytes, splits: list[int]) -> None:
    _, signed = chunked(b"", (), form)
    assert decoded(raw, signed, len(raw), splits) is None


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_each_flipped_byte_of_a_signed_body_is_noticed(form: str, bit: int) -> None:
    body = random.Random(7).randbytes(0xA5)
    raw, signed = chunked(body, (), form)
    for place in range(len(raw)):
        damaged = raw[:place] + bytes([raw[place] ^ bit]) + raw[place + 1 :]
        found = decoded(damaged, signed, len(body))
        means_the_same = damaged.lower() == raw.lower() and not raw[:place].endswith(b"=")  # hex digits, names of trailers
        assert found is None or (means_the_same and found == body), place
