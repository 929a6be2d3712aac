"""mkdir(2): one request, the usual modes and errors, and a directory that is known to be empty."""

import os
import stat
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting
from support.nameops import keys_below
from support.syscalls import in_another_process, refused

pytestmark = pytest.mark.mount


def test_mode_is_that_which_was_asked_for_without_the_umask(place: Path) -> None:
    old = os.umask(0o027)
    try:
        (place / "masked").mkdir(mode=0o777)
        (place / "private").mkdir(mode=0o700)
    finally:
        os.umask(old)
    assert stat.filemode((place / "masked").stat().st_mode) == "drwxr-x---"
    assert stat.filemode((place / "private").stat().st_mode) == "drwx------"


def test_group_comes_from_a_setgid_directory(place: Path) -> None:
    (place / "shared").mkdir()
    os.chown(place / "shared", 0, 1234)
    (place / "shared").chmod(0o2775)
    (place / "shared" / "below").mkdir()
    status = (place / "shared" / "below").stat()
    assert (status.st_gid, bool(status.st_mode & stat.S_ISGID)) == (1234, True)


def test_taken_and_impossible_names_give_the_usual_errors(place: Path) -> None:
    (place / "file").touch()
    (place / "link").symlink_to("nowhere")
    for name in ("file", "link", ""):
        assert refused(os.mkdir, place / name) == "EEXIST"
    assert refused(os.mkdir, place / "missing" / "new") == "ENOENT"
    assert refused(os.mkdir, place / "file" / "new") == "ENOTDIR"
    assert refused(os.mkdir, place / ("x" * 256)) == "ENAMETOOLONG"
    (place / ("x" * 255)).mkdir()
    assert [path.name for path in place.iterdir() if path.is_dir()] == ["x" * 255]


def test_object_key_that_would_be_too_long_is_refused(folder: Path) -> None:
    deep = folder
    for _ in range(3):
        deep /= "d" * 250
        deep.mkdir()
    assert refused(os.mkdir, deep / ("d" * 240)) == "ENAMETOOLONG"
    assert refused((deep / ("f" * 240)).touch) == "ENAMETOOLONG"
    (deep / "short").mkdir()


def test_removed_working_directory_takes_no_entries(place: Path) -> None:
    (place / "gone").mkdir()
    at = os.open(place / "gone", os.O_DIRECTORY)
    (place / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        os.mkdir("new", dir_fd=at)
    os.close(at)


def test_link_count_is_one_so_that_find_looks_into_every_directory(folder: Path) -> None:
    (folder / "a" / "b" / "c").mkdir(parents=True)
    assert {path.stat().st_nlink for path in (folder, folder / "a", folder / "a" / "b")} == {1}
    script = "import subprocess; print(subprocess.check_output(['find', arguments[0], '-type', 'd'], text=True).count('\\n'))"
    assert in_another_process(script, folder).strip() == "4"


def test_times_of_the_parent_move(place: Path) -> None:
    os.utime(place, ns=(1, 1))
    (place / "new").mkdir()
    assert (place.stat().st_mtime_ns > 1, place.stat().st_ctime_ns > 1) == (True, True)


def test_directory_costs_one_put_and_a_file_in_it_another(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted:
        (folder / "new").mkdir()
        (folder / "new" / "file").write_bytes(b"x")
        assert not (folder / "new" / "missing").exists()
        assert [path.name for path in (folder / "new").iterdir()] == ["file"]
    assert counted == {"PutObject": 2}
    assert keys_below(shared_mount, folder) == {"": 0, "new/": 0, "new/file": 1}
