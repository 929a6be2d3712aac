"""Multipart uploads: the key is bound to the upload, and every part must bring it."""

import random
import re
from dataclasses import dataclass

import pytest
from support.endpoint import BODY, BUCKET, Answer, Endpoint
from support.trios import OTHER, WRONG, Trio

from ssecfs.server.profiles import Case, Echo, ETags, SourceKey

LARGE = random.Random(2).randbytes(5 << 20)
TAIL = b"tail"
SIZE = len(LARGE) + len(TAIL)


@dataclass(frozen=True)
class Upload:
    """An upload in progress."""

    endpoint: Endpoint
    path: str
    trio: Trio | None

    @property
    def headers(self) -> dict[str, str]:
        return self.trio.headers() if self.trio else {}

    def part_path(self, number: int) -> str:
        path, _, query = self.path.partition("?")
        return f"{path}?partNumber={number}&{query}"

    def put(self, number: int, body: bytes) -> tuple[int, str]:
        """Store a part; gives its number and ETag."""
        answer = self.endpoint.ask("PUT", self.part_path(number), self.headers, body)
        assert answer.status == 200
        return number, answer.headers["etag"]

    def copy(self, number: int, source: str, headers: dict[str, str], more: dict[str, str] | None = None) -> Answer:
        return self.endpoint.ask("PUT", self.part_path(number), {"x-amz-copy-source": source} | headers | (more or {}))

    def complete(self, *parts: tuple[int, str], headers: dict[str, str] | None = None) -> Answer:
        entries = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
        document = f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()
        return self.endpoint.ask("POST", self.path, self.headers if headers is None else headers, document)

    def abort(self) -> int:
        return self.endpoint.ask("DELETE", self.path).status


def begin(endpoint: Endpoint, target: str, trio: Trio | None) -> Upload:
    answer = endpoint.ask("POST", f"{target}?uploads", trio.headers() if trio else {})
    assert answer.status == 200
    return Upload(endpoint, f"{target}?uploadId={answer.element('UploadId')}", trio)


@pytest.fixture
def upload(endpoint: Endpoint, target: str, trio: Trio) -> Upload:
    return begin(endpoint, target, trio)


def test_completed_upload_is_read_whole_in_ranges_and_in_parts(
    endpoint: Endpoint, target: str, trio: Trio, upload: Upload
) -> None:
    parts = [upload.put(1, LARGE), upload.put(2, TAIL)]
    completed = upload.complete(*parts)
    assert completed.status == 200
    got = endpoint.ask("GET", target, trio.headers())
    assert got.body == LARGE + TAIL
    assert completed.element("ETag") == (got.headers["etag"] if endpoint.profile.names_completed else "")
    assert re.fullmatch(r'"[0-9a-f]{32}-2"', got.headers["etag"])
    across = endpoint.ask("GET", target, trio.headers() | {"range": f"bytes={len(LARGE) - 2}-{len(LARGE) + 1}"})
    assert (across.status, across.body) == (206, LARGE[-2:] + TAIL[:2])
    second = endpoint.ask("GET", f"{target}?partNumber=2", trio.headers())
    if endpoint.profile.reads_parts:
        shown = [second.headers.get(name) for name in ("content-range", "x-amz-mp-parts-count")]
        assert (second.status, second.body) == (206, TAIL)
        assert shown == [f"bytes {len(LARGE)}-{SIZE - 1}/{SIZE}", "2"]
        third = endpoint.ask("GET", f"{target}?partNumber=3", trio.headers())
        assert third.outcome[:2] == (416, "InvalidPartNumber")
    else:
        assert (second.status, len(second.body)) == (200, SIZE)
    assert endpoint.ask("GET", target).outcome == endpoint.outcome_of(Case.KEYLESS)
    assert endpoint.ask("GET", target, OTHER.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)


def test_part_without_the_key_or_with_another_is_refused(endpoint: Endpoint, target: str, upload: Upload, plain: str) -> None:
    part = upload.part_path(1)
    assert endpoint.ask("PUT", part, {}, BODY).outcome == endpoint.outcome_of(Case.PART_KEY_MISSING)
    assert endpoint.ask("PUT", part, OTHER.headers(), BODY).outcome == endpoint.outcome_of(Case.PART_KEY_OTHER)
    assert upload.copy(1, plain, {}).outcome == endpoint.outcome_of(Case.PART_KEY_MISSING)
    assert upload.copy(1, plain, OTHER.headers()).outcome == endpoint.outcome_of(Case.PART_KEY_OTHER)
    assert upload.abort() == 204


def test_part_with_a_key_where_the_upload_has_none_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    upload = begin(endpoint, target, None)
    answer = endpoint.ask("PUT", upload.part_path(1), trio.headers(), BODY)
    assert answer.outcome == endpoint.outcome_of(Case.PART_KEY_NEEDLESS)
    assert upload.complete(upload.put(1, BODY)).status == 200
    assert endpoint.ask("GET", target).body == BODY


def test_part_is_replaced_by_one_of_the_same_number(endpoint: Endpoint, target: str, trio: Trio, upload: Upload) -> None:
    upload.put(1, b"first try")
    assert upload.complete(upload.put(1, BODY)).status == 200
    assert endpoint.ask("GET", target, trio.headers()).body == BODY


