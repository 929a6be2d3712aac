"""How many requests each action of a user costs, counted by the server: none that need not be, and many at once."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.budgets import FOREVER, most_at_once, put_objects, remount, requests_of
from support.mounts import Mounting, mounting
from support.s3server import s3_server

pytestmark = pytest.mark.mount

LARGE = bytes(5000)
"""Too large for a symlink: the listing says that it is a file."""

SMALL = b"small"


def put_files(mounted: Mounting, count: int, body: bytes) -> list[str]:
    """Put objects into the root behind the mount's back."""
    names = [f"object-{number:04}" for number in range(count)]
    put_objects(mounted, names, body)
    return names


def stat_all(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Look at all entries, one by one while reading the directory, as ls -l does: mode, size and time."""
    with os.scandir(folder) as entries:
        found = {entry.name: Path(entry.path).lstat() for entry in entries}
    return {name: (status.st_mode, status.st_size, status.st_mtime_ns) for name, status in found.items()}


def test_mounting_asks_seven_things(own_mount: Mounting) -> None:
    own_mount.umount()
    own_mount.server.operations()
    own_mount.mount()
    # Which canaries there are; does ours open, and not with another key or none; two conditions; the root's attributes.
    assert own_mount.server.operations() == {"ListObjectsV2": 1, "HeadObject": 2, "GetObject": 2, "PutObject": 2}


def test_ls_of_a_thousand_unknown_large_objects_is_the_list_alone(own_mount: Mounting) -> None:
    names = put_files(own_mount, 1000 - 2, LARGE)  # with the marker of the root and our own folder, one page
    with requests_of(own_mount) as counted:
        assert subprocess.check_output(["ls", own_mount.path], text=True).split() == names
    assert counted == {"ListObjectsV2": 1}
    with requests_of(own_mount) as counted:
        found = subprocess.check_output(["find", own_mount.path, "-name", "object-*5"], text=True).split()
    assert (len(found), counted) == (100, {})


def test_ls_l_of_unknown_objects_is_a_list_for_each_page_and_a_head_each(own_mount: Mounting) -> None:
    names = put_files(own_mount, 1100, LARGE)
    with requests_of(own_mount) as counted:
        assert sorted(stat_all(own_mount.path)) == names
    assert counted == {"ListObjectsV2": 2, "HeadObject": 1100}


def test_ls_l_of_known_objects_is_one_list_after_a_remount(own_mount: Mounting) -> None:
    put_files(own_mount, 200, SMALL)
    with requests_of(own_mount) as counted:
        foreign = stat_all(own_mount.path)
    assert (len(foreign), counted) == (200, {"ListObjectsV2": 1, "HeadObject": 200})
    for number in range(20):
        (own_mount.path / f"ours-{number}").write_bytes(SMALL)
    with requests_of(own_mount) as counted:
        shown = stat_all(own_mount.path)
    assert (shown | foreign, counted) == (shown, {})
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert stat_all(own_mount.path) == shown
    assert counted == {"ListObjectsV2": 1}


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["of unknown type", "known to be files"])
def test_heads_of_a_directory_run_sixty_four_at_once(body: bytes, tmp_path: Path, fuse_device: Path, keyfile: Path) -> None:
    slow = ("--fault", "latency=1,operation=HeadObject")
    # However slow the machine: what is trusted for ever is asked for as far ahead as can be.
    with (
        s3_server(tmp_path / "server", *slow, tls="off") as server,
        mounting(server, tmp_path, keyfile, *FOREVER) as mounted,
    ):
        put_objects(mounted, [f"object-{number}" for number in range(140)], body)
        server.requests()
        assert len(stat_all(mounted.path)) == 140
        heads = [request for request in server.requests() if request["operation"] == "HeadObject"]
    assert (len(heads), most_at_once(heads)) == (140, 64)


def test_ls_l_of_known_directories_is_one_list_each(own_mount: Mounting) -> None:
    for number in range(10):
        (own_mount.path / f"sub-{number}").mkdir()
    shown = stat_all(own_mount.path)
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert stat_all(own_mount.path) == shown
    assert counted == {"ListObjectsV2": 11}
    with requests_of(own_mount) as counted:
        assert [list((own_mount.path / name).iterdir()) for name in shown] == [[]] * 10
    assert counted == {}, "the listing that says whether a directory has changed says what is in it, too"


def test_ls_l_of_unknown_directories_is_one_head_each(own_mount: Mounting) -> None:
    put_objects(own_mount, [f"sub-{number}/object" for number in range(10)], SMALL)
    with requests_of(own_mount) as counted:
        assert len(stat_all(own_mount.path)) == 10
    assert counted == {"ListObjectsV2": 1, "HeadObject": 10}


def test_path_through_known_directories_is_one_list_each(own_mount: Mounting) -> None:
    deep = own_mount.path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(SMALL)
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert (deep / "file").stat().st_size == len(SMALL)
    assert counted == {"ListObjectsV2": 2}


@pytest.mark.parametrize("missing", ["none", "a/none", "a/none/none"])
def test_missing_name_in_a_known_directory_costs_nothing(shared_mount: Mounting, folder: Path, missing: str) -> None:
    (folder / "a").mkdir()
    with requests_of(shared_mount) as counted:
        assert not (folder / missing).exists()
    assert counted == {}


def test_mkdir_is_one_put_and_each_file_in_it_another(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted:
        (folder / "new").mkdir()
    assert counted == {"PutObject": 1}
    with requests_of(shared_mount) as counted:
        for number in range(5):
            (folder / "new" / f"file-{number}").write_bytes(SMALL)
    assert counted == {"PutObject": 5}


def test_created_file_is_sent_at_close_with_all_attributes_and_nothing_before(own_mount: Mounting) -> None:
    path = own_mount.path / "file"
    assert not list(own_mount.path.iterdir())
    with requests_of(own_mount) as counted, path.open("wb") as file:
        os.fchmod(file.fileno(), 0o640)
        os.fchown(file.fileno(), 12, 34)
        file.write(SMALL)
        file.flush()
        os.utime(file.fileno(), ns=(1_000_000_001, 2_000_000_002))
        assert own_mount.server.operations() == {}
    assert counted == {"PutObject": 1}
    remount(own_mount)
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 12, 34)
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_000_000_001, 2_000_000_002)


def test_small_known_file_is_read_by_one_get(own_mount: Mounting) -> None:
    (name,) = put_files(own_mount, 1, SMALL)
    stat_all(own_mount.path)
    with requests_of(own_mount) as counted:
        assert (own_mount.path / name).read_bytes() == SMALL
    assert counted == {"GetObject": 1}
    with requests_of(own_mount) as counted:
        assert (own_mount.path / name).read_bytes() == SMALL
    assert counted == {}


def written(path: Path) -> None:
    path.write_bytes(b"other")


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def truncated(path: Path) -> None:
    os.truncate(path, 2)


def changed(path: Path) -> None:
    path.chmod(0o600)
    os.chown(path, 5, 6)
    os.utime(path, ns=(1, 2))


def removed(path: Path) -> None:
    path.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("renamed"))


def replaced(path: Path) -> None:
    path.with_name("temporary").write_bytes(b"new")
    path.with_name("temporary").rename(path)


def opened_for_writing_only(path: Path) -> None:
    path.open("r+b").close()


def linked(path: Path) -> None:
    path.with_name("link").symlink_to(path)


CHANGES: dict[Callable[[Path], None], dict[str, int]] = {
    written: {"PutObject": 1},
    appended: {"PutObject": 1},
    truncated: {"PutObject": 1},
    changed: {"CopyObject": 1},
    removed: {"DeleteObject": 1},
    renamed: {"CopyObject": 1, "DeleteObject": 1},
    replaced: {"PutObject": 1, "CopyObject": 1, "DeleteObject": 1},
    opened_for_writing_only: {},
    linked: {"PutObject": 1},
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_known_file_costs_what_the_change_needs(shared_mount: Mounting, folder: Path, change: Callable[[Path], None]) -> None:
    path = folder / "file"
    path.write_bytes(SMALL)
    with requests_of(shared_mount) as counted:
        change(path)
    assert counted == CHANGES[change]


def test_what_replaced_a_file_is_known_and_in_the_cache(own_mount: Mounting) -> None:
    path = own_mount.path / "file"
    path.write_bytes(SMALL)
    replaced(path)
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert path.read_bytes() == b"new"
    assert counted == {"ListObjectsV2": 1}


def test_overwriting_looks_first_where_the_server_checks_no_conditions(
    tmp_path: Path, fuse_device: Path, keyfile: Path
) -> None:
    with s3_server(tmp_path / "server", tls="off") as server, mounting(server, tmp_path, keyfile) as mounted:
        with requests_of(mounted) as counted:
            (mounted.path / "file").write_bytes(SMALL)
        assert counted == {"ListObjectsV2": 1, "PutObject": 1}
        with requests_of(mounted) as counted:
            (mounted.path / "file").write_bytes(SMALL)
        assert counted == {"HeadObject": 1, "PutObject": 1}
