"""Multipart uploads: create, part, part copy, list parts, list uploads, complete, abort, and reads of single parts."""

from typing import Any

import pytest
from support.rawhttp import ask
from support.s3calls import (
    MIN_PART_BYTES,
    OTHER_KEY,
    enable_versions,
    error_of,
    put_all,
    read,
    refusal,
    seeded_bytes,
    source_trio,
    trio,
)
from support.s3server import S3Server

from ssecfs.ssec import CustomerKey

FIRST = seeded_bytes(1, MIN_PART_BYTES)
TAIL = b"the last part may be short"


def begin(client: Any, bucket: str, object_key: str = "a", **more: Any) -> dict[str, str]:
    """Begin an upload; gives the arguments of the calls that go on with it."""
    upload = {"Bucket": bucket, "Key": object_key}
    return upload | {"UploadId": client.create_multipart_upload(**upload, **more)["UploadId"]}


def send(client: Any, upload: dict[str, str], number: int, body: bytes, **more: Any) -> dict[str, Any]:
    """Send a part; gives what the completion says of it."""
    return {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=body, **more)["ETag"]}


def complete(client: Any, upload: dict[str, str], *parts: dict[str, Any], **more: Any) -> Any:
    return client.complete_multipart_upload(**upload, MultipartUpload={"Parts": list(parts)}, **more)


@pytest.fixture
def whole(s3: Any, bucket: str, customer_key: CustomerKey) -> dict[str, str]:
    """A completed object of two parts, numbers 3 and 7; gives how to ask for it."""
    upload = begin(s3, bucket, **trio(customer_key))
    parts = [send(s3, upload, number, body, **trio(customer_key)) for number, body in ((7, TAIL), (3, FIRST))]
    complete(s3, upload, *parts[::-1])
    return {"Bucket": bucket, "Key": "a", **trio(customer_key)}


def test_object_is_its_parts_in_order_of_number(s3: Any, whole: dict[str, str]) -> None:
    answer = s3.get_object(**whole)
    assert answer["Body"].read() == FIRST + TAIL
    assert answer["ETag"].endswith('-2"')
    assert "PartsCount" not in answer


@pytest.mark.parametrize(("number", "start", "stop"), [(1, 0, len(FIRST)), (2, len(FIRST), len(FIRST + TAIL))])
def test_single_part_can_be_read(s3: Any, whole: dict[str, str], number: int, start: int, stop: int) -> None:
    answer = s3.get_object(**whole, PartNumber=number)
    assert answer["Body"].read() == (FIRST + TAIL)[start:stop]
    for shown in (answer, s3.head_object(**whole, PartNumber=number)):
        assert (shown["PartsCount"], shown["ContentLength"]) == (2, stop - start)
        assert shown["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/{len(FIRST + TAIL)}"


def test_part_that_is_not_there_cannot_be_read(s3: Any, whole: dict[str, str]) -> None:
    error = error_of(s3.get_object, **whole, PartNumber=3)
    assert (error["Status"], error["Code"]) == (416, "InvalidPartNumber")
    assert (error["PartNumberRequested"], error["ActualPartCount"]) == ("3", "2")
    assert refusal(s3.get_object, **whole, PartNumber=1, Range="bytes=0-1") == (400, "InvalidRequest")
    assert refusal(s3.get_object, **whole, PartNumber=-1) == (400, "InvalidArgument")


def test_object_of_one_piece_is_its_own_first_part(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "plain")
    answer = s3.get_object(Bucket=bucket, Key="plain", PartNumber=1)
    assert (answer["Body"].read(), answer["ContentRange"], "PartsCount" in answer) == (b"plain", "bytes 0-4/5", False)
    assert refusal(s3.get_object, Bucket=bucket, Key="plain", PartNumber=2) == (416, "InvalidPartNumber")


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (MIN_PART_BYTES - 1, MIN_PART_BYTES + 1), (MIN_PART_BYTES, MIN_PART_BYTES + 1), (65_535, MIN_PART_BYTES + 5)],
)
def test_range_may_reach_from_part_to_part(s3: Any, whole: dict[str, str], start: int, stop: int) -> None:
    assert s3.get_object(**whole, Range=f"bytes={start}-{stop - 1}")["Body"].read() == (FIRST + TAIL)[start:stop]


