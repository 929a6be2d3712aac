"""SSE-C is enforced and real: refusals, what lies on the disk, what survives."""

import base64
import hashlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.s3server import S3Server, s3_server

from ssecfs.ssec import CustomerKey

PLAINTEXT = b"a line that must not be found on the disk of the server\n"


def trio_of(secret: bytes) -> dict[str, Any]:
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(secret).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(secret).digest()).decode(),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("ssec") / "server") as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def key_trio(customer_key: CustomerKey) -> dict[str, Any]:
    return trio_of(customer_key.reveal_bytes())


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientError) as refused:
        call()
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_object_opens_with_its_key_only(client: Any, key_trio: dict[str, Any]) -> None:
    client.put_object(Bucket="bucket", Key="a", Body=PLAINTEXT, **key_trio)
    assert client.get_object(Bucket="bucket", Key="a", **key_trio)["Body"].read() == PLAINTEXT
    assert client.head_object(Bucket="bucket", Key="a", **key_trio)["ContentLength"] == len(PLAINTEXT)
    assert refusal(lambda: client.get_object(Bucket="bucket", Key="a")) == (400, "InvalidRequest")
    assert refusal(lambda: client.head_object(Bucket="bucket", Key="a")) == (400, "400")
    other = trio_of(b"o" * 32)
    assert refusal(lambda: client.get_object(Bucket="bucket", Key="a", **other)) == (403, "AccessDenied")
    assert refusal(lambda: client.head_object(Bucket="bucket", Key="a", **other)) == (403, "403")
    client.delete_object(Bucket="bucket", Key="a")
    assert refusal(lambda: client.head_object(Bucket="bucket", Key="a", **key_trio)) == (404, "404")


def test_key_for_a_plain_object_is_refused(client: Any, key_trio: dict[str, Any]) -> None:
    client.put_object(Bucket="bucket", Key="plain", Body=b"x")
    assert refusal(lambda: client.get_object(Bucket="bucket", Key="plain", **key_trio)) == (400, "InvalidRequest")
    assert client.get_object(Bucket="bucket", Key="plain")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"SSECustomerAlgorithm": "AES128"}, (400, "InvalidEncryptionAlgorithmError")),
        ({"SSECustomerKeyMD5": base64.b64encode(b"0" * 16).decode()}, (400, "InvalidArgument")),
        ({"SSECustomerKey": base64.b64encode(b"k" * 31).decode()}, (400, "InvalidArgument")),
        ({"SSECustomerKey": "not base64 at all!"}, (400, "InvalidArgument")),
        ({"ServerSideEncryption": "AES256"}, (400, "InvalidArgument")),
    ],
)
def test_headers_that_do_not_fit_together_are_refused(
    client: Any, key_trio: dict[str, Any], change: dict[str, str], wanted: tuple[int, str]
) -> None:
    assert refusal(lambda: client.put_object(Bucket="bucket", Key="bad", Body=b"x", **(key_trio | change))) == wanted


def test_ranges_of_a_large_object_are_exact(client: Any, key_trio: dict[str, Any]) -> None:
    body = random.Random(1).randbytes(300_000)
    client.put_object(Bucket="bucket", Key="ranges", Body=body, **key_trio)
    for text, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=299999-", 299_999, 300_000),
        ("bytes=-5", 299_995, 300_000),
        ("bytes=100-99999999", 100, 300_000),
    ):
        answer = client.get_object(Bucket="bucket", Key="ranges", Range=text, **key_trio)
        assert answer["Body"].read() == body[start:stop]
        assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/300000"
    behind = refusal(lambda: client.get_object(Bucket="bucket", Key="ranges", Range="bytes=300000-", **key_trio))
    assert behind == (416, "InvalidRange")


def test_multipart_upload_keeps_to_its_key(client: Any, key_trio: dict[str, Any]) -> None:
    upload_id = client.create_multipart_upload(Bucket="bucket", Key="parts", **key_trio)["UploadId"]
    common = {"Bucket": "bucket", "Key": "parts", "UploadId": upload_id}
    first = random.Random(2).randbytes(5 << 20)
    assert refusal(lambda: client.upload_part(**common, PartNumber=1, Body=first)) == (400, "InvalidRequest")
    other = trio_of(b"o" * 32)
    assert refusal(lambda: client.upload_part(**common, PartNumber=1, Body=first, **other)) == (400, "InvalidRequest")
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**common, PartNumber=number, Body=body, **key_trio)["ETag"]}
        for number, body in ((1, first), (2, b"tail"))
    ]
    client.complete_multipart_upload(**common, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket="bucket", Key="parts", **key_trio)["Body"].read() == first + b"tail"


