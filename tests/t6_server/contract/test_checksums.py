"""Checksums of the plaintext: checked when they arrive, shown to whoever has the key; and bodies that end in one.

Source: sections on integrity and on streaming bodies of the fact sheet on SSE-C. A service without checksums ignores what it is
sent of them.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import pytest
from awscrt import checksums as crt
from botocore.exceptions import ClientError
from support.endpoint import BODY, BUCKET, Answer, Endpoint
from support.trios import Trio, base64_of

from ssecfs.server.profiles import Case

PREFIX: Final = "x-amz-checksum-"
DIGESTS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crt.crc32c(data).to_bytes(4, "big"),
    "crc64nvme": lambda data: crt.crc64nvme(data).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
SHOW: Final = {f"{PREFIX}mode": "ENABLED"}


def value_of(algorithm: str, data: bytes) -> str:
    return base64_of(DIGESTS[algorithm](data))


def checksums_in(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith(PREFIX)}


def shown(endpoint: Endpoint, algorithm: str, data: bytes = BODY) -> dict[str, str]:
    """What answers show of a checksum of a whole object."""
    if not endpoint.profile.has_checksums:
        return {}
    return {f"{PREFIX}{algorithm}": value_of(algorithm, data), f"{PREFIX}type": "FULL_OBJECT"}


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_right_checksum_is_kept_and_shown_to_whoever_has_the_key(
    endpoint: Endpoint, target: str, trio: Trio, algorithm: str
) -> None:
    given = {f"{PREFIX}{algorithm}": value_of(algorithm, BODY)}
    put = endpoint.ask("PUT", target, trio.headers() | given, BODY)
    assert (put.status, checksums_in(put)) == (200, shown(endpoint, algorithm))
    for method in ("GET", "HEAD"):
        assert checksums_in(endpoint.ask(method, target, trio.headers() | SHOW)) == shown(endpoint, algorithm)
        assert checksums_in(endpoint.ask(method, target, trio.headers())) == {}


def test_server_computes_a_checksum_of_its_own(endpoint: Endpoint, target: str, trio: Trio) -> None:
    put = endpoint.ask("PUT", target, trio.headers(), BODY)
    assert checksums_in(put) == shown(endpoint, "crc64nvme")
    assert checksums_in(endpoint.ask("GET", target, trio.headers() | SHOW)) == shown(endpoint, "crc64nvme")
    assert checksums_in(endpoint.ask("GET", target, trio.headers() | SHOW | {"range": "bytes=0-1"})) == {}


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_wrong_checksum_is_refused(endpoint: Endpoint, target: str, trio: Trio, algorithm: str) -> None:
    name = f"{PREFIX}{algorithm}"
    expected = {
        value_of(algorithm, b"another"): (
            400,
            "BadDigest",
            f"The {algorithm.upper()} you specified did not match the calculated checksum.",
        ),
        "?": (400, "InvalidRequest", f"Value for {name} header is invalid."),
    }
    for value, refusal in expected.items():
        answer = endpoint.ask("PUT", target, trio.headers() | {name: value}, BODY)
        assert answer.outcome == (refusal if endpoint.profile.has_checksums else (200, "", ""))
    assert endpoint.ask("HEAD", target, trio.headers()).status == (404 if endpoint.profile.has_checksums else 200)


def test_two_checksums_are_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    given = {f"{PREFIX}{algorithm}": value_of(algorithm, BODY) for algorithm in ("crc32", "sha1")}
    message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    wanted = (400, "InvalidRequest", message) if endpoint.profile.has_checksums else (200, "", "")
    assert endpoint.ask("PUT", target, trio.headers() | given, BODY).outcome == wanted


def trailing(value: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an upload that ends in a CRC32."""
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
        "x-amz-trailer": f"{PREFIX}crc32",
    }
    return headers, b"%x\r\n%b\r\n0\r\n%b:%b\r\n\r\n" % (len(BODY), BODY, f"{PREFIX}crc32".encode(), value.encode())


