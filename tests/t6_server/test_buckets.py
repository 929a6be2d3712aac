"""Buckets: create, list, head, delete, location, versioning, encryption with what it blocks, and what there is not."""

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from support.rawhttp import ask, exchange, parsed, unsigned_head
from support.s3calls import enable_versions, error_of, put_all, read, refusal, source_trio, trio
from support.s3server import S3Server

from ssecfs.ssec import CustomerKey


def exists(client: Any, name: str) -> bool:
    return name in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_bucket_lives_from_its_creation_to_its_deletion(s3: Any) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    assert refusal(s3.head_bucket, Bucket="a-life") == (404, "404")
    assert s3.create_bucket(Bucket="a-life")["Location"] == "/a-life"
    (shown,) = [bucket for bucket in s3.list_buckets()["Buckets"] if bucket["Name"] == "a-life"]
    assert began <= shown["CreationDate"] <= datetime.now(UTC)
    assert s3.head_bucket(Bucket="a-life")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="a-life")["LocationConstraint"] is None
    assert s3.delete_bucket(Bucket="a-life")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert not exists(s3, "a-life")
    for call in (s3.delete_bucket, s3.list_objects_v2, s3.get_bucket_location, s3.get_bucket_versioning):
        assert refusal(call, Bucket="a-life") == (404, "NoSuchBucket")


