"""chmod: permission bits of everything that has some, what they cost, and which of them go by themselves."""

import ctypes
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.budgets import flush, put_objects, remount, requests_of
from support.clients import client_of, ssec_of
from support.errnos import refusal
from support.mounts import Mounting

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(b"content")
    return path


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def lchmod(path: Path, mode: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fchmodat(AT_FDCWD, os.fsencode(path), mode, AT_SYMLINK_NOFOLLOW):
        raise OSError(ctypes.get_errno(), "fchmodat")


def test_all_bits_of_files_directories_fifos_and_sockets_are_kept(own_mount: Mounting) -> None:
    root = own_mount.path
    (root / "file").write_bytes(b"content")
    (root / "directory").mkdir()
    os.mkfifo(root / "fifo")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    modes = {"file": 0o7777, "directory": 0o7000, "fifo": 0o421, "socket": 0o1666, ".": 0o2750}
    for name, mode in modes.items():
        (root / name).chmod(mode)
    remount(own_mount)
    assert {name: bits(root / name) for name in modes} == modes
    kinds = {name: stat.S_IFMT((root / name).lstat().st_mode) for name in modes}
    assert kinds == {
        "file": stat.S_IFREG,
        "directory": stat.S_IFDIR,
        "fifo": stat.S_IFIFO,
        "socket": stat.S_IFSOCK,
        ".": stat.S_IFDIR,
    }


def test_chmod_moves_ctime_only(file: Path) -> None:
    before = file.stat()
    file.chmod(0o600)
    after = file.stat()
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_mtime_ns, after.st_atime_ns) == (before.st_mtime_ns, before.st_atime_ns)


def test_mode_of_a_symbolic_link_cannot_be_changed(folder: Path) -> None:
    (folder / "link").symlink_to("target")
    assert refusal(lchmod, folder / "link", 0o600) == "ENOTSUP"
    assert bits(folder / "link") == 0o777


def overwrite(path: Path) -> None:
    with path.open("r+b") as opened:
        opened.write(b"x")


def truncate_by_handle(path: Path) -> None:
    with path.open("r+b") as opened:
        opened.truncate(1)


@pytest.mark.parametrize(
    "change",
    [
        overwrite,
        truncate_by_handle,
        lambda path: os.truncate(path, 2),
        lambda path: path.write_bytes(b""),
        lambda path: os.chown(path, 5, -1),
    ],
    ids=["write", "ftruncate", "truncate", "O_TRUNC", "chown"],
)
def test_set_id_bits_go_with_a_change_of_content_or_owner(file: Path, change: Callable[[Path], object]) -> None:
    file.chmod(0o6755)
    change(file)
    assert bits(file) == 0o755


def test_setgid_bit_of_a_file_that_its_group_may_not_execute_stays(file: Path) -> None:
    file.chmod(0o6745)
    overwrite(file)
    assert bits(file) == 0o2745


def test_set_id_bits_of_a_directory_stay(folder: Path) -> None:
    folder.chmod(0o6755)
    os.chown(folder, 5, 6)
    (folder / "file").write_bytes(b"x")
    assert bits(folder) == 0o6755


def test_changes_in_a_row_cost_one_copy_and_are_saved_by_fsync(shared_mount: Mounting, file: Path) -> None:
    with requests_of(shared_mount) as counted:
        file.chmod(0o600)
        os.utime(file, ns=(1, 2))
        os.chown(file, 5, 6)
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        assert shared_mount.server.operations() == {"CopyObject": 1}
        os.close(descriptor)
    assert counted == {}


def test_changes_are_saved_by_unmounting(own_mount: Mounting) -> None:
    for number in range(20):
        (own_mount.path / f"{number}").write_bytes(b"x")
    own_mount.server.operations()
    for number in range(20):
        (own_mount.path / f"{number}").chmod(0o600)
    own_mount.umount()
    assert own_mount.server.operations() == {"CopyObject": 20}
    own_mount.mount()
    assert {bits(path) for path in own_mount.path.iterdir()} == {0o600}


def test_change_of_an_open_unsaved_file_goes_with_its_upload(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted, (folder / "new").open("wb", buffering=0) as file:
        file.write(b"content")
        os.fchmod(file.fileno(), 0o640)
        os.utime(file.fileno(), ns=(1, 2))
    assert counted == {"PutObject": 1}
    status = (folder / "new").stat()
    assert (bits(folder / "new"), status.st_atime_ns, status.st_mtime_ns) == (0o640, 1, 2)


def test_changes_of_a_directory_cost_one_put_with_or_without_a_marker(own_mount: Mounting) -> None:
    put_objects(own_mount, ["without/file"], b"x")
    (own_mount.path / "with").mkdir()
    remount(own_mount)
    for directory in (own_mount.path / "with", own_mount.path / "without"):
        directory.stat()
        with requests_of(own_mount) as counted:
            directory.chmod(0o700)
            os.chown(directory, 5, 6)
            os.utime(directory, ns=(1, 2))
        assert counted == {"PutObject": 1}
        assert bits(directory) == 0o700


def test_fsync_of_a_directory_saves_its_attributes(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted:
        folder.chmod(0o711)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(descriptor)
        assert shared_mount.server.operations() == {"PutObject": 1}
        os.close(descriptor)
    assert counted == {}


def test_asking_for_the_mode_that_is_there_costs_nothing(shared_mount: Mounting, file: Path) -> None:
    before = file.stat()
    with requests_of(shared_mount) as counted:
        file.chmod(stat.S_IMODE(before.st_mode))
    assert counted == {}
    assert file.stat().st_ctime_ns > before.st_ctime_ns


def test_change_of_a_directory_leaves_bytes_under_its_key_alone(own_mount: Mounting) -> None:
    """Other tools can store bytes under a key that ends in a slash; there the directory's attributes are not kept."""
    object_key, ssec = f"{own_mount.source.partition('/')[2]}/odd/", ssec_of(load_keyfile(own_mount.keyfile).first)
    with client_of(own_mount.server) as client:
        client.put_object(Bucket="bucket", Key=object_key, Body=b"bytes of somebody", **ssec)
        remount(own_mount)
        (own_mount.path / "odd").chmod(0o700)
        flush(own_mount)
        assert client.get_object(Bucket="bucket", Key=object_key, **ssec)["Body"].read() == b"bytes of somebody"