def test_body_that_ends_in_a_checksum_is_decoded_or_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    headers, body = trailing(value_of("crc32", BODY))
    put = endpoint.ask("PUT", target, trio.headers() | headers, body, payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert put.outcome == endpoint.outcome_of(Case.TRAILER)
    got = endpoint.ask("GET", target, trio.headers())
    assert (got.status, got.headers.get("content-encoding")) == (200 if endpoint.accepts(Case.TRAILER) else 404, None)
    if endpoint.accepts(Case.TRAILER):
        assert (got.body, checksums_in(put)) == (BODY, shown(endpoint, "crc32"))


def test_body_that_ends_in_a_wrong_checksum_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    headers, body = trailing(value_of("crc32", b"another"))
    put = endpoint.ask("PUT", target, trio.headers() | headers, body, payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    wanted = (400, "BadDigest") if endpoint.accepts(Case.TRAILER) else endpoint.outcome_of(Case.TRAILER)[:2]
    assert put.outcome[:2] == wanted
    assert endpoint.ask("HEAD", target, trio.headers()).status == 404


def test_boto3_with_its_defaults_works_where_trailers_are_known(endpoint: Endpoint, object_key: str, trio: Trio) -> None:
    """Over TLS it sends each body in HTTP chunks, with a checksum behind them."""
    place = {"Bucket": BUCKET, "Key": object_key}
    key = {"SSECustomerAlgorithm": trio.algorithm, "SSECustomerKey": trio.encoded, "SSECustomerKeyMD5": trio.md5}
    with closing(endpoint.client()) as client:
        if endpoint.accepts(Case.TRAILER_UNSIZED):
            client.put_object(**place, Body=BODY, **key)
            assert client.get_object(**place, **key)["Body"].read() == BODY
            return
        with pytest.raises(ClientError) as refused:
            client.put_object(**place, Body=BODY, **key)
    status, code, _ = endpoint.outcome_of(Case.TRAILER_UNSIZED)
    answer = refused.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)


class Parts:
    """A multipart upload of two parts with checksums, by boto3."""

    def __init__(self, s3: Any, object_key: str, trio: Trio, **created: str) -> None:
        self.s3, self.place = s3, {"Bucket": BUCKET, "Key": object_key}
        self.key = {"SSECustomerAlgorithm": trio.algorithm, "SSECustomerKey": trio.encoded, "SSECustomerKeyMD5": trio.md5}
        self.upload = self.place | {"UploadId": s3.create_multipart_upload(**self.place, **self.key, **created)["UploadId"]}
        self.bodies = (bytes(5 << 20), BODY)

    def put(self, name: str, algorithm: str) -> list[dict[str, Any]]:
        parts = []
        for number, body in enumerate(self.bodies, 1):
            value = {name: value_of(algorithm, body)}
            part = self.s3.upload_part(**self.upload, PartNumber=number, Body=body, **self.key, **value)
            parts.append({"PartNumber": number, "ETag": part["ETag"], **value})
        return parts

    def complete(self, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.complete_multipart_upload(**self.upload, MultipartUpload={"Parts": parts}, **more)
        return answer

    def head(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.head_object(**self.place, **self.key, ChecksumMode="ENABLED")
        return answer


def checksum_of(answer: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    return answer.get("ChecksumSHA256"), answer.get("ChecksumCRC32"), answer.get("ChecksumType")


def test_multipart_checksum_is_one_of_its_parts_checksums(endpoint: Endpoint, s3: Any, object_key: str, trio: Trio) -> None:
    """It is sealed like the rest, so that completion needs the key."""
    upload = Parts(s3, object_key, trio, ChecksumAlgorithm="SHA256")
    parts = upload.put("ChecksumSHA256", "sha256")
    joined = b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in parts)
    wanted = (f"{value_of('sha256', joined)}-2", None, "COMPOSITE") if endpoint.profile.has_checksums else (None, None, None)
    if endpoint.profile.has_checksums and not endpoint.accepts(Case.KEYLESS):
        with pytest.raises(ClientError) as refused:
            upload.complete(parts)
        assert refused.value.response["Error"]["Code"] == endpoint.outcome_of(Case.PART_KEY_MISSING)[1]
    assert checksum_of(upload.complete(parts, **upload.key)) == wanted
    assert checksum_of(upload.head()) == wanted


def test_multipart_checksum_is_of_the_whole_object_if_asked_for(
    endpoint: Endpoint, s3: Any, object_key: str, trio: Trio
) -> None:
    upload = Parts(s3, object_key, trio, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    whole = value_of("crc32", b"".join(upload.bodies))
    wanted = (None, whole, "FULL_OBJECT") if endpoint.profile.has_checksums else (None, None, None)
    assert checksum_of(upload.complete(upload.put("ChecksumCRC32", "crc32"), **upload.key)) == wanted
    assert checksum_of(upload.head()) == wanted


def test_multipart_upload_without_a_checksum_algorithm_has_none(
    endpoint: Endpoint, s3: Any, object_key: str, trio: Trio
) -> None:
    """Even if its parts came with checksums; and its completion needs no key."""
    upload = Parts(s3, object_key, trio)
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in upload.put("ChecksumCRC32", "crc32")]
    assert checksum_of(upload.complete(parts)) == (None, None, None)
    assert checksum_of(upload.head()) == (None, None, None)


def test_completion_must_name_each_parts_checksum(endpoint: Endpoint, s3: Any, object_key: str, trio: Trio) -> None:
    upload = Parts(s3, object_key, trio, ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in upload.put("ChecksumSHA256", "sha256")]
    if not endpoint.profile.has_checksums:
        assert upload.complete(parts, **upload.key)["Key"] == object_key
        return
    with pytest.raises(ClientError) as refused:
        upload.complete(parts, **upload.key)
    answer = refused.value.response["Error"]
    message = (
        "The upload was created using a sha256 checksum. The complete request must include the checksum for each part. "
        "It was missing for part 1 in the request."
    )
    assert (answer["Code"], answer["Message"]) == ("InvalidRequest", message)


def test_part_with_another_algorithm_is_refused(endpoint: Endpoint, target: str, trio: Trio) -> None:
    begin = trio.headers() | {f"{PREFIX}algorithm": "SHA256"}
    upload_id = endpoint.ask("POST", f"{target}?uploads", begin).element("UploadId")
    part = f"{target}?partNumber=1&uploadId={upload_id}"
    answer = endpoint.ask("PUT", part, trio.headers() | {f"{PREFIX}crc32": value_of("crc32", BODY)}, BODY)
    message = "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32"
    assert answer.outcome == ((400, "InvalidRequest", message) if endpoint.profile.has_checksums else (200, "", ""))
