"""Tags of objects, which need no key; GetObjectAttributes, which does."""

from typing import Any
from urllib.parse import urlencode

import pytest
from support.rawhttp import ask
from support.s3calls import (
    MIN_PART_BYTES,
    OTHER_KEY,
    enable_versions,
    error_of,
    put_all,
    refusal,
    seeded_bytes,
    source_trio,
    trio,
)
from support.s3server import S3Server

from ssecfs.server.errors import S3Error
from ssecfs.server.tags import checked_tags, tags_of_header
from ssecfs.ssec import CustomerKey

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


def tags_of(client: Any, bucket: str, **more: str) -> dict[str, str]:
    found = client.get_object_tagging(Bucket=bucket, Key="a", **more)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_tags_live_beside_the_content_and_need_no_key(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"sealed", Tagging="one=1&two=", **trio(customer_key))["ETag"]
    assert tags_of(s3, bucket) == {"one": "1", "two": ""}
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tag_set(three="é 名 3"))
    assert tags_of(s3, bucket) == {"three": "é 名 3"}
    head = s3.head_object(Bucket=bucket, Key="a", **trio(customer_key))
    assert (head["TagCount"], head["ETag"]) == (1, etag)
    assert s3.delete_object_tagging(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(s3, bucket) == {}
    head = s3.head_object(Bucket=bucket, Key="a", **trio(customer_key))
    assert ("TagCount" in head, head["ETag"]) == (False, etag)


def test_new_content_has_no_old_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="a=b")
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    assert tags_of(s3, bucket) == {}


def test_each_version_has_tags_of_its_own(s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    first, second = (s3.put_object(Bucket=bucket, Key="a", Body=b"x")["VersionId"] for _ in range(2))
    answer = s3.put_object_tagging(Bucket=bucket, Key="a", VersionId=first, Tagging=tag_set(a="old"))
    assert answer["VersionId"] == first
    assert s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tag_set(a="new"))["VersionId"] == second
    assert (tags_of(s3, bucket), tags_of(s3, bucket, VersionId=first)) == ({"a": "new"}, {"a": "old"})
    s3.delete_object_tagging(Bucket=bucket, Key="a", VersionId=first)
    assert (tags_of(s3, bucket), tags_of(s3, bucket, VersionId=first)) == ({"a": "new"}, {})
    marker = s3.delete_object(Bucket=bucket, Key="a")["VersionId"]
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="a") == (404, "NoSuchKey")
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="a", VersionId=marker) == (405, "MethodNotAllowed")


def test_tags_of_nothing_are_refused(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "a"}
    assert refusal(s3.get_object_tagging, **place) == (404, "NoSuchKey")
    assert refusal(s3.put_object_tagging, **place, Tagging=tag_set(a="b")) == (404, "NoSuchKey")
    assert refusal(s3.delete_object_tagging, **place) == (404, "NoSuchKey")
    assert refusal(s3.get_object_tagging, Bucket="no-such-bucket", Key="a") == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    "pairs",
    [
        [(f"name{number}", "value") for number in range(11)],
        [("twice", "1"), ("twice", "2")],
        [("n" * 129, "value")],
        [("name", "v" * 257)],
        [("a,b", "value")],
        [("name", "a,b")],
        [("aws:name", "value")],
    ],
)
def test_tags_that_cannot_be_are_refused(s3: Any, bucket: str, pairs: list[tuple[str, str]]) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="kept=yes")
    document = {"TagSet": [{"Key": name, "Value": value} for name, value in pairs]}
    assert refusal(s3.put_object_tagging, Bucket=bucket, Key="a", Tagging=document) == (400, "InvalidTag")
    assert tags_of(s3, bucket) == {"kept": "yes"}
    status, code = refusal(s3.put_object, Bucket=bucket, Key="b", Body=b"x", Tagging=urlencode(pairs))
    assert (status, code) == (400, "InvalidArgument" if pairs[0][0] == "twice" else "InvalidTag")
    assert refusal(s3.head_object, Bucket=bucket, Key="b")[0] == 404


def test_tags_at_their_limits_are_kept(s3: Any, bucket: str) -> None:
    tags = {f"{number}" + "n" * 127: "v" * 256 for number in range(10)}
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging=urlencode(tags))
    assert tags_of(s3, bucket) == tags


@pytest.mark.parametrize("text", ["a=b,c=d&e", "no-value", "%FF=a", "&", "a=1&a=2"])
def test_header_that_holds_no_tags_is_refused(aws: S3Server, bucket: str, text: str) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a", b"x", {"x-amz-tagging": text})[:2] == (400, "InvalidArgument")
    with pytest.raises(S3Error, match="shall be encoded as UTF-8"):
        tags_of_header(text)


