"""CopyObject: both key trios, directives, copies onto themselves, versions, and conditions on the source."""

from datetime import timedelta
from typing import Any

import pytest
from support.rawhttp import ask
from support.s3calls import OTHER_KEY, enable_versions, error_of, put_all, read, refusal, seeded_bytes, source_trio, trio
from support.s3server import S3Server

from ssecfs.ssec import CustomerKey

CONTENT = seeded_bytes(11, 200_000)
SELF = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata"


def copy(client: Any, bucket: str, source: str = "source", target: str = "target", **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.copy_object(
        **{"Bucket": bucket, "Key": target, "CopySource": {"Bucket": bucket, "Key": source}} | more
    )
    return answer


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, Any]:
    """An object without a customer key, with everything that a copy may take along."""
    given = {"ContentType": "text/plain", "CacheControl": "no-store", "Metadata": {"name": "value"}, "Tagging": "a=b"}
    answer: dict[str, Any] = s3.put_object(Bucket=bucket, Key="source", Body=CONTENT, **given)
    return answer


PLAIN = None
KEYS = [PLAIN, OTHER_KEY, CustomerKey(b"t" * 32)]


@pytest.mark.parametrize("old", KEYS, ids=["plain", "key", "another"])
@pytest.mark.parametrize("new", KEYS, ids=["to-plain", "to-key", "to-another"])
def test_copy_changes_from_any_key_to_any_other(s3: Any, bucket: str, old: CustomerKey | None, new: CustomerKey | None) -> None:
    opening, sealing = (source_trio(old) if old else {}), (trio(new) if new else {})
    etag = s3.put_object(Bucket=bucket, Key="source", Body=CONTENT, **(trio(old) if old else {}))["ETag"]
    answer = copy(s3, bucket, **opening, **sealing)
    assert read(s3, bucket, "target", **sealing) == CONTENT
    assert answer.get("SSECustomerKeyMD5") == (new.md5 if new else None)
    assert (answer["CopyObjectResult"]["ETag"] == etag) == (old is PLAIN and new is PLAIN)
    if old:
        assert refusal(copy, client=s3, bucket=bucket, **sealing) == (400, "InvalidRequest")
        wrong = CustomerKey(b"w" * 32)
        assert refusal(copy, client=s3, bucket=bucket, **source_trio(wrong), **sealing) == (403, "AccessDenied")
    else:
        assert refusal(copy, client=s3, bucket=bucket, **source_trio(OTHER_KEY), **sealing) == (400, "InvalidRequest")
    if new:
        assert refusal(s3.get_object, Bucket=bucket, Key="target") == (400, "InvalidRequest")


def test_self_copy_with_another_key_rotates_it(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    given = {"Metadata": {"name": "value"}, "ContentType": "text/plain", **trio(OTHER_KEY)}
    etag = s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **given)["ETag"]
    copy(s3, bucket, "a", "a", **source_trio(OTHER_KEY), **trio(customer_key))
    head = s3.head_object(Bucket=bucket, Key="a", **trio(customer_key))
    assert (head["Metadata"], head["ContentType"], head["ETag"] == etag) == ({"name": "value"}, "text/plain", False)
    assert read(s3, bucket, "a", **trio(customer_key)) == CONTENT
    assert refusal(s3.get_object, Bucket=bucket, Key="a", **trio(OTHER_KEY)) == (403, "AccessDenied")


def test_self_copy_that_changes_nothing_is_refused(s3: Any, bucket: str, source: dict[str, Any]) -> None:
    error = error_of(copy, client=s3, bucket=bucket, target="source")
    assert (error["Status"], error["Code"], error["Message"].startswith(SELF)) == (400, "InvalidRequest", True)
    copy(s3, bucket, target="source", MetadataDirective="REPLACE", Metadata={"name": "other"})
    assert s3.head_object(Bucket=bucket, Key="source")["Metadata"] == {"name": "other"}
    copy(s3, bucket, target="source", **trio(OTHER_KEY))
    assert read(s3, bucket, "source", **trio(OTHER_KEY)) == CONTENT


def test_metadata_is_copied_or_replaced_as_a_whole(s3: Any, bucket: str, source: dict[str, Any]) -> None:
    copy(s3, bucket, Metadata={"name": "ignored"}, ContentType="image/png")
    head = s3.head_object(Bucket=bucket, Key="target")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("text/plain", "no-store", {"name": "value"})
    copy(s3, bucket, MetadataDirective="REPLACE", Metadata={"other": "new"}, ContentType="image/png")
    head = s3.head_object(Bucket=bucket, Key="target")
    assert (head["ContentType"], "CacheControl" in head, head["Metadata"]) == ("image/png", False, {"other": "new"})
    copy(s3, bucket, MetadataDirective="REPLACE")
    assert s3.head_object(Bucket=bucket, Key="target")["Metadata"] == {}


