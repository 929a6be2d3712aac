"""Generated texts and documents, right and wrong: an S3 error or the right value, nothing else."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ssecfs.server.conditions import check_read
from ssecfs.server.errors import NotModified, S3Error, error_document
from ssecfs.server.faults import FaultKind, FaultTextError, parse_fault
from ssecfs.server.formaccess import _headers
from ssecfs.server.forms import MAX_FIELDS_BYTES, Form
from ssecfs.server.policies import parse_policy
from ssecfs.server.records import delete_marker
from ssecfs.server.request import Request, parse_range
from ssecfs.server.tags import tags_of_document, tags_of_header
from ssecfs.server.xml import parse_document

NOW_S: Final = 1_790_000_000.0


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


@given(st.text() | st.from_regex(r"bytes=[0-9]*-[0-9]*", fullmatch=True), st.integers(0, 10**12))
@example("bytes=0-" + "9" * 5000, 10)
@example("bytes=-0", 10)
@example("bytes=\u0663-", 10)
def test_range_lies_in_the_object(text: str, size: int) -> None:
    found = outcome(lambda: parse_range(text, size))
    assert found is None or 0 <= found[0] < found[1] <= size


@given(st.text() | st.lists(st.tuples(st.text(), st.text())).map(urlencode))
def test_tags_of_header_are_few_and_short(text: str) -> None:
    tags = outcome(lambda: tags_of_header(text)) or {}
    assert len(tags) <= 10
    assert all(0 < len(name) <= 128 and len(value) <= 256 for name, value in tags.items())


XML: Final = st.binary(max_size=200) | st.builds(
    lambda encoding, text: f'<?xml version="1.0" encoding="{encoding}"?><Tagging><TagSet>{text}</TagSet></Tagging>'.encode(),
    st.sampled_from(["UTF-8", "utf-16", "utf-7", "idna", "undefined", "rot13", "big5", "\u20ac"]),
    st.text(max_size=40) | st.sampled_from(["<Tag><Key>a</Key></Tag>", "<Tag/>", "<Tag><Key>&x;</Key></Tag>", "<a>" * 50_000]),
)


@given(XML)
@example(b'<!DOCTYPE Tagging [<!ENTITY a "b">]><Tagging><TagSet>&a;</TagSet></Tagging>')
@example(b'<!DOCTYPE Tagging SYSTEM "file:///etc/passwd"><Tagging><TagSet/></Tagging>')
def test_any_document_is_parsed_or_refused(content: bytes) -> None:
    element = outcome(lambda: parse_document(content, "Tagging"))
    assert element is None or element.tag == "Tagging"
    assert outcome(lambda: tags_of_document(content)) in ([], None)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(JSON | st.lists(st.tuples(st.sampled_from(["eq", "content-length-range"]), JSON, JSON)), st.text(max_size=30))
@example([["content-length-range", 0, float("inf")]], "2030-01-01T00:00:00Z")
@example([["eq", "$\ud800", "\x01"]], "2030-01-01T00:00:00Z")
@example([["content-length-range", 0, "9" * 5000]], "2030-01-01T00:00:00Z")
def test_any_policy_is_parsed_or_refused(conditions: Any, expiration: str) -> None:
    for expires in (expiration, "2030-01-01T00:00:00Z"):
        encoded = base64.b64encode(json.dumps({"expiration": expires, "conditions": conditions}).encode()).decode()
        outcome(lambda text=encoded: parse_policy(text, NOW_S).check({"key": "a"}))
    assert outcome(lambda: parse_policy(expiration, NOW_S)) is None


def read_form(raw: bytes, splits: Iterable[int]) -> tuple[dict[str, str], bytes]:
    places = sorted({0, len(raw), *(place % (len(raw) + 1) for place in splits)})

    async def read() -> tuple[dict[str, str], bytes]:
        form = Form("multipart/form-data; boundary=xx", receiving(raw[first:last] for first, last in pairwise(places)))
        fields, file = dict(await form.read_fields()), b""
        while (piece := await form.next()) is not None:
            file += piece
        return fields, file

    return asyncio.run(read())


def form_text(fields: dict[str, str], file: bytes) -> bytes:
    parts = [
        f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()
    ]
    return b"".join(parts) + b'--xx\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + file + b"\r\n--xx--\r\n"


SPLITS: Final = st.lists(st.integers(0, 2000), max_size=8)


@given(
    st.dictionaries(st.sampled_from(["key", "policy", "x-amz-meta-a"]), st.text()),
    st.binary(max_size=300),
    SPLITS,
    st.integers(0, 2000),
)
def test_form_is_the_same_however_it_arrives_and_never_cut_off(
    fields: dict[str, str], file: bytes, splits: list[int], cut: int
) -> None:
    assume(not any("--xx" in value for value in fields.values()) and b"--xx" not in file)
    raw = form_text(fields, file)
    assert read_form(raw, splits) == (fields, file)
    shorter = raw[: cut % (len(raw) - len("--\r\n"))]
    assert outcome(lambda: read_form(shorter, splits)) is None


@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda rest: b'--xx\r\nContent-Disposition: form-data; name="file"' + rest),
    SPLITS,
)
@example(b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * (MAX_FIELDS_BYTES + 1), [])
def test_any_form_is_parsed_or_refused(raw: bytes, splits: list[int]) -> None:
    found = outcome(lambda: read_form(raw, splits))
    assert found is None or len(found[1]) < len(raw)


@given(st.dictionaries(st.text(max_size=5).map(lambda name: f"x-amz-meta-{name}"), st.text(max_size=20)))
@example({"x-amz-meta-a": "a\r\nset-cookie: b"})
@example({"x-amz-meta-\u20ac": "a"})
def test_fields_of_a_form_become_headers_that_can_be_sent(fields: dict[str, str]) -> None:
    headers = outcome(lambda: _headers(fields)) or {}
    assert all(name.isascii() and value.encode("latin-1").decode() == fields[name] for name, value in headers.items())


@given(st.text(max_size=40))
@example("Mon, 01 Jan 2001 00:00:00 +99999999999999999999")
@example("Mon, 01 Jan 0001 00:00:00 -0000")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_condition_with_any_date_is_answered(text: str) -> None:
    for name in ("if-modified-since", "if-unmodified-since"):
        request = Request("GET", "/", (), {name: text}, "bucket", "a", is_secure=True)
        with suppress(NotModified):
            assert outcome(lambda asked=request: check_read(asked, delete_marker("bucket", "a", "null", 1, 10**12))) is None


@given(
    st.text(max_size=40)
    | st.builds(
        "{}={},every={}".format, st.sampled_from([kind.value for kind in FaultKind]), st.text(max_size=6), st.text(max_size=6)
    )
)
def test_any_fault_is_parsed_or_refused(text: str) -> None:
    with suppress(FaultTextError):
        fault = parse_fault(text)
        assert 0 <= fault.value < float("inf")
        assert fault.every > 0


@pytest.mark.parametrize("text", ["latency=nan", "throttle=inf", "reset,every=" + "9" * 5000, "short,count=0", "status=42"])
def test_fault_with_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FaultTextError, match=text.partition("=")[0]):
        parse_fault(text)
