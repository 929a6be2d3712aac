"""Every wrong combination of key headers, on every operation that takes them: status, code and message.

Source: the tables of refusals in the fact sheet on SSE-C; the table of the profiles.
"""

from support.endpoint import BODY, BUCKET, Endpoint, Outcome
from support.trios import OTHER, WRONG, Trio, answered_case, wrong_trios

from ssecfs.server.profiles import Case

OTHER_ENCRYPTION = {"x-amz-server-side-encryption": "AES256"}


def refusal_of(endpoint: Endpoint, wrong: str) -> Outcome:
    """What an upload with a wrong trio gets."""
    case = answered_case(endpoint.profile, wrong)
    return endpoint.outcome_of(case) if case is not None else (200, "", "")


def read_refusal_of(endpoint: Endpoint, wrong: str) -> Outcome:
    """What a read with a wrong trio gets: there, a length may be as good as another key."""
    case = answered_case(endpoint.profile, wrong)
    return endpoint.outcome_of(Case.BAD_LENGTH_READ) if case is Case.BAD_LENGTH else refusal_of(endpoint, wrong)


def test_upload_with_a_wrong_trio_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    wanted = {wrong: refusal_of(endpoint, wrong) for wrong in WRONG}
    bad = wrong_trios(trio)
    put = {wrong: endpoint.ask("PUT", f"{target}-{number}", bad[wrong].headers(), BODY) for number, wrong in enumerate(WRONG)}
    assert {wrong: answer.outcome for wrong, answer in put.items()} == wanted
    created = {wrong: endpoint.ask("POST", f"{target}?uploads", bad[wrong].headers()) for wrong in WRONG}
    assert {wrong: answer.outcome for wrong, answer in created.items()} == wanted
    stored = endpoint.ask("GET", f"/{BUCKET}?prefix={target.rpartition('/')[2]}").body.count(b"<Key>")
    assert stored == list(wanted.values()).count((200, "", ""))


