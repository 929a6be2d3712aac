"""opendir(3) and its kin: dots, stable places, every entry once while others come and go."""

import os
import stat
import threading
from pathlib import Path

import pytest
from support.budgets import put_objects
from support.mounts import Mounting
from support.nameops import Directory

pytestmark = pytest.mark.mount

MANY = [f"{number:04}".encode() for number in range(3000)]


def read_all(path: Path) -> list[tuple[bytes, int, int]]:
    found = []
    with Directory(path) as directory:
        while (entry := directory.read()) is not None:
            found.append(entry)
    return found


def test_dots_and_entries_have_the_numbers_and_types_of_stat(place: Path) -> None:
    (place / "directory").mkdir()
    (place / "file").write_bytes(b"x" * 5000)
    (place / "link").symlink_to("file")
    os.mkfifo(place / "fifo")
    entries = {name: (number, kind) for name, number, kind in read_all(place)}
    assert set(entries) == {b".", b"..", b"directory", b"file", b"link", b"fifo"}
    for name, (number, kind) in entries.items():
        status = os.lstat(os.path.join(os.fsencode(place), name))  # noqa: PTH118 - bytes
        assert kind == stat.S_IFMT(status.st_mode) >> 12
        assert number == status.st_ino


def test_top_of_the_mount_has_dots_too(shared_mount: Mounting, folder: Path) -> None:
    names = [name for name, _, _ in read_all(shared_mount.path)]
    assert names[:2] == [b".", b".."]
    assert folder.name.encode() in names


def test_empty_directory_has_only_dots(place: Path) -> None:
    assert sorted(name for name, _, _ in read_all(place)) == [b".", b".."]


def test_places_lead_back_to_where_they_were_taken(place: Path) -> None:
    for number in range(50):
        (place / f"{number}").touch()
    places, names = [], []
    with Directory(place) as directory:
        places.append(directory.tell())
        while (entry := directory.read()) is not None:
            names.append(entry[0])
            places.append(directory.tell())
        assert len(set(places)) == len(places) == 53
        for index in (51, 0, 2, 1, 30):
            directory.seek(places[index])
            assert directory.names() == names[index:]
        (place / "new").touch()
        directory.rewind()
        assert sorted(directory.names()) == sorted([*names, b"new"])


def test_each_of_3000_entries_is_shown_once_while_others_come_and_go(own_mount: Mounting) -> None:
    put_objects(own_mount, [f"many/{name.decode()}" for name in MANY], bytes(4097))
    many = own_mount.path / "many"
    names: list[bytes] = []
    with Directory(many) as directory:
        while (entry := directory.read()) is not None:
            step = len(names)
            names.append(entry[0])
            if step % 100 == 0 and step < len(MANY):
                (many / f"{step:04}-new").touch()
                (many / f"{step:04}-new").rename(many / f"renamed {step}")
                for number in (step, 2999 - step // 10):  # behind and ahead of the place where we are
                    (many / MANY[number].decode()).unlink(missing_ok=True)
    left = {name for name, _, _ in read_all(many)}
    stayed = left & set(MANY)
    assert len(names) == len(set(names))
    assert stayed <= set(names)
    assert 2900 < len(stayed) < 3000
    assert {f"renamed {step}".encode() for step in range(0, 3000, 100)} <= left


def test_listing_is_complete_while_another_thread_makes_and_removes_files(place: Path) -> None:
    constant = {f"constant {number}" for number in range(40)}
    for name in constant:
        (place / name).touch()
    done = threading.Event()

    def disturb() -> None:
        number = 0
        while not done.is_set():
            (place / f"passing {number % 5}").touch()
            (place / f"passing {(number + 3) % 5}").unlink(missing_ok=True)
            number += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(20):
            names = [path.name for path in place.iterdir()]
            assert constant <= set(names)
            assert len(names) == len(set(names))
    finally:
        done.set()
        thread.join()
