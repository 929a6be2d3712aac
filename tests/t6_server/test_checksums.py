"""Checksums: the five algorithms checked when they arrive, kept, and shown again; of parts, of wholes, and as trailers."""

import base64
import hashlib
import zlib
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rawhttp import ask
from support.s3calls import MIN_PART_BYTES, error_of, read, refusal, seeded_bytes, shown, trio
from support.s3server import S3Server

from ssecfs.server.checksums import ALGORITHMS, combined, composite, encode
from ssecfs.ssec import CustomerKey

CONTENT: Final = b"123456789"
PUBLISHED: Final = {
    name: base64.b64encode(bytes.fromhex(value)).decode()
    for name, value in (
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    )
}
"""Of "123456789", the check value in the catalogue of CRCs."""

each_algorithm = pytest.mark.parametrize("algorithm", PUBLISHED)


def computed(algorithm: str, content: bytes) -> str:
    running = ALGORITHMS[algorithm.lower()]()
    running.update(content)
    return encode(running.digest())


@each_algorithm
def test_algorithm_computes_the_published_value(algorithm: str) -> None:
    assert computed(algorithm, CONTENT) == PUBLISHED[algorithm]


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
@given(parts=st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_crc_of_the_whole_follows_from_those_of_its_parts(algorithm: str, parts: list[bytes]) -> None:
    whole = combined(algorithm, [(computed(algorithm, part), len(part)) for part in parts])
    assert (whole.value, whole.kind) == (computed(algorithm, b"".join(parts)), "FULL_OBJECT")


def test_composite_is_the_checksum_of_the_raw_checksums() -> None:
    parts = [computed("SHA256", part) for part in (b"one", b"two")]
    raw = hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()
    found = composite("sha256", parts)
    assert (found.value, found.kind) == (f"{encode(hashlib.sha256(raw).digest())}-2", "COMPOSITE")


@each_algorithm
@pytest.mark.parametrize("is_sealed", [False, True], ids=["plain", "ssec"])
def test_checksum_is_checked_kept_and_shown(
    s3: Any, bucket: str, customer_key: CustomerKey, algorithm: str, *, is_sealed: bool
) -> None:
    name, given_key = f"Checksum{algorithm}", trio(customer_key) if is_sealed else {}
    place = {"Bucket": bucket, "Key": "a"}
    answer = s3.put_object(**place, Body=CONTENT, **{name: PUBLISHED[algorithm]}, **given_key)
    assert (answer[name], answer["ChecksumType"]) == (PUBLISHED[algorithm], "FULL_OBJECT")
    for call in (s3.get_object, s3.head_object):
        answer = shown(call, **place, ChecksumMode="ENABLED", **given_key)
        assert (answer[name], answer["ChecksumType"]) == (PUBLISHED[algorithm], "FULL_OBJECT")
    assert name not in s3.head_object(**place, **given_key)
    wrong = computed(algorithm, b"other")
    error = error_of(s3.put_object, **place, Body=b"1234567890", **{name: wrong}, **given_key)
    assert (error["Status"], error["Code"]) == (400, "BadDigest")
    assert error["Message"] == f"The {algorithm} you specified did not match the calculated checksum."
    assert read(s3, bucket, "a", **given_key) == CONTENT


@each_algorithm
@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", "y/Q5Jg==y/Q5Jg=="])
def test_value_that_is_no_checksum_is_refused(aws: S3Server, bucket: str, algorithm: str, value: str) -> None:
    name = f"x-amz-checksum-{algorithm.lower()}"
    status, code, body = ask(aws, "PUT", f"/{bucket}/a", CONTENT, {name: value})
    assert (status, code, ET.fromstring(body).findtext("Message")) == (
        400,
        "InvalidRequest",
        f"Value for {name} header is invalid.",
    )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            {"x-amz-checksum-crc32": PUBLISHED["CRC32"], "x-amz-checksum-sha1": PUBLISHED["SHA1"]},
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ),
        (
            {"x-amz-checksum-crc32": PUBLISHED["CRC32"], "x-amz-trailer": "x-amz-checksum-crc32"},
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ),
        ({"x-amz-checksum-md4": "AAAA"}, "The algorithm type you specified in x-amz-checksum- header is invalid."),
        (
            {"x-amz-sdk-checksum-algorithm": "CRC32"},
            (
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
                "were found."
            ),
        ),
        ({"x-amz-trailer": "x-amz-checksum-md4"}, "The value specified in the x-amz-trailer header is not supported"),
    ],
)
def test_headers_that_do_not_name_one_checksum_are_refused(
    aws: S3Server, bucket: str, headers: dict[str, str], message: str
) -> None:
    status, code, body = ask(aws, "PUT", f"/{bucket}/a", CONTENT, headers)
    assert (status, code, ET.fromstring(body).findtext("Message")) == (400, "InvalidRequest", message)


