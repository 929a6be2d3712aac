"""Ranges and parts of an SSE-C object."""

import random

import pytest
from support.endpoint import BUCKET, Endpoint
from support.trios import Trio

from ssecfs.server.profiles import Case

LARGE = random.Random(1).randbytes(300_001)
"""More than one of the blocks in which servers encrypt."""


@pytest.fixture
def large(endpoint: Endpoint, target: str, trio: Trio) -> str:
    assert endpoint.ask("PUT", target, trio.headers(), LARGE).status == 200
    return target


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=15-16", 15, 17),
        ("bytes=4095-4096", 4095, 4097),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=100-250000", 100, 250_001),
        ("bytes=300000-", 300_000, 300_001),
        ("bytes=-5", 299_996, 300_001),
        ("bytes=-999999", 0, 300_001),
        ("bytes=299999-999999", 299_999, 300_001),
    ],
)
def test_range_is_exact(endpoint: Endpoint, large: str, trio: Trio, text: str, start: int, stop: int) -> None:
    answer = endpoint.ask("GET", large, trio.headers() | {"range": text})
    assert (answer.status, answer.body) == (206, LARGE[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"
    head = endpoint.ask("HEAD", large, trio.headers() | {"range": text})
    assert (head.status, head.headers["content-length"]) == (206, str(stop - start))


def test_range_behind_the_end_is_refused(endpoint: Endpoint, large: str, target: str, trio: Trio) -> None:
    assert endpoint.ask("GET", large, trio.headers() | {"range": "bytes=300001-"}).outcome[:2] == (416, "InvalidRange")
    assert endpoint.ask("PUT", f"{target}-empty", trio.headers()).status == 200
    empty = endpoint.ask("GET", f"{target}-empty", trio.headers() | {"range": "bytes=0-0"})
    assert empty.outcome[:2] == (416, "InvalidRange")


def test_several_ranges_get_the_whole_object_or_the_first(endpoint: Endpoint, large: str, trio: Trio) -> None:
    answer = endpoint.ask("GET", large, trio.headers() | {"range": "bytes=0-1,5-6"})
    wanted = (206, LARGE[:2]) if endpoint.profile.takes_first_range else (200, LARGE)
    assert (answer.status, answer.body) == wanted


def test_part_number_of_a_single_upload_is_one(endpoint: Endpoint, large: str, trio: Trio) -> None:
    """A service that does not know part numbers gives the whole object."""
    answer = endpoint.ask("GET", f"{large}?partNumber=1", trio.headers())
    assert (answer.status, answer.body) == (206 if endpoint.profile.reads_parts else 200, LARGE)
    other = endpoint.ask("GET", f"{large}?partNumber=2", trio.headers())
    assert other.outcome[:2] == ((416, "InvalidPartNumber") if endpoint.profile.reads_parts else (200, ""))


def test_what_is_not_there_has_no_range(endpoint: Endpoint, target: str, trio: Trio) -> None:
    assert endpoint.ask("GET", f"{target}-missing", trio.headers() | {"range": "bytes=0-0"}).outcome[:2] == (404, "NoSuchKey")


def test_names_of_any_kind_are_kept(endpoint: Endpoint, object_key: str, trio: Trio) -> None:
    for name in ("a%20b", "%C3%BC", "a%2Bb", "a//b", "a%3Fb%26c", "a%25b", "./x", "~tilde"):
        path = f"/{BUCKET}/{object_key}/{name}"
        assert endpoint.ask("PUT", path, trio.headers(), name.encode()).status == 200, name
        assert endpoint.ask("GET", path, trio.headers()).body == name.encode()
        assert endpoint.ask("GET", path).outcome == endpoint.outcome_of(Case.KEYLESS)
