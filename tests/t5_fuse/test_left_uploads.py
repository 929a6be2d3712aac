"""A daemon that is killed while a large file goes to the server in parts: the next mount drops those parts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clients import ssec_of
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

from ssecfs.crash import CRASH_VARIABLE
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount


@pytest.fixture
def server(tmp_path: Path, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "server", "--profile", "aws") as running:
        yield running


def uploads(mounted: Mounting) -> list[str]:
    client = mounted.server.client()
    found = client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    client.close()
    return [upload["Key"] for upload in found]


@pytest.mark.parametrize("options", [(), ("--writeback",)], ids=["close waits", "writeback"])
def test_next_mount_drops_the_parts_that_a_killed_one_has_left(
    options: tuple[str, ...], server: S3Server, tmp_path: Path, keyfile: Path
) -> None:
    with mounting(server, tmp_path, keyfile, *options) as mounted:
        mounted.umount()
        server.client().create_multipart_upload(Bucket="bucket", Key="foreign", **ssec_of(load_keyfile(keyfile).first))
        mounted.mount(*options, **{CRASH_VARIABLE: "part-sent:3"})
        with mounted.daemon_ending(), pytest.raises(OSError, match=r"Transport endpoint|Software caused"):
            (mounted.path / "large").write_bytes(bytes(64 * MIB))
        assert uploads(mounted) == ["foreign", "large"]
        server.operations()
        mounted.mount(*options)
        assert uploads(mounted) == ["foreign"]
        assert server.operations()["AbortMultipartUpload"] == 1
        mounted.remount(*options)
        assert server.operations()["AbortMultipartUpload"] == 0
