"""Awkward names: of objects that the kernel cannot show, and of files that programs make."""

import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting
from support.nameops import keys_below, put_beside
from support.syscalls import refused

from ssecfs.tree.names import show

pytestmark = pytest.mark.mount

LONG = "ü" * 200

# The rest of the object key, and the path that it is shown under.
AWKWARD = {
    "a//b": b"a/%=/b",
    "/c": b"%=/c",
    "./d": b".%=/d",
    "x/..": b"x/..%=",
    "a": b"a%file",
    "a/\n": b"a/\n",
    "body/": b"body/%=",
    LONG: bytes(show(LONG)),
    f"{LONG[1:]}/deep": bytes(show(LONG[1:])) + b"/deep",
    "caf%E9%=": b"caf\xe9",
    "name%file": b"name%25file%=",
    "100%": b"100%",
    "%2F": b"%2F",
}

PROGRAMS = [
    b"latin-\xe9\xff",
    b"new\nline",
    b" ",
    b"-rf",
    b"*",
    b"\\",
    b"'\"",
    b"\x01\x7f",
    "e\u0301".encode(),
    "é".encode(),
    b"x" * 255,
]


def paths_below(folder: Path) -> dict[bytes, bytes]:
    """Contents by path, all in bytes."""
    top = os.fsencode(folder)
    found = {}
    for place, _, names in os.walk(top):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - bytes
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                found[os.path.relpath(path, top)] = file.read()
    return found


def test_awkward_objects_are_all_shown_read_written_and_removed(doubting_mount: Mounting, doubted: Path) -> None:
    objects = {key: f"content of {key}".encode() for key in AWKWARD}
    put_beside(doubting_mount, doubted / "tree", objects)
    tree = doubted / "tree"
    assert paths_below(tree) == {path: objects[key] for key, path in AWKWARD.items()}
    for path in AWKWARD.values():
        with open(os.fsencode(tree) + b"/" + path, "ab") as file:  # noqa: PTH123 - bytes
            file.write(b", and more")
    assert keys_below(doubting_mount, tree) == {key: len(body + b", and more") for key, body in objects.items()}
    subprocess.run(["rm", "-r", tree], check=True)
    assert [path.name for path in doubted.iterdir()] == []


def test_awkward_tree_is_renamed_as_a_whole(doubting_mount: Mounting, doubted: Path) -> None:
    put_beside(doubting_mount, doubted / "tree", {key: key.encode() for key in AWKWARD})
    (doubted / "tree").rename(doubted / "moved")
    assert paths_below(doubted / "moved") == {path: key.encode() for key, path in AWKWARD.items()}
    assert keys_below(doubting_mount, doubted).keys() == {"", *(f"moved/{key}" for key in AWKWARD)}


def test_names_of_any_bytes_come_back_from_a_backup(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in PROGRAMS:
        with open(os.fsencode(source) + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(name)
    subprocess.run(["cp", "-a", source, folder / "copied"], check=True)
    subprocess.run(["rsync", "-a", f"{folder}/copied/", tmp_path / "restored"], check=True)
    assert paths_below(tmp_path / "restored") == {name: name for name in PROGRAMS}
    again = subprocess.run(["rsync", "-ai", f"{source}/", folder / "copied"], check=True, capture_output=True)
    assert again.stdout == b""


def test_names_that_stand_for_something_else_cannot_be_made(folder: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("new%file", "sub/%=", "new_$folder$", os.fsdecode(show("y" * 300))):
        assert refused((folder / name).touch) == "EINVAL"
    (folder / "sub%file").write_text("beside the directory")
    assert (folder / "sub%file").read_text() == "beside the directory"
    assert refused(os.mkdir, folder / "sub%file") == "EEXIST"


def test_own_folder_at_the_top_is_hidden_and_kept(shared_mount: Mounting) -> None:
    assert ".ssecfs" not in [path.name for path in shared_mount.path.iterdir()]
    assert refused(os.stat, shared_mount.path / ".ssecfs") == "ENOENT"
    assert refused(os.mkdir, shared_mount.path / ".ssecfs") == "EPERM"
    assert refused((shared_mount.path / ".ssecfs").touch) == "EPERM"


def test_upper_and_lower_case_and_two_forms_of_an_umlaut_are_different_names(place: Path) -> None:
    names = ["name", "NAME", "e\u0301", "é"]
    for name in names:
        (place / name).write_text(name)
    assert {path.name: path.read_text() for path in place.iterdir()} == {name: name for name in names}


def test_missing_names_in_a_known_directory_cost_nothing(shared_mount: Mounting, folder: Path) -> None:
    (folder / "there").touch()
    with requests_of(shared_mount) as counted:
        for name in ("missing", "missing/below", "%=", "there%file", ".%=", os.fsdecode(show("y" * 300))):
            assert refused(os.stat, folder / name) == "ENOENT"
        assert refused(os.stat, folder / ("x" * 256)) == "ENAMETOOLONG"
        assert refused(os.stat, folder / "there" / "below") == "ENOTDIR"
    assert counted == {}
