"""Two mounts of one bucket: what one closes the other sees, and where both wrote, both contents are there."""

import errno
import fcntl
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.mounts import mounting, ssecfs
from support.s3server import S3Server, s3_server

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module", params=["aws", "ovh"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    """One that checks the conditions of uploads, and one that refuses them for SSE-C objects."""
    with s3_server(tmp_path_factory.mktemp("conflict") / "server", "--profile", request.param) as running:
        yield running


@pytest.fixture(scope="module")
def pair(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Ours, which trusts names and attributes for long, and theirs, which trusts nothing; with caches of their own."""
    place = tmp_path_factory.mktemp("pair")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with (
        mounting(server, place / "ours", place / "keyfile", "--ttl", "1000", source="bucket/pair") as ours,
        mounting(server, place / "theirs", place / "keyfile", "--ttl", "0", source="bucket/pair") as theirs,
    ):
        yield ours.path, theirs.path


@pytest.fixture
def mounts(pair: tuple[Path, Path], request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A folder of this test's own, on both mounts."""
    name = request.node.name.partition("[")[0]
    (pair[0] / name).mkdir()
    return pair[0] / name, pair[1] / name


def refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(OSError, match="Stale") as caught:
        attempt()
    assert caught.value.errno == errno.ESTALE


def test_what_one_mount_closes_the_other_reads_at_once(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    """Without any trust the very next open sees it, longer or shorter, and no page of the old content."""
    with (
        mounting(server, tmp_path / "one", keyfile, "--ttl", "0", source="bucket/at-once") as one,
        mounting(server, tmp_path / "other", keyfile, "--ttl", "0", source="bucket/at-once") as other,
    ):
        for number, size in enumerate((10, 3 * MIB, 5, 200_000, 0, 7)):
            content = random.Random(number).randbytes(size)
            writer, reader = (one, other) if number % 2 else (other, one)
            (writer.path / "file").write_bytes(content)
            assert (reader.path / "file").read_bytes() == content
            assert (reader.path / "file").stat().st_size == size
        (one.path / "file").rename(one.path / "renamed")
        assert [path.name for path in other.path.iterdir()] == ["renamed"]
        (one.path / "renamed").unlink()
        assert not (other.path / "renamed").exists()


def test_close_over_a_version_of_the_other_mount_keeps_both(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    (ours / "file").write_text("base")
    file = os.open(ours / "file", os.O_RDWR)
    os.write(file, b"ours")
    assert (ours / "file").stat().st_size == 4
    (theirs / "file").write_text("theirs, and longer")
    refused(lambda: os.close(file))
    assert (ours / "file").read_text() == "theirs, and longer"
    (kept,) = [path for path in ours.iterdir() if path != ours / "file"]
    assert kept.name.startswith("file.conflict-")
    assert kept.read_bytes() == (theirs / kept.name).read_bytes() == b"ours"


def test_fsync_tells_of_a_conflict_and_the_handle_is_stale_afterwards(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    (ours / "file").write_text("base")
    file = os.open(ours / "file", os.O_RDWR)
    os.write(file, b"ours")
    (theirs / "file").write_text("theirs")
    refused(lambda: os.fsync(file))
    refused(lambda: os.pwrite(file, b"more", 100))
    refused(lambda: os.ftruncate(file, 0))
    refused(lambda: os.fsync(file))
    refused(lambda: os.close(file))
    assert (ours / "file").read_text() == (theirs / "file").read_text() == "theirs"


def test_close_over_a_deleted_file_keeps_ours_and_the_name_free(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    (ours / "file").write_text("base")
    file = os.open(ours / "file", os.O_WRONLY | os.O_APPEND)
    os.write(file, b" and more")
    (theirs / "file").unlink()
    refused(lambda: os.close(file))
    assert not (ours / "file").exists()
    (kept,) = ours.iterdir()
    assert kept.read_text() == "base and more"
    (ours / "file").write_text("anew")
    assert (theirs / "file").read_text() == "anew"


def test_file_deleted_by_the_other_mount_is_made_anew_by_who_still_believes_in_it(mounts: tuple[Path, Path]) -> None:
    """The kernel knows the name for a thousand seconds; the directory shows that it is gone; then somebody writes it."""
    ours, theirs = mounts
    (ours / "file").write_text("base")
    (theirs / "file").unlink()
    (theirs / "other").touch()
    file = os.open(ours / "file", os.O_RDWR)
    os.write(file, b"more")
    refused(lambda: os.close(file))
    (ours / "file").write_text("anew")
    assert (theirs / "file").read_text() == "anew"


@pytest.mark.parametrize("server", ["aws"], indirect=True)
def test_new_name_taken_by_the_other_mount_is_theirs(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    assert list(ours.iterdir()) == []
    file = os.open(ours / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(file, b"ours")
    (theirs / "file").write_text("theirs")
    refused(lambda: os.close(file))
    assert (ours / "file").read_text() == "theirs"
    assert sorted(path.read_text() for path in theirs.iterdir()) == ["ours", "theirs"]


@pytest.mark.parametrize("server", ["ovh"], indirect=True)
def test_new_name_that_the_server_does_not_guard_is_ours_if_its_directory_was_listed_before(mounts: tuple[Path, Path]) -> None:
    """Nobody looks again for a name of which a trusted listing says that it is free; ssecfs(7) says so."""
    ours, theirs = mounts
    assert list(ours.iterdir()) == []
    (theirs / "file").write_text("theirs")
    (ours / "file").write_text("ours")
    assert (theirs / "file").read_text() == "ours"


def test_removed_or_replaced_name_takes_a_newer_version_with_it(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    for name in ("removed", "replaced", "source"):
        (ours / name).write_text(name)
    for name in ("removed", "replaced"):
        (theirs / name).write_text("newer")
    (ours / "removed").unlink()
    (ours / "source").rename(ours / "replaced")
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {"replaced": "source"}


def test_locks_of_one_mount_are_not_those_of_the_other(mounts: tuple[Path, Path]) -> None:
    ours, theirs = mounts
    (ours / "file").write_text("locked")
    with (ours / "file").open("r+") as one, (theirs / "file").open("r+") as other:
        for lock in (fcntl.flock, fcntl.lockf):
            lock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("server", ["aws"], indirect=True)
def test_mount_that_trusts_for_ever_sees_what_others_did_after_a_remount(
    server: S3Server, tmp_path: Path, keyfile: Path
) -> None:
    with (
        mounting(server, tmp_path / "ours", keyfile, "--ttl", "forever", source="bucket/forever") as ours,
        mounting(server, tmp_path / "theirs", keyfile, source="bucket/forever") as theirs,
    ):
        (ours.path / "file").write_text("base")
        assert [path.name for path in ours.path.iterdir()] == ["file"]
        (theirs.path / "file").write_text("theirs, longer")
        (theirs.path / "new").touch()
        assert (ours.path / "file").read_text() == "base"
        assert ((ours.path / "file").stat().st_size, (ours.path / "new").exists()) == (4, False)
        ours.remount("--ttl", "forever")
        assert (ours.path / "file").read_text() == "theirs, longer"
        assert (ours.path / "new").exists()