def test_read_with_a_wrong_trio_is_refused(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    wanted = {wrong: read_refusal_of(endpoint, wrong) for wrong in WRONG}
    headers = {wrong: bad.headers() for wrong, bad in wrong_trios(trio).items()}
    assert {wrong: endpoint.ask("GET", stored, headers[wrong]).outcome for wrong in WRONG} == wanted
    heads = {wrong: endpoint.ask("HEAD", stored, headers[wrong]).status for wrong in WRONG}
    assert heads == {wrong: status for wrong, (status, _, _) in wanted.items()}
    asked = {"x-amz-object-attributes": "ObjectSize"}
    attributes = {wrong: endpoint.ask("GET", f"{stored}?attributes", headers[wrong] | asked).outcome for wrong in WRONG}
    assert attributes == wanted


def test_part_with_a_wrong_trio_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    upload_id = endpoint.ask("POST", f"{target}?uploads", trio.headers()).element("UploadId")
    part = f"{target}?partNumber=1&uploadId={upload_id}"
    found = {wrong: endpoint.ask("PUT", part, bad.headers(), BODY).outcome for wrong, bad in wrong_trios(trio).items()}
    assert found == {wrong: refusal_of(endpoint, wrong) for wrong in WRONG}
    assert endpoint.ask("DELETE", f"{target}?uploadId={upload_id}").status == 204


def test_copy_with_a_wrong_source_trio_is_refused(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    copy = {"x-amz-copy-source": stored}
    found = {
        wrong: endpoint.ask("PUT", f"{stored}-copy", copy | bad.source_headers()).outcome
        for wrong, bad in wrong_trios(trio).items()
    }
    is_copied = endpoint.accepts(Case.COPY_OF_SSEC)
    never = endpoint.outcome_of(Case.COPY_OF_SSEC)
    assert found == {wrong: read_refusal_of(endpoint, wrong) if is_copied else never for wrong in WRONG}


def test_copy_with_a_wrong_target_trio_is_refused(endpoint: Endpoint, plain: str, trio: Trio) -> None:
    copy = {"x-amz-copy-source": plain}
    found = {
        wrong: endpoint.ask("PUT", f"{plain}-copy", copy | bad.headers()).outcome for wrong, bad in wrong_trios(trio).items()
    }
    is_looked_at = endpoint.profile.encrypts_copies
    assert found == {wrong: refusal_of(endpoint, wrong) if is_looked_at else (200, "", "") for wrong in WRONG}


def test_upload_with_two_kinds_of_encryption_is_refused_before_its_algorithm_is_looked_at(
    endpoint: Endpoint, target: str, trio: Trio
) -> None:
    wanted = endpoint.outcome_of(Case.TWO_KINDS)
    assert endpoint.ask("PUT", target, trio.headers() | OTHER_ENCRYPTION, BODY).outcome == wanted
    assert endpoint.ask("POST", f"{target}?uploads", trio.headers() | OTHER_ENCRYPTION).outcome == wanted
    both = WRONG["AES128"][0](trio).headers() | OTHER_ENCRYPTION
    first = Case.BAD_ALGORITHM if endpoint.accepts(Case.TWO_KINDS) else Case.TWO_KINDS
    assert endpoint.ask("PUT", target, both, BODY).outcome == endpoint.outcome_of(first)


def test_copy_with_two_kinds_of_encryption_is_refused(endpoint: Endpoint, plain: str, trio: Trio) -> None:
    headers = {"x-amz-copy-source": plain} | trio.headers() | OTHER_ENCRYPTION
    wanted = endpoint.outcome_of(Case.TWO_KINDS) if endpoint.profile.encrypts_copies else (200, "", "")
    assert endpoint.ask("PUT", f"{plain}-copy", headers).outcome == wanted


def test_read_that_asks_for_another_encryption_is_refused(endpoint: Endpoint, stored: str, plain: str, trio: Trio) -> None:
    wanted = endpoint.outcome_of(Case.SSE_ON_READ)
    assert endpoint.ask("GET", plain, OTHER_ENCRYPTION).outcome == wanted
    assert endpoint.ask("GET", stored, trio.headers() | OTHER_ENCRYPTION).outcome == wanted
    assert endpoint.ask("HEAD", plain, OTHER_ENCRYPTION).status == wanted[0]


def test_read_without_the_key_or_with_another_is_refused(endpoint: Endpoint, stored: str) -> None:
    attributes = {"x-amz-object-attributes": "ETag"}
    for headers, case in (({}, Case.KEYLESS), (OTHER.headers(), Case.WRONG_KEY)):
        wanted = endpoint.outcome_of(case)
        assert endpoint.ask("GET", stored, headers).outcome == wanted
        assert endpoint.ask("GET", stored, {"range": "bytes=0-0"} | headers).outcome[1:] == wanted[1:]
        assert endpoint.ask("HEAD", stored, headers).status == wanted[0]
        assert endpoint.ask("GET", f"{stored}?attributes", headers | attributes).outcome == wanted


def test_empty_object_needs_its_key_too(endpoint: Endpoint, target: str, trio: Trio) -> None:
    assert endpoint.ask("PUT", target, trio.headers()).status == 200
    assert endpoint.ask("GET", target).outcome == endpoint.outcome_of(Case.KEYLESS)
    assert endpoint.ask("GET", target, OTHER.headers()).outcome == endpoint.outcome_of(Case.WRONG_KEY)
    assert endpoint.ask("GET", target, trio.headers()).body == b""


def test_key_for_a_plain_object_is_refused(endpoint: Endpoint, plain: str, trio: Trio) -> None:
    wanted = endpoint.outcome_of(Case.NOT_APPLICABLE)
    assert endpoint.ask("GET", plain, trio.headers()).outcome == wanted
    assert endpoint.ask("HEAD", plain, trio.headers()).status == wanted[0]
    copy = {"x-amz-copy-source": plain} | trio.source_headers()
    assert endpoint.ask("PUT", f"{plain}-copy", copy).outcome == wanted
    assert endpoint.ask("GET", plain).body == BODY


def test_what_is_missing_is_missing_whatever_the_key(endpoint: Endpoint, target: str, trio: Trio) -> None:
    for headers in ({}, trio.headers(), WRONG["AES128"][0](trio).headers()):
        assert endpoint.ask("GET", target, headers).outcome[:2] == (404, "NoSuchKey")
        assert endpoint.ask("HEAD", target, headers).status == 404
        assert endpoint.ask("PUT", "/no-such-bucket/a", headers, BODY).outcome[:2] == (404, "NoSuchBucket")
        assert endpoint.ask("GET", "/no-such-bucket/a", headers).outcome[:2] == (404, "NoSuchBucket")


def test_copy_with_another_source_key_or_none_is_refused(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    for source, case in (({}, Case.KEYLESS), (OTHER.source_headers(), Case.WRONG_KEY)):
        answer = endpoint.ask("PUT", f"{stored}-copy", {"x-amz-copy-source": stored} | source | trio.headers())
        assert answer.outcome == endpoint.outcome_of(case if endpoint.accepts(Case.COPY_OF_SSEC) else Case.COPY_OF_SSEC)


def test_form_with_a_wrong_trio_is_refused(endpoint: Endpoint, object_key: str, trio: Trio) -> None:
    answer = endpoint.post_form(BUCKET, object_key, WRONG["AES128"][0](trio).headers(), BODY)
    assert answer.outcome[:2] == endpoint.outcome_of(Case.BAD_ALGORITHM)[:2]
    assert endpoint.ask("HEAD", f"/{BUCKET}/{object_key}").status == 404
