"""s3fs, as Debian packages it, with `use_sse=custom`: a filesystem by other people on `ssecfs serve`."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.clients import MIB, Program, assert_sealed, environment_for, foreign_mount, objects_in, seeded_bytes, write_private
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.ssec import CustomerKey

pytestmark = [pytest.mark.mount, pytest.mark.usefixtures("fuse_device")]

BIG = seeded_bytes(
    6, 24 * MIB
)  # from 20 MiB on s3fs uploads in parts, from 25 MiB on it copies in parts, where 1.90 forgets the key
SMALL = seeded_bytes(7, 50_000)


@dataclass(frozen=True)
class S3fs:
    """How to mount the bucket by s3fs."""

    server: S3Server
    program: Program
    keyfile: Path

    def mounted(self, name: str = "mnt") -> AbstractContextManager[Path]:
        mountpoint = self.program.folder / name
        options = [
            f"url={self.server.url}",
            "use_path_request_style",
            f"use_sse=custom:{self.keyfile}",
            "nomixupload",  # s3fs 1.90 forgets the customer key in the parts of its mixed uploads
            "multipart_size=10",
            "retries=2",  # the first time it only learns that CURL_CA_BUNDLE is needed
        ]
        return foreign_mount(self.program, mountpoint, "bucket", mountpoint, "-f", "-o", ",".join(options))


@pytest.fixture(params=["auto", "off"], ids=["https", "http"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    """In profile `aws`: s3fs knows that an object needs the key from the echo of it, which OVHcloud does not send."""
    with s3_server(tmp_path / "server", "--profile", "aws", tls=request.param) as running:
        yield running


@pytest.fixture
def s3fs(server: S3Server, tmp_path: Path, customer_key: CustomerKey) -> S3fs:
    folder = tmp_path / "work"
    folder.mkdir()
    keyfile = write_private(folder / "keys", customer_key.reveal_base64().encode() + b"\n")
    credentials = {"AWSACCESSKEYID": ACCESS_KEY_ID, "AWSSECRETACCESSKEY": SECRET_ACCESS_KEY}
    return S3fs(server, Program(("s3fs",), folder, environment_for(server, folder, "CURL_CA_BUNDLE", **credentials)), keyfile)


def test_files_are_written_read_renamed_and_deleted(server: S3Server, s3fs: S3fs) -> None:
    with s3fs.mounted() as root:
        (root / "small").write_bytes(SMALL)
        (root / "folder").mkdir()
        (root / "small").rename(root / "folder" / "ü %41+.bin")
        (root / "folder").rename(root / "moved")
        (root / "moved" / "ü %41+.bin").chmod(0o640)
        (root / "link").symlink_to("moved/ü %41+.bin")
        (root / "gone").write_bytes(b"gone")
        (root / "gone").unlink()
    with s3fs.mounted("again") as root:
        assert (root / "link").read_bytes() == SMALL
        assert (root / "moved" / "ü %41+.bin").stat().st_mode == 0o100640
        assert sorted(path.name for path in root.iterdir()) == ["link", "moved"]
        with (root / "moved" / "ü %41+.bin").open("r+b") as patched:
            patched.seek(20_000)
            patched.write(b"patched")
        assert (root / "moved" / "ü %41+.bin").read_bytes() == SMALL[:20_000] + b"patched" + SMALL[20_007:]
    assert_sealed(server, SMALL[:20_000], SMALL[20_007:])
    with s3fs.mounted("last") as root:
        shutil.rmtree(root / "moved")
        (root / "link").unlink()
    assert objects_in(server) == {}


@pytest.mark.parametrize("server", ["auto"], ids=["https"], indirect=True)
def test_big_file_goes_in_parts_and_is_renamed(server: S3Server, s3fs: S3fs) -> None:
    with s3fs.mounted() as root:
        (root / "big").write_bytes(BIG)
        (root / "big").rename(root / "renamed")
    done = server.operations()
    assert (done["UploadPart"], done["CompleteMultipartUpload"], done["CopyObject"]) == (3, 1, 1)
    with s3fs.mounted("again") as root:
        assert (root / "renamed").read_bytes() == BIG
    assert {request["status"] for request in server.requests() if request["operation"] == "GetObject"} == {206}
    assert objects_in(server) == {"renamed": len(BIG)}
    assert_sealed(server, BIG)