@pytest.mark.parametrize("given", ["none", "another", "AES128"])
def test_completion_needs_no_key_but_a_given_one_must_fit(
    endpoint: Endpoint, target: str, trio: Trio, upload: Upload, given: str
) -> None:
    """A service that looks at no key there takes any."""
    key = {"none": {}, "another": OTHER.headers(), "AES128": WRONG["AES128"][0](trio).headers()}[given]
    case = {"none": None, "another": Case.PART_KEY_OTHER, "AES128": Case.BAD_ALGORITHM}[given]
    completed = upload.complete(upload.put(1, BODY), headers=key)
    is_refused = case is not None and endpoint.profile.checks_completion_key
    assert completed.outcome == (endpoint.outcome_of(case) if case and is_refused else (200, "", ""))
    if completed.status == 200:
        assert endpoint.ask("GET", target, trio.headers()).body == BODY
    else:
        assert upload.abort() == 204


def test_completion_with_wrong_parts_is_refused(upload: Upload) -> None:
    first = upload.put(1, b"too small")
    assert upload.complete((1, '"00000000000000000000000000000000"')).outcome[:2] == (400, "InvalidPart")
    assert upload.complete((2, first[1])).outcome[:2] == (400, "InvalidPart")
    assert upload.complete(first, upload.put(2, TAIL)).outcome[:2] == (400, "EntityTooSmall")
    assert upload.complete().outcome[:2] == (400, "MalformedXML")
    assert upload.abort() == 204


def test_parts_out_of_order_are_refused_or_put_in_order(endpoint: Endpoint, target: str, trio: Trio, upload: Upload) -> None:
    first, second = upload.put(1, LARGE), upload.put(2, TAIL)
    assert upload.complete(second, first).outcome == endpoint.outcome_of(Case.PART_ORDER)
    if endpoint.accepts(Case.PART_ORDER):
        assert endpoint.ask("GET", target, trio.headers()).body == LARGE + TAIL


def test_aborted_upload_is_gone(endpoint: Endpoint, target: str, upload: Upload) -> None:
    """Without a key: there is nothing to read."""
    upload.put(1, BODY)
    assert upload.abort() == 204
    assert endpoint.ask("PUT", upload.part_path(1), upload.headers, BODY).outcome[:2] == (404, "NoSuchUpload")
    assert endpoint.ask("GET", upload.path).status == 404
    assert upload.abort() == 404


def test_uploads_are_listed_without_a_key(endpoint: Endpoint, object_key: str, upload: Upload) -> None:
    answer = endpoint.ask("GET", f"/{BUCKET}?uploads&prefix={object_key}")
    shown = (answer.element("Upload/Key"), f"uploadId={answer.element('Upload/UploadId')}")
    assert shown == (object_key, upload.path.partition("?")[2])
    assert upload.abort() == 204
    assert endpoint.ask("GET", f"/{BUCKET}?uploads&prefix={object_key}").element("Upload/Key") is None


def test_part_is_copied_from_a_plain_object(endpoint: Endpoint, target: str, trio: Trio, upload: Upload, plain: str) -> None:
    answer = upload.copy(1, plain, trio.headers(), {"x-amz-copy-source-range": "bytes=5-8"})
    assert answer.status == 200
    shown = {name: value for name, value in answer.headers.items() if name in trio.echo}
    assert shown == (trio.echo if endpoint.profile.echo is Echo.ALL else {})
    assert upload.complete((1, answer.element("ETag") or "")).status == 200
    assert endpoint.ask("GET", target, trio.headers()).body == BODY[5:9]


def test_part_is_copied_with_both_keys(endpoint: Endpoint, target: str, trio: Trio, upload: Upload) -> None:
    """Or with the target's key for both sides, where the service looks at no other."""
    source, opens = f"{target}-source", OTHER if endpoint.profile.part_copy_key is SourceKey.SOURCE else trio
    assert endpoint.ask("PUT", source, opens.headers(), BODY).status == 200
    answer = upload.copy(1, source, trio.headers(), OTHER.source_headers())
    assert answer.outcome == endpoint.outcome_of(Case.PART_COPY_OF_SSEC)
    if answer.status == 200:
        assert upload.complete((1, answer.element("ETag") or "")).status == 200
        assert endpoint.ask("GET", target, trio.headers()).body == BODY


def test_part_is_not_copied_with_a_key_that_does_not_fit(endpoint: Endpoint, target: str, trio: Trio, upload: Upload) -> None:
    """Neither the target's, where the source's is looked at, nor the other way round."""
    looks_at_source = endpoint.profile.part_copy_key is SourceKey.SOURCE
    source = f"{target}-source"
    assert endpoint.ask("PUT", source, (trio if looks_at_source else OTHER).headers(), BODY).status == 200
    answer = upload.copy(1, source, trio.headers(), OTHER.source_headers())
    refused = Case.WRONG_KEY if endpoint.accepts(Case.PART_COPY_OF_SSEC) else Case.PART_COPY_OF_SSEC
    assert answer.outcome == endpoint.outcome_of(refused)
    assert upload.abort() == 204


def test_part_is_not_copied_from_a_range_that_makes_no_sense(upload: Upload, plain: str, trio: Trio) -> None:
    for text in ("5-8", "bytes=5"):
        answer = upload.copy(1, plain, trio.headers(), {"x-amz-copy-source-range": text})
        assert answer.outcome[:2] == (400, "InvalidArgument"), text
    assert upload.abort() == 204


def test_etag_of_parts_is_of_the_profiles_kind(endpoint: Endpoint, upload: Upload) -> None:
    is_md5 = endpoint.profile.etags is ETags.MD5
    assert (upload.put(1, BODY)[1] == upload.put(1, BODY)[1]) == is_md5
    assert upload.abort() == 204
