"""boto3 against `ssecfs serve`: its default settings and those for older services, over https and over http."""

import base64
import hashlib
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from botocore.httpchecksum import StreamingChecksumBody
from support.clients import MIB, assert_sealed, client_of, seeded_bytes, ssec_of, status_of
from support.s3server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.ssec import CustomerKey

BIG = seeded_bytes(3, 11 * MIB)
SMALL = seeded_bytes(4, 70_000)
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
WHEN_REQUIRED = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}

# What each algorithm makes of "123456789", the text that the catalogues of checksums use.
DIGITS = b"123456789"
CHECKSUMS = {
    "CRC32": bytes.fromhex("cbf43926"),
    "CRC32C": bytes.fromhex("e3069283"),
    "CRC64NVME": bytes.fromhex("ae8b14860a799888"),
    "SHA1": hashlib.sha1(DIGITS).digest(),
    "SHA256": hashlib.sha256(DIGITS).digest(),
}


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("https") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("http") / "server", "--profile", "aws", tls="off") as running:
        yield running


@pytest.fixture(params=["https", "http"])
def server(request: pytest.FixtureRequest, https: S3Server, http: S3Server) -> S3Server:
    """A server with an empty bucket, without what other tests asked of it in its log."""
    running = https if request.param == "https" else http
    with client_of(running) as client:
        for entry in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
            client.delete_object(Bucket="bucket", Key=entry["Key"])
    running.requests()
    return running


@pytest.fixture(params=[{}, WHEN_REQUIRED], ids=["default", "when_required"])
def client(request: pytest.FixtureRequest, server: S3Server) -> Iterator[Any]:
    with client_of(server, **request.param) as made:
        yield made


@pytest.fixture
def keyed(customer_key: CustomerKey) -> dict[str, str]:
    """The arguments for the test's customer key."""
    return ssec_of(customer_key)


over_https = pytest.mark.parametrize("server", ["https"], indirect=True)
by_default = pytest.mark.parametrize("client", [{}], ids=["default"], indirect=True)


def sent_headers(client: Any) -> list[dict[str, str]]:
    """A list that gets the headers of each request that the client sends from now on."""
    sent: list[dict[str, str]] = []

    def note(request: Any, **_: Any) -> None:
        raw = request.headers.items()
        sent.append({name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in raw})

    client.meta.events.register("before-send.s3", note)
    return sent


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    return status_of(refused.value.response), refused.value.response["Error"]["Code"]


