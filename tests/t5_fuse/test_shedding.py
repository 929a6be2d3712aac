"""Old files are given back when there are too many: as many as are new, never directories or what is in use."""

import stat

import pytest

from ssecfs.fuse.shedding import Shedding
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Name

MAX_INODES = 100
FILE = Attrs(stat.S_IFREG | 0o644, 1, 2, 0, 1, 1, 1)
DIRECTORY = Attrs(stat.S_IFDIR | 0o755, 1, 2, 0, 1, 1, 1)


class Kernel:
    """What the kernel holds: it forgets what it is asked to drop, but for names that are busy."""

    def __init__(self) -> None:
        self.inodes = InodeTable(DIRECTORY, b"ino")
        self.busy: set[bytes] = set()
        self.dropped: list[bytes] = []
        self.shedding = Shedding(self.inodes, self.drop, MAX_INODES)

    def drop(self, parent_ino: int, name: bytes) -> None:
        self.dropped.append(name)
        inode = self.inodes.child(self.inodes.get(parent_ino), name)
        if inode is not None and name not in self.busy:
            self.inodes.forget(inode.ino, inode.nlookup)

    def look_up(self, name: str, attrs: Attrs = FILE) -> Inode:
        inode = self.inodes.add(self.inodes.root, Name(name.encode()), attrs, None)
        self.inodes.note_lookup(inode)
        self.shedding.note_growth()
        return inode

    def names(self) -> set[bytes]:
        return {child.name for child in self.inodes.children_of(self.inodes.root)}


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_nothing_is_dropped_up_to_the_limit(kernel: Kernel) -> None:
    for number in range(MAX_INODES - 1):
        kernel.look_up(str(number))
    assert (len(kernel.inodes), kernel.dropped) == (MAX_INODES, [])


def test_oldest_file_goes_for_each_new_one_over_the_limit(kernel: Kernel) -> None:
    for number in range(1000):
        kernel.look_up(str(number))
    assert len(kernel.inodes) == MAX_INODES
    assert kernel.dropped == [b"%d" % number for number in range(1000 - (MAX_INODES - 1))]


def test_directories_and_what_is_pinned_stay(kernel: Kernel) -> None:
    directories = {kernel.look_up(f"d{number}", DIRECTORY).name for number in range(20)}
    opened = [kernel.look_up(f"open{number}") for number in range(20)]
    for inode in opened:
        kernel.inodes.pin(inode)
    for number in range(1000):
        kernel.look_up(str(number))
    assert len(kernel.inodes) <= MAX_INODES + 20
    assert directories | {inode.name for inode in opened} <= kernel.names()


def test_what_the_kernel_does_not_give_back_is_made_up_for_by_others(kernel: Kernel) -> None:
    kernel.busy = {b"%d" % number for number in range(30)}
    for number in range(1000):
        kernel.look_up(str(number))
    assert len(kernel.inodes) <= MAX_INODES + 30
    assert kernel.busy <= kernel.names()


def test_looks_at_what_is_there_drop_nothing(kernel: Kernel) -> None:
    for number in range(MAX_INODES + 50):
        kernel.inodes.note_lookup(kernel.inodes.add(kernel.inodes.root, Name(b"%d" % number), FILE, None))
    kernel.shedding.note_growth()
    kernel.dropped.clear()
    for _ in range(10):
        kernel.shedding.note_growth()
    assert kernel.dropped == []
