"""stat: sizes and blocks that make du right, numbers that stay, link counts."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from support.budgets import put_objects, remount, requests_of
from support.mounts import Mounting, mounting

pytestmark = pytest.mark.mount

BLOCK_BYTES = 128 * 1024


def du(path: Path, *options: str) -> int:
    done = subprocess.run(
        ["du", "-s", "--block-size=1", *options, path], capture_output=True, text=True, check=True, timeout=30
    )
    return int(done.stdout.split()[0])


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (512, 1), (513, 2), (1_000_000, 1954)])
def test_blocks_are_what_the_content_fills(folder: Path, size: int, blocks: int) -> None:
    (folder / "file").write_bytes(bytes(size))
    status = (folder / "file").stat()
    assert (status.st_size, status.st_blocks, status.st_blksize) == (size, blocks, BLOCK_BYTES)


def test_size_of_a_file_that_is_being_written_is_that_of_its_content(folder: Path) -> None:
    with (folder / "file").open("wb", buffering=0) as file:
        for number in range(1, 4):
            file.write(bytes(1000))
            assert (os.fstat(file.fileno()).st_size, (folder / "file").stat().st_blocks) == (1000 * number, 2 * number)


def test_hole_counts_as_content_because_the_object_has_its_zeros(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        file.truncate(10 * BLOCK_BYTES)
    assert du(folder) == du(folder, "--apparent-size") - 4096 == 10 * BLOCK_BYTES


def test_du_tells_what_the_files_hold_before_and_after_a_remount(own_mount: Mounting) -> None:
    sizes = [0, 1, 511, 512, 513, 100_000, 5 * BLOCK_BYTES]
    (own_mount.path / "directory").mkdir()
    for size in sizes:
        (own_mount.path / "directory" / f"{size}").write_bytes(bytes(size))
    put_objects(own_mount, ["directory/foreign"], bytes(9000))
    remount(own_mount)
    sizes.append(9000)
    assert du(own_mount.path) == sum(-(-size // 512) * 512 for size in sizes)
    apparent = subprocess.run(
        ["find", own_mount.path, "-type", "f", "-printf", "%s\\n"], capture_output=True, text=True, check=True, timeout=30
    )
    assert sorted(map(int, apparent.stdout.split())) == sorted(sizes)


def test_size_of_a_link_is_that_of_its_target(folder: Path) -> None:
    (folder / "link").symlink_to("größer")
    assert (folder / "link").lstat().st_size == len("größer".encode())


def numbers(mounted: Mounting) -> dict[str, int]:
    """Inode numbers as look-ups give them; listings must give the same."""
    found = {".": mounted.path.stat().st_ino} | {path.name: path.stat().st_ino for path in mounted.path.iterdir()}
    assert {entry.name: entry.inode() for entry in os.scandir(mounted.path)}.items() < found.items()
    return found


def test_numbers_are_the_same_after_a_remount_and_in_a_mount_with_a_cache_of_its_own(
    own_mount: Mounting, tmp_path: Path
) -> None:
    (own_mount.path / "file").write_bytes(b"1")
    (own_mount.path / "directory").mkdir()
    before = numbers(own_mount)
    assert len(set(before.values())) == 3
    remount(own_mount)
    assert numbers(own_mount) == before
    with mounting(own_mount.server, tmp_path / "second", own_mount.keyfile, source=own_mount.source) as second:
        assert numbers(second) == before


def test_number_stays_through_new_content_and_through_a_rename_until_the_next_mount(own_mount: Mounting) -> None:
    path = own_mount.path / "file"
    path.write_bytes(b"1")
    number = path.stat().st_ino
    path.write_bytes(b"other")
    remount(own_mount)
    assert numbers(own_mount)["file"] == number
    path.rename(own_mount.path / "renamed")
    assert numbers(own_mount)["renamed"] == number
    path.write_bytes(b"a new one in its place")
    remount(own_mount)
    assert numbers(own_mount)["file"] == number
    assert numbers(own_mount)["renamed"] != number


def test_link_counts_are_one_and_none_after_removal(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        assert os.fstat(file.fileno()).st_nlink == 1
        (folder / "file").unlink()
        assert os.fstat(file.fileno()).st_nlink == 0
    assert folder.stat().st_nlink == 1  # as btrfs: programs do not count subdirectories by it


def test_foreign_object_without_attributes_gets_the_owner_of_the_mount_point_and_its_own_time(own_mount: Mounting) -> None:
    own_mount.umount()
    os.chown(own_mount.path, 1234, 2345)
    put_objects(own_mount, ["directory/file"], b"foreign")
    own_mount.mount()
    told = own_mount.server.client().list_objects_v2(Bucket="bucket", Prefix=own_mount.source.partition("/")[2] + "/directory/")
    modified_s = int(told["Contents"][0]["LastModified"].timestamp())
    file, directory = (own_mount.path / "directory" / "file").stat(), (own_mount.path / "directory").stat()
    assert (file.st_mode, file.st_uid, file.st_gid) == (stat.S_IFREG | 0o644, 1234, 2345)
    assert (directory.st_mode, directory.st_uid, directory.st_gid) == (stat.S_IFDIR | 0o755, 1234, 2345)
    assert (file.st_mtime, file.st_ctime, file.st_atime) == (modified_s, modified_s, modified_s)


def test_stat_of_what_is_known_costs_nothing(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    with requests_of(shared_mount) as counted:
        for _ in range(10):
            (folder / "file").stat()
            folder.stat()
    assert counted == {}
