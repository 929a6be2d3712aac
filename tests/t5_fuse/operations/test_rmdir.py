"""rmdir(2): only what is empty, here and on the server."""

import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import flush, requests_of
from support.mounts import Mounting
from support.nameops import keys_below, put_beside
from support.syscalls import refused

pytestmark = pytest.mark.mount


def test_empty_directory_goes_and_a_full_one_stays(place: Path) -> None:
    (place / "full" / "empty").mkdir(parents=True)
    assert refused(os.rmdir, place / "full") == "ENOTEMPTY"
    (place / "full" / "empty").rmdir()
    (place / "full").rmdir()
    assert list(place.iterdir()) == []
    (place / "full").mkdir()
    assert list((place / "full").iterdir()) == []


def test_what_is_no_removable_directory_gives_the_usual_errors(place: Path) -> None:
    (place / "file").touch()
    (place / "link").symlink_to(".")
    (place / "sub").mkdir()
    assert refused(os.rmdir, place / "file") == "ENOTDIR"
    assert refused(os.rmdir, place / "link") == "ENOTDIR"
    assert refused(os.rmdir, place / "missing") == "ENOENT"
    assert refused(os.rmdir, f"{place}/sub/.") == "EINVAL"
    assert refused(os.rmdir, f"{place}/sub/..") == "ENOTEMPTY"


def test_mount_point_is_busy(shared_mount: Mounting) -> None:
    assert refused(os.rmdir, shared_mount.path) == "EBUSY"


def test_entries_that_only_the_server_knows_keep_a_directory(doubting_mount: Mounting, doubted: Path) -> None:
    (doubted / "sub").mkdir()
    assert list((doubted / "sub").iterdir()) == []
    put_beside(doubting_mount, doubted, {"sub/theirs": b"x"})
    assert refused(os.rmdir, doubted / "sub") == "ENOTEMPTY"


def test_unsaved_file_keeps_a_directory(place: Path) -> None:
    (place / "sub").mkdir()
    with (place / "sub" / "file").open("w"):
        assert refused(os.rmdir, place / "sub") == "ENOTEMPTY"


def test_removal_costs_a_look_and_a_delete(shared_mount: Mounting, folder: Path) -> None:
    (folder / "sub").mkdir()
    with requests_of(shared_mount) as counted:
        (folder / "sub").rmdir()
    assert counted == {"ListObjectsV2": 1, "DeleteObject": 1}


def test_directory_without_a_marker_outlives_its_last_entry(doubting_mount: Mounting, doubted: Path) -> None:
    put_beside(doubting_mount, doubted, {"implicit/deep/file": b"x"})
    (doubted / "implicit" / "deep" / "file").unlink()
    assert [path.name for path in (doubted / "implicit").iterdir()] == ["deep"]
    flush(doubting_mount)
    assert keys_below(doubting_mount, doubted) == {"": 0, "implicit/deep/": 0}


def test_tree_without_markers_is_removed_by_rm(doubting_mount: Mounting, doubted: Path) -> None:
    put_beside(doubting_mount, doubted, {f"implicit/{number % 3}/{number}": b"x" for number in range(9)})
    subprocess.run(["rm", "-r", doubted / "implicit"], check=True)
    assert list(doubted.iterdir()) == []
    flush(doubting_mount)
    assert keys_below(doubting_mount, doubted) == {"": 0}


def test_old_style_marker_is_removed_with_its_directory(doubting_mount: Mounting, doubted: Path) -> None:
    put_beside(doubting_mount, doubted, {"hadoop_$folder$": b""})
    assert [path.name for path in doubted.iterdir()] == ["hadoop"]
    (doubted / "hadoop").rmdir()
    assert keys_below(doubting_mount, doubted) == {"": 0}
