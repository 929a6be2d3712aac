"""borg on a mount: its locks, which are renamed directories, its segments, which it appends and syncs; and as what it saves."""

import json
from pathlib import Path

import pytest
from support.clients import MIB, Program, plant, seeded_bytes
from support.mounts import Mounting
from support.programs import EVERYTHING, Left, differences, forget_everything, program, same_in, seen_afresh

pytestmark = pytest.mark.mount

TREE = {"source/a.txt": b"first file " * 9, "source/sub/big.bin": seeded_bytes(11, 5 * MIB), "source/sub/ü": b"more " * 30}


def borg(repository: Path, home: Path, folder: Path) -> Program:
    settings = {
        "BORG_BASE_DIR": str(home / "base"),
        "BORG_REPO": str(repository),
        "BORG_PASSPHRASE": "a passphrase of borg's",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }
    return program("borg", folder=folder, home=home, **settings)


def saved_as(borg: Program, archive: str) -> dict[str, str]:
    """Save the tree; which letter borg gives to each file (A: added, M: modified, U: unchanged)."""
    said = borg.call("create", "--list", "--filter", "AMU", f"::{archive}", "source")
    assert said.returncode == 0, said.stderr.decode()
    lines = (line.split(" ", 1) for line in said.stderr.decode().splitlines())
    return {path: letter for letter, path in lines}


def test_repository_on_a_mount_is_locked_checked_compared_and_restored(
    folder: Path, left: Left, shared_mount: Mounting, tmp_path: Path
) -> None:
    left.folders.remove(folder)  # a second mount works on with it, below
    plant(tmp_path, TREE)
    here = borg(folder / "repository", tmp_path, tmp_path)
    here.text("init", "--encryption", "repokey-blake2")
    here.text("create", "::one", "source")
    plant(tmp_path, {"source/a.txt": b"changed", "source/new": b"new"})
    here.text("create", "::two", "source")
    changes = here.text("diff", "::one", "two", "--content-only", "--json-lines")
    assert {json.loads(line)["path"] for line in changes.splitlines()} == {"source/a.txt", "source/new"}
    here.text("check", "--verify-data")

    held = ("with-lock", folder / "repository", "borg", "--lock-wait", "0", "create", "::three", "source")
    assert "Failed to create/acquire the lock" in here.complaint(*held)
    here.text("create", "::three", "source")
    here.text("delete", "::one")
    here.text("compact")
    here.text("prune", "--keep-last", "1")
    assert here.text("list", "--short") == "three\n"

    (tmp_path / "restored").mkdir()
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        there = borg(same_in(afresh, shared_mount, folder / "repository"), tmp_path, tmp_path / "restored")
        there.text("check", "--verify-data")
        there.text("extract", "::three")
    assert differences(tmp_path / "source", tmp_path / "restored" / "source", EVERYTHING) == []


def test_files_of_a_mount_are_unchanged_for_borg_when_it_is_mounted_again(own_mount: Mounting, tmp_path: Path) -> None:
    """borg compares times of change and inode numbers; the newest file it always reads."""
    plant(own_mount.path, TREE | {"source/newest": b"1"})
    program_here = borg(tmp_path / "repository", tmp_path, own_mount.path)
    program_here.text("init", "--encryption", "none")
    paths = {*TREE, "source/newest"}
    assert saved_as(program_here, "one") == dict.fromkeys(paths, "A")
    forget_everything(own_mount)
    assert saved_as(program_here, "two") == dict.fromkeys(TREE, "U") | {"source/newest": "A"}
    program_here.text("check", "--verify-data")
    (own_mount.path / "restored").mkdir()
    borg(tmp_path / "repository", tmp_path, own_mount.path / "restored").text("extract", "::two")
    assert differences(own_mount.path / "source", own_mount.path / "restored" / "source") == []
