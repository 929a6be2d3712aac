"""unlink(2): the name goes at once, the content when nobody has it open any more."""

import os
import random
from pathlib import Path

import pytest
from support.budgets import flush, put_objects, requests_of
from support.mounts import Mounting
from support.nameops import keys_below, object_key_of
from support.syscalls import refused

pytestmark = pytest.mark.mount


def test_unlinked_open_file_is_read_and_written_on(place: Path) -> None:
    content = random.Random(1).randbytes(500_000)
    (place / "file").write_bytes(content)
    with (place / "file").open("r+b", buffering=0) as file:
        (place / "file").unlink()
        assert os.fstat(file.fileno()).st_nlink == 0
        assert refused(os.stat, place / "file") == "ENOENT"
        assert file.read() == content
        file.write(b"more")
        file.seek(499_999)
        assert file.read() == content[-1:] + b"more"
        (place / "file").write_bytes(b"another")
    assert (place / "file").read_bytes() == b"another"


def test_file_that_never_was_on_the_server_leaves_nothing_there(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted, (folder / "temporary").open("w+b") as file:
        (folder / "temporary").unlink()
        file.write(b"secret")
        file.seek(0)
        assert file.read() == b"secret"
    assert counted == {}
    assert keys_below(shared_mount, folder) == {"": 0}


def test_open_file_of_an_unknown_object_is_brought_here_before_that_is_deleted(doubting_mount: Mounting, doubted: Path) -> None:
    content = random.Random(2).randbytes(1_000_000)
    key = object_key_of(doubting_mount, doubted / "foreign").partition("/")[2]
    put_objects(doubting_mount, [key], content)
    with (doubted / "foreign").open("rb", buffering=0) as file:
        (doubted / "foreign").unlink()
        assert keys_below(doubting_mount, doubted) == {"": 0}
        assert file.read(2_000_000) == content


def test_link_goes_and_its_target_stays(place: Path) -> None:
    (place / "file").write_bytes(b"x")
    (place / "link").symlink_to("file")
    (place / "link").unlink()
    assert [path.name for path in place.iterdir()] == ["file"]


def test_what_cannot_be_unlinked_gives_the_usual_errors(place: Path) -> None:
    (place / "directory").mkdir()
    (place / "file").touch()
    assert refused(os.unlink, place / "directory") == "EISDIR"
    assert refused(os.unlink, place / "missing") == "ENOENT"
    assert refused(os.unlink, place / "file" / "below") == "ENOTDIR"
    assert refused(os.unlink, place / ("x" * 256)) == "ENAMETOOLONG"
    assert refused(os.unlink, f"{place}/file/") == "ENOTDIR"


def test_times_of_the_directory_move(place: Path) -> None:
    (place / "file").touch()
    os.utime(place, ns=(1, 1))
    (place / "file").unlink()
    assert (place.stat().st_mtime_ns > 1, place.stat().st_ctime_ns > 1) == (True, True)


def test_removal_costs_one_request_even_with_a_change_of_attributes_waiting(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 100_000)
    flush(shared_mount)
    with requests_of(shared_mount) as counted:
        (folder / "file").chmod(0o600)
        (folder / "file").unlink()
    assert counted == {"DeleteObject": 1}
