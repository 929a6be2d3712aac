"""statfs: a bucket has no end."""

import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting, mounting

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


def test_read_only_mount_says_so(shared_mount: Mounting, tmp_path: Path) -> None:
    with mounting(shared_mount.server, tmp_path, shared_mount.keyfile, "--read-only", source="bucket/shared") as mounted:
        assert os.statvfs(mounted.path).f_flag & os.ST_RDONLY