def test_server_computes_one_when_the_client_brings_none(aws: S3Server, s3: Any, bucket: str) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a", CONTENT)[0] == 200
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (PUBLISHED["CRC64NVME"], "FULL_OBJECT")


def test_checksum_of_the_whole_is_not_shown_of_a_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, ChecksumCRC32=PUBLISHED["CRC32"])
    place = {"Bucket": bucket, "Key": "a", "ChecksumMode": "ENABLED"}
    assert "ChecksumCRC32" not in shown(s3.get_object, **place, Range="bytes=0-1")
    assert shown(s3.get_object, **place, Range="bytes=0-8")["ChecksumCRC32"] == PUBLISHED["CRC32"]


MD5: Final = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (MD5, (200, "")),
        (base64.b64encode(hashlib.md5(b"other").digest()).decode(), (400, "BadDigest")),
        (hashlib.md5(CONTENT).hexdigest(), (400, "InvalidDigest")),
        ("AAAA", (400, "InvalidDigest")),
        ("", (400, "InvalidDigest")),
        ("???", (400, "InvalidDigest")),
    ],
)
def test_content_md5_is_checked(aws: S3Server, s3: Any, bucket: str, value: str, answer: tuple[int, str]) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a", CONTENT, {"content-md5": value})[:2] == answer
    assert ("Contents" in s3.list_objects_v2(Bucket=bucket)) == (answer[0] == 200)


def test_documents_are_checked_like_objects(aws: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT)
    document = b"<Delete><Object><Key>a</Key></Object></Delete>"
    for name, wrong in (("content-md5", MD5), ("x-amz-checksum-sha256", PUBLISHED["SHA256"])):
        assert ask(aws, "POST", f"/{bucket}?delete", document, {name: wrong})[:2] == (400, "BadDigest")
    assert read(s3, bucket, "a") == CONTENT
    right = encode(zlib.crc32(document).to_bytes(4, "big"))
    assert ask(aws, "POST", f"/{bucket}?delete", document, {"x-amz-checksum-crc32": right})[0] == 200


PARTS: Final = (seeded_bytes(21, MIN_PART_BYTES), b"tail")


def begin(client: Any, bucket: str, **more: str) -> dict[str, str]:
    upload = {"Bucket": bucket, "Key": "a"}
    return upload | {"UploadId": client.create_multipart_upload(**upload, **more)["UploadId"]}


def send(client: Any, upload: dict[str, str], algorithm: str, **more: str) -> list[dict[str, Any]]:
    """Send both parts; gives what the completion says of them, with their checksums."""
    parts = []
    for number, body in enumerate(PARTS, 1):
        answer = client.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm, **more)
        name = f"Checksum{algorithm}"
        assert answer[name] == computed(algorithm, body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], name: answer[name]})
    return parts


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC32", "COMPOSITE"),
        ("CRC32C", "COMPOSITE"),
        ("SHA1", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
    ],
)
def test_multipart_object_has_the_checksum_that_its_upload_asked_for(
    s3: Any, bucket: str, customer_key: CustomerKey, algorithm: str, kind: str
) -> None:
    sealed, name = trio(customer_key), f"Checksum{algorithm}"
    upload = begin(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind, **sealed)
    parts = send(s3, upload, algorithm, **sealed)
    whole = computed(algorithm, b"".join(PARTS))
    if kind == "COMPOSITE":
        whole = composite(algorithm.lower(), [part[name] for part in parts]).value
    listed = s3.list_parts(**upload, **sealed)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    assert [part[name] for part in listed["Parts"]] == [part[name] for part in parts]
    done = {"MultipartUpload": {"Parts": parts}, **upload}
    assert refusal(s3.complete_multipart_upload, **done) == (400, "InvalidRequest")  # its checksums are sealed
    wrong = computed(algorithm, b"other")
    assert refusal(s3.complete_multipart_upload, **done, **{name: wrong}, **sealed) == (400, "BadDigest")
    other = "FULL_OBJECT" if kind == "COMPOSITE" else "COMPOSITE"
    assert refusal(s3.complete_multipart_upload, **done, ChecksumType=other, **sealed) == (400, "InvalidRequest")
    answer = s3.complete_multipart_upload(**done, **{name: whole}, ChecksumType=kind, **sealed)
    assert (answer[name], answer["ChecksumType"]) == (whole, kind)
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED", **sealed)
    assert (head[name], head["ChecksumType"]) == (whole, kind)
    assert read(s3, bucket, "a", **sealed) == b"".join(PARTS)


