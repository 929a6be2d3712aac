"""OVHcloud's guide to SSE-C, its commands run as printed, against `ssecfs serve` in its default profile."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.atrest import stored_pieces
from support.s3server import S3Server, clean_environment, s3_server

MAKE_KEYS = """
encKey=$(openssl rand -base64 32)
md5Key=$(echo $encKey | md5sum | awk '{print $1}' | base64 -w0)
"""

SAMPLE = "/etc/magic"
"""The guide's file, which not every machine has; any text does as well."""

UPLOAD = """
aws s3api put-object \\
--body /etc/magic \\
--bucket <bucket_name> \\
--key encrypt_magic \\
--sse-customer-algorithm AES256 \\
--sse-customer-key $encKey \\
--sse-customer-key-md5 $md5Key
"""

DOWNLOAD = """
aws s3api get-object \\
--bucket <bucket_name> \\
--key encrypt_magic \\
--sse-customer-algorithm AES256 \\
--sse-customer-key $encKey \\
--sse-customer-key-md5 $md5Key \\
decrypt_magic
"""

DOWNLOAD_WITHOUT_HEADERS = """
aws s3api get-object \\
--bucket <bucket_name> \\
--key encrypt_magic \\
decrypt_magic
"""

HEAD = """
aws s3api head-object \\
--bucket <bucket_name> \\
--key encrypt_magic \\
--sse-customer-algorithm AES256 \\
--sse-customer-key $encKey \\
--sse-customer-key-md5 $md5Key
"""

HEAD_WITHOUT_HEADERS = """
aws s3api head-object \\
--bucket <bucket_name> \\
--key encrypt_magic
"""

DELETE = """
aws s3 rm s3://<bucket_name>/encrypt_magic
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server", buckets=("guide",)) as running:
        yield running


def shell(server: S3Server, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        AWS_ENDPOINT_URL=server.url,
        AWS_CA_BUNDLE=str(server.ca_bundle),
        PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin",
    )
    text = script.replace("<bucket_name>", "guide").replace(SAMPLE, str(folder / "magic"))
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_guide_commands_do_what_the_guide_says(server: S3Server, tmp_path: Path) -> None:
    magic = tmp_path / "magic"
    magic.write_text("# Magic local data for file(1) command.\n")
    keys = shell(server, tmp_path, MAKE_KEYS + 'echo "encKey=$encKey"; echo "md5Key=$md5Key"').stdout
    uploaded = shell(server, tmp_path, keys + UPLOAD)
    assert uploaded.returncode == 0, uploaded.stderr

    downloaded = shell(server, tmp_path, keys + DOWNLOAD)
    assert downloaded.returncode == 0, downloaded.stderr
    assert (tmp_path / "decrypt_magic").read_bytes() == magic.read_bytes()

    refused = shell(server, tmp_path, DOWNLOAD_WITHOUT_HEADERS)
    assert refused.returncode != 0
    assert "An error occurred (InvalidRequest) when calling the GetObject operation" in refused.stderr
    refused_head = shell(server, tmp_path, HEAD_WITHOUT_HEADERS)
    assert refused_head.returncode != 0
    assert "An error occurred (400) when calling the HeadObject operation: Bad Request" in refused_head.stderr

    head = json.loads(shell(server, tmp_path, keys + HEAD).stdout)
    assert head["ContentLength"] == magic.stat().st_size
    assert head["ContentType"] == "binary/octet-stream"
    assert head["Metadata"] == {}
    assert head["StorageClass"] == "STANDARD"
    assert head["VersionId"].isdigit()
    assert "SSECustomerAlgorithm" not in head

    assert [len(names) for names in stored_pieces(server.directory)] == [0, 1]
    deleted = shell(server, tmp_path, DELETE)
    assert (deleted.returncode, deleted.stdout.strip()) == (0, "delete: s3://guide/encrypt_magic")
    assert shell(server, tmp_path, keys + HEAD).returncode != 0
    assert stored_pieces(server.directory) == (set(), set())
