"""The whole loop on real input: a tree copied in with cp -a, read back after everything local is gone, and by other clients."""

import base64
import os
import random
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.mounts import Mounting, mounting
from support.s3server import S3Server, clean_environment, s3_server

from ssecfs.ssec import CustomerKey

pytestmark = pytest.mark.mount

BIG_BYTES = 100 * 1000 * 1000
KNOWN_TEXT = b"the quick brown fox signs the treaty of the lazy dog at half past nine\n" * 40
KNOWN_NAME = "unmistakable-file-name.txt"


@pytest.fixture
def server(tmp_path: Path, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def mounted(server: S3Server, tmp_path: Path, keyfile: Path) -> Iterator[Mounting]:
    with mounting(server, tmp_path, keyfile) as place:
        yield place


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    """The standard library's sources, a large file, an empty one, one with a name that is not ASCII."""
    tree = tmp_path / "source"
    library = Path(sysconfig.get_path("stdlib"))
    subprocess.run(
        ["rsync", "-a", "--exclude", "site-packages", "--exclude", "__pycache__", "--exclude", "/test", f"{library}/", tree],
        check=True,
    )
    (tree / "big.bin").write_bytes(random.Random(1).randbytes(BIG_BYTES))
    (tree / "empty").touch()
    (tree / "grüße, 世界.txt").write_text("nicht nur ASCII\n", encoding="utf-8")
    (tree / KNOWN_NAME).write_bytes(KNOWN_TEXT)
    Path(tree / "empty").chmod(0o600)
    os.utime(tree / "empty", ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    return tree


def facts(tree: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, mtime and size of everything in a tree; directories have no size."""
    found = {}
    for path in [tree, *tree.rglob("*")]:
        status = path.lstat()
        size = 0 if path.is_dir() else status.st_size
        found[str(path.relative_to(tree))] = (status.st_mode, status.st_mtime_ns, size)
    return found


def aws(server: S3Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "aws"), "--endpoint-url", server.url, *arguments]
    environment = clean_environment(AWS_CA_BUNDLE=str(server.ca_bundle))
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def ssec(customer_key: CustomerKey) -> dict[str, Any]:
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(customer_key.reveal_bytes()).decode(),
        "SSECustomerKeyMD5": customer_key.md5,
    }


def test_tree_copied_in_is_identical_after_a_remount_without_cache(
    mounted: Mounting, source_tree: Path, server: S3Server, customer_key: CustomerKey, tmp_path: Path
) -> None:
    target = mounted.path / "tree"
    subprocess.run(["cp", "-a", source_tree, target], check=True, timeout=150)
    mounted.umount()
    no_plaintext_in(server.directory, KNOWN_TEXT[:70])
    no_plaintext_in(mounted.cache, KNOWN_TEXT[:70], KNOWN_NAME.encode())
    same_bytes_by_other_clients(server, source_tree, customer_key, tmp_path)
    mounted.wipe_cache()
    mounted.mount()
    subprocess.run(["diff", "-r", source_tree, target], check=True, timeout=150)
    assert facts(target) == facts(source_tree)
    no_plaintext_in(mounted.cache, KNOWN_TEXT[:70], KNOWN_NAME.encode())


def no_plaintext_in(folder: Path, *needles: bytes) -> None:
    for path in folder.rglob("*"):
        assert not any(needle in os.fsencode(path) for needle in needles), f"{path} has a telling name"
        if path.is_file():
            content = path.read_bytes()
            # The server's index has to know object keys; content it must not know.
            assert not any(needle in content for needle in needles), f"{path} holds plaintext"


def same_bytes_by_other_clients(server: S3Server, tree: Path, customer_key: CustomerKey, tmp_path: Path) -> None:
    client = server.client()
    for name in (KNOWN_NAME, "grüße, 世界.txt", "empty", "big.bin"):
        got = client.get_object(Bucket="bucket", Key=f"tree/{name}", **ssec(customer_key))
        assert got["Body"].read() == (tree / name).read_bytes()
        with pytest.raises(ClientError) as refused:
            client.get_object(Bucket="bucket", Key=f"tree/{name}")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    raw_key, out = tmp_path / "raw-key", tmp_path / "by-aws-cli"
    raw_key.write_bytes(customer_key.reveal_bytes())
    location = f"s3://bucket/tree/{KNOWN_NAME}"
    done = aws(server, "s3", "cp", location, str(out), "--sse-c", "AES256", "--sse-c-key", f"fileb://{raw_key}")
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == KNOWN_TEXT
    refused_cli = aws(server, "s3", "cp", location, str(out))
    assert refused_cli.returncode != 0
    assert "400" in refused_cli.stderr
    raw_key.unlink()