def test_copy_needs_the_source_key_and_seals_with_the_target_key(client: Any, key_trio: dict[str, Any]) -> None:
    client.put_object(Bucket="bucket", Key="source", Body=PLAINTEXT, **key_trio)
    source = {"CopySource": {"Bucket": "bucket", "Key": "source"}}
    target = trio_of(b"t" * 32)
    assert refusal(lambda: client.copy_object(Bucket="bucket", Key="target", **source, **target)) == (400, "InvalidRequest")
    with_key = {f"CopySource{name}": value for name, value in key_trio.items()}
    client.copy_object(Bucket="bucket", Key="target", **source, **with_key, **target)
    assert client.get_object(Bucket="bucket", Key="target", **target)["Body"].read() == PLAINTEXT
    assert refusal(lambda: client.get_object(Bucket="bucket", Key="target", **key_trio)) == (403, "AccessDenied")


def test_disk_holds_neither_plaintext_nor_the_key(
    server: S3Server, client: Any, key_trio: dict[str, Any], customer_key: CustomerKey
) -> None:
    client.put_object(Bucket="bucket", Key="at-rest", Body=PLAINTEXT * 5000, **key_trio)
    client.put_object(Bucket="bucket", Key="at-rest-plain", Body=PLAINTEXT * 5000)
    secret = customer_key.reveal_bytes()
    needles = (PLAINTEXT, secret, secret.hex().encode(), base64.b64encode(secret), customer_key.md5.encode())
    for path in server.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(needle in content for needle in needles), path
    assert not any(needle in server.request_log.read_bytes() for needle in needles)


def test_flipped_bit_in_stored_data_is_an_error_and_not_wrong_bytes(tmp_path: Path, key_trio: dict[str, Any]) -> None:
    body = random.Random(3).randbytes(70_000)
    with s3_server(tmp_path / "server") as server:
        client = server.client()
        client.put_object(Bucket="bucket", Key="a", Body=body, **key_trio)
        (stored,) = [path for path in (server.directory / "data").rglob("*") if path.is_file()]
        original = stored.read_bytes()
        for place in (0, 65_535, 65_536 + 20, len(original) - 1):
            damaged = bytearray(original)
            damaged[place] ^= 1
            stored.write_bytes(damaged)
            with pytest.raises(Exception, match=r"InternalError|Connection|IncompleteRead|prematurely"):
                client.get_object(Bucket="bucket", Key="a", **key_trio)["Body"].read()
        stored.write_bytes(original)
        assert client.get_object(Bucket="bucket", Key="a", **key_trio)["Body"].read() == body
        client.close()
        server.kill()  # its log rightly holds the damage
        (tmp_path / "server-errors.txt").write_text("")


def test_killed_server_keeps_what_it_answered_and_nothing_half(tmp_path: Path, key_trio: dict[str, Any]) -> None:
    directory = tmp_path / "server"
    with s3_server(directory) as server:
        client = server.client()
        client.put_object(Bucket="bucket", Key="whole", Body=PLAINTEXT, **key_trio)
        client.close()
        (directory / "incoming" / "half").write_bytes(b"half a piece")
        (directory / "data" / "00" / ("0" * 32)).write_bytes(b"a piece that no row names")
        server.kill()
    with s3_server(directory) as server:
        client = server.client()
        assert client.get_object(Bucket="bucket", Key="whole", **key_trio)["Body"].read() == PLAINTEXT
        client.close()
        assert not (directory / "incoming" / "half").exists()
        assert not (directory / "data" / "00" / ("0" * 32)).exists()


def test_anonymous_and_old_signatures_are_refused(server: S3Server) -> None:
    curl = ["curl", "--silent", "--cacert", str(server.ca_bundle), f"{server.url}/bucket"]
    anonymous = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
    assert "<Code>AccessDenied</Code>" in anonymous
    old = subprocess.run([*curl, "-H", "Authorization: AWS id:signature"], capture_output=True, text=True, check=True).stdout
    assert "Please use AWS4-HMAC-SHA256" in old


def test_certificate_is_made_once_and_private(server: S3Server) -> None:
    folder = server.directory / "tls"
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    assert server.ca_bundle is not None
    assert b"BEGIN CERTIFICATE" in server.ca_bundle.read_bytes()


def test_plain_http_is_served_to_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="loopback"), s3_server(tmp_path / "server", "--listen", "0.0.0.0:0", tls="off"):
        os.abort()
