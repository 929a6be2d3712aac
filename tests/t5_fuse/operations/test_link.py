"""link(2): refused as filesystems without hard links do, so that programs fall back."""

import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting
from support.syscalls import refused

pytestmark = pytest.mark.mount


def test_hard_link_is_not_permitted_and_costs_nothing(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_text("x")
    with requests_of(shared_mount) as counted:
        assert refused(os.link, folder / "file", folder / "link") == "EPERM"
    assert counted == {}
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").stat().st_nlink == 1


def test_errors_that_come_before_are_the_usual_ones(place: Path) -> None:
    (place / "file").touch()
    (place / "directory").mkdir()
    assert refused(os.link, place / "missing", place / "link") == "ENOENT"
    assert refused(os.link, place / "file", place / "directory") == "EEXIST"
    assert refused(os.link, place / "directory", place / "link") == "EPERM"


def test_rsync_of_hard_links_falls_back_to_copies(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("content")
    os.link(tmp_path / "one", tmp_path / "other")
    done = subprocess.run(["rsync", "-aH", f"{tmp_path}/", folder], capture_output=True, text=True, check=False)
    assert "Operation not permitted" in done.stderr
    subprocess.run(["rsync", "-a", f"{tmp_path}/", folder], check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"one": "content", "other": "content"}
