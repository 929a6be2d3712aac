"""statfs: a bucket has no end."""

import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting, mounting
from support.syscalls import refused

from ssecfs.sizes import TIB

pytestmark = pytest.mark.mount


def test_there_is_room_for_whatever_a_program_wants_to_write(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted:
        room = os.statvfs(folder)
    assert counted == {}
    assert room.f_bavail * room.f_frsize == room.f_blocks * room.f_frsize == 1024 * TIB
    assert room.f_namemax == 255
    assert room.f_favail > 2**31
    assert not room.f_flag & os.ST_RDONLY


def test_df_shows_the_bucket(shared_mount: Mounting) -> None:
    done = subprocess.run(
        ["df", "--output=source,fstype,pcent,target", shared_mount.path], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.splitlines()[1].split() == ["bucket/shared", "fuse.ssecfs", "0%", str(shared_mount.path)]


def test_set_id_bits_and_devices_have_no_effect(shared_mount: Mounting) -> None:
    flags = os.statvfs(shared_mount.path).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV


def test_read_only_mount_says_so_and_refuses_every_change(shared_mount: Mounting, folder: Path, tmp_path: Path) -> None:
    (folder / "file").write_bytes(b"content")
    with mounting(shared_mount.server, tmp_path, shared_mount.keyfile, "--read-only", source="bucket/shared") as mounted:
        assert os.statvfs(mounted.path).f_flag & os.ST_RDONLY
        place = mounted.path / folder.name
        assert (place / "file").read_bytes() == b"content"
        assert refused(os.open, place / "file", os.O_WRONLY) == "EROFS"
        assert refused(os.truncate, place / "file", 0) == "EROFS"
        assert refused((place / "new").touch) == "EROFS"
        assert refused((place / "new").mkdir) == "EROFS"
        assert refused((place / "file").unlink) == "EROFS"
        assert refused((place / "file").rename, place / "new") == "EROFS"
        assert refused((place / "file").chmod, 0o600) == "EROFS"
        assert refused(os.setxattr, place / "file", "user.a", b"x") == "EROFS"
