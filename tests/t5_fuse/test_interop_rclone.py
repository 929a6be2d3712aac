"""rclone, as Debian packages it, and ssecfs on one bucket with one customer key: each shows what the other wrote."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.budgets import flush
from support.clients import Program, client_of, environment_for, files_in, ssec_of, write_private
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import S3Server, s3_server

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

ATIME_NS, MTIME_NS = 1_500_000_000_123_456_789, 1_400_000_000_987_654_321

SETTINGS = """
[plain]
type = s3
provider = Other
env_auth = true
endpoint = {url}
region = us-east-1

[remote]
type = s3
provider = Other
env_auth = true
endpoint = {url}
region = us-east-1
sse_customer_algorithm = AES256
sse_customer_key_base64 = {key}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("rclone") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def mounted(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounting]:
    """A mount that believes nothing for long."""
    place = tmp_path_factory.mktemp("ours")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(server, place, place / "keyfile", "--ttl", "0") as running:
        yield running


@pytest.fixture
def rclone(server: S3Server, mounted: Mounting, tmp_path: Path) -> Program:
    """rclone, which calls the bucket with the customer key `remote:bucket`, and without `plain:bucket`."""
    settings = SETTINGS.format(url=server.url, key=load_keyfile(mounted.keyfile).first.reveal_base64())
    config = write_private(tmp_path / "rclone.conf", settings.encode())
    once = {"RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1"}
    return Program(("rclone",), tmp_path, environment_for(server, tmp_path, "SSL_CERT_FILE", RCLONE_CONFIG=str(config), **once))


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A file, a link to it and a directory, to be copied."""
    folder = tmp_path / "local"
    (folder / "directory").mkdir(parents=True)
    (folder / "directory" / "inner").write_bytes(b"inner")
    (folder / "file").write_bytes(b"content")
    (folder / "file").chmod(0o640)
    os.chown(folder / "file", 12, 34)
    os.utime(folder / "file", ns=(ATIME_NS, MTIME_NS))
    (folder / "link").symlink_to("file")
    return folder


def listed(rclone: Program, place: str) -> dict[str, Any]:
    """What rclone tells of the objects below a place, by name."""
    return {entry["Path"]: entry for entry in json.loads(rclone.output("lsjson", "--recursive", "--metadata", place))}


@pytest.mark.parametrize("remote", ["remote", "plain"])
def test_copied_file_shows_its_content_and_time_with_default_owner_and_mode(
    mounted: Mounting, rclone: Program, local: Path, remote: str
) -> None:
    rclone.text("copy", "local", f"{remote}:bucket/by-{remote}")
    status = (mounted.path / f"by-{remote}" / "file").stat()
    assert (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns) == (stat.S_IFREG | 0o644, 0, 0, MTIME_NS)
    assert files_in(mounted.path / f"by-{remote}") == {"directory/inner": b"inner", "file": b"content"}
    assert stat.S_IMODE((mounted.path / f"by-{remote}" / "directory").stat().st_mode) == 0o755


def test_file_copied_with_metadata_shows_mode_owner_and_both_times(mounted: Mounting, rclone: Program, local: Path) -> None:
    rclone.text("copy", "--metadata", "local", "remote:bucket/with-metadata")
    status = (mounted.path / "with-metadata" / "file").stat()
    assert (status.st_mode, status.st_uid, status.st_gid) == (stat.S_IFREG | 0o640, 12, 34)
    assert (status.st_atime_ns, status.st_mtime_ns) == (ATIME_NS, MTIME_NS)


def test_link_keeps_the_name_that_rclone_gave_it_and_is_one_if_its_metadata_says_so(
    mounted: Mounting, rclone: Program, local: Path
) -> None:
    rclone.text("copy", "--links", "local", "remote:bucket/links")
    rclone.text("copy", "--links", "--metadata", "local", "remote:bucket/links-with-metadata")
    assert (mounted.path / "links" / "link.rclonelink").read_bytes() == b"file"
    assert stat.S_ISREG((mounted.path / "links" / "link.rclonelink").lstat().st_mode)
    assert (mounted.path / "links-with-metadata" / "link.rclonelink").readlink() == Path("file")


def test_file_of_ours_shows_its_time_and_its_content_to_rclone(mounted: Mounting, rclone: Program) -> None:
    folder = mounted.path / "of-ours"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    os.utime(folder / "file", ns=(ATIME_NS, MTIME_NS))
    flush(mounted)
    shown = listed(rclone, "remote:bucket/of-ours")
    assert shown["file"]["ModTime"] == "2014-05-13T16:53:20.987654321Z"
    rclone.text("copy", "remote:bucket/of-ours", "back")
    assert (rclone.folder / "back" / "file").stat().st_mtime_ns == MTIME_NS
    assert files_in(rclone.folder / "back") == {"file": b"content"}


def test_sync_to_what_a_mount_wrote_transfers_nothing(
    mounted: Mounting, server: S3Server, rclone: Program, local: Path
) -> None:
    folder = mounted.path / "synced"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    os.utime(folder / "file", ns=(ATIME_NS, MTIME_NS))
    flush(mounted)
    server.operations()
    rclone.text("sync", "--exclude", "directory/**", "local", "remote:bucket/synced")
    assert server.operations()["PutObject"] == 0


def test_file_of_rclone_that_we_changed_is_not_held_for_damaged(mounted: Mounting, rclone: Program, local: Path) -> None:
    """rclone keeps the MD5 of the content in the object's metadata: it goes when the content changes, and stays otherwise."""
    rclone.text("copy", "local", "remote:bucket/changed")
    unchanged, changed = mounted.path / "changed" / "directory" / "inner", mounted.path / "changed" / "file"
    unchanged.chmod(0o600)
    changed.write_bytes(b"other bytes")
    flush(mounted)
    with client_of(mounted.server) as client:
        ssec = ssec_of(load_keyfile(mounted.keyfile).first)
        answers = [
            client.head_object(Bucket="bucket", Key=f"changed/{name}", **ssec)["Metadata"]
            for name in ("directory/inner", "file")
        ]
    assert ["md5chksum" in answer for answer in answers] == [True, False]
    (rclone.folder / "expected" / "directory").mkdir(parents=True)
    (rclone.folder / "expected" / "directory" / "inner").write_bytes(b"inner")
    (rclone.folder / "expected" / "file").write_bytes(b"other bytes")
    rclone.text("check", "expected", "remote:bucket/changed")
    rclone.text("copy", "remote:bucket/changed", "back")
    assert files_in(rclone.folder / "back") == {"directory/inner": b"inner", "file": b"other bytes"}


def test_directory_of_ours_is_one_for_rclone_and_an_empty_one_of_other_tools_is_one_here(
    mounted: Mounting, rclone: Program
) -> None:
    (mounted.path / "empty-of-ours").mkdir()
    assert [name for name in rclone.text("lsf", "--dirs-only", "remote:bucket").splitlines() if name == "empty-of-ours/"]
    with client_of(mounted.server) as client:
        # rclone 1.60 stores no markers; newer ones do with --s3-directory-markers, of no bytes and without metadata.
        ssec = ssec_of(load_keyfile(mounted.keyfile).first)
        client.put_object(Bucket="bucket", Key="foreign-marker/", Body=b"", **ssec)
        client.put_object(Bucket="bucket", Key="typed-marker/", Body=b"", ContentType="application/x-directory", **ssec)
    for name in ("foreign-marker", "typed-marker"):
        assert (mounted.path / name).stat().st_mode == stat.S_IFDIR | 0o755
        assert list((mounted.path / name).iterdir()) == []
        (mounted.path / name).rmdir()
