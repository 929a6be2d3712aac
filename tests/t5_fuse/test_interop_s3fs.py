"""s3fs, as Debian packages it, and ssecfs on one bucket with one customer key: each shows what the other wrote."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import flush
from support.clients import Program, environment_for, foreign_mount, write_private
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

ATIME_NS, MTIME_NS = 1_500_000_000_123_456_789, 1_400_000_000_987_654_321


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    """In profile `aws`: s3fs knows which key to copy with from the echo of its MD5, which OVHcloud does not send."""
    with s3_server(tmp_path_factory.mktemp("s3fs") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture(scope="module")
def ours(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounting]:
    """A mount that believes nothing for long."""
    place = tmp_path_factory.mktemp("ours")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(server, place, place / "keyfile", "--ttl", "0") as mounted:
        yield mounted


@pytest.fixture(scope="module")
def theirs(server: S3Server, ours: Mounting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same bucket, mounted by s3fs."""
    folder = tmp_path_factory.mktemp("theirs")
    customer_key = load_keyfile(ours.keyfile).first
    keyfile = write_private(folder / "keys", customer_key.reveal_base64().encode() + b"\n")
    credentials = {"AWSACCESSKEYID": ACCESS_KEY_ID, "AWSSECRETACCESSKEY": SECRET_ACCESS_KEY}
    program = Program(("s3fs",), folder, environment_for(server, folder, "CURL_CA_BUNDLE", **credentials))
    mountpoint = folder / "mnt"
    options = [
        f"url={server.url}",
        "use_path_request_style",
        f"use_sse=custom:{keyfile}",
        "use_xattr",
        "retries=2",  # the first time it only learns that CURL_CA_BUNDLE is needed
    ]
    with foreign_mount(program, mountpoint, "bucket", mountpoint, "-f", "-o", ",".join(options)) as mounted:
        yield mounted


def attributes(path: Path) -> tuple[int, int, int, int]:
    status = path.lstat()
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns


def xattrs(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def make_file(path: Path) -> None:
    path.write_bytes(b"content")
    os.chown(path, 12, 34)
    path.chmod(0o640)
    os.setxattr(path, "user.one", b"v1 \xff\0x")
    os.setxattr(path, "user.zwei \u00e4", b"2")
    os.utime(path, ns=(ATIME_NS, MTIME_NS))


def test_file_of_s3fs_shows_its_attributes_here(ours: Mounting, theirs: Path) -> None:
    make_file(theirs / "of-s3fs")
    shown = ours.path / "of-s3fs"
    assert attributes(shown) == (stat.S_IFREG | 0o640, 12, 34, MTIME_NS)
    assert shown.stat().st_atime_ns == ATIME_NS
    assert xattrs(shown) == {"user.one": b"v1 \xff\0x", "user.zwei \u00e4": b"2"}
    assert os.getxattr(shown, "user.ssecfs.seal") == b"missing"
    assert shown.read_bytes() == b"content"


def test_file_of_ours_shows_its_attributes_in_s3fs(ours: Mounting, theirs: Path) -> None:
    make_file(ours.path / "of-ours")
    flush(ours)
    shown = theirs / "of-ours"
    assert attributes(shown) == (stat.S_IFREG | 0o640, 12, 34, MTIME_NS)
    assert xattrs(shown) == {"user.one": b"v1 \xff\0x", "user.zwei \u00e4": b"2"}
    assert shown.read_bytes() == b"content"


@pytest.mark.parametrize("mode", [0o750, 0o777, 0o700, 0o1755])
def test_directory_of_s3fs_shows_its_mode_here_as_made_and_as_changed(ours: Mounting, theirs: Path, mode: int) -> None:
    """s3fs writes the mode of a new directory without the file type, that of a changed one with it."""
    before = os.umask(0)
    try:
        (theirs / f"made-{mode:o}").mkdir(mode)
        (theirs / f"changed-{mode:o}").mkdir()
    finally:
        os.umask(before)
    (theirs / f"changed-{mode:o}").chmod(mode)
    os.chown(theirs / f"changed-{mode:o}", 12, 34)
    os.setxattr(theirs / f"changed-{mode:o}", "user.a", b"of a directory")
    assert attributes(ours.path / f"made-{mode:o}")[:3] == (stat.S_IFDIR | mode, 0, 0)
    assert attributes(ours.path / f"changed-{mode:o}")[:3] == (stat.S_IFDIR | mode, 12, 34)
    assert xattrs(ours.path / f"changed-{mode:o}") == {"user.a": b"of a directory"}


def test_directory_of_ours_shows_its_attributes_in_s3fs(ours: Mounting, theirs: Path) -> None:
    directory = ours.path / "directory-of-ours"
    directory.mkdir()
    (directory / "file").write_bytes(b"x")
    os.setxattr(directory, "user.a", b"1")
    os.chown(directory, 12, 34)
    directory.chmod(0o2750)
    os.utime(directory, ns=(ATIME_NS, MTIME_NS))
    flush(ours)
    shown = theirs / "directory-of-ours"
    assert attributes(shown) == (stat.S_IFDIR | 0o2750, 12, 34, MTIME_NS)
    assert xattrs(shown) == {"user.a": b"1"}
    assert [path.name for path in shown.iterdir()] == ["file"]


def test_links_and_fifos_are_the_same_on_both_sides(ours: Mounting, theirs: Path) -> None:
    targets = {"short": "a", "long": "x" * 300, "spaces": "some/where else"}
    for maker, other, prefix in ((ours.path, theirs, "ours"), (theirs, ours.path, "theirs")):
        for name, target in targets.items():
            (maker / f"{prefix}-{name}").symlink_to(target)
        os.mkfifo(maker / f"{prefix}-fifo", 0o620)
        (maker / f"{prefix}-fifo").chmod(0o620)
        flush(ours)
        assert {name: str((other / f"{prefix}-{name}").readlink()) for name in targets} == targets
        assert (other / f"{prefix}-fifo").lstat().st_mode == stat.S_IFIFO | 0o620


def test_change_of_attributes_by_s3fs_is_shown_and_its_seal_reported(ours: Mounting, theirs: Path) -> None:
    path = ours.path / "changed-by-s3fs"
    path.write_bytes(b"content")
    path.chmod(0o600)
    flush(ours)
    (theirs / path.name).chmod(0o644)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.getxattr(path, "user.ssecfs.seal") == b"bad"
    path.chmod(0o640)
    flush(ours)
    assert os.getxattr(path, "user.ssecfs.seal") == b"good"


def test_change_of_content_by_s3fs_is_read_here(ours: Mounting, theirs: Path) -> None:
    path = ours.path / "rewritten-by-s3fs"
    path.write_bytes(b"content")
    with (theirs / path.name).open("ab") as file:
        file.write(b", and more")
    assert (path.read_bytes(), path.stat().st_size) == (b"content, and more", 17)
