"""SSE-C is real: what lies on the disk, what survives, who is served. What is refused stands in ``contract``."""

import base64
import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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
        (directory / "incoming" / ("1" * 32)).write_bytes(b"half a piece")
        (directory / "data" / "00" / ("0" * 32)).write_bytes(b"a piece that no row names")
        server.kill()
    with s3_server(directory) as server:
        client = server.client()
        assert client.get_object(Bucket="bucket", Key="whole", **key_trio)["Body"].read() == PLAINTEXT
        client.close()
        assert not (directory / "incoming" / ("1" * 32)).exists()
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
