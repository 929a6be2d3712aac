"""rsync onto a mount: a second run transfers nothing and asks for listings only; in place, with attributes, with deletions."""

import os
import random
from pathlib import Path

import pytest
from support.budgets import flush, remount, requests_of
from support.mounts import Mounting
from support.programs import EVERYTHING, differences, forget_everything, program

pytestmark = pytest.mark.mount

FOLDERS = ("sub", "sub/deep", "empty")
FILES = 30
DIRECTORIES = 1 + len(FOLDERS)
OBJECTS = DIRECTORIES + FILES + len(("big", "link", "fifo"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with everything that rsync keeps."""
    root = tmp_path / "source"
    numbers = random.Random(3)
    for name in ("", *FOLDERS):
        (root / name).mkdir()
    for number in range(FILES):
        path = root / FOLDERS[number % 2] / f"file-{number}"
        path.write_bytes(numbers.randbytes(numbers.randrange(9000)))
        path.chmod((0o644, 0o600, 0o755, 0o4755)[number % 4])
        os.utime(path, ns=(10**18 + number, 10**18 + number * 1_000_000_007))
    (root / "big").write_bytes(numbers.randbytes(3_000_000))
    (root / "link").symlink_to("sub/file-1")
    os.mkfifo(root / "fifo", 0o640)
    os.setxattr(root / "big", "user.note", b"hello")
    os.chown(root / "sub", 12, 34)
    return root


def rsync(*options: str, source: Path, target: Path) -> list[str]:
    """Run it; what it says that it changed."""
    command = program("rsync", "--itemize-changes", *EVERYTHING, folder=source.parent, home=source.parent)
    return command.text(*options, f"{source}/", f"{target}/").splitlines()


@pytest.mark.parametrize("fault_rules", [()], indirect=True)  # requests that are made again would be counted
def test_second_run_transfers_nothing_and_asks_for_lists_only(own_mount: Mounting, source: Path) -> None:
    target = own_mount.path / "copy"
    assert len(rsync(source=source, target=target)) == 1 + OBJECTS
    with requests_of(own_mount) as counted:
        assert rsync(source=source, target=target) == []
    assert counted == {}
    remount(own_mount)
    with requests_of(own_mount) as counted:
        assert rsync(source=source, target=target) == []
    assert counted == {"ListObjectsV2": DIRECTORIES}
    forget_everything(own_mount)
    with requests_of(own_mount) as counted:
        assert rsync(source=source, target=target) == []
    assert counted == {"ListObjectsV2": DIRECTORIES, "HeadObject": OBJECTS, "GetObject": 1}, "the link is read to be compared"
    assert differences(source, target) == []


def test_appended_and_patched_files_are_brought_up_to_date_in_place(own_mount: Mounting, source: Path) -> None:
    target = own_mount.path / "copy"
    rsync(source=source, target=target)
    flush(own_mount)
    with (source / "big").open("ab") as file:
        file.write(b"more" * 30_000)
    with requests_of(own_mount) as counted:
        assert len(rsync("--inplace", "--append", source=source, target=target)) == 1
    assert counted == {"PutObject": 1, "CopyObject": 1}, "the time is set after the close"
    assert (target / "big").read_bytes() == (source / "big").read_bytes()
    with (source / "big").open("r+b") as file:
        file.seek(1_234_567)
        file.write(b"patched")
    os.utime(source / "big", (2e9, 2e9))
    assert len(rsync("--inplace", "--no-whole-file", source=source, target=target)) == 1
    assert len(rsync("--checksum", "--no-whole-file", source=source, target=target)) == 0
    remount(own_mount)
    assert differences(source, target) == []


def test_deletions_and_replacements_by_other_kinds_are_followed(own_mount: Mounting, source: Path) -> None:
    target = own_mount.path / "copy"
    rsync(source=source, target=target)
    (source / "sub" / "deep").rename(source / "moved")
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "fifo").unlink()
    (source / "fifo").write_text("a file now")
    changes = rsync("--delete-after", "--delay-updates", source=source, target=target)
    gone = {line.split()[1] for line in changes if line.startswith("*deleting")}
    assert gone == {"sub/deep/", *(f"sub/deep/file-{number}" for number in range(1, FILES, 2))}
    assert differences(source, target) == []
    remount(own_mount)
    assert rsync("--delete", source=source, target=target) == []
    assert rsync(source=target, target=source) == []
    assert differences(source, target) == []
