"""rclone, as Debian packages it, with its `sse_customer_…` settings, against `ssecfs serve`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.clients import (
    MIB,
    Program,
    assert_sealed,
    environment_for,
    files_in,
    foreign_mount,
    objects_in,
    plant,
    seeded_bytes,
    write_private,
)
from support.s3server import S3Server, s3_server

from ssecfs.ssec import CustomerKey

BIG = seeded_bytes(8, 20 * MIB + 3)
TREE = {"a.txt": b"first file " * 9, "sub/b.bin": seeded_bytes(9, 70_000), "sub/deep/ü + % &.txt": b"a name to be quoted " * 3}

SETTINGS = """
[remote]
type = s3
provider = {provider}
env_auth = true
endpoint = {url}
region = us-east-1
chunk_size = 5Mi
upload_cutoff = 8Mi
copy_cutoff = 8Mi
{encryption}
"""
WITH_KEY = "sse_customer_algorithm = AES256\nsse_customer_key_base64 = {key}"


@dataclass(frozen=True)
class Kind:
    """How rclone is set up: whose service it takes the server for, which decides on ListObjects or ListObjectsV2."""

    provider: str
    listing: str
    tls: str
    has_key: bool


MINIO = Kind("Minio", "ListObjectsV2", "auto", has_key=True)
OTHER = Kind("Other", "ListObjects", "auto", has_key=True)
PLAIN = Kind("Minio", "ListObjectsV2", "off", has_key=False)  # over http rclone sends no customer key, whoever asks


@pytest.fixture(params=[OTHER], ids=["other"])
def kind(request: pytest.FixtureRequest) -> Kind:
    wanted: Kind = request.param
    return wanted


@pytest.fixture
def server(tmp_path: Path, kind: Kind) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server", tls=kind.tls) as running:
        yield running


@pytest.fixture
def rclone(server: S3Server, tmp_path: Path, kind: Kind, customer_key: CustomerKey) -> Program:
    """rclone, which calls the server `remote:`."""
    folder = tmp_path / "work"
    folder.mkdir()
    return configured(server, folder, kind, customer_key)


def configured(server: S3Server, folder: Path, kind: Kind, customer_key: CustomerKey, name: str = "rclone") -> Program:
    encryption = WITH_KEY.format(key=customer_key.reveal_base64()) if kind.has_key else ""
    settings = SETTINGS.format(provider=kind.provider, url=server.url, encryption=encryption)
    config = write_private(folder / f"{name}.conf", settings.encode())
    once = {"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}
    return Program(("rclone",), folder, environment_for(server, folder, "SSL_CERT_FILE", RCLONE_CONFIG=str(config), **once))


@pytest.mark.parametrize("kind", [MINIO, OTHER, PLAIN], ids=["minio", "other", "plain"], indirect=True)
def test_copy_check_and_move_agree_with_the_local_files(server: S3Server, rclone: Program, kind: Kind) -> None:
    plant(rclone.folder / "tree", TREE)
    rclone.text("copy", "tree", "remote:bucket/tree")
    first = server.operations()
    assert first["PutObject"] == 3
    assert first[kind.listing] > 0
    rclone.text("copy", "tree", "remote:bucket/tree")
    assert server.operations()["PutObject"] == 0
    rclone.text("check", "tree", "remote:bucket/tree")
    rclone.text("check", "--download", "tree", "remote:bucket/tree")
    if kind.has_key:
        assert_sealed(server, *TREE.values())

    rclone.text("moveto", "remote:bucket/tree/a.txt", "remote:bucket/tree/sub/moved.txt")
    rclone.text("copy", "remote:bucket/tree", "back")
    assert files_in(rclone.folder / "back") == {name: body for name, body in TREE.items() if name != "a.txt"} | {
        "sub/moved.txt": TREE["a.txt"]
    }
    (rclone.folder / "tree" / "sub" / "b.bin").write_bytes(b"another")
    assert "1 differences found" in rclone.complaint("check", "--one-way", "tree/sub", "remote:bucket/tree/sub")
    rclone.text("purge", "remote:bucket/tree")
    assert objects_in(server) == {}


def test_big_file_goes_in_parts_up_down_and_across(server: S3Server, rclone: Program) -> None:
    (rclone.folder / "big").write_bytes(BIG)
    rclone.text("copyto", "big", "remote:bucket/big")
    assert server.operations()["UploadPart"] == 5
    rclone.text("moveto", "remote:bucket/big", "remote:bucket/moved")
    moved = server.operations()
    assert (moved["UploadPartCopy"], moved["CompleteMultipartUpload"], moved["DeleteObject"]) == (3, 1, 1)
    assert rclone.output("cat", "remote:bucket/moved") == BIG
    rclone.output("rcat", "remote:bucket/piped", entered=BIG)
    assert rclone.output("cat", "--offset", "7000000", "--count", "10", "remote:bucket/piped") == BIG[7_000_000:7_000_010]
    assert objects_in(server) == {"moved": len(BIG), "piped": len(BIG)}
    assert_sealed(server, BIG)


def test_lsjson_shows_sizes_times_and_types(server: S3Server, rclone: Program) -> None:
    tree = plant(rclone.folder / "tree", TREE)
    rclone.text("copy", "tree", "remote:bucket/tree")
    shown = json.loads(rclone.output("lsjson", "--recursive", "--hash", "remote:bucket/tree"))
    assert {entry["Path"]: entry["Size"] for entry in shown if not entry["IsDir"]} == {
        name: len(content) for name, content in TREE.items()
    }
    assert {entry["Path"] for entry in shown if entry["IsDir"]} == {"sub", "sub/deep"}
    (first,) = (entry for entry in shown if entry["Path"] == "a.txt")
    assert first["MimeType"] == "text/plain; charset=utf-8"
    modified_ns = (tree / "a.txt").stat().st_mtime_ns
    assert first["ModTime"].removesuffix("Z").partition(".")[2].ljust(9, "0") == f"{modified_ns % 1_000_000_000:09d}"


def test_object_stays_shut_without_its_key_and_with_another(server: S3Server, rclone: Program) -> None:
    rclone.output("rcat", "remote:bucket/shut", entered=b"content")
    other_key = CustomerKey(b"o" * 32)
    keyless = configured(server, rclone.folder, replace(OTHER, has_key=False), other_key, "keyless")
    assert "status code: 400" in keyless.complaint("copy", "remote:bucket", "out")
    wrong = configured(server, rclone.folder, OTHER, other_key, "wrong")
    assert "status code: 403" in wrong.complaint("copy", "remote:bucket", "out")
    assert files_in(rclone.folder / "out") == {}


@pytest.mark.mount
@pytest.mark.usefixtures("fuse_device")
def test_mounted_remote_is_written_read_and_renamed(server: S3Server, rclone: Program) -> None:
    with foreign_mount(rclone, rclone.folder / "mnt", "mount", "remote:bucket", rclone.folder / "mnt") as root:
        (root / "folder").mkdir()
        (root / "folder" / "big").write_bytes(BIG)
        (root / "folder" / "big").rename(root / "folder" / "ü big")
        (root / "folder").rename(root / "moved")
        (root / "gone").write_bytes(b"gone")
        (root / "gone").unlink()
        assert (root / "moved" / "ü big").read_bytes() == BIG
    assert objects_in(server) == {"moved/ü big": len(BIG)}
    assert_sealed(server, BIG)
