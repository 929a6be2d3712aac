"""boto3's paginators against `ssecfs serve`: every page once, in order, whatever stands in the names."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.clients import MIB, client_of, seeded_bytes, ssec_of, status_of
from support.s3server import S3Server, s3_server

from ssecfs.ssec import CustomerKey

NAMES = sorted(
    ["a", "a/b", "a/b/c", "b&c", "c d", "d+e", "e%20f", "f?g=h", "ü/é", "ü/日本", "<x>", "line\nbreak", "tab\t", "q\"'", "z/"],
    key=lambda name: name.encode(),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("listings") / "server", "--profile", "aws", tls="off") as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    with client_of(server) as made:
        yield made


@pytest.fixture
def bucket(client: Any, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = f"test-{zlib.crc32(request.node.nodeid.encode()):08x}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def filled(server: S3Server) -> str:
    """A bucket with all the names, which tests only read."""
    with client_of(server) as client:
        for name in NAMES:
            client.put_object(Bucket="bucket", Key=name, Body=b"x")
    return "bucket"


@pytest.mark.parametrize("page_size", [1, 2, 4, 1000])
@pytest.mark.parametrize("command", ["list_objects", "list_objects_v2"])
def test_pages_hold_every_object_once_and_in_order(client: Any, filled: str, command: str, page_size: int) -> None:
    pages = list(client.get_paginator(command).paginate(Bucket=filled, PaginationConfig={"PageSize": page_size}))
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == NAMES
    assert len(pages) == -(-len(NAMES) // page_size)


@pytest.mark.parametrize("page_size", [1, 2, 1000])
@pytest.mark.parametrize("command", ["list_objects", "list_objects_v2"])
def test_pages_with_delimiter_fold_each_folder_once(client: Any, filled: str, command: str, page_size: int) -> None:
    pages = list(client.get_paginator(command).paginate(Bucket=filled, Delimiter="/", PaginationConfig={"PageSize": page_size}))
    objects = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
    assert objects == [name for name in NAMES if "/" not in name]
    assert folders == ["a/", "z/", "ü/"]


def test_pages_below_a_prefix_and_behind_a_name_hold_what_they_should(client: Any, filled: str) -> None:
    def names(**arguments: Any) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=filled, PaginationConfig={"PageSize": 1}, **arguments)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    assert names(Prefix="a/") == ["a/b", "a/b/c"]
    assert names(Prefix="ü") == ["ü/é", "ü/日本"]
    assert names(StartAfter="f?g=h") == NAMES[NAMES.index("f?g=h") + 1 :]
    assert names(Prefix="nothing") == []


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_pages_of_versions_hold_each_with_its_own_key(client: Any, bucket: str, page_size: int) -> None:
    """Each version opens with the key it was stored with; a deletion is a marker on top."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = [CustomerKey(bytes([number]) * 32) for number in range(3)]
    stored = [client.put_object(Bucket=bucket, Key="one", Body=b"v", **ssec_of(key))["VersionId"] for key in keys]
    client.put_object(Bucket=bucket, Key="two", Body=b"plain")
    marker = client.delete_object(Bucket=bucket, Key="one")["VersionId"]
    pages = list(client.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": page_size}))
    versions = [entry["VersionId"] for page in pages for entry in page.get("Versions", ()) if entry["Key"] == "one"]
    assert versions == stored[::-1]
    markers = [(entry["VersionId"], entry["IsLatest"]) for page in pages for entry in page.get("DeleteMarkers", ())]
    assert markers == [(marker, True)]
    for version, key, other in zip(stored, keys, keys[1:] + keys[:1], strict=True):
        got = client.get_object(Bucket=bucket, Key="one", VersionId=version, **ssec_of(key))
        assert got["Body"].read() == b"v"
        with pytest.raises(ClientError) as refused:
            client.get_object(Bucket=bucket, Key="one", VersionId=version, **ssec_of(other))
        assert status_of(refused.value.response) == 403


def test_pages_of_uploads_and_of_their_parts_hold_all(client: Any, bucket: str, customer_key: CustomerKey) -> None:
    keyed = ssec_of(customer_key)
    uploads = [
        (name, client.create_multipart_upload(Bucket=bucket, Key=name, **keyed)["UploadId"])
        for name in ("a/1", "a/1", "a/2", "b ü")
    ]
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    listed = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page["Uploads"]]
    assert sorted(listed) == sorted(uploads)
    assert [name for name, _ in listed] == ["a/1", "a/1", "a/2", "b ü"]

    upload = {"Bucket": bucket, "Key": "a/2", "UploadId": uploads[2][1]}
    for number in (1, 2, 5):
        client.upload_part(**upload, PartNumber=number, Body=seeded_bytes(number, number * 10), **keyed)
    pages = client.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2})
    assert [(part["PartNumber"], part["Size"]) for page in pages for part in page["Parts"]] == [(1, 10), (2, 20), (5, 50)]
    for name, upload_id in uploads:
        client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_waiters_see_objects_and_buckets_come_and_go(client: Any, bucket: str, customer_key: CustomerKey) -> None:
    at_once = {"MaxAttempts": 1}
    keyed = ssec_of(customer_key)
    client.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig=at_once)
    client.put_object(Bucket=bucket, Key="one", Body=bytes(MIB), **keyed)
    client.get_waiter("object_exists").wait(Bucket=bucket, Key="one", WaiterConfig=at_once, **keyed)
    client.delete_object(Bucket=bucket, Key="one")
    client.get_waiter("object_not_exists").wait(Bucket=bucket, Key="one", WaiterConfig=at_once, **keyed)
    client.delete_bucket(Bucket=bucket)
    client.get_waiter("bucket_not_exists").wait(Bucket=bucket, WaiterConfig=at_once)


def test_pages_of_buckets_hold_all(tmp_path: Path) -> None:
    names = ("alpha", "beta", "gamma", "gamma-ray")
    with s3_server(tmp_path / "server", tls="off", buckets=names) as running, client_of(running) as client:

        def pages(**arguments: Any) -> list[list[str]]:
            found = client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 3}, **arguments)
            return [[entry["Name"] for entry in page["Buckets"]] for page in found]

        assert pages() == [["alpha", "beta", "gamma"], ["gamma-ray"]]
        assert pages(Prefix="gamma") == [["gamma", "gamma-ray"]]
        assert pages(BucketRegion="eu-west-1") == [[]]
        with pytest.raises(ClientError) as refused:
            client.list_buckets(MaxBuckets=10_001)
        assert refused.value.response["Error"]["Code"] == "InvalidArgument"