def test_part_sent_again_takes_the_place_of_the_first(aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    upload = begin(s3, bucket, **trio(customer_key))
    first = send(s3, upload, 1, seeded_bytes(2, 100_000), **trio(customer_key))
    files = set((aws.directory / "data").rglob("*"))
    second = send(s3, upload, 1, seeded_bytes(3, 200_000), **trio(customer_key))
    assert len(set((aws.directory / "data").rglob("*"))) == len(files)
    assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [200_000]
    assert error_of(lambda: complete(s3, upload, first))["Code"] == "InvalidPart"
    complete(s3, upload, second)
    assert read(s3, bucket, "a", **trio(customer_key)) == seeded_bytes(3, 200_000)


def test_completion_takes_the_parts_that_it_names_and_drops_the_rest(aws: S3Server, s3: Any, bucket: str) -> None:
    before = len(list((aws.directory / "data").rglob("*")))
    upload = begin(s3, bucket)
    parts = [send(s3, upload, number, seeded_bytes(number, 70_000)) for number in (1, 2, 3)]
    complete(s3, upload, parts[1])
    assert read(s3, bucket, "a") == seeded_bytes(2, 70_000)
    assert len(list((aws.directory / "data").rglob("*"))) == before + 1
    assert refusal(s3.list_parts, **upload) == (404, "NoSuchUpload")


def test_completion_that_makes_no_sense_is_refused_and_leaves_the_upload(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    small, tail, third = (send(s3, upload, number, b"short") for number in (1, 2, 3))
    cases: list[tuple[list[dict[str, Any]], tuple[int, str]]] = [
        ([tail, small], (400, "InvalidPartOrder")),
        ([small, small], (400, "InvalidPartOrder")),
        ([small, tail], (400, "EntityTooSmall")),
        ([small | {"ETag": '"0123"'}], (400, "InvalidPart")),
        ([{"PartNumber": 4, "ETag": small["ETag"]}], (400, "InvalidPart")),
        ([], (400, "MalformedXML")),
    ]
    for parts, refused in cases:
        assert refusal(lambda parts=parts: complete(s3, upload, *parts)) == refused
    error = error_of(lambda: complete(s3, upload, small, third))
    assert (error["ProposedSize"], error["MinSizeAllowed"], error["PartNumber"]) == ("5", str(MIN_PART_BYTES), "1")
    assert len(s3.list_parts(**upload)["Parts"]) == 3
    complete(s3, upload, third)
    assert read(s3, bucket, "a") == b"short"


def test_completion_may_say_how_large_the_object_is(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    part = send(s3, upload, 1, b"12345")
    assert refusal(lambda: complete(s3, upload, part, MpuObjectSize=6)) == (400, "InvalidRequest")
    complete(s3, upload, part, MpuObjectSize=5)
    assert read(s3, bucket, "a") == b"12345"


@pytest.mark.parametrize("number", [0, -1, 10_001, 10**15])
def test_part_number_out_of_bounds_is_refused(s3: Any, bucket: str, number: int) -> None:
    upload = begin(s3, bucket)
    assert refusal(s3.upload_part, **upload, PartNumber=number, Body=b"x") == (400, "InvalidArgument")


def test_key_is_bound_to_the_upload(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    sealed, plain = begin(s3, bucket, **trio(customer_key)), begin(s3, bucket)
    for upload, given in ((sealed, {}), (sealed, trio(OTHER_KEY)), (plain, trio(customer_key))):
        assert refusal(s3.upload_part, **upload, PartNumber=1, Body=b"x", **given) == (400, "InvalidRequest")
    part = send(s3, sealed, 1, b"x", **trio(customer_key))
    assert refusal(lambda: complete(s3, sealed, part, **trio(OTHER_KEY))) == (400, "InvalidRequest")
    answer = complete(s3, sealed, part)  # the recorded answer: without a checksum no key is needed
    assert "SSECustomerAlgorithm" not in answer
    assert read(s3, bucket, "a", **trio(customer_key)) == b"x"


def test_abort_needs_no_key_and_leaves_nothing(aws: S3Server, s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    files = sorted((aws.directory / "data").rglob("*"))
    upload = begin(s3, bucket, **trio(customer_key))
    send(s3, upload, 1, seeded_bytes(1, 100_000), **trio(customer_key))
    assert s3.abort_multipart_upload(**upload)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert sorted((aws.directory / "data").rglob("*")) == files
    for call in (s3.abort_multipart_upload, s3.list_parts):
        assert refusal(call, **upload) == (404, "NoSuchUpload")
    assert refusal(s3.upload_part, **upload, PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_upload_belongs_to_its_name(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    assert refusal(s3.upload_part, **(upload | {"Key": "b"}), PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    assert refusal(s3.list_parts, **(upload | {"Bucket": "no-such-bucket"})) == (404, "NoSuchBucket")


def test_headers_of_the_beginning_are_those_of_the_object(s3: Any, bucket: str) -> None:
    given = {"ContentType": "text/plain", "Metadata": {"name": "value"}, "CacheControl": "no-store", "Tagging": "a=b"}
    upload = begin(s3, bucket, **given)
    complete(s3, upload, send(s3, upload, 1, b"x"))
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == ("text/plain", {"name": "value"}, "no-store")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_parts_are_copied_with_ranges_and_both_keys(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    enable_versions(s3, bucket)
    content = seeded_bytes(5, MIN_PART_BYTES + 1000)
    version_id = s3.put_object(Bucket=bucket, Key="source", Body=content, **trio(OTHER_KEY))["VersionId"]
    put_all(s3, bucket, "source")
    source = {"CopySource": {"Bucket": bucket, "Key": "source", "VersionId": version_id}, **source_trio(OTHER_KEY)}
    upload = begin(s3, bucket, **trio(customer_key))
    parts = []
    for number, selected in ((1, f"bytes=1000-{MIN_PART_BYTES + 999}"), (2, "bytes=0-999")):
        answer = s3.upload_part_copy(**upload, PartNumber=number, CopySourceRange=selected, **source, **trio(customer_key))
        assert (answer["CopySourceVersionId"], answer["SSECustomerAlgorithm"]) == (version_id, "AES256")
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    whole = s3.upload_part_copy(**upload, PartNumber=3, **source, **trio(customer_key))["CopyPartResult"]
    assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [MIN_PART_BYTES, 1000, len(content)]
    assert whole["ETag"] == s3.list_parts(**upload)["Parts"][2]["ETag"]
    complete(s3, upload, *parts)
    assert read(s3, bucket, "a", **trio(customer_key)) == content[1000:] + content[:1000]


def test_copy_of_a_part_needs_the_keys_of_both_sides(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"sealed", **trio(OTHER_KEY))
    upload = {**begin(s3, bucket, **trio(customer_key)), "PartNumber": 1, "CopySource": {"Bucket": bucket, "Key": "source"}}
    target, source = trio(customer_key), source_trio(OTHER_KEY)
    assert refusal(s3.upload_part_copy, **upload, **target) == (400, "InvalidRequest")
    assert refusal(s3.upload_part_copy, **upload, **source) == (400, "InvalidRequest")
    assert refusal(s3.upload_part_copy, **upload, **target, **source_trio(customer_key)) == (403, "AccessDenied")
    assert refusal(s3.upload_part_copy, **upload, **trio(OTHER_KEY), **source) == (400, "InvalidRequest")
    s3.upload_part_copy(**upload, **target, **source)


@pytest.mark.parametrize(
    ("selected", "code"),
    [
        *(
            (text, "InvalidArgument")
            for text in ("0-8", "bytes=1-0", "bytes=-1-", "bytes=0--1", "bytes=-", "bytes=-2", "bytes=1-")
        ),
        ("bytes=0-1,3-4", "InvalidArgument"),
        ("bytes=0-10", "InvalidArgument"),
        ("bytes=10-20", "InvalidRequest"),
    ],
)
def test_range_of_a_copy_that_is_none_is_refused(s3: Any, bucket: str, selected: str, code: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}, "CopySourceRange": selected}
    error = error_of(s3.upload_part_copy, **begin(s3, bucket), PartNumber=1, **source)
    assert (error["Status"], error["Code"], error.get("ArgumentValue", selected)) == (400, code, selected)


def test_parts_are_listed_in_pages(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    assert (s3.list_parts(**upload)["IsTruncated"], s3.list_parts(**upload)["NextPartNumberMarker"]) == (False, 0)
    for number in (7, 1, 10_000, 30):
        send(s3, upload, number, b"x" * (number % 10))
    first = s3.list_parts(**upload, MaxParts=2)
    assert ([part["PartNumber"] for part in first["Parts"]], first["IsTruncated"]) == ([1, 7], True)
    assert (first["NextPartNumberMarker"], first["MaxParts"]) == (7, 2)
    rest = s3.list_parts(**upload, PartNumberMarker=7)
    assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(30, 0), (10_000, 0)]
    assert (rest["IsTruncated"], rest["PartNumberMarker"], rest["StorageClass"]) == (False, 7, "STANDARD")
    assert (rest["Owner"]["ID"], rest["Initiator"]["ID"]) == ("ssecfs", "ssecfs")


NAMES = ("b", "a", "a", "c/1", "c/2", "d//e", "é & ü")


@pytest.fixture
def uploads(s3: Any, bucket: str) -> list[tuple[str, str]]:
    """Uploads as a listing shows them: by name, then by age."""
    made = [(name, begin(s3, bucket, name)["UploadId"]) for name in NAMES]
    return sorted(made, key=lambda upload: upload[0].encode())


def listed(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", [])]


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_uploads_are_listed_in_pages_by_name_and_age(s3: Any, bucket: str, uploads: list[tuple[str, str]], limit: int) -> None:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": limit})
    assert [upload for page in pages for upload in listed(page)] == uploads


def test_uploads_are_listed_by_prefix_delimiter_and_marker(s3: Any, bucket: str, uploads: list[tuple[str, str]]) -> None:
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", EncodingType="url")
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["c/", "d/"]
    assert [upload["Key"] for upload in page["Uploads"]] == ["a", "a", "b", "%C3%A9%20%26%20%C3%BC"]
    assert listed(s3.list_multipart_uploads(Bucket=bucket, Prefix="c/")) == uploads[3:5]
    assert listed(s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a")) == uploads[2:]
    markers = {"KeyMarker": "a", "UploadIdMarker": uploads[0][1]}
    assert listed(s3.list_multipart_uploads(Bucket=bucket, **markers)) == uploads[1:]
    assert listed(s3.list_multipart_uploads(Bucket=bucket, UploadIdMarker=uploads[0][1])) == uploads
    for marker in ("c/", "c/1"):
        behind = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", KeyMarker=marker)
        assert [entry["Prefix"] for entry in behind["CommonPrefixes"]] == ["d/"]
    first = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=4)
    assert (first["NextKeyMarker"], first["IsTruncated"]) == ("c/", True)


def test_name_that_no_document_can_hold_is_uploaded_too(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket, "a\x01<\r")
    complete(s3, upload, send(s3, upload, 1, b"x"))
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a\x01<\r"]
    assert read(s3, bucket, "a\x01<\r") == b"x"


def test_body_that_is_not_whole_is_no_part(aws: S3Server, s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    target = f"/{bucket}/a?partNumber=1&uploadId={upload['UploadId']}"
    assert ask(aws, "PUT", target, b"x", {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="})[:2] == (400, "BadDigest")
    assert "Parts" not in s3.list_parts(**upload)
