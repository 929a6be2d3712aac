"""Copies of whole objects: opened with the source's key, sealed with the target's, where the service does so."""

import hashlib
import re

from support.endpoint import BODY, Endpoint
from support.trios import OTHER, Trio

from ssecfs.server.profiles import Case, Echo, ETags

MD5 = hashlib.md5(BODY).hexdigest()


def test_copy_opens_with_the_target_key_only(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    copy = {"x-amz-copy-source": stored} | trio.source_headers() | OTHER.headers()
    answer = endpoint.ask("PUT", f"{stored}-copy", copy)
    assert answer.outcome == endpoint.outcome_of(Case.COPY_OF_SSEC)
    if not endpoint.accepts(Case.COPY_OF_SSEC):
        assert endpoint.ask("HEAD", f"{stored}-copy", OTHER.headers()).status == 404
        return
    got = endpoint.ask("GET", f"{stored}-copy", OTHER.headers())
    assert (got.body, got.headers["etag"]) == (BODY, answer.element("ETag"))
    assert endpoint.ask("GET", f"{stored}-copy", trio.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)
    assert endpoint.ask("GET", stored, trio.headers()).body == BODY


def test_copy_shows_the_target_key_and_has_an_etag_of_its_own(endpoint: Endpoint, plain: str) -> None:
    """Where copies are plain, no key is shown."""
    answer = endpoint.ask("PUT", f"{plain}-copy", {"x-amz-copy-source": plain} | OTHER.headers())
    shown = {name: value for name, value in answer.headers.items() if name in OTHER.echo}
    assert shown == (OTHER.echo if endpoint.profile.echo is Echo.ALL else {})
    etag, quote = answer.element("ETag") or "", '"' if endpoint.profile.quotes_copied else ""
    assert re.fullmatch(f"{quote}[0-9a-f]{{32}}{quote}", etag)
    is_random = endpoint.profile.encrypts_copies and endpoint.profile.etags is ETags.RANDOM
    assert (etag.strip('"') != MD5) == is_random


def test_plain_object_is_copied_under_a_key(endpoint: Endpoint, plain: str) -> None:
    """A service that looks at no key on copies leaves the copy readable for everybody."""
    assert endpoint.ask("PUT", f"{plain}-copy", {"x-amz-copy-source": plain} | OTHER.headers()).status == 200
    keyless = endpoint.ask("GET", f"{plain}-copy")
    assert keyless.outcome == (endpoint.outcome_of(Case.KEYLESS) if endpoint.profile.encrypts_copies else (200, "", ""))
    assert endpoint.ask("GET", f"{plain}-copy", OTHER.headers()).body == BODY


def test_copy_without_a_target_key_is_plain(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    answer = endpoint.ask("PUT", f"{stored}-copy", {"x-amz-copy-source": stored} | trio.source_headers())
    assert answer.outcome == endpoint.outcome_of(Case.COPY_OF_SSEC)
    if endpoint.accepts(Case.COPY_OF_SSEC):
        got = endpoint.ask("GET", f"{stored}-copy")
        assert (got.body, got.headers["etag"]) == (BODY, f'"{MD5}"')


def test_copy_onto_itself_changes_the_key(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    rekey = {"x-amz-copy-source": stored} | trio.source_headers() | OTHER.headers()
    is_done = endpoint.ask("PUT", stored, rekey).status == 200
    assert is_done == (endpoint.accepts(Case.COPY_OF_SSEC) and endpoint.profile.encrypts_copies)
    assert endpoint.ask("GET", stored, (OTHER if is_done else trio).headers()).body == BODY


def test_copy_onto_itself_without_a_change_is_refused(endpoint: Endpoint, plain: str) -> None:
    assert endpoint.ask("PUT", plain, {"x-amz-copy-source": plain}).outcome == (
        400,
        "InvalidRequest",
        (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        ),
    )


def test_copy_keeps_the_metadata_or_replaces_it(endpoint: Endpoint, target: str) -> None:
    source = {"x-amz-copy-source": target}
    assert endpoint.ask("PUT", target, {"x-amz-meta-a": "1", "content-type": "text/x-a"}, BODY).status == 200
    assert endpoint.ask("PUT", f"{target}-kept", source | {"x-amz-meta-b": "2"}).status == 200
    replaced = source | {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2", "content-type": "text/x-b"}
    for path in (f"{target}-replaced", target):
        assert endpoint.ask("PUT", path, replaced).status == 200
    names = ("x-amz-meta-a", "x-amz-meta-b", "content-type")
    shown = {
        path.removeprefix(target): tuple(endpoint.ask("HEAD", path).headers.get(name) for name in names)
        for path in (f"{target}-kept", f"{target}-replaced", target)
    }
    assert shown == {"-kept": ("1", None, "text/x-a"), "-replaced": (None, "2", "text/x-b"), "": (None, "2", "text/x-b")}


def test_missing_source_is_missing(endpoint: Endpoint, target: str, trio: Trio) -> None:
    copy = {"x-amz-copy-source": f"{target}-missing"} | trio.source_headers() | trio.headers()
    assert endpoint.ask("PUT", target, copy).outcome[:2] == (404, "NoSuchKey")
    elsewhere = {"x-amz-copy-source": "/no-such-bucket/a"}
    assert endpoint.ask("PUT", target, elsewhere).outcome[:2] == (404, "NoSuchBucket")


def test_source_name_is_percent_encoded_with_or_without_a_slash_in_front(endpoint: Endpoint, target: str) -> None:
    source = f"{target}/a%20%C3%BC%2B"
    assert endpoint.ask("PUT", source, {}, BODY).status == 200
    for form in (source, source.removeprefix("/")):
        assert endpoint.ask("PUT", f"{target}-copy", {"x-amz-copy-source": form}).status == 200