def test_tags_are_copied_or_replaced_apart_from_metadata(s3: Any, bucket: str, source: dict[str, Any]) -> None:
    def tags() -> dict[str, str]:
        found = s3.get_object_tagging(Bucket=bucket, Key="target")["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    copy(s3, bucket, MetadataDirective="REPLACE")
    assert tags() == {"a": "b"}
    copy(s3, bucket, TaggingDirective="REPLACE", Tagging="c=d&e=")
    assert (tags(), s3.head_object(Bucket=bucket, Key="target")["Metadata"]) == ({"c": "d", "e": ""}, {"name": "value"})
    copy(s3, bucket, TaggingDirective="REPLACE")
    assert tags() == {}


def test_directive_that_is_none_is_refused(s3: Any, bucket: str, source: dict[str, Any]) -> None:
    for name in ("MetadataDirective", "TaggingDirective"):
        assert refusal(copy, client=s3, bucket=bucket, **{name: "copy"}) == (400, "InvalidArgument")


def test_any_version_can_be_copied_and_so_restored(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    enable_versions(s3, bucket)
    old = s3.put_object(Bucket=bucket, Key="a", Body=b"old", **trio(customer_key))["VersionId"]
    plain = s3.put_object(Bucket=bucket, Key="a", Body=b"plain")["VersionId"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"newest")
    for version_id, opening, content in ((old, source_trio(customer_key), b"old"), (plain, {}, b"plain")):
        chosen = {"CopySource": {"Bucket": bucket, "Key": "a", "VersionId": version_id}}
        answer = copy(s3, bucket, target="a", **chosen, **opening)
        assert (answer["CopySourceVersionId"], read(s3, bucket, "a")) == (version_id, content)
        assert read(s3, bucket, "a", VersionId=answer["VersionId"]) == content
    current = s3.head_object(Bucket=bucket, Key="a")["VersionId"]
    again = {"CopySource": {"Bucket": bucket, "Key": "a", "VersionId": current}}
    assert refusal(copy, client=s3, bucket=bucket, target="a", **again) == (400, "InvalidRequest")


def test_delete_marker_cannot_be_copied(s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    put_all(s3, bucket, "source")
    marker = s3.delete_object(Bucket=bucket, Key="source")["VersionId"]
    error = error_of(copy, client=s3, bucket=bucket)
    assert (error["Status"], error["Code"], error["Headers"]["x-amz-delete-marker"]) == (404, "NoSuchKey", "true")
    chosen = {"CopySource": {"Bucket": bucket, "Key": "source", "VersionId": marker}}
    error = error_of(copy, client=s3, bucket=bucket, **chosen)
    assert (error["Status"], error["Code"]) == (400, "InvalidRequest")
    assert "x-amz-delete-marker" not in error["Headers"]


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ({"Key": "none"}, (404, "NoSuchKey")),
        ({"Bucket": "no-such-bucket"}, (404, "NoSuchBucket")),
        ({"VersionId": "1"}, (404, "NoSuchVersion")),
        ({"VersionId": "no-id"}, (400, "InvalidArgument")),
    ],
)
def test_source_that_is_not_there_is_refused(
    s3: Any, bucket: str, source: dict[str, Any], place: dict[str, str], refused: tuple[int, str]
) -> None:
    chosen = {"CopySource": {"Bucket": bucket, "Key": "source"} | place}
    assert refusal(copy, client=s3, bucket=bucket, **chosen) == refused
    assert refusal(s3.head_object, Bucket=bucket, Key="target")[0] == 404


@pytest.mark.parametrize("name", ["a b+c", "é/€", "a?versionId=1", "%2F", "//x", "100%"])
def test_source_is_named_by_its_encoded_key(aws: S3Server, s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key=name, Body=CONTENT)
    copy(s3, bucket, name)
    assert read(s3, bucket, "target") == CONTENT


@pytest.mark.parametrize("text", ["", "/", "bucket", "/bucket/", "?versionId=1"])
def test_source_without_a_key_is_refused(aws: S3Server, bucket: str, text: str) -> None:
    refused = ask(aws, "PUT", f"/{bucket}/target", headers={"x-amz-copy-source": text})
    assert refused[:2] == (400, "InvalidArgument")


def test_copy_reaches_into_another_bucket(s3: Any, bucket: str, source: dict[str, Any]) -> None:
    s3.create_bucket(Bucket="elsewhere")
    s3.copy_object(Bucket="elsewhere", Key="source", CopySource={"Bucket": bucket, "Key": "source"})
    assert read(s3, "elsewhere", "source") == CONTENT
    missing = {"Bucket": "no-such-bucket", "Key": "a", "CopySource": {"Bucket": bucket, "Key": "source"}}
    assert refusal(s3.copy_object, **missing) == (404, "NoSuchBucket")


def test_copy_of_a_multipart_object_is_one_piece(s3: Any, bucket: str, customer_key: CustomerKey) -> None:
    upload = {"Bucket": bucket, "Key": "source"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **trio(customer_key))["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=CONTENT, **trio(customer_key))["ETag"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    copy(s3, bucket, **source_trio(customer_key), **trio(customer_key))
    head = s3.head_object(Bucket=bucket, Key="target", **trio(customer_key))
    assert (head["ContentLength"], "-" in head["ETag"]) == (len(CONTENT), False)
    assert read(s3, bucket, "target", **trio(customer_key)) == CONTENT


def test_copy_keeps_the_checksum_algorithm_or_takes_the_one_asked_for(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=CONTENT, ChecksumAlgorithm="SHA256")
    whole = s3.head_object(Bucket=bucket, Key="source", ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert copy(s3, bucket)["CopyObjectResult"]["ChecksumSHA256"] == whole
    assert "ChecksumCRC32C" in copy(s3, bucket, ChecksumAlgorithm="CRC32C")["CopyObjectResult"]
    assert "ChecksumCRC32C" in s3.head_object(Bucket=bucket, Key="target", ChecksumMode="ENABLED")
    assert refusal(copy, client=s3, bucket=bucket, ChecksumAlgorithm="MD4") == (400, "InvalidRequest")


WRONG = '"0123456789abcdef0123456789abcdef"'


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        ({"IfMatch": "right"}, ""),
        ({"IfMatch": "bare"}, ""),
        ({"IfMatch": WRONG}, "If-Match"),
        ({"IfNoneMatch": WRONG}, ""),
        ({"IfNoneMatch": "right"}, "If-None-Match"),
        ({"IfNoneMatch": "bare"}, "If-None-Match"),
        ({"IfModifiedSince": "before"}, ""),
        ({"IfModifiedSince": "same"}, "If-Modified-Since"),
        ({"IfModifiedSince": "tomorrow"}, ""),
        ({"IfUnmodifiedSince": "same"}, ""),
        ({"IfUnmodifiedSince": "before"}, "If-Unmodified-Since"),
        ({"IfMatch": WRONG, "IfUnmodifiedSince": "before", "IfNoneMatch": "right", "IfModifiedSince": "same"}, "If-Match"),
        ({"IfUnmodifiedSince": "before", "IfNoneMatch": "right", "IfModifiedSince": "same"}, "If-Unmodified-Since"),
        ({"IfNoneMatch": "right", "IfModifiedSince": "same"}, "If-None-Match"),
        ({"IfMatch": "right", "IfUnmodifiedSince": "before"}, ""),
        ({"IfMatch": "bare", "IfNoneMatch": WRONG, "IfModifiedSince": "before", "IfUnmodifiedSince": "same"}, ""),
    ],
)
def test_copy_follows_the_conditions_on_its_source(
    s3: Any, bucket: str, source: dict[str, Any], conditions: dict[str, str], failed: str
) -> None:
    moment = s3.head_object(Bucket=bucket, Key="source")["LastModified"]
    values = {
        "right": source["ETag"],
        "bare": source["ETag"].strip('"'),
        "same": moment,
        "before": moment - timedelta(minutes=1),
    }
    values["tomorrow"] = moment + timedelta(days=1)
    given = {f"CopySource{name}": values.get(value, value) for name, value in conditions.items()}
    upload = {"Bucket": bucket, "Key": "target"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = upload | {"PartNumber": 1, "CopySource": {"Bucket": bucket, "Key": "source"}}
    if not failed:
        copy(s3, bucket, **given)
        s3.upload_part_copy(**part, **given)
        return
    for error in (error_of(copy, client=s3, bucket=bucket, **given), error_of(s3.upload_part_copy, **part, **given)):
        assert (error["Status"], error["Code"]) == (412, "PreconditionFailed")
        assert error["Condition"] == f"x-amz-copy-source-{failed}"
