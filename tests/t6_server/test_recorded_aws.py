"""Answers that were recorded of AWS, as tables: what the profile ``aws`` must say to the letter.

Source: the rows of the fact sheet on SSE-C that are marked as recorded. The texts stand here once more on purpose: they are
what was recorded, whatever the profile table says.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import pytest
from support.endpoint import BODY, BUCKET, Answer, Endpoint
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_server
from support.trios import MD5_ECHO, OTHER, SHORT, WRONG, Trio, base64_of, right_trio

from ssecfs.server.profiles import PROFILES
from ssecfs.ssec import CustomerKey

PROVIDED: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "
INCOMPATIBLE: Final = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
ALGORITHM: Final = "The Encryption request you specified is not valid. Supported value: AES256."
BAD_MD5: Final = "The calculated MD5 hash of the key did not match the hash that was provided."
KEYLESS: Final = (
    "The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object."
)
PART_KEY: Final = (
    "The multipart upload initiate requested encryption. "
    "Subsequent part requests must include the appropriate encryption parameters."
)
ILLEGAL_COPY: Final = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
    "storage class, website redirect location or encryption attributes."
)
UNMET: Final = "At least one of the pre-conditions you specified did not hold"
UNIMPLEMENTED: Final = "A header you provided implies functionality that is not implemented"
OWN: Final = {"x-amz-server-side-encryption": "AES256"}
HEADER: Final = "x-amz-server-side-encryption"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    directory, credentials = tmp_path_factory.mktemp("recorded") / "server", (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    with (
        s3_server(directory, "--profile", "aws", buckets=()) as server,
        closing(Endpoint(server.url, server.ca_bundle, credentials, PROFILES["aws"])) as endpoint,
    ):
        endpoint.make_bucket(BUCKET)
        yield endpoint


@pytest.fixture
def trio(customer_key: CustomerKey) -> Trio:
    return right_trio(customer_key.reveal_bytes())


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"/{BUCKET}/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"


@pytest.fixture
def sealed(aws: Endpoint, path: str, trio: Trio) -> str:
    assert aws.ask("PUT", path, trio.headers(), BODY).status == 200
    return path


@pytest.fixture
def plain(aws: Endpoint, path: str) -> str:
    assert aws.ask("PUT", f"{path}-plain", {}, BODY).status == 200
    return f"{path}-plain"


def wrong(name: str) -> Callable[[Trio], dict[str, str]]:
    return lambda trio: WRONG[name][0](trio).headers()


def told(answer: Answer, *names: str) -> tuple[Any, ...]:
    """Status, and the elements of the error that are asked for."""
    return answer.status, *(answer.error.get(name) for name in names)


UPLOADS: Final[dict[str, tuple[Callable[[Trio], dict[str, str]], tuple[str, str, str | None]]]] = {
    "two kinds": (lambda trio: trio.headers() | OWN, ("InvalidArgument", INCOMPATIBLE, "AES256")),
    "two kinds, AES128": (lambda trio: wrong("AES128")(trio) | OWN, ("InvalidArgument", INCOMPATIBLE, "AES256")),
    "AES128": (wrong("AES128"), ("InvalidEncryptionAlgorithmError", ALGORITHM, "AES128")),
    "no algorithm": (wrong("no algorithm"), ("InvalidArgument", f"{PROVIDED}a valid encryption algorithm.", None)),
    "MD5 alone": (wrong("MD5 alone"), ("InvalidArgument", f"{PROVIDED}a valid encryption algorithm.", None)),
    "no key": (wrong("no key"), ("InvalidArgument", f"{PROVIDED}an appropriate secret key.", None)),
    "no MD5": (wrong("no MD5"), ("InvalidArgument", f"{PROVIDED}the client calculated MD5 of the secret key.", None)),
    "31 bytes": (wrong("31 bytes"), ("InvalidArgument", "The secret key was invalid for the specified algorithm.", None)),
    "MD5 of another": (wrong("MD5 of another key"), ("InvalidArgument", BAD_MD5, None)),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_upload_is_refused_as_recorded(aws: Endpoint, path: str, trio: Trio, name: str) -> None:
    make, (code, message, value) = UPLOADS[name]
    answer = aws.ask("PUT", path, make(trio), BODY)
    wanted = (400, code, message, HEADER, value)
    assert told(answer, "Code", "Message", "ArgumentName", "ArgumentValue") == wanted


def test_error_documents_have_the_recorded_form(aws: Endpoint, path: str, trio: Trio) -> None:
    answer = aws.ask("PUT", path, wrong("AES128")(trio), BODY)
    assert answer.headers["content-type"] == "application/xml"
    assert list(answer.error)[:4] == ["Code", "Message", "ArgumentName", "ArgumentValue"]
    assert {"RequestId", "HostId"} <= set(answer.error)
    assert aws.ask("HEAD", path, wrong("AES128")(trio)).body == b""


READS: Final[dict[str, tuple[Callable[[Trio], dict[str, str]], tuple[int, str, str]]]] = {
    "AES128": (wrong("AES128"), (400, "InvalidEncryptionAlgorithmError", ALGORITHM)),
    "no algorithm": (wrong("no algorithm"), (400, "InvalidArgument", f"{PROVIDED}a valid encryption algorithm.")),
    "no key": (wrong("no key"), (400, "InvalidArgument", f"{PROVIDED}an appropriate secret key.")),
    "encoded twice": (wrong("encoded twice"), (403, "AccessDenied", f"{PROVIDED}the correct secret key.")),
    "keyless": (lambda _: {}, (400, "InvalidRequest", KEYLESS)),
    "another key": (lambda _: OTHER.headers(), (403, "AccessDenied", f"{PROVIDED}the correct secret key.")),
}


@pytest.mark.parametrize("name", READS)
def test_read_is_refused_as_recorded(aws: Endpoint, sealed: str, trio: Trio, name: str) -> None:
    make, wanted = READS[name]
    assert aws.ask("GET", sealed, make(trio)).outcome == wanted
    assert aws.ask("HEAD", sealed, make(trio)).outcome == (wanted[0], "", "")


def test_wrong_algorithm_is_named_on_reads_attributes_and_copies(aws: Endpoint, sealed: str, plain: str, trio: Trio) -> None:
    bad = WRONG["AES128"][0](trio)
    answers = [
        aws.ask("GET", sealed, bad.headers()),
        aws.ask("GET", f"{sealed}?attributes", bad.headers() | {"x-amz-object-attributes": "ETag"}),
        aws.ask("PUT", f"{sealed}-copy", {"x-amz-copy-source": sealed} | bad.source_headers()),
        aws.ask("PUT", f"{sealed}-copy", {"x-amz-copy-source": plain} | bad.headers()),
    ]
    told_of_each = [told(answer, "Code", "Message", "ArgumentName", "ArgumentValue") for answer in answers]
    assert told_of_each == [(400, "InvalidEncryptionAlgorithmError", ALGORITHM, HEADER, "AES128")] * 4


def test_copies_are_refused_as_recorded(aws: Endpoint, sealed: str, plain: str, trio: Trio) -> None:
    copy = {"x-amz-copy-source": sealed}
    keyless = aws.ask("PUT", f"{sealed}-copy", copy | trio.headers())
    assert keyless.outcome == (400, "InvalidRequest", KEYLESS)
    other = aws.ask("PUT", f"{sealed}-copy", copy | OTHER.source_headers() | trio.headers())
    assert other.outcome == (403, "AccessDenied", f"{PROVIDED}the correct secret key.")
    both = aws.ask("PUT", f"{sealed}-copy", {"x-amz-copy-source": plain} | trio.headers() | OWN)
    told_of_both = told(both, "Code", "Message", "ArgumentName", "ArgumentValue")
    assert told_of_both == (400, "InvalidArgument", INCOMPATIBLE, HEADER, "AES256")
    assert aws.ask("PUT", plain, {"x-amz-copy-source": plain}).outcome == (400, "InvalidRequest", ILLEGAL_COPY)


def test_copy_without_a_target_key_is_under_the_servers_own(aws: Endpoint, sealed: str, trio: Trio) -> None:
    copied = aws.ask("PUT", f"{sealed}-copy", {"x-amz-copy-source": sealed} | trio.source_headers())
    assert (copied.status, copied.headers[HEADER]) == (200, "AES256")
    got = aws.ask("GET", f"{sealed}-copy")
    assert (got.body, got.headers[HEADER]) == (BODY, "AES256")


def test_copy_onto_itself_may_change_the_key(aws: Endpoint, sealed: str, trio: Trio) -> None:
    copied = aws.ask("PUT", sealed, {"x-amz-copy-source": sealed} | trio.source_headers() | OTHER.headers())
    assert (copied.status, {name: copied.headers.get(name) for name in OTHER.echo}) == (200, OTHER.echo)
    assert aws.ask("GET", sealed, OTHER.headers()).body == BODY


def test_every_version_is_refused_another_key(aws: Endpoint, path: str, trio: Trio) -> None:
    bucket = f"/v{path.rpartition('/')[2]}"
    aws.make_bucket(bucket[1:])
    aws.s3.put_bucket_versioning(Bucket=bucket[1:], VersioningConfiguration={"Status": "Enabled"})
    ids = [aws.ask("PUT", f"{bucket}/a", trio.headers(), BODY).headers["x-amz-version-id"] for _ in range(2)]
    refused = (403, "AccessDenied", f"{PROVIDED}the correct secret key.")
    assert [aws.ask("GET", f"{bucket}/a?versionId={name}", OTHER.headers()).outcome for name in ids] == [refused] * 2
    assert aws.ask("GET", f"{bucket}/a", OTHER.headers()).outcome == refused


def test_same_data_under_the_same_key_gets_a_new_etag(aws: Endpoint, path: str, trio: Trio) -> None:
    etags = {aws.ask("PUT", path, trio.headers(), BODY).headers["etag"] for _ in range(2)}
    assert len(etags | {f'"{hashlib.md5(BODY).hexdigest()}"'}) == 3


def test_upload_without_a_checksum_gets_the_servers_own(aws: Endpoint, path: str, trio: Trio) -> None:
    shown = aws.ask("PUT", path, trio.headers(), b"hello").headers
    assert (shown["x-amz-checksum-crc64nvme"], shown["x-amz-checksum-type"]) == ("M3eFcAZSQlc=", "FULL_OBJECT")


def test_deletion_needs_no_key(aws: Endpoint, sealed: str) -> None:
    assert aws.ask("DELETE", sealed).outcome == (204, "", "")


def test_upload_in_parts_goes_as_recorded(aws: Endpoint, path: str, trio: Trio) -> None:
    """No checksum was asked for at its beginning: there is none at its end, although its parts bring some; nor a key."""
    begun = aws.ask("POST", f"{path}?uploads", trio.headers())
    upload = f"{path}?uploadId={begun.element('UploadId')}"
    part = upload.replace("?", "?partNumber=1&")
    other = (400, "InvalidRequest", "The provided encryption parameters did not match the ones used originally.")
    assert aws.ask("PUT", part, {}, BODY).outcome == (400, "InvalidRequest", PART_KEY)
    assert aws.ask("PUT", part, OTHER.headers(), BODY).outcome == other
    stored = aws.ask("PUT", part, trio.headers() | {"x-amz-checksum-crc32": "NhCmhg=="}, b"hello")
    assert (stored.status, stored.headers["x-amz-checksum-crc32"]) == (200, "NhCmhg==")
    assert b"Checksum" not in aws.ask("GET", upload).body
    entry = f"<Part><PartNumber>1</PartNumber><ETag>{stored.headers['etag']}</ETag></Part>"
    completed = aws.ask("POST", upload, {}, f"<CompleteMultipartUpload>{entry}</CompleteMultipartUpload>".encode())
    assert (completed.status, {name for name in completed.headers if "encryption" in name}) == (200, set())
    head = aws.ask("HEAD", path, trio.headers() | {"x-amz-checksum-mode": "ENABLED"})
    assert [name for name in head.headers if name.startswith("x-amz-checksum-")] == []


def test_part_with_a_key_for_a_plain_upload_is_refused_as_recorded(aws: Endpoint, path: str, trio: Trio) -> None:
    upload_id = aws.ask("POST", f"{path}?uploads").element("UploadId")
    part = f"{path}?partNumber=1&uploadId={upload_id}"
    assert aws.ask("PUT", part, trio.headers(), BODY).outcome == (400, "InvalidRequest", PART_KEY)


def test_bucket_that_blocks_refuses_before_the_key_is_looked_at(aws: Endpoint, path: str, trio: Trio) -> None:
    bucket = f"b{path.rpartition('/')[2]}"
    aws.make_bucket(bucket)
    aws.block(bucket, "SSE-C")
    for headers in (trio.headers(), replace(SHORT, md5=None).headers(), wrong("AES128")(trio)):
        assert aws.ask("PUT", f"/{bucket}/a", headers, BODY).outcome == (403, "AccessDenied", "Access Denied")


WRITES: Final[dict[str, tuple[dict[str, str], dict[str, str | int]]]] = {
    "none match": (
        {"if-none-match": "*"},
        {"Status": 412, "Code": "PreconditionFailed", "Message": UNMET, "Condition": "If-None-Match"},
    ),
    "match": (
        {"if-match": '"0"'},
        {"Status": 412, "Code": "PreconditionFailed", "Message": UNMET, "Condition": "If-Match"},
    ),
    "none match, ETag": (
        {"if-none-match": '"0"'},
        {
            "Status": 501,
            "Code": "NotImplemented",
            "Message": UNIMPLEMENTED,
            "Header": "If-None-Match",
            "additionalMessage": "We don't accept the provided value of If-None-Match header for this API",
        },
    ),
    "match, any": (
        {"if-match": "*"},
        {"Status": 501, "Code": "NotImplemented", "Message": UNIMPLEMENTED, "Header": "If-Match"},
    ),
    "both": (
        {"if-match": '"0"', "if-none-match": "*"},
        {
            "Status": 501,
            "Code": "NotImplemented",
            "Message": UNIMPLEMENTED,
            "Header": "If-Match,If-None-Match",
            "additionalMessage": "Multiple conditional request headers present in the request",
        },
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_conditional_upload_is_refused_as_recorded(aws: Endpoint, sealed: str, trio: Trio, name: str) -> None:
    headers, wanted = WRITES[name]
    answer = aws.ask("PUT", sealed, trio.headers() | headers, BODY)
    assert {"Status": answer.status} | {name: answer.error.get(name) for name in wanted if name != "Status"} == wanted


def test_match_of_what_is_missing_is_refused_as_recorded(aws: Endpoint, path: str, trio: Trio) -> None:
    answer = aws.ask("PUT", path, trio.headers() | {"if-match": '"0"'}, BODY)
    assert answer.outcome == (404, "NoSuchKey", "The specified key does not exist.")


def test_conflicting_completion_is_refused_as_recorded(aws: Endpoint, plain: str) -> None:
    upload = f"{plain}?uploadId={aws.ask('POST', f'{plain}?uploads').element('UploadId')}"
    etag = aws.ask("PUT", upload.replace("?", "?partNumber=1&"), {}, BODY).headers["etag"]
    assert aws.ask("DELETE", plain).status == 204
    entry = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    document = f"<CompleteMultipartUpload>{entry}</CompleteMultipartUpload>".encode()
    message = "The conditional request cannot succeed due to a conflicting operation against this resource."
    answer = aws.ask("POST", upload, {"if-none-match": "*"}, document)
    assert answer.outcome == (409, "ConditionalRequestConflict", message)


CHECKSUMS: Final[dict[str, tuple[dict[str, str], tuple[str, str]]]] = {
    "malformed": ({"x-amz-checksum-crc32": "?"}, ("InvalidRequest", "Value for x-amz-checksum-crc32 header is invalid.")),
    "another": (
        {"x-amz-checksum-crc32": "AAAAAA=="},
        ("BadDigest", "The CRC32 you specified did not match the calculated checksum."),
    ),
    "two": (
        {"x-amz-checksum-crc32": "NhCmhg==", "x-amz-checksum-sha1": base64_of(hashlib.sha1(b"hello").digest())},
        ("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."),
    ),
    "MD5, malformed": ({"content-md5": "?"}, ("InvalidDigest", "The Content-MD5 you specified was invalid.")),
    "MD5 of another": (
        {"content-md5": base64_of(bytes(16))},
        ("BadDigest", "The Content-MD5 you specified did not match what we received."),
    ),
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_wrong_checksum_is_refused_as_recorded(aws: Endpoint, path: str, trio: Trio, name: str) -> None:
    headers, (code, message) = CHECKSUMS[name]
    assert aws.ask("PUT", path, trio.headers() | headers, b"hello").outcome == (400, code, message)


def test_vectors_hold(aws: Endpoint, path: str) -> None:
    trio = right_trio(bytes(range(32)))
    assert trio.encoded == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    stored = aws.ask("PUT", path, trio.headers() | {"x-amz-checksum-crc32": "NhCmhg=="}, b"hello")
    assert (stored.status, stored.headers[MD5_ECHO]) == (200, "tP/LI3N87DFaSk0aoqYgzg==")
