"""Conditional requests: what holds, what does not, and where a service looks at conditions at all.

Source: the table of conditional requests in the fact sheet on SSE-C. A condition that an upload brings is answered before the
upload is stored; where the profile says that a request has no conditions, it is served as if it had none.
"""

import pytest
from support.endpoint import BODY, Endpoint, Outcome
from support.trios import Trio

from ssecfs.server.profiles import Case, Write

OTHER_ETAG = '"00000000000000000000000000000000"'
PAST, FUTURE = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
DONE: Outcome = (200, "", "")
FAILED = (412, "PreconditionFailed")


def wanted_of(endpoint: Endpoint, write: Write, wanted: tuple[int, str]) -> tuple[int, str]:
    """What a request gets whose condition is answered with wanted, where conditions are looked at."""
    return wanted if write in endpoint.profile.conditional else (204 if write is Write.DELETE else 200, "")


class Writer:
    """Makes an object in one of three ways, with a condition."""

    def __init__(self, endpoint: Endpoint, path: str, source: str, trio: Trio | None, write: Write) -> None:
        self.endpoint, self.path, self.source, self.write = endpoint, path, source, write
        self.headers = trio.headers() if trio else {}
        self.is_sealed = trio is not None

    def __call__(self, **condition: str) -> tuple[int, str]:
        """Status and code."""
        headers = {name.replace("_", "-"): value for name, value in condition.items()}
        if self.write is Write.COPY:
            headers |= self.headers | {"x-amz-copy-source": self.source}
            return self.endpoint.ask("PUT", self.path, headers).outcome[:2]
        if self.write is Write.PUT:
            return self.endpoint.ask("PUT", self.path, headers | self.headers, BODY).outcome[:2]
        upload_id = self.endpoint.ask("POST", f"{self.path}?uploads", self.headers).element("UploadId")
        part = f"{self.path}?partNumber=1&uploadId={upload_id}"
        etag = self.endpoint.ask("PUT", part, self.headers, BODY).headers["etag"]
        entry = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{entry}</CompleteMultipartUpload>".encode()
        return self.endpoint.ask("POST", f"{self.path}?uploadId={upload_id}", headers | self.headers, document).outcome[:2]

    def wanted(self, wanted: tuple[int, str]) -> tuple[int, str]:
        """What a condition gets that is answered with wanted where it is looked at."""
        if self.write not in self.endpoint.profile.conditional:
            return 200, ""
        if self.is_sealed and not self.endpoint.accepts(Case.CONDITION_ON_SSEC):
            return self.endpoint.outcome_of(Case.CONDITION_ON_SSEC)[:2]
        return wanted

    def etag(self) -> str:
        """The ETag that the object has now."""
        return self.endpoint.ask("HEAD", self.path, self.headers).headers["etag"]


@pytest.fixture(params=["PutObject", "PutObject, key", "CompleteMultipartUpload", "CompleteMultipartUpload, key", "CopyObject"])
def writer(request: pytest.FixtureRequest, endpoint: Endpoint, target: str, plain: str, trio: Trio) -> Writer:
    """Copies are made without a key: whether they are sealed differs by itself."""
    name, _, key = request.param.partition(", ")
    return Writer(endpoint, target, plain, trio if key else None, Write(name))


def test_new_object_is_made_only_if_there_is_none(writer: Writer) -> None:
    assert writer(if_none_match="*") == writer.wanted((200, ""))
    assert writer() == (200, "")
    assert writer(if_none_match="*") == writer.wanted(FAILED)


def test_object_is_replaced_only_if_it_is_the_expected_one(writer: Writer) -> None:
    endpoint = writer.endpoint
    assert writer() == (200, "")
    assert writer(if_match=OTHER_ETAG) == writer.wanted(FAILED)
    assert writer(if_match=writer.etag().strip('"')) == writer.wanted((200, ""))
    assert writer(if_match=writer.etag()) == writer.wanted((200, "") if endpoint.profile.unquotes_etags else FAILED)


def test_object_that_is_not_there_does_not_match(writer: Writer) -> None:
    assert writer(if_match=OTHER_ETAG) == writer.wanted(writer.endpoint.outcome_of(Case.MATCH_MISSING)[:2])


def test_conditions_of_odd_form_get_their_answers(writer: Writer) -> None:
    endpoint = writer.endpoint
    assert writer() == (200, "")
    assert writer(if_match="*") == writer.wanted(endpoint.outcome_of(Case.MATCH_ANY)[:2])
    own = FAILED if endpoint.accepts(Case.NONE_MATCH_ETAG) else endpoint.outcome_of(Case.NONE_MATCH_ETAG)[:2]
    assert writer(if_none_match=writer.etag().strip('"')) == writer.wanted(own)
    both = FAILED if endpoint.accepts(Case.TWO_CONDITIONS) else endpoint.outcome_of(Case.TWO_CONDITIONS)[:2]
    is_looked_at = writer.write in endpoint.profile.conditional
    assert writer(if_match=writer.etag().strip('"'), if_none_match="*") == (both if is_looked_at else (200, ""))


