"""chown and lchown: who owns what, what a new entry gets, and what moves with it."""

import os
from pathlib import Path

import pytest
from support.budgets import remount
from support.mounts import Mounting

pytestmark = pytest.mark.mount

LARGEST = 2**32 - 2
"""The number after it means: leave it."""


def owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


def test_owner_and_group_of_files_directories_and_fifos_are_kept(own_mount: Mounting) -> None:
    root = own_mount.path
    (root / "file").write_bytes(b"content")
    (root / "directory").mkdir()
    os.mkfifo(root / "fifo")
    owners = {"file": (LARGEST, 1), "directory": (2, LARGEST), "fifo": (1000, 1000), ".": (7, 8)}
    for name, (uid, gid) in owners.items():
        os.chown(root / name, uid, gid)
    remount(own_mount)
    assert {name: owner(root / name) for name in owners} == owners


def test_one_of_both_can_be_left_as_it_is(folder: Path) -> None:
    os.chown(folder, 5, 6)
    os.chown(folder, 7, -1)
    assert owner(folder) == (7, 6)
    os.chown(folder, -1, 8)
    assert owner(folder) == (7, 8)


def test_lchown_changes_the_link_and_chown_its_target(own_mount: Mounting) -> None:
    file, link = own_mount.path / "file", own_mount.path / "link"
    file.write_bytes(b"content")
    link.symlink_to("file")
    os.lchown(link, 5, 6)
    os.chown(link, 7, 8)
    remount(own_mount)
    assert (owner(link), owner(file)) == ((5, 6), (7, 8))
    assert link.readlink() == Path("file")


def test_chown_moves_ctime_only(folder: Path) -> None:
    file = folder / "file"
    file.write_bytes(b"content")
    before = file.stat()
    os.chown(file, 5, 6)
    after = file.stat()
    assert after.st_ctime_ns > before.st_ctime_ns
    assert (after.st_mtime_ns, after.st_atime_ns) == (before.st_mtime_ns, before.st_atime_ns)


def test_new_entry_gets_the_group_of_a_directory_with_the_setgid_bit(folder: Path) -> None:
    os.chown(folder, -1, 4321)
    folder.chmod(0o2775)
    (folder / "directory").mkdir()
    (folder / "file").write_bytes(b"")
    assert (owner(folder / "file"), owner(folder / "directory")) == ((0, 4321), (0, 4321))
    assert (folder / "directory").stat().st_mode & 0o7000 == 0o2000
