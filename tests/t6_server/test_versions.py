"""Versions: each with its own customer key, delete markers, suspension, and what listings, heads and deletions show of them."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from support.rawhttp import ask
from support.s3calls import OTHER_KEY, enable_versions, error_of, put_all, read, refusal, trio
from support.s3server import S3Server, s3_server

from ssecfs.server.options import Durability
from ssecfs.server.records import delete_marker
from ssecfs.server.storage import Storage
from ssecfs.ssec import CustomerKey

MARKER = {"x-amz-delete-marker": "true"}


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    enable_versions(s3, bucket)
    return bucket


def put(client: Any, bucket: str, content: bytes, object_key: str = "a", **more: Any) -> str:
    """Store a version; gives its id."""
    version_id: str = client.put_object(Bucket=bucket, Key=object_key, Body=content, **more)["VersionId"]
    return version_id


def listed(server: S3Server, bucket: str) -> list[tuple[str, str, str, bool]]:
    """Element, object key, version id and whether it is the latest, of all versions in the order of the document."""
    page = ET.fromstring(ask(server, "GET", f"/{bucket}?versions")[2])
    return [
        (
            entry.tag.rpartition("}")[2],
            entry.findtext("{*}Key") or "",
            entry.findtext("{*}VersionId") or "",
            entry.findtext("{*}IsLatest") == "true",
        )
        for entry in page
        if entry.find("{*}VersionId") is not None
    ]


def test_each_version_has_a_key_of_its_own(s3: Any, versioned: str, customer_key: CustomerKey) -> None:
    ids = [
        put(s3, versioned, b"first", **trio(customer_key)),
        put(s3, versioned, b"second", **trio(OTHER_KEY)),
        put(s3, versioned, b"third"),
    ]
    keys: list[dict[str, str]] = [trio(customer_key), trio(OTHER_KEY), {}]
    for version_id, own, content in zip(ids, keys, (b"first", b"second", b"third"), strict=True):
        assert read(s3, versioned, "a", VersionId=version_id, **own) == content
        head = s3.head_object(Bucket=versioned, Key="a", VersionId=version_id, **own)
        assert (head["VersionId"], head["ContentLength"]) == (version_id, len(content))
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=ids[0]) == (400, "InvalidRequest")
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=ids[0], **keys[1]) == (403, "AccessDenied")
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=ids[1], **keys[0]) == (403, "AccessDenied")
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=ids[2], **keys[0]) == (400, "InvalidRequest")
    assert read(s3, versioned, "a") == b"third"


def test_delete_marker_hides_what_stays(aws: S3Server, s3: Any, versioned: str, customer_key: CustomerKey) -> None:
    version_id = put(s3, versioned, b"kept", **trio(customer_key))
    gone = s3.delete_object(Bucket=versioned, Key="a")
    marker = gone["VersionId"]
    assert gone["DeleteMarker"] is True
    hidden = error_of(s3.get_object, Bucket=versioned, Key="a", **trio(customer_key))
    assert (hidden["Status"], hidden["Code"]) == (404, "NoSuchKey")
    assert hidden["Headers"].items() >= (MARKER | {"x-amz-version-id": marker}).items()
    refused = error_of(s3.get_object, Bucket=versioned, Key="a", VersionId=marker)
    assert (refused["Status"], refused["Code"], refused["Method"]) == (405, "MethodNotAllowed", "GET")
    assert refused["ResourceType"] == "DeleteMarker"
    assert refused["Headers"].items() >= (MARKER | {"x-amz-version-id": marker, "allow": "DELETE"}).items()
    assert "last-modified" in refused["Headers"]
    head = error_of(s3.head_object, Bucket=versioned, Key="a")
    assert (head["Status"], head["Headers"]["x-amz-delete-marker"]) == (404, "true")
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert listed(aws, versioned) == [("DeleteMarker", "a", marker, True), ("Version", "a", version_id, False)]
    assert read(s3, versioned, "a", VersionId=version_id, **trio(customer_key)) == b"kept"


def test_removing_a_version_brings_the_older_one_back(
    aws: S3Server, s3: Any, versioned: str, customer_key: CustomerKey
) -> None:
    first, second = put(s3, versioned, b"first", **trio(customer_key)), put(s3, versioned, b"second")
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    gone = s3.delete_object(Bucket=versioned, Key="a", VersionId=marker)
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker)
    assert read(s3, versioned, "a") == b"second"
    gone = s3.delete_object(Bucket=versioned, Key="a", VersionId=second)
    assert ("DeleteMarker" in gone, gone["VersionId"]) == (False, second)
    assert read(s3, versioned, "a", **trio(customer_key)) == b"first"
    assert listed(aws, versioned) == [("Version", "a", first, True)]
    s3.delete_object(Bucket=versioned, Key="a", VersionId=first)
    assert "x-amz-delete-marker" not in error_of(s3.get_object, Bucket=versioned, Key="a")["Headers"]
    assert listed(aws, versioned) == []


def test_removing_an_old_version_changes_nothing_else(aws: S3Server, s3: Any, versioned: str) -> None:
    first, second, third = (put(s3, versioned, content) for content in (b"1", b"2", b"3"))
    s3.delete_object(Bucket=versioned, Key="a", VersionId=second)
    assert read(s3, versioned, "a") == b"3"
    assert listed(aws, versioned) == [("Version", "a", third, True), ("Version", "a", first, False)]
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=second) == (404, "NoSuchVersion")


def test_every_deletion_adds_a_marker_also_of_what_is_not_there(aws: S3Server, s3: Any, versioned: str) -> None:
    markers = [s3.delete_object(Bucket=versioned, Key="none")["VersionId"] for _ in range(2)]
    assert listed(aws, versioned) == [("DeleteMarker", "none", markers[1], True), ("DeleteMarker", "none", markers[0], False)]


def test_listing_orders_names_then_versions_newest_first(aws: S3Server, s3: Any, versioned: str) -> None:
    older = [put(s3, versioned, b"1", name) for name in ("b", "a")]
    newer = [put(s3, versioned, b"2", name) for name in ("b", "a")]
    assert [entry[1:] for entry in listed(aws, versioned)] == [
        ("a", newer[1], True),
        ("a", older[1], False),
        ("b", newer[0], True),
        ("b", older[0], False),
    ]


def test_what_was_there_before_versions_is_the_null_version(aws: S3Server, s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a")
    assert "VersionId" not in s3.head_object(Bucket=bucket, Key="a")
    assert read(s3, bucket, "a", VersionId="null") == b"a"
    assert listed(aws, bucket) == [("Version", "a", "null", True)]
    enable_versions(s3, bucket)
    assert s3.head_object(Bucket=bucket, Key="a")["VersionId"] == "null"
    newer = put(s3, bucket, b"newer")
    assert listed(aws, bucket) == [("Version", "a", newer, True), ("Version", "a", "null", False)]
    assert read(s3, bucket, "a", VersionId="null") == b"a"
    s3.delete_object(Bucket=bucket, Key="a", VersionId="null")
    assert listed(aws, bucket) == [("Version", "a", newer, True)]


def test_suspended_bucket_has_one_null_version_beside_the_others(aws: S3Server, s3: Any, versioned: str) -> None:
    kept = put(s3, versioned, b"kept")
    enable_versions(s3, versioned, "Suspended")
    assert s3.get_bucket_versioning(Bucket=versioned)["Status"] == "Suspended"
    for content in (b"one", b"two"):
        answer = s3.put_object(Bucket=versioned, Key="a", Body=content)
        assert "VersionId" not in answer
    assert s3.head_object(Bucket=versioned, Key="a")["VersionId"] == "null"
    assert listed(aws, versioned) == [("Version", "a", "null", True), ("Version", "a", kept, False)]
    gone = s3.delete_object(Bucket=versioned, Key="a")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    assert listed(aws, versioned) == [("DeleteMarker", "a", "null", True), ("Version", "a", kept, False)]
    s3.put_object(Bucket=versioned, Key="a", Body=b"again")
    assert listed(aws, versioned) == [("Version", "a", "null", True), ("Version", "a", kept, False)]
    enable_versions(s3, versioned)
    newest = put(s3, versioned, b"newest")
    shown = [("Version", "a", newest, True), ("Version", "a", "null", False), ("Version", "a", kept, False)]
    assert listed(aws, versioned) == shown
    assert read(s3, versioned, "a", VersionId="null") == b"again"


def test_completed_upload_is_a_version(s3: Any, versioned: str) -> None:
    older = put(s3, versioned, b"older")
    upload = {"Bucket": versioned, "Key": "a"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"newer")["ETag"]}
    newer = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})["VersionId"]
    assert read(s3, versioned, "a", VersionId=newer) == b"newer"
    assert read(s3, versioned, "a", VersionId=older) == b"older"


@pytest.mark.parametrize(
    ("version_id", "refused"),
    [
        ("", (400, "InvalidArgument")),
        ("none", (400, "InvalidArgument")),
        ("-1", (400, "InvalidArgument")),
        ("9" * 30, (400, "InvalidArgument")),
        ("1", (404, "NoSuchVersion")),
        ("null", (404, "NoSuchVersion")),
    ],
)
def test_version_that_is_not_there_is_refused(s3: Any, versioned: str, version_id: str, refused: tuple[int, str]) -> None:
    put(s3, versioned, b"there")
    arguments = {"Bucket": versioned, "Key": "a", "VersionId": version_id}
    for call in (s3.get_object, s3.get_object_tagging):
        assert refusal(call, **arguments) == refused
    attributes = {"ObjectAttributes": ["ETag"]}
    assert refusal(s3.get_object_attributes, **arguments, **attributes) == refused
    assert refusal(s3.head_object, **arguments) == (refused[0], str(refused[0]))
    if refused[0] == 404:
        assert s3.delete_object(**arguments)["ResponseMetadata"]["HTTPStatusCode"] == 204
    else:
        assert refusal(s3.delete_object, **arguments) == refused


def test_many_are_deleted_at_once_with_or_without_a_version(aws: S3Server, s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, b"first"), put(s3, versioned, b"second")
    marker = s3.delete_object(Bucket=versioned, Key="hidden")["VersionId"]
    wanted = [
        {"Key": "a", "VersionId": first},
        {"Key": "a"},
        {"Key": "a"},
        {"Key": "hidden", "VersionId": marker},
        {"Key": "none"},
        {"Key": "a", "VersionId": "no-id"},
    ]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": wanted})
    old, hiding, removed, none = answer["Deleted"]
    assert old == {"Key": "a", "VersionId": first}
    assert (hiding["Key"], hiding["DeleteMarker"], "VersionId" in hiding) == ("a", True, False)
    assert removed == {"Key": "hidden", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}
    assert (none["Key"], none["DeleteMarker"]) == ("none", True)
    assert [(error["Code"], error["VersionId"]) for error in answer["Errors"]] == [("NoSuchVersion", "no-id")]
    assert listed(aws, versioned) == [
        ("DeleteMarker", "a", hiding["DeleteMarkerVersionId"], True),
        ("Version", "a", second, False),
        ("DeleteMarker", "none", none["DeleteMarkerVersionId"], True),
    ]


def test_quiet_deletion_shows_errors_only(s3: Any, bucket: str) -> None:
    put_all(s3, bucket, "a", "b")
    wanted = [{"Key": "a"}, {"Key": "b", "VersionId": "no-id"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
    assert ("Deleted" in answer, [error["Key"] for error in answer["Errors"]]) == (False, ["b"])
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]


@pytest.mark.parametrize("objects", ["", "<Object/>", "<Object><Key/></Object>", "<Object><Key>a</Key></Object>" * 1001])
def test_deletion_of_nothing_or_too_much_deletes_nothing(aws: S3Server, s3: Any, bucket: str, objects: str) -> None:
    put_all(s3, bucket, "good")
    document = f"<Delete><Object><Key>good</Key></Object>{objects}</Delete>" if objects else "<Delete/>"
    assert ask(aws, "POST", f"/{bucket}?delete", document.encode())[:2] == (400, "MalformedXML")
    assert read(s3, bucket, "good") == b"good"


def test_versions_outlive_the_server(tmp_path: Path, customer_key: CustomerKey) -> None:
    with s3_server(tmp_path / "server", "--profile", "aws", tls="off") as server:
        client = server.client()
        enable_versions(client, "bucket")
        first = put(client, "bucket", b"first", **trio(customer_key))
        client.delete_object(Bucket="bucket", Key="a")
        before = listed(server, "bucket")
        client.close()
        server.kill()
    with s3_server(tmp_path / "server", "--profile", "aws", tls="off") as server:
        client = server.client()
        assert listed(server, "bucket") == before
        assert read(client, "bucket", "a", VersionId=first, **trio(customer_key)) == b"first"
        second = put(client, "bucket", b"second")
        assert int(second) > int(before[0][2]) > int(first)
        client.close()


@pytest.mark.parametrize("table", ["objects", "old_versions"])
def test_version_is_newer_than_all_before_although_the_clock_was_set_back(tmp_path: Path, table: str) -> None:
    storage = Storage(tmp_path / "server", Durability.KILL)
    marker = delete_marker("bucket", "a", "1", storage.objects.next_sequence() + 10**12, 0)
    (storage.objects.put_current if table == "objects" else storage.objects.put_old)(marker)
    storage.close()
    again = Storage(tmp_path / "server", Durability.KILL)
    assert again.objects.next_sequence() == marker.sequence + 1
    again.close()
