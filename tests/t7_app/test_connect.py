"""The connection of a mount: its name on the local disk, and checks that bear with a server that is busy."""

from pathlib import Path

import pytest
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import s3_server

from ssecfs.app.connect import AWS_ENDPOINT, endpoint_name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.eu-west-3.amazonaws.com", AWS_ENDPOINT),
        ("https://s3.amazonaws.com/", AWS_ENDPOINT),
        ("https://s3.gra.io.cloud.ovh.net/", "https://s3.gra.io.cloud.ovh.net"),
        ("https://amazonaws.com.example.org", "https://amazonaws.com.example.org"),
    ],
)
def test_endpoint_name_is_one_for_all_ways_to_write_it(url: str, expected: str) -> None:
    assert endpoint_name(url) == expected


def test_busy_server_does_not_fail_a_mount(tmp_path: Path, keyfile: Path, fuse_device: Path) -> None:
    with (
        s3_server(tmp_path / "server", "--fault", "status=503,every=3") as server,
        mounting(server, tmp_path, keyfile) as place,
    ):
        (place.path / "file").write_text("kept")
        answers = [request["status"] for request in server.requests()]
        assert answers.count(503) >= 2, "the checks met the fault"


def test_endpoints_of_the_environment_have_a_cache_each(tmp_path: Path, keyfile: Path, fuse_device: Path) -> None:
    """Two servers, each with a bucket of the same name: one's unsaved and cached content is no business of the other."""
    with s3_server(tmp_path / "one", tls="off") as one, s3_server(tmp_path / "two", tls="off") as two:
        for server, content in ((one, "first"), (two, "second")):
            place = Mounting(server, tmp_path / "mnt", tmp_path / "cache", keyfile)
            place.path.mkdir(exist_ok=True)
            words = ["mount", "bucket", place.path, "--allow-http", "--keyfile", keyfile, "--cache-dir", place.cache]
            done = ssecfs(*words, AWS_ENDPOINT_URL=server.url)
            assert (done.returncode, done.stderr) == (0, "")
            (place.path / "file").write_text(content)
            assert server.url in ssecfs("status", place.path).stdout
            place.umount()
        assert len([folder for folder in (tmp_path / "cache").iterdir() if folder.is_dir()]) == 2


def test_demo_says_how_to_stop_it_where_the_shell_does_not_find_ssecfs(tmp_path: Path, fuse_device: Path) -> None:
    where = ["--directory", str(tmp_path / "demo")]
    try:
        printed = ssecfs("demo", *where, PATH="/usr/bin:/bin:/usr/sbin:/sbin").stdout
        command = printed.rsplit("Stop it with: ", 1)[1].strip()
        assert command.startswith("/"), command
    finally:
        assert ssecfs("demo", "--stop", *where).returncode == 0
