"""The kernel lets each user do what modes and owners say (default_permissions), when other users are let in at all."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import FOREVER
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import S3Server

pytestmark = pytest.mark.mount

NOBODY = 65534
PYTHON = "/usr/bin/python3"
"""The system's: another user may not be able to run the one of the tests."""


@pytest.fixture(scope="module")
def shared_with_others(tmp_path_factory: pytest.TempPathFactory, counting_server: S3Server) -> Iterator[Mounting]:
    place = tmp_path_factory.mktemp("others")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(counting_server, place, place / "keyfile", *FOREVER, "--allow-other", source="bucket/others") as mounted:
        yield mounted


@pytest.fixture
def room(shared_with_others: Mounting, request: pytest.FixtureRequest) -> Path:
    """A directory that all may use, of this test's own."""
    path = shared_with_others.path / request.node.name
    path.mkdir()
    path.chmod(0o777)
    return path


def as_nobody(folder: Path, *statements: str, umask: int = 0o022) -> list[str]:
    """Run Python statements as another user in a folder (where the way to it need not be open); what each gives.

    That is the name of the errno with which it failed, or what it printed.
    """
    program = """
import errno, os, pathlib, sys
for statement in sys.argv[1:]:
    try:
        print(eval(statement))
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    done = subprocess.run(
        [PYTHON, "-I", "-c", program, *statements],
        cwd=folder,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_modes_decide_what_another_user_may_read_write_and_enter(room: Path) -> None:
    for name, mode in {"private": 0o600, "readable": 0o644, "writable": 0o666, "group": 0o060}.items():
        (room / name).write_bytes(b"content")
        (room / name).chmod(mode)
    (room / "closed").mkdir(mode=0o700)
    (room / "closed" / "file").write_bytes(b"x")
    (room / "passage").mkdir(mode=0o711)
    (room / "passage" / "file").write_bytes(b"x")
    assert as_nobody(
        room,
        "open('private').read()",
        "open('readable').read()",
        "open('readable', 'a').write('x')",
        "open('writable', 'a').write('x')",
        "open('group').read()",
        "open('closed/file').read()",
        "open('passage/file').read()",
        "os.listdir('passage')",
        "[os.access(name, os.R_OK) for name in ('private', 'readable')]",
    ) == ["EACCES", "content", "EACCES", "1", "EACCES", "EACCES", "x", "EACCES", "[False, True]"]


def test_what_another_user_makes_is_his_and_follows_his_umask(room: Path) -> None:
    assert (
        as_nobody(room, "os.mkdir('directory')", "open('file', 'x').close()", "os.symlink('a', 'link')", umask=0o027)
        == ["None"] * 3
    )
    made = {name: (room / name).lstat() for name in ("directory", "file", "link")}
    assert {name: status.st_mode & 0o777 for name, status in made.items()} == {"directory": 0o750, "file": 0o640, "link": 0o777}
    assert {(status.st_uid, status.st_gid) for status in made.values()} == {(NOBODY, NOBODY)}


def test_only_the_owner_changes_modes_and_times_and_only_root_the_owner(room: Path) -> None:
    (room / "root's").write_bytes(b"x")
    (room / "root's").chmod(0o666)
    assert as_nobody(
        room,
        'os.chmod("root\'s", 0o777)',
        'os.utime("root\'s", (1, 2))',
        'os.utime("root\'s")',  # to now: who may write may do that
        'os.chown("root\'s", 65534, -1)',
        "open('own', 'x').close()",
        "os.chmod('own', 0o600)",
        "os.utime('own', (1, 2))",
        "os.chown('own', 0, -1)",
        "os.chown('own', -1, 0)",
        "os.chown('own', -1, 65534)",
        "os.stat('own').st_mtime",
    ) == ["EPERM", "EPERM", "None", "EPERM", "None", "None", "None", "EPERM", "EPERM", "None", "2.0"]


def test_sticky_directory_lets_each_remove_and_rename_his_own_only(room: Path) -> None:
    room.chmod(0o1777)
    (room / "root's").write_bytes(b"x")
    (room / "root's").chmod(0o666)
    assert as_nobody(
        room,
        'os.unlink("root\'s")',
        "os.rename(\"root's\", 'other')",
        "open('own', 'x').close()",
        "os.rename('own', \"root's\")",
        "os.rename('own', 'other')",
        "os.unlink('other')",
    ) == ["EPERM", "EPERM", "None", "EPERM", "None", "None"]
    assert [path.name for path in room.iterdir()] == ["root's"]


def test_set_id_bits_go_when_another_user_writes(room: Path) -> None:
    (room / "file").write_bytes(b"x")
    (room / "file").chmod(0o6777)
    assert as_nobody(room, "open('file', 'r+').write('y')") == ["1"]
    assert (room / "file").stat().st_mode & 0o7777 == 0o777


def test_setgid_bit_is_not_for_who_is_not_in_the_group(room: Path) -> None:
    (room / "file").write_bytes(b"x")
    os.chown(room / "file", NOBODY, 0)
    assert as_nobody(room, "os.chmod('file', 0o2755)", "oct(os.stat('file').st_mode)") == ["None", "0o100755"]


def test_xattrs_of_another_users_file_follow_its_mode_and_those_of_a_sticky_directory_its_owner(room: Path) -> None:
    (room / "file").write_bytes(b"x")
    (room / "file").chmod(0o644)
    os.setxattr(room / "file", "user.a", b"1")
    (room / "sticky").mkdir()
    (room / "sticky").chmod(0o1777)
    assert as_nobody(
        room,
        "os.getxattr('file', 'user.a')",
        "os.setxattr('file', 'user.a', b'2')",
        "os.setxattr('sticky', 'user.a', b'2')",
    ) == ["b'1'", "EACCES", "EPERM"]


def test_without_allow_other_nobody_else_gets_in(shared_mount: Mounting, folder: Path) -> None:
    folder.chmod(0o777)
    (folder / "file").write_bytes(b"x")
    (folder / "file").chmod(0o666)
    outside = shared_mount.path.parent
    mode = outside.stat().st_mode
    outside.chmod(0o755)
    try:
        assert as_nobody(outside, "os.listdir('mnt')", "os.stat('mnt')", "os.listdir('.')[:0]") == ["EACCES", "EACCES", "[]"]
    finally:
        outside.chmod(mode)