def test_buckets_are_listed_by_name(s3: Any, bucket: str) -> None:
    for name in ("zz-last", "aa.first"):
        s3.create_bucket(Bucket=name)
    names = [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert names == sorted(names)
    assert {"zz-last", "aa.first", bucket} <= set(names)
    assert s3.list_buckets()["Owner"]["ID"] == "ssecfs"


def test_bucket_that_is_there_is_not_made_again(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "kept")
    error = error_of(s3.create_bucket, Bucket=bucket)
    assert (error["Status"], error["Code"], error["BucketName"]) == (409, "BucketAlreadyOwnedByYou", bucket)
    assert read(s3, bucket, "kept") == b"kept"


def test_location_asked_for_is_accepted(s3: Any) -> None:
    s3.create_bucket(Bucket="located", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert exists(s3, "located")


@pytest.mark.parametrize(
    "name", ["ab", "A-capital", "under_score", "-dash", "dash-", ".dot", "dot.", "two..dots", "192.168.0.1", "a" * 64]
)
def test_name_that_no_bucket_can_have_is_refused(aws: S3Server, name: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        assert parsed(exchange(aws, unsigned_head(method, f"/{name}")))[:2] == (400, "InvalidBucketName")


@pytest.mark.parametrize("name", ["abc", "1.2.3", "1.2.3.4.5", "a.b-c.d", "012", "a" * 63])
def test_name_at_the_limits_is_accepted(aws: S3Server, name: str) -> None:
    assert ask(aws, "PUT", f"/{name}")[:2] == (200, "")


def test_bucket_with_objects_stays(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a")
    error = error_of(s3.delete_bucket, Bucket=bucket)
    assert (error["Status"], error["Code"]) == (409, "BucketNotEmpty")
    assert error["Message"] == "The bucket you tried to delete is not empty"
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)


def test_bucket_with_versions_or_delete_markers_stays(s3: Any, bucket: str) -> None:
    enable_versions(s3, bucket)
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="a")["VersionId"]
    for version_id in (version, marker):
        error = error_of(s3.delete_bucket, Bucket=bucket)
        assert (error["Status"], error["Code"]) == (409, "BucketNotEmpty")
        assert error["Message"].endswith("You must delete all versions in the bucket.")
        s3.delete_object(Bucket=bucket, Key="a", VersionId=version_id)
    s3.delete_bucket(Bucket=bucket)
    assert not exists(s3, bucket)


def test_deletion_of_a_bucket_ends_its_uploads(aws: S3Server, s3: Any, bucket: str) -> None:
    files = sorted((aws.directory / "data").rglob("*"))
    upload = {"Bucket": bucket, "Key": "a"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    s3.upload_part(**upload, PartNumber=1, Body=b"x" * 100_000)
    s3.delete_bucket(Bucket=bucket)
    assert sorted((aws.directory / "data").rglob("*")) == files
    s3.create_bucket(Bucket=bucket)
    assert refusal(s3.list_parts, **upload) == (404, "NoSuchUpload")


def test_versioning_is_turned_on_and_suspended_and_never_off(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Suspended", "Enabled", "Suspended", "Enabled"):
        enable_versions(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Status>enabled</Status>", "MalformedXML"),
        ("<Status>Disabled</Status>", "MalformedXML"),
        ("<Status/>", "MalformedXML"),
        ("", "IllegalVersioningConfigurationException"),
    ],
)
def test_versioning_that_is_none_is_refused(aws: S3Server, bucket: str, inner: str, code: str) -> None:
    document = f"<VersioningConfiguration>{inner}</VersioningConfiguration>".encode()
    assert ask(aws, "PUT", f"/{bucket}?versioning", document)[:2] == (400, code)
    found = ET.fromstring(ask(aws, "GET", f"/{bucket}?versioning")[2])
    assert found.find("{*}Status") is None


def block(client: Any, bucket: str, *kinds: str) -> None:
    rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    if kinds:
        rule["BlockedEncryptionTypes"] = {"EncryptionType": list(kinds)}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def rule_of(client: Any, bucket: str) -> dict[str, Any]:
    rule: dict[str, Any]
    (rule,) = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    return rule


def test_encryption_is_kept_and_shown_with_what_it_blocks(s3: Any, bucket: str) -> None:
    by_default = {"SSEAlgorithm": "AES256"}
    assert rule_of(s3, bucket)["ApplyServerSideEncryptionByDefault"] == by_default
    block(s3, bucket, "SSE-C")
    rule = rule_of(s3, bucket)
    assert rule["ApplyServerSideEncryptionByDefault"] == by_default
    assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    block(s3, bucket)
    assert "BlockedEncryptionTypes" not in rule_of(s3, bucket)
    block(s3, bucket, "NONE")
    assert rule_of(s3, bucket)["BlockedEncryptionTypes"] == {"EncryptionType": ["NONE"]}
    for _ in range(2):
        assert s3.delete_bucket_encryption(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "BlockedEncryptionTypes" not in rule_of(s3, bucket)


def test_blocked_bucket_takes_no_customer_key_and_still_opens_what_it_has(
    s3: Any, bucket: str, customer_key: CustomerKey
) -> None:
    sealed, blocked = trio(customer_key), (403, "AccessDenied")
    s3.put_object(Bucket=bucket, Key="old", Body=b"sealed", **sealed)
    upload = {"Bucket": bucket, "Key": "new"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **sealed)["UploadId"]
    block(s3, bucket, "SSE-C")
    source = {"CopySource": {"Bucket": bucket, "Key": "old"}, **source_trio(customer_key)}
    new = {"Bucket": bucket, "Key": "new"}
    assert refusal(s3.put_object, **new, Body=b"x", **sealed) == blocked
    assert refusal(s3.put_object, **new, Body=b"x", **(sealed | {"SSECustomerAlgorithm": "none"})) == blocked
    assert refusal(s3.copy_object, **new, **source, **sealed) == blocked
    assert refusal(s3.create_multipart_upload, **new, **sealed) == blocked
    assert refusal(s3.upload_part, **upload, PartNumber=1, Body=b"x", **sealed) == blocked
    assert refusal(s3.upload_part_copy, **upload, PartNumber=1, **source, **sealed) == blocked
    assert read(s3, bucket, "old", **sealed) == b"sealed"
    s3.copy_object(**new, **source)
    assert read(s3, bucket, "new") == b"sealed"
    block(s3, bucket, "NONE")
    s3.put_object(**new, Body=b"x", **sealed)


BY_KMS = """
<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>
"""


@pytest.mark.parametrize(
    ("inner", "answer"),
    [
        ("", (400, "MalformedXML")),
        ("<Rule/><Rule/>", (400, "MalformedXML")),
        (
            "<Rule><BlockedEncryptionTypes><EncryptionType>SSE-X</EncryptionType></BlockedEncryptionTypes></Rule>",
            (400, "MalformedXML"),
        ),
        (
            BY_KMS,
            (501, "NotImplemented"),
        ),
    ],
)
def test_encryption_that_is_none_or_not_here_is_refused(
    aws: S3Server, bucket: str, inner: str, answer: tuple[int, str]
) -> None:
    document = f"<ServerSideEncryptionConfiguration>{inner}</ServerSideEncryptionConfiguration>".encode()
    assert ask(aws, "PUT", f"/{bucket}?encryption", document)[:2] == answer
    assert ask(aws, "PUT", "/no-such-bucket?encryption", document)[:2] == (404, "NoSuchBucket")


def test_encryption_by_keys_that_are_not_here_is_refused(s3: Any, bucket: str) -> None:
    for kind in ("aws:kms", "aws:kms:dsse"):
        assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption=kind) == (501, "NotImplemented")
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="AES256")
    assert read(s3, bucket, "a") == b"x"


@pytest.mark.parametrize(
    "part", ["lifecycle", "policy", "acl", "cors", "website", "replication", "notification", "object-lock", "logging"]
)
def test_part_of_s3_that_is_not_here_says_so(aws: S3Server, bucket: str, part: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert ask(aws, method, f"/{bucket}?{part}")[:2] == (501, "NotImplemented")
    assert ask(aws, "GET", f"/{bucket}")[0] == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [("PATCH", "/bucket"), ("POST", "/"), ("DELETE", "/"), ("PUT", "/bucket/a?uploads"), ("PUT", "/bucket?location")],
)
def test_method_that_has_no_meaning_there_is_refused(aws: S3Server, method: str, target: str) -> None:
    assert ask(aws, method, target)[:2] == (405, "MethodNotAllowed")


def test_unknown_parameters_of_a_query_have_no_effect(aws: S3Server, s3: Any, bucket: str) -> None:
    assert ask(aws, "PUT", f"/{bucket}/a?x-id=PutObject&unknown=1", b"x")[0] == 200
    assert ask(aws, "GET", f"/{bucket}/a?x-id=GetObject") == (200, "", b"x")