def test_completion_names_the_checksum_of_each_part_of_a_composite(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    parts = send(s3, upload, "SHA256")
    bare = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
    error = error_of(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [parts[0], bare[1]]})
    assert (error["Status"], error["Code"]) == (400, "InvalidRequest")
    assert error["Message"] == (
        "The upload was created using a sha256 checksum. The complete request must include the checksum for each part. "
        "It was missing for part 2 in the request."
    )
    wrong = [parts[0], parts[1] | {"ChecksumSHA256": parts[0]["ChecksumSHA256"]}]
    assert refusal(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": wrong}) == (400, "InvalidPart")
    foreign = [parts[0], bare[1] | {"ChecksumCRC32": PUBLISHED["CRC32"]}]
    assert refusal(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": foreign}) == (400, "InvalidPart")
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_part_of_another_algorithm_is_refused(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    error = error_of(s3.upload_part, **upload, PartNumber=1, Body=CONTENT, ChecksumAlgorithm="CRC32")
    assert (error["Status"], error["Code"]) == (400, "InvalidRequest")
    wanted = "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32"
    assert error["Message"] == wanted


def test_server_computes_the_checksum_of_a_part_that_brings_none(aws: S3Server, s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA1", ChecksumType="COMPOSITE")
    assert ask(aws, "PUT", f"/{bucket}/a?partNumber=1&uploadId={upload['UploadId']}", CONTENT)[0] == 200
    s3.put_object(Bucket=bucket, Key="source", Body=CONTENT)
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}}
    copied = s3.upload_part_copy(**upload, PartNumber=2, **source)["CopyPartResult"]
    assert copied["ChecksumSHA1"] == PUBLISHED["SHA1"]
    assert [part["ChecksumSHA1"] for part in s3.list_parts(**upload)["Parts"]] == [PUBLISHED["SHA1"]] * 2


def test_upload_that_asked_for_none_has_none(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    """The recorded answer for SSE-C: parts answer with a checksum, the listing and the object have none."""
    sealed = trio(customer_key)
    upload = begin(s3, bucket, **sealed)
    parts = send(s3, upload, "CRC32", **sealed)
    assert not any(name.startswith("Checksum") for part in s3.list_parts(**upload)["Parts"] for name in part)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED", **sealed)
    assert not any(name.startswith("Checksum") for name in head)


@pytest.mark.parametrize(
    "asked",
    [
        {"ChecksumAlgorithm": "MD4"},
        {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF"},
        {"ChecksumType": "COMPOSITE"},
    ],
)
def test_checksum_that_no_upload_can_have_is_refused(s3: Any, bucket: str, asked: dict[str, str]) -> None:
    assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="a", **asked) == (400, "InvalidRequest")


def test_checksums_are_sealed_on_the_disk(aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    content = seeded_bytes(31, 1000)
    value = computed("SHA256", content)
    s3.put_object(Bucket=bucket, Key="a", Body=content, ChecksumSHA256=value, **trio(customer_key))
    raw = base64.b64decode(value)
    for path in aws.directory.glob("index.sqlite*"):
        stored = path.read_bytes()
        assert not any(needle in stored for needle in (value.encode(), raw, raw.hex().encode()))
