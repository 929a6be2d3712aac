"""symlink(2), readlink(2), and what following links does."""

import os
import stat
from pathlib import Path

import pytest
from support.budgets import remount, requests_of
from support.mounts import Mounting
from support.syscalls import refused

pytestmark = pytest.mark.mount

TARGETS = [b"x", b"../up/and/./down", b"/absolute", "größe 世".encode(), b"not utf-8 \xff\xfe", b"new\nline", b"x" * 4095]


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_target_is_kept_byte_for_byte(place: Path, target: bytes) -> None:
    link = os.fsencode(place / "link")
    os.symlink(target, link)  # noqa: PTH211 - bytes
    assert os.readlink(link) == target  # noqa: PTH115 - bytes
    status = os.lstat(link)
    assert (stat.S_ISLNK(status.st_mode), status.st_size) == (True, len(target))


def test_link_is_followed_to_files_and_directories(place: Path) -> None:
    (place / "directory").mkdir()
    (place / "directory" / "file").write_text("content")
    (place / "link").symlink_to("directory")
    (place / "directory" / "up").symlink_to("../link/file")
    assert (place / "link" / "up").read_text() == "content"
    (place / "link" / "new").write_text("through the link")
    assert (place / "directory" / "new").read_text() == "through the link"


def test_loops_and_o_nofollow_are_refused(place: Path) -> None:
    (place / "loop").symlink_to("loop")
    (place / "one").symlink_to("other")
    (place / "other").symlink_to("one")
    (place / "fine").symlink_to("file")
    (place / "file").touch()
    assert refused(os.stat, place / "loop") == "ELOOP"
    assert refused(os.open, place / "one", os.O_RDONLY) == "ELOOP"
    assert refused(os.open, place / "fine", os.O_RDONLY | os.O_NOFOLLOW) == "ELOOP"
    assert refused(os.listdir, place / "loop" / "below") == "ELOOP"


def test_impossible_links_give_the_usual_errors(place: Path) -> None:
    (place / "file").touch()
    assert refused(os.symlink, "target", place / "file") == "EEXIST"
    assert refused(os.symlink, "", place / "link") == "ENOENT"
    assert refused(os.symlink, "x" * 4096, place / "link") == "ENAMETOOLONG"
    assert refused(os.symlink, "target", place / ("x" * 256)) == "ENAMETOOLONG"
    assert refused(os.symlink, "target", place / "missing" / "link") == "ENOENT"
    assert refused(os.readlink, place / "file") == "EINVAL"
    assert refused(os.stat, place / "link") == "ENOENT"


def test_dangling_link_can_be_made_renamed_and_removed(place: Path) -> None:
    (place / "link").symlink_to("nowhere")
    assert refused(os.stat, place / "link") == "ENOENT"
    (place / "link").rename(place / "renamed")
    assert (place / "renamed").readlink() == Path("nowhere")
    (place / "renamed").unlink()
    assert list(place.iterdir()) == []


def test_link_costs_one_put_and_reading_it_nothing_more(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted:
        (folder / "link").symlink_to("target")
        assert (folder / "link").readlink() == Path("target")
    assert counted == {"PutObject": 1}


def test_target_stays_sealed_in_the_cache_over_a_remount(own_mount: Mounting) -> None:
    target = "a-target-that-nobody-may-read-here"
    (own_mount.path / "link").symlink_to(target)
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert (own_mount.path / "link").readlink() == Path(target)
    assert counted == {"ListObjectsV2": 1}
    own_mount.umount()
    kept = [path for path in own_mount.cache.rglob("*") if path.is_file()]
    assert any(path.parent.name == "blocks" for path in kept)
    assert [path for path in kept if target.encode() in path.read_bytes()] == []