def test_letters_of_every_script_and_some_signs_may_be_in_tags() -> None:
    tags = [("Größe", "ü+-=._:/@ 1"), ("名前", "値")]
    assert checked_tags(tags) == dict(tags)
    with pytest.raises(S3Error, match="InvalidTag"):
        checked_tags([("", "value")])


def attributes(client: Any, bucket: str, *names: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=list(names), **more)
    return {name: value for name, value in answer.items() if name not in {"ResponseMetadata", "LastModified"}}


def test_attributes_need_the_key_and_show_what_is_asked_for(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"hello", ChecksumAlgorithm="CRC32", **trio(customer_key))["ETag"]
    shown = attributes(s3, bucket, *ALL, **trio(customer_key))
    assert shown == {
        "ETag": etag.strip('"'),
        "Checksum": {"ChecksumCRC32": "NhCmhg==", "ChecksumType": "FULL_OBJECT"},
        "StorageClass": "STANDARD",
        "ObjectSize": 5,
    }
    assert attributes(s3, bucket, "ObjectSize", **trio(customer_key)) == {"ObjectSize": 5}
    wanted = {"Bucket": bucket, "Key": "a", "ObjectAttributes": ["ETag"]}
    assert refusal(s3.get_object_attributes, **wanted) == (400, "InvalidRequest")
    assert refusal(s3.get_object_attributes, **wanted, **trio(OTHER_KEY)) == (403, "AccessDenied")
    other = trio(customer_key) | {"SSECustomerAlgorithm": "AES128"}
    assert refusal(s3.get_object_attributes, **wanted, **other) == (400, "InvalidEncryptionAlgorithmError")
    put_all(s3, bucket, "plain")
    plain = wanted | {"Key": "plain"}
    assert refusal(s3.get_object_attributes, **plain, **trio(customer_key)) == (400, "InvalidRequest")


def test_attributes_show_parts_in_pages(s3: Any, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "a"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    s3.put_object(Bucket=bucket, Key="source", Body=seeded_bytes(4, MIN_PART_BYTES))
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part_copy(**upload, PartNumber=number, **source)["CopyPartResult"]["ETag"]}
        for number in (1, 2, 3)
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    first = attributes(s3, bucket, "ObjectParts", MaxParts=2)["ObjectParts"]
    assert (first["TotalPartsCount"], first["IsTruncated"], first["NextPartNumberMarker"]) == (3, True, 2)
    assert [(part["PartNumber"], part["Size"]) for part in first["Parts"]] == [(1, MIN_PART_BYTES), (2, MIN_PART_BYTES)]
    rest = attributes(s3, bucket, "ObjectParts", PartNumberMarker=2)["ObjectParts"]
    assert ([part["PartNumber"] for part in rest["Parts"]], rest["IsTruncated"]) == ([3], False)


def test_attributes_of_a_version_show_it(s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"22")["VersionId"]
    assert attributes(s3, bucket, "ObjectSize") == {"ObjectSize": 2, "VersionId": second}
    assert attributes(s3, bucket, "ObjectSize", VersionId=first) == {"ObjectSize": 1, "VersionId": first}


@pytest.mark.parametrize("names", ["", "Size", "ETag,Size"])
def test_attribute_that_is_none_is_refused(aws: S3Server, s3: Any, bucket: str, names: str) -> None:
    put_all(s3, bucket, "a")
    headers = {"x-amz-object-attributes": names} if names else {}
    assert ask(aws, "GET", f"/{bucket}/a?attributes", headers=headers)[:2] == (400, "InvalidArgument")


def test_attributes_of_nothing_are_refused(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    wanted = {"Bucket": bucket, "Key": "a", "ObjectAttributes": ["ETag"]}
    error = error_of(s3.get_object_attributes, **wanted, **trio(customer_key))
    assert (error["Status"], error["Code"], error["Key"]) == (404, "NoSuchKey", "a")
    put_all(s3, bucket, "source")
    s3.copy_object(Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "source"}, **trio(OTHER_KEY))
    assert attributes(s3, bucket, "ObjectSize", **trio(OTHER_KEY)) == {"ObjectSize": 6}
    assert refusal(s3.get_object_attributes, **wanted, **trio(customer_key)) == (403, "AccessDenied")
    back = {"CopySource": {"Bucket": bucket, "Key": "a"}, **source_trio(OTHER_KEY)}
    s3.copy_object(Bucket=bucket, Key="a", **back)
    assert attributes(s3, bucket, "ObjectSize") == {"ObjectSize": 6}