@pytest.mark.parametrize("change", ["deleted", "replaced by the same"])
def test_completion_conflicts_with_what_happened_since_its_upload_began(
    endpoint: Endpoint, target: str, trio: Trio, change: str
) -> None:
    conflict = (409, "ConditionalRequestConflict")
    assert endpoint.ask("PUT", target, {}, BODY).status == 200
    etag = endpoint.ask("HEAD", target).headers["etag"]
    upload_id = endpoint.ask("POST", f"{target}?uploads").element("UploadId")
    part = endpoint.ask("PUT", f"{target}?partNumber=1&uploadId={upload_id}", {}, BODY).headers["etag"]
    if change == "deleted":
        assert endpoint.ask("DELETE", target).status == 204
        condition = {"if-none-match": "*"}
    else:
        assert endpoint.ask("PUT", target, {}, BODY).status == 200
        condition = {"if-match": etag}
    entry = f"<Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{entry}</CompleteMultipartUpload>".encode()
    completed = endpoint.ask("POST", f"{target}?uploadId={upload_id}", condition, document)
    assert completed.outcome[:2] == wanted_of(endpoint, Write.COMPLETE, conflict)


def test_object_is_deleted_only_if_it_is_the_expected_one(endpoint: Endpoint, stored: str, trio: Trio) -> None:
    etag = endpoint.ask("HEAD", stored, trio.headers()).headers["etag"]
    deleted = endpoint.ask("DELETE", stored, {"if-match": OTHER_ETAG}).outcome[:2]
    assert deleted == wanted_of(endpoint, Write.DELETE, FAILED)
    assert endpoint.ask("DELETE", stored, {"if-match": etag}).outcome[:2] == wanted_of(endpoint, Write.DELETE, (204, ""))
    assert endpoint.ask("HEAD", stored, trio.headers()).status == 404
    assert endpoint.ask("PUT", stored, trio.headers(), BODY).status == 200
    assert endpoint.ask("DELETE", stored, {"if-match": "*"}).status == 204
    assert endpoint.ask("HEAD", stored, trio.headers()).status == 404


def test_deletion_knows_no_other_conditions(endpoint: Endpoint, stored: str) -> None:
    ignored = any("x-amz-if-match-size".startswith(name) for name in endpoint.profile.unknown_headers)
    wanted = (204, "") if ignored else (501, "NotImplemented")
    assert endpoint.ask("DELETE", stored, {"x-amz-if-match-size": "1"}).outcome[:2] == wanted


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"if-match": "ETAG"}, 200),
        ({"if-match": OTHER_ETAG}, 412),
        ({"if-none-match": OTHER_ETAG}, 200),
        ({"if-none-match": "ETAG"}, 304),
        ({"if-unmodified-since": FUTURE}, 200),
        ({"if-unmodified-since": PAST}, 412),
        ({"if-modified-since": PAST}, 200),
        ({"if-modified-since": "DATE"}, 304),
        ({"if-match": "ETAG", "if-unmodified-since": PAST}, 200),
        ({"if-none-match": "ETAG", "if-modified-since": PAST}, 304),
    ],
)
def test_read_is_conditional(endpoint: Endpoint, stored: str, trio: Trio, conditions: dict[str, str], status: int) -> None:
    head = endpoint.ask("HEAD", stored, trio.headers())
    known = {"ETAG": head.headers["etag"], "DATE": head.headers["last-modified"]}
    given = trio.headers() | {name: known.get(value, value) for name, value in conditions.items()}
    answer = endpoint.ask("GET", stored, given)
    assert (answer.status, answer.body if status != 412 else b"") == (status, BODY if status == 200 else b"")
    assert answer.error.get("Code", "") == ("PreconditionFailed" if status == 412 else "")
    assert endpoint.ask("HEAD", stored, given).status == status


def test_condition_that_holds_opens_nothing(endpoint: Endpoint, stored: str) -> None:
    assert endpoint.ask("GET", stored, {"if-none-match": OTHER_ETAG}).outcome == endpoint.outcome_of(Case.KEYLESS)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"if-match": "ETAG"}, True),
        ({"if-match": OTHER_ETAG}, False),
        ({"if-none-match": OTHER_ETAG}, True),
        ({"if-none-match": "ETAG"}, False),
        ({"if-unmodified-since": FUTURE}, True),
        ({"if-unmodified-since": PAST}, False),
        ({"if-modified-since": PAST}, True),
    ],
)
def test_copy_puts_conditions_on_its_source(endpoint: Endpoint, plain: str, condition: dict[str, str], holds: bool) -> None:
    etag = endpoint.ask("HEAD", plain).headers["etag"]
    headers = {f"x-amz-copy-source-{name}": etag if value == "ETAG" else value for name, value in condition.items()}
    is_unknown = "x-amz-copy-source-if-" in endpoint.profile.unknown_headers
    wanted = (200, "") if holds or is_unknown else FAILED
    assert endpoint.ask("PUT", f"{plain}-copy", headers | {"x-amz-copy-source": plain}).outcome[:2] == wanted
    upload_id = endpoint.ask("POST", f"{plain}-parts?uploads").element("UploadId")
    part = f"{plain}-parts?partNumber=1&uploadId={upload_id}"
    assert endpoint.ask("PUT", part, headers | {"x-amz-copy-source": plain}).outcome[:2] == wanted
    assert endpoint.ask("DELETE", f"{plain}-parts?uploadId={upload_id}").status == 204
