"""fsync(2) and close(2): the object is on the server when they return, or they say why it is not, and nothing is lost."""

import ctypes
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.budgets import flush
from support.mounts import Mounting, mounting, ssecfs
from support.rawhttp import ask
from support.s3server import S3Server, s3_server
from support.syscalls import refused

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

CONTENT = random.Random(1).randbytes(20 * MIB)
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_synchronised_file_is_an_object_while_it_is_still_open(
    shared_mount: Mounting, folder: Path, sync: Callable[[int], None]
) -> None:
    file = os.open(folder / "file", os.O_CREAT | os.O_WRONLY)
    shared_mount.server.operations()
    for _ in range(3):
        os.write(file, b"record")
        assert shared_mount.server.operations() == {}
        sync(file)
        assert shared_mount.server.operations() == {"PutObject": 1}
    sync(file)
    os.close(file)
    assert shared_mount.server.operations() == {}


def test_fsync_brings_attributes_along_and_fsync_of_a_directory_is_allowed(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    file = os.open(folder / "file", os.O_RDONLY)
    flush(shared_mount)
    shared_mount.server.operations()
    os.fchmod(file, 0o600)
    os.fsync(file)
    assert shared_mount.server.operations() == {"CopyObject": 1}
    os.close(file)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def test_syncfs_and_sync_file_range_bring_nothing_to_the_server_and_flush_does(shared_mount: Mounting, folder: Path) -> None:
    """The kernel writes its pages out, which are not late here: only fsync, close and our own command make an object."""
    file = os.open(folder / "file", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"content")
    shared_mount.server.operations()
    assert LIBC.sync_file_range(file, ctypes.c_long(0), ctypes.c_long(7), 7) == 0
    assert LIBC.syncfs(file) == 0
    assert shared_mount.server.operations() == {}
    flush(shared_mount)
    assert shared_mount.server.operations() == {"PutObject": 1}
    os.close(file)


def test_each_close_of_a_duplicate_uploads_what_is_unsaved_by_then(shared_mount: Mounting, folder: Path) -> None:
    file = os.open(folder / "file", os.O_CREAT | os.O_WRONLY)
    shared_mount.server.operations()
    for _ in range(2):
        os.write(file, b"content")
        os.close(os.dup(file))
        assert shared_mount.server.operations() == {"PutObject": 1}
    os.write(file, b"content")
    subprocess.run(["true"], check=True)  # a child has duplicates, and ends
    assert shared_mount.server.operations() == {"PutObject": 1}
    os.close(file)
    assert shared_mount.server.operations() == {}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[Mounting]:
    """A mount that gives a request up after two seconds."""
    place = tmp_path_factory.mktemp("faulty")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with (
        s3_server(place / "server", tls="off") as server,
        mounting(server, place, place / "keyfile", "--timeout", "2") as mounted,
    ):
        yield mounted


@pytest.fixture
def misbehave(faulty: Mounting) -> Iterator[Callable[..., None]]:
    """Puts faults of the server in force until the test ends, or until there are to be none."""

    def set_rules(*rules: str) -> None:
        assert ask(faulty.server, "PUT", "/?ssecfs-faults", "\n".join(rules).encode())[0] == 200

    yield set_rules
    set_rules()


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("status=403,operation=PutObject", "EACCES"),
        ("status=503,operation=PutObject", "EIO"),
        ("reset,operation=PutObject", "ETIMEDOUT"),
    ],
)
def test_error_of_an_upload_reaches_fsync_and_close_and_nothing_is_lost(
    faulty: Mounting, misbehave: Callable[..., None], rule: str, wanted: str
) -> None:
    path = faulty.path / wanted
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    os.write(file, b"content")
    misbehave(rule)
    assert refused(os.fsync, file) == wanted
    assert os.pread(file, 100, 0) == b"content"
    assert refused(os.close, file) == wanted
    assert path.read_bytes() == b"content"
    misbehave()
    with path.open("rb") as again:
        os.fsync(again.fileno())
    assert stored(faulty.server, wanted) == 7


def stored(server: S3Server, name: str) -> int | None:
    """The size of an object, which a listing shows without a key."""
    listed = server.client().list_objects_v2(Bucket="bucket", Prefix=name).get("Contents", [])
    return listed[0]["Size"] if listed else None


def test_close_of_a_handle_for_reading_neither_uploads_nor_tells_of_errors(
    faulty: Mounting, misbehave: Callable[..., None]
) -> None:
    """Whoever looks at a file that is being written has nothing to do with that."""
    path = faulty.path / "looked-at"
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(file, b"content")
    misbehave("status=403,operation=PutObject")
    for _ in range(3):
        assert path.read_bytes() == b"content"
    misbehave()
    faulty.server.operations()
    assert path.read_bytes() == b"content"
    assert faulty.server.operations() == {}
    os.close(file)
    assert faulty.server.operations() == {"PutObject": 1}


def test_failed_part_of_a_large_file_reaches_close_and_leaves_no_upload(
    faulty: Mounting, misbehave: Callable[..., None]
) -> None:
    misbehave("status=403,operation=UploadPart,every=2")
    file = os.open(faulty.path / "large", os.O_CREAT | os.O_RDWR)
    os.write(file, CONTENT)
    assert refused(os.close, file) == "EACCES"
    assert faulty.server.client().list_multipart_uploads(Bucket="bucket").get("Uploads", []) == []
    misbehave()
    with (faulty.path / "large").open("rb") as again:
        os.fsync(again.fileno())
        assert again.read() == CONTENT
    assert stored(faulty.server, "large") == len(CONTENT)


def test_server_that_fails_now_and_then_is_not_noticed(
    faulty: Mounting, misbehave: Callable[..., None], tmp_path: Path
) -> None:
    """Neither by who writes nor by a second mount that reads."""
    names = [f"often-{number}" for number in range(5)]
    with mounting(faulty.server, tmp_path, faulty.keyfile) as other:
        misbehave("status=503,every=3", "reset,every=7", "short,every=5,operation=GetObject", "lost-answer,every=11")
        for number, name in enumerate(names):
            (faulty.path / name).write_bytes(CONTENT[number : number + 100_000])
        (faulty.path / "often-large").write_bytes(CONTENT)
        for number, name in enumerate(names):
            assert (other.path / name).read_bytes() == CONTENT[number : number + 100_000]
        assert (other.path / "often-large").read_bytes() == CONTENT
        assert sorted(path.name for path in other.path.glob("often-*")) == sorted([*names, "often-large"])
        misbehave()
