"""rename(2) and renameat2(2) of files and directories, with what is open in them."""

import os
import random
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from support.budgets import flush, remount, requests_of
from support.mounts import Mounting, mounting
from support.nameops import EXCHANGE, NOREPLACE, WHITEOUT, keys_below, put_beside, renameat2
from support.s3server import s3_server
from support.syscalls import outcome, refused

pytestmark = pytest.mark.mount

KINDS = ("missing", "file", "empty", "full", "link", "link to a directory")


def make(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text(path.name)
        case "empty":
            path.mkdir()
        case "full":
            (path / "below").mkdir(parents=True)
            (path / "below" / "file").write_text(path.name)
        case "link":
            path.symlink_to("nowhere")
        case "link to a directory":
            path.symlink_to(".")


def tree_of(folder: Path) -> dict[str, object]:
    """What everything below a directory is."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        found[name] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else "directory"
    return found


@pytest.mark.parametrize("flags", [0, NOREPLACE])
def test_anything_onto_anything_does_what_a_local_directory_does(folder: Path, tmp_path: Path, flags: int) -> None:
    for source in KINDS:
        for target in KINDS:
            results = []
            for place in (folder, tmp_path):
                case = place / f"{source} onto {target}"
                case.mkdir()
                make(case / "source", source)
                make(case / "target", target)
                results.append((outcome(renameat2, case / "source", case / "target", flags), tree_of(case)))
            assert results[0] == results[1], f"{source} onto {target}"


def test_exchange_and_whiteout_are_invalid(folder: Path) -> None:
    make(folder / "one", "file")
    make(folder / "other", "file")
    assert refused(renameat2, folder / "one", folder / "other", EXCHANGE) == "EINVAL"
    assert refused(renameat2, folder / "one", folder / "new", WHITEOUT) == "EINVAL"
    assert (folder / "one").read_text() == "one"


def test_impossible_places_give_the_usual_errors(place: Path) -> None:
    make(place / "full", "full")
    make(place / "file", "file")
    inside = place / "full" / "below"
    assert refused(os.rename, place / "full", inside / "new") == "EINVAL"
    assert refused(os.rename, inside, place / "full") == "ENOTEMPTY"
    assert refused(os.rename, place / "file", place / "missing" / "new") == "ENOENT"
    assert refused(os.rename, place / "file", place / "file" / "new") == "ENOTDIR"
    assert refused(os.rename, place / "file", place / ("x" * 256)) == "ENAMETOOLONG"
    assert refused(os.rename, f"{place}/full/.", place / "new") == "EBUSY"
    assert sorted(tree_of(place)) == ["file", "full", "full/below", "full/below/file"]


def test_another_filesystem_is_across(folder: Path, tmp_path: Path) -> None:
    make(folder / "file", "file")
    assert refused(os.rename, folder / "file", tmp_path / "file") == "EXDEV"
    shutil.move(folder / "file", tmp_path / "file")
    assert ((tmp_path / "file").read_text(), list(folder.iterdir())) == ("file", [])


def test_directory_goes_with_everything_in_it_and_stays_so(own_mount: Mounting) -> None:
    top = own_mount.path
    old = top / "old"
    (old / "sub" / "deep").mkdir(parents=True)
    (old / "empty").mkdir(mode=0o700)
    (old / "big").write_bytes(random.Random(5).randbytes(3_000_000))
    (old / "sub" / "größe").write_text("ü")
    (old / "sub" / "link").symlink_to("../big")
    os.utime(old / "sub" / "größe", ns=(1, 2))
    before = tree_of(old)
    (top / "there").mkdir()
    old.rename(top / "there" / "new")
    assert tree_of(top / "there" / "new") == before
    remount(own_mount)
    new = top / "there" / "new"
    assert tree_of(new) == before
    assert ((new / "empty").stat().st_mode & 0o777, (new / "sub" / "größe").stat().st_mtime_ns) == (0o700, 2)
    assert not any(key.startswith("old") for key in keys_below(own_mount, top))


def test_open_files_working_directories_and_inode_numbers_go_on(place: Path) -> None:
    make(place / "old", "full")
    content = random.Random(6).randbytes(300_000)
    (place / "old" / "read").write_bytes(content)
    numbers = {path: (place / "old" / path).stat().st_ino for path in ("", "below", "below/file", "read")}
    at = os.open(place / "old" / "below", os.O_DIRECTORY)
    with (
        (place / "old" / "read").open("rb", buffering=0) as reading,
        (place / "old" / "written").open("wb", buffering=0) as writing,
    ):
        assert reading.read(100_000) == content[:100_000]
        writing.write(b"before ")
        (place / "old").rename(place / "new")
        assert reading.read() == content[100_000:]
        writing.write(b"after")
    file = os.open("made", os.O_CREAT | os.O_WRONLY, dir_fd=at)
    os.write(file, b"made below")
    os.close(file)
    os.close(at)
    assert {path: (place / "new" / path).stat().st_ino for path in numbers} == numbers
    assert (place / "new" / "written").read_bytes() == b"before after"
    assert (place / "new" / "below" / "made").read_bytes() == b"made below"
    assert refused(os.stat, place / "old") == "ENOENT"


def test_replaced_open_file_keeps_its_content_without_a_name(place: Path) -> None:
    (place / "one").write_bytes(b"one")
    (place / "other").write_bytes(b"other")
    with (place / "other").open("r+b", buffering=0) as replaced:
        (place / "one").rename(place / "other")
        assert os.fstat(replaced.fileno()).st_nlink == 0
        assert replaced.read() == b"other"
        replaced.write(b"!")
        assert (place / "other").read_bytes() == b"one"
    assert [path.name for path in place.iterdir()] == ["other"]


def test_times_of_both_directories_move(place: Path) -> None:
    for name in ("from", "to"):
        (place / name).mkdir()
    (place / "from" / "file").touch()
    for name in ("from", "to"):
        os.utime(place / name, ns=(1, 1))
    before = (place / "from" / "file").stat().st_mtime_ns
    (place / "from" / "file").rename(place / "to" / "file")
    assert min((place / name).stat().st_mtime_ns for name in ("from", "to")) > 1
    assert (place / "to" / "file").stat().st_mtime_ns == before


def test_clean_file_costs_a_copy_and_a_delete(shared_mount: Mounting, folder: Path) -> None:
    (folder / "a").write_bytes(b"content")
    with requests_of(shared_mount) as counted:
        subprocess.run(["mv", folder / "a", folder / "b"], check=True)
    assert counted == {"CopyObject": 1, "DeleteObject": 1}
    with requests_of(shared_mount) as counted:
        assert (folder / "b").read_bytes() == b"content"
    assert counted == {}


def test_file_renamed_before_it_is_closed_costs_one_put(shared_mount: Mounting, folder: Path) -> None:
    (folder / "final").write_bytes(b"old")
    with requests_of(shared_mount) as counted, (folder / "temporary").open("wb") as file:
        file.write(b"new")
        file.flush()
        (folder / "temporary").rename(folder / "final")
    assert counted == {"PutObject": 1}
    assert keys_below(shared_mount, folder) == {"": 0, "final": 3}


def test_directory_of_many_files_costs_a_copy_each_and_few_requests_else(shared_mount: Mounting, folder: Path) -> None:
    (folder / "old").mkdir()
    for number in range(100):
        (folder / "old" / str(number)).write_bytes(b"x")
    with requests_of(shared_mount) as counted:
        subprocess.run(["mv", folder / "old", folder / "new"], check=True)
    assert counted == {"ListObjectsV2": 2, "CopyObject": 100, "PutObject": 1, "DeleteObjects": 1}
    with requests_of(shared_mount) as counted:
        assert len(list(os.scandir(folder / "new"))) == 100
        assert all(path.stat().st_size == 1 for path in (folder / "new").iterdir())
    assert counted == {"ListObjectsV2": 1}


def test_entries_that_only_the_server_knows_keep_a_directory_from_being_replaced(shared_mount: Mounting, folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "target").mkdir()
    put_beside(shared_mount, folder, {"target/theirs": b"x"})
    assert refused(os.rename, folder / "old", folder / "target") == "ENOTEMPTY"


def test_object_that_another_client_changed_keeps_its_new_content(shared_mount: Mounting, folder: Path) -> None:
    (folder / "a").write_bytes(b"ours")
    flush(shared_mount)
    put_beside(shared_mount, folder, {"a": b"theirs, longer"})
    (folder / "a").rename(folder / "b")
    assert keys_below(shared_mount, folder) == {"": 0, "b": len("theirs, longer")}
    assert (folder / "b").read_bytes() == b"theirs, longer"


def test_files_made_while_their_directory_goes_to_and_fro_are_all_there(place: Path) -> None:
    """Writers hold the directory open; each close must land under the name that the directory has then."""
    (place / "a" / "sub").mkdir(parents=True)
    made: list[str] = []
    done = threading.Event()
    at = os.open(place / "a" / "sub", os.O_DIRECTORY)

    def write() -> None:
        while not done.is_set():
            name = f"file {len(made)}"
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=at)
            os.write(file, name.encode())
            os.close(file)
            made.append(name)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while len(made) < 12 and thread.is_alive():
            (place / "a").rename(place / "b")
            (place / "b").rename(place / "a")
    finally:
        done.set()
        thread.join()
        os.close(at)
    assert [path.name for path in place.iterdir()] == ["a"]
    assert {path.name: path.read_text() for path in (place / "a" / "sub").iterdir()} == {name: name for name in made}
    assert len(made) >= 12


def test_server_that_cannot_copy_renames_all_the_same(tmp_path: Path, keyfile: Path, fuse_device: Path) -> None:
    with s3_server(tmp_path / "server", "--profile", "no-copy") as server, mounting(server, tmp_path, keyfile) as mounted:
        make(mounted.path / "old", "full")
        (mounted.path / "old" / "big").write_bytes(random.Random(7).randbytes(17_000_000))
        before = tree_of(mounted.path / "old")
        (mounted.path / "old").rename(mounted.path / "new")
        (mounted.path / "new" / "big").rename(mounted.path / "new" / "bigger")
        before["bigger"] = before.pop("big")
        assert tree_of(mounted.path / "new") == before
        assert refused(os.stat, mounted.path / "old") == "ENOENT"
        assert sorted(keys_below(mounted, mounted.path / "new")) == ["", "below/", "below/file", "bigger"]
