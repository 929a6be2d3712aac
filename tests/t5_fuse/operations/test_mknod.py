"""mknod(2) and mkfifo(3): FIFOs and sockets are kept, devices are not."""

import os
import socket
import stat
from pathlib import Path

import pytest
from support.budgets import remount
from support.mounts import Mounting
from support.nameops import keys_below
from support.syscalls import another_process, refused

pytestmark = pytest.mark.mount


def test_two_processes_talk_through_a_fifo(place: Path) -> None:
    os.mkfifo(place / "fifo", 0o600)
    assert stat.filemode((place / "fifo").stat().st_mode) == "prw-------"
    with another_process("open(arguments[0], 'w').write('hello')", place / "fifo") as process:
        assert (place / "fifo").read_text() == "hello"
        assert process.wait(timeout=60) == 0


def test_two_sockets_talk_through_a_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        assert stat.S_ISSOCK(Path("socket").stat().st_mode)
        client.connect("socket")
        connection, _ = server.accept()
        with connection:
            client.sendall(b"hello")
            assert connection.recv(10) == b"hello"


def test_plain_file_is_made_with_mknod(place: Path) -> None:
    os.mknod(place / "file", stat.S_IFREG | 0o640)
    assert stat.filemode((place / "file").stat().st_mode) == "-rw-r-----"
    assert (place / "file").read_bytes() == b""


def test_devices_are_not_permitted(folder: Path) -> None:
    assert refused(os.mknod, folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)) == "EPERM"
    assert refused(os.mknod, folder / "disk", stat.S_IFBLK | 0o660, os.makedev(8, 0)) == "EPERM"
    assert list(folder.iterdir()) == []


def test_taken_names_give_the_usual_errors(place: Path) -> None:
    (place / "file").touch()
    assert refused(os.mkfifo, place / "file") == "EEXIST"
    assert refused(os.mkfifo, place / "missing" / "fifo") == "ENOENT"
    assert refused(os.mkfifo, place / ("x" * 256)) == "ENAMETOOLONG"


def test_fifo_and_socket_are_the_same_after_a_remount(own_mount: Mounting) -> None:
    os.mkfifo(own_mount.path / "fifo", 0o640)
    os.mknod(own_mount.path / "socket", stat.S_IFSOCK | 0o600)
    (own_mount.path / "link").symlink_to("fifo")
    remount(own_mount)
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    modes = {path.name: stat.filemode(path.lstat().st_mode) for path in own_mount.path.iterdir()}
    assert modes == {"fifo": "prw-r-----", "socket": "srw-------", "link": "lrwxrwxrwx"}
    assert (own_mount.path / "link").readlink() == Path("fifo")
    shown = {key: size for key, size in keys_below(own_mount, own_mount.path).items() if not key.startswith(".ssecfs/")}
    assert shown == {"fifo": 0, "socket": 0, "link": 4}
