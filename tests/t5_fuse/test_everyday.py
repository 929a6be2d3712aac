"""What people do all day: read, write, append, truncate, rename, remove; and what the bucket shows of it."""

import errno
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

pytestmark = pytest.mark.mount

BLOCK = 128 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("everyday") / "server") as running:
        yield running


@pytest.fixture
def mounted(server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Mounting]:
    """A mount of a prefix of its own."""
    name = request.node.name.replace("[", "-").replace("]", "")
    with mounting(server, tmp_path, keyfile, source=f"bucket/{name}") as place:
        yield place


def keys(server: S3Server, mounted: Mounting) -> set[str]:
    """Object keys below the mounted prefix, without our own hidden ones."""
    prefix = mounted.source.partition("/")[2] + "/"
    listed = server.client().list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    names = {entry["Key"].removeprefix(prefix) for entry in listed}
    return {name for name in names if not name.startswith(".ssecfs/")}


def test_small_file_written_is_read_back_and_is_one_object(mounted: Mounting, server: S3Server) -> None:
    (mounted.path / "a").write_text("hello\n")
    assert (mounted.path / "a").read_text() == "hello\n"
    assert keys(server, mounted) == {"a"}


def test_append_and_overwrite_in_the_middle_keep_the_rest(mounted: Mounting) -> None:
    path = mounted.path / "file"
    content = bytearray(random.Random(2).randbytes(3 * BLOCK + 100))
    path.write_bytes(content)
    mounted.remount()
    with path.open("ab") as file:
        file.write(b"appended")
    with path.open("r+b") as file:
        file.seek(BLOCK - 10)
        file.write(b"x" * 20)
    content[BLOCK - 10 : BLOCK + 10] = b"x" * 20
    assert path.read_bytes() == bytes(content) + b"appended"
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount()
    assert path.read_bytes() == bytes(content) + b"appended"


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_truncate_down_and_up_leaves_zeros(mounted: Mounting, size: int) -> None:
    path = mounted.path / f"t{size}"
    content = random.Random(3).randbytes(2 * BLOCK)
    path.write_bytes(content)
    os.truncate(path, size)
    assert path.read_bytes() == content[:size].ljust(size, b"\0")
    os.truncate(path, 2 * BLOCK)
    assert path.read_bytes() == content[: min(size, 2 * BLOCK)].ljust(2 * BLOCK, b"\0")
    mounted.remount()
    assert path.read_bytes() == content[: min(size, 2 * BLOCK)].ljust(2 * BLOCK, b"\0")


def test_write_behind_the_end_makes_a_hole_of_zeros(mounted: Mounting) -> None:
    path = mounted.path / "hole"
    with path.open("wb") as file:
        file.seek(2 * BLOCK + 5)
        file.write(b"end")
    mounted.remount()
    assert path.read_bytes() == bytes(2 * BLOCK + 5) + b"end"


def test_open_with_truncation_of_an_existing_file_shows_only_the_new_content(mounted: Mounting) -> None:
    path = mounted.path / "file"
    path.write_bytes(b"long old content" * 1000)
    path.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    mounted.remount()
    assert path.read_bytes() == b"new"


def test_directories_are_made_listed_and_removed(mounted: Mounting, server: S3Server) -> None:
    folder = mounted.path / "folder"
    folder.mkdir(mode=0o750)
    (folder / "file").write_text("x")
    assert [entry.name for entry in os.scandir(mounted.path)] == ["folder"]
    assert keys(server, mounted) == {"folder/", "folder/file"}
    with pytest.raises(OSError, match="not empty") as refused:
        folder.rmdir()
    assert refused.value.errno == errno.ENOTEMPTY
    (folder / "file").unlink()
    mounted.remount()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    folder.rmdir()
    assert list(mounted.path.iterdir()) == []
    assert keys(server, mounted) == set()


def test_rename_moves_content_and_replaces_the_target(mounted: Mounting, server: S3Server) -> None:
    one, other = mounted.path / "one", mounted.path / "other"
    one.write_text("1")
    other.write_text("2")
    one.rename(other)
    assert not one.exists()
    assert other.read_text() == "1"
    assert keys(server, mounted) == {"other"}
    mounted.remount()
    assert other.read_text() == "1"


def test_rename_of_an_open_file_keeps_what_is_written_afterwards(mounted: Mounting, server: S3Server) -> None:
    before, after = mounted.path / "before", mounted.path / "after"
    with before.open("wb") as file:
        file.write(b"first ")
        file.flush()
        before.rename(after)
        file.write(b"second")
    assert after.read_bytes() == b"first second"
    assert keys(server, mounted) == {"after"}


def test_unlinked_open_file_can_still_be_read_and_is_gone_from_the_bucket(mounted: Mounting, server: S3Server) -> None:
    path = mounted.path / "file"
    content = random.Random(4).randbytes(5 * BLOCK)
    path.write_bytes(content)
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount()
    with path.open("rb") as file:
        path.unlink()
        assert keys(server, mounted) == set()
        assert file.read() == content


def test_modes_owners_and_times_survive_a_remount(mounted: Mounting) -> None:
    path = mounted.path / "file"
    path.write_text("x")
    path.chmod(0o640)
    os.chown(path, 1234, 2345)
    os.utime(path, ns=(1_111_111_111_000_000_001, 1_222_222_222_123_456_789))
    mounted.remount()
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 1234, 2345)
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_111_111_111_000_000_001, 1_222_222_222_123_456_789)


def test_symlink_keeps_its_target_in_the_encrypted_body(mounted: Mounting) -> None:
    (mounted.path / "link").symlink_to("some/where else")
    mounted.remount()
    assert (mounted.path / "link").readlink() == Path("some/where else")


def test_hard_link_is_refused_as_filesystems_without_them_do(mounted: Mounting) -> None:
    (mounted.path / "file").touch()
    with pytest.raises(OSError, match="not permitted") as refused:
        os.link(mounted.path / "file", mounted.path / "link")
    assert refused.value.errno == errno.EPERM


def test_missing_name_and_exclusive_creation_give_the_usual_errors(mounted: Mounting) -> None:
    with pytest.raises(FileNotFoundError):
        (mounted.path / "none").read_bytes()
    (mounted.path / "there").touch()
    with pytest.raises(FileExistsError):
        (mounted.path / "there").open("x")
    with pytest.raises(IsADirectoryError):
        mounted.path.joinpath(".").open("wb")


def test_creating_a_file_in_a_known_directory_costs_one_put(mounted: Mounting, server: S3Server) -> None:
    list(mounted.path.iterdir())
    server.operations()
    (mounted.path / "file").write_bytes(b"x" * 4096)
    assert server.operations() == {"PutObject": 1}


def test_chmod_chown_utimens_in_a_row_cost_one_copy(mounted: Mounting, server: S3Server) -> None:
    path = mounted.path / "file"
    path.write_bytes(b"x")
    server.operations()
    path.chmod(0o600)
    os.chown(path, 5, 6)
    os.utime(path, ns=(1, 2))
    mounted.umount()
    assert server.operations() == {"CopyObject": 1}
