"""The inode table: stable numbers, lookup counts, no growth."""

import stat
from dataclasses import replace

import pytest

from ssecfs.errors import NotADirError
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, InodeTable, Linkage
from ssecfs.tree.names import Name

DIR = Attrs(stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, 0)
FILE = Attrs(stat.S_IFREG | 0o644, 0, 0, 0, 0, 0, 0)

GOLDEN_INO = 795973693555125169
"""The number of folder/one under the hash key of these tests, in every version of ssecfs."""


@pytest.fixture
def table() -> InodeTable:
    return InodeTable(DIR, b"hash")


def add(table: InodeTable, parent: Inode, name: bytes, attrs: Attrs = FILE) -> Inode:
    inode = table.add(parent, Name(name), attrs, None)
    table.note_lookup(inode)
    return inode


def test_numbers_are_the_same_in_the_next_mount_and_differ_by_path(table: InodeTable) -> None:
    folder = add(table, table.root, b"folder", DIR)
    one = add(table, folder, b"one")
    other = InodeTable(DIR, b"hash")
    other_folder = add(other, other.root, b"folder", DIR)
    assert add(other, other_folder, b"one").ino == one.ino
    assert add(other, other.root, b"one").ino != one.ino
    assert one.ino == GOLDEN_INO, "backup tools take a file for changed when its number is another one"


def test_renamed_file_keeps_its_number_and_a_new_one_in_its_place_gets_another(table: InodeTable) -> None:
    first = add(table, table.root, b"a")
    table.move(first, table.root, Name(b"b"))
    second = add(table, table.root, b"a")
    assert first.ino != second.ino
    assert table.child(table.root, b"b") is first
    assert table.child(table.root, b"a") is second


def test_forgotten_files_and_their_directories_leave_the_table(table: InodeTable) -> None:
    folder = add(table, table.root, b"folder", DIR)
    inode = add(table, folder, b"file")
    table.forget(folder.ino, 1)
    assert len(table) == 3, "a directory stays while an inode in it is held"
    table.forget(inode.ino, 1)
    assert len(table) == 1


def test_pinned_inode_outlives_the_kernel(table: InodeTable) -> None:
    inode = add(table, table.root, b"file")
    table.pin(inode)
    table.forget(inode.ino, 1)
    assert table.child(table.root, b"file") is inode
    table.unpin(inode)
    assert table.child(table.root, b"file") is None


def test_unlinked_inode_lives_without_a_name_until_forgotten(table: InodeTable) -> None:
    inode = add(table, table.root, b"file")
    table.unlink(inode)
    assert inode.linkage is Linkage.UNLINKED
    assert table.child(table.root, b"file") is None
    assert table.get(inode.ino) is inode
    again = add(table, table.root, b"file")
    table.forget(inode.ino, 1)
    assert table.child(table.root, b"file") is again


def test_path_follows_a_renamed_directory(table: InodeTable) -> None:
    folder = add(table, table.root, b"old", DIR)
    inode = add(table, folder, b"file")
    table.move(folder, table.root, Name(b"new"))
    assert inode.path == "new/file"


def test_file_is_no_directory(table: InodeTable) -> None:
    inode = add(table, table.root, b"file")
    with pytest.raises(NotADirError):
        inode.require_directory()


DAY_NS = 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("atime_ns", "mtime_ns", "ctime_ns", "now_ns", "moves"),
    [
        (100, 100, 50, 200, True),
        (100, 50, 100, 200, True),
        (100, 50, 99, 200, False),
        (100, 50, 99, 100 + DAY_NS - 1, False),
        (100, 50, 99, 100 + DAY_NS, True),
        (300, 50, 99, 200, False),
    ],
)
def test_read_moves_access_time_as_relatime_does(
    table: InodeTable, atime_ns: int, mtime_ns: int, ctime_ns: int, now_ns: int, moves: bool
) -> None:
    inode = add(table, table.root, b"file", replace(FILE, atime_ns=atime_ns, mtime_ns=mtime_ns, ctime_ns=ctime_ns))
    attrs = inode.attrs
    inode.note_read(now_ns)
    assert inode.atime_ns == (now_ns if moves else atime_ns)
    assert inode.attrs is attrs, "the attributes to be saved are not touched"


def test_access_time_of_a_read_is_taken_over_by_saving_and_dropped_by_setting_it(table: InodeTable) -> None:
    inode = add(table, table.root, b"file", replace(FILE, atime_ns=-5, mtime_ns=-5))
    inode.note_read(7)
    inode.take_reads()
    assert (inode.attrs.atime_ns, inode.atime_ns) == (7, 7)
    inode.attrs = replace(inode.attrs, mtime_ns=8)
    inode.note_read(9)
    inode.forget_reads()
    assert inode.atime_ns == 7
