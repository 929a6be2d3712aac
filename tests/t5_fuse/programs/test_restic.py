"""restic with its repository on a mount, and restic that backs a mount up: init, backup, check, restore, diff, prune."""

import json
from pathlib import Path

import pytest
from support.clients import MIB, Program, plant, seeded_bytes, write_private
from support.mounts import Mounting
from support.programs import EVERYTHING, differences, forget_everything, program, same_in, seen_afresh

pytestmark = pytest.mark.mount

TREE = {"a.txt": b"first file " * 9, "sub/big.bin": seeded_bytes(10, 6 * MIB), "sub/deep/ü + % &.txt": b"something else " * 3}


def restic(repository: Path, folder: Path) -> Program:
    write_private(folder / "password", b"a password of restic's\n")
    settings = {
        "RESTIC_REPOSITORY": str(repository),
        "RESTIC_PASSWORD_FILE": str(folder / "password"),
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    return program("restic", folder=folder, home=folder, **settings)


def backup(restic: Program, path: Path) -> dict[str, int]:
    said = json.loads(restic.text("backup", "--json", "--host", "host", path).splitlines()[-1])
    return {name: said[f"files_{name}"] for name in ("new", "changed", "unmodified")}


def test_repository_on_a_mount_is_checked_restored_and_thinned_out(
    folder: Path, shared_mount: Mounting, tmp_path: Path
) -> None:
    source = plant(tmp_path / "source", TREE)
    program_here = restic(folder / "repository", tmp_path)
    program_here.text("init")
    assert backup(program_here, source) == {"new": 3, "changed": 0, "unmodified": 0}
    plant(source, {"a.txt": b"changed", "new": b"new"})
    assert backup(program_here, source) == {"new": 1, "changed": 1, "unmodified": 2}
    first, second = (snapshot["id"] for snapshot in json.loads(program_here.text("snapshots", "--json")))
    changes = [json.loads(line) for line in program_here.text("diff", "--json", first, second).splitlines()]
    named = {(change["modifier"], Path(change["path"]).name) for change in changes if change["message_type"] == "change"}
    assert named == {("M", "a.txt"), ("+", "new")}
    program_here.text("forget", "--keep-last", "1", "--prune")
    assert "no errors were found" in program_here.text("check", "--read-data")
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        again = restic(same_in(afresh, shared_mount, folder / "repository"), tmp_path)
        assert "no errors were found" in again.text("check", "--read-data", "--no-lock")
        again.text("restore", second, "--no-lock", "--target", tmp_path / "restored")
    assert differences(source, tmp_path / "restored" / source.relative_to("/"), EVERYTHING) == []


def test_mount_is_backed_up_and_seen_as_unmodified_after_a_remount(own_mount: Mounting, tmp_path: Path) -> None:
    """restic compares inode numbers and times of change: they must be those from before."""
    plant(own_mount.path / "tree", TREE)
    (own_mount.path / "tree" / "link").symlink_to("a.txt")
    program_here = restic(tmp_path / "repository", tmp_path)
    program_here.text("init")
    assert backup(program_here, own_mount.path / "tree") == {"new": 3, "changed": 0, "unmodified": 0}
    forget_everything(own_mount)
    assert backup(program_here, own_mount.path / "tree") == {"new": 0, "changed": 0, "unmodified": 3}
    program_here.text("restore", "latest", "--target", own_mount.path / "restored")
    restored = own_mount.path / "restored" / own_mount.path.relative_to("/") / "tree"
    assert differences(own_mount.path / "tree", restored, (*EVERYTHING, "--omit-dir-times")) == []