def test_put_and_get_work_in_every_way_of_sending(
    server: S3Server, client: Any, keyed: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """The four ways on the wire: a trailer, a checksum header with a signed body, and a signed body alone, twice."""
    sent = sent_headers(client)
    client.put_object(Bucket="bucket", Key="one", Body=SMALL, **keyed)
    signed = hashlib.sha256(SMALL).hexdigest()
    wanted = {
        ("https", "default"): ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-crc32"),
        ("http", "default"): (signed, None),
        ("https", "when_required"): (signed, None),
        ("http", "when_required"): (signed, None),
    }
    way = tuple(sorted(request.node.callspec.id.split("-"), key=["https", "http", "default", "when_required"].index))
    assert (sent[0]["x-amz-content-sha256"], sent[0].get("x-amz-trailer")) == wanted[way]
    assert ("x-amz-checksum-crc32" in sent[0]) == (way == ("http", "default"))
    assert client.get_object(Bucket="bucket", Key="one", **keyed)["Body"].read() == SMALL
    assert_sealed(server, SMALL)


def test_transfer_of_large_file_goes_in_parts_both_ways(
    server: S3Server, client: Any, keyed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(BIG)
    client.upload_file(str(tmp_path / "big"), "bucket", "big", ExtraArgs=keyed, Config=PARTS)
    assert server.operations() == {"CreateMultipartUpload": 1, "UploadPart": 3, "CompleteMultipartUpload": 1}
    client.download_file("bucket", "big", str(tmp_path / "back"), ExtraArgs=keyed, Config=PARTS)
    assert (tmp_path / "back").read_bytes() == BIG
    ranges = [request["range"] for request in server.requests() if request["operation"] == "GetObject"]
    assert len(set(ranges)) == 3
    assert_sealed(server, BIG)


@over_https
@by_default
def test_copy_of_large_object_goes_in_parts_and_changes_the_key(server: S3Server, client: Any, keyed: dict[str, str]) -> None:
    other = ssec_of(CustomerKey(b"o" * 32))
    client.upload_fileobj(io.BytesIO(BIG), "bucket", "big", ExtraArgs=keyed, Config=PARTS)
    server.operations()
    arguments = {**{f"CopySource{name}": value for name, value in keyed.items()}, **other}
    client.copy({"Bucket": "bucket", "Key": "big"}, "bucket", "copy", ExtraArgs=arguments, Config=PARTS)
    assert server.operations()["UploadPartCopy"] == 3
    copied = io.BytesIO()
    client.download_fileobj("bucket", "copy", copied, ExtraArgs=other, Config=PARTS)
    assert copied.getvalue() == BIG


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@by_default
def test_checksum_of_object_is_taken_kept_and_given_back(
    server: S3Server, client: Any, keyed: dict[str, str], algorithm: str
) -> None:
    """Over https the client sends it behind the body, over http in a header; on reading it compares."""
    wanted = base64_of(CHECKSUMS[algorithm])
    name = f"Checksum{algorithm}"
    put = client.put_object(Bucket="bucket", Key="digits", Body=DIGITS, ChecksumAlgorithm=algorithm, **keyed)
    assert put[name] == wanted
    got = client.get_object(Bucket="bucket", Key="digits", ChecksumMode="ENABLED", **keyed)
    assert (got[name], got["ChecksumType"]) == (wanted, "FULL_OBJECT")
    assert got["Body"].read() == DIGITS
    head = client.head_object(Bucket="bucket", Key="digits", ChecksumMode="ENABLED", **keyed)
    assert head[name] == wanted
    attributes = client.get_object_attributes(Bucket="bucket", Key="digits", ObjectAttributes=["Checksum"], **keyed)
    assert attributes["Checksum"] == {name: wanted, "ChecksumType": "FULL_OBJECT"}


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@by_default
def test_wrong_checksum_is_refused_and_nothing_is_stored(client: Any, keyed: dict[str, str], algorithm: str) -> None:
    other = {f"Checksum{algorithm}": base64_of(bytes(len(CHECKSUMS[algorithm])))}
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket="bucket", Key="digits", Body=DIGITS, **other, **keyed)
    assert code_of(refused) == (400, "BadDigest")
    assert client.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


@pytest.mark.parametrize("algorithm", CHECKSUMS)
@over_https
@by_default
def test_checksum_of_object_in_parts_is_that_of_its_type(client: Any, keyed: dict[str, str], algorithm: str) -> None:
    """CRC64NVME is one of the whole object; the others, unless asked otherwise, are the checksum of the parts' checksums."""
    arguments = {**keyed, "ChecksumAlgorithm": algorithm}

    def checksum_of(body: bytes) -> str:
        put: dict[str, str] = client.put_object(Bucket="bucket", Key="piece", Body=body, **arguments)
        return put[f"Checksum{algorithm}"]

    client.upload_fileobj(io.BytesIO(BIG), "bucket", "big", ExtraArgs=arguments, Config=PARTS)
    head = client.head_object(Bucket="bucket", Key="big", ChecksumMode="ENABLED", **keyed)
    found = (head[f"Checksum{algorithm}"], head["ChecksumType"])
    if algorithm == "CRC64NVME":
        assert found == (checksum_of(BIG), "FULL_OBJECT")
    else:
        parts = [BIG[start : start + 5 * MIB] for start in range(0, len(BIG), 5 * MIB)]
        of_parts = checksum_of(b"".join(base64.b64decode(checksum_of(part)) for part in parts))
        assert found == (f"{of_parts}-3", "COMPOSITE")


@by_default
def test_body_is_compared_with_its_checksum_on_reading(client: Any, keyed: dict[str, str]) -> None:
    client.put_object(Bucket="bucket", Key="one", Body=SMALL, **keyed)
    whole = client.get_object(Bucket="bucket", Key="one", **keyed)
    assert isinstance(whole["Body"], StreamingChecksumBody)
    assert whole["Body"].read() == SMALL
    part = client.get_object(Bucket="bucket", Key="one", Range="bytes=5-9", **keyed)
    assert not isinstance(part["Body"], StreamingChecksumBody)
    assert part["Body"].read() == SMALL[5:10]


@by_default
def test_errors_are_those_that_programs_catch(client: Any, keyed: dict[str, str]) -> None:
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="bucket", Key="never", **keyed)
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.list_objects_v2(Bucket="never")
    with pytest.raises(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="bucket")
    with pytest.raises(client.exceptions.NoSuchUpload):
        client.list_parts(Bucket="bucket", Key="never", UploadId="0" * 48)


@over_https
def test_resources_list_and_delete_at_once(server: S3Server) -> None:
    """The object-oriented half of boto3, whose deletion of many carries a checksum and no Content-MD5."""
    session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
    resource = session.resource("s3", endpoint_url=server.url, verify=str(server.ca_bundle))
    bucket = resource.Bucket("bucket")
    for number in range(3):
        bucket.put_object(Key=f"many/{number}", Body=b"x")
    assert [found.key for found in bucket.objects.filter(Prefix="many/")] == ["many/0", "many/1", "many/2"]
    server.requests()
    bucket.objects.all().delete()
    assert server.operations() == {"ListObjects": 1, "DeleteObjects": 1}
    assert list(bucket.objects.all()) == []
    resource.meta.client.close()


def test_server_ends_at_once_although_an_idle_client_is_connected(tmp_path: Path) -> None:
    """Over TLS the goodbye of the server has no answer; it must not wait for one."""
    with s3_server(tmp_path / "server") as running, client_of(running) as client:
        client.list_buckets()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(4) == 0
