"""Shedding: have the kernel give back files that it has not asked about for long, when there are too many.

The kernel keeps an inode, and we with it, until it needs the memory itself; on a large machine that is never. Imported by
``fuse.operations`` only. Directories stay: somebody may be in one, and would lose the way to it.
"""

from collections.abc import Callable
from typing import Final

import pyfuse3

from ssecfs.tree.inodes import InodeTable

MAX_INODES: Final = 100_000
"""Inodes that may be held, about 100 MB."""


def drop_from_kernel(parent_ino: int, name: bytes) -> None:
    """Ask the kernel to drop a name; without waiting, because it may be busy with a request to us about the same directory."""
    pyfuse3.invalidate_entry_async(pyfuse3.InodeT(parent_ino), pyfuse3.FileNameT(name), ignore_enoent=True)


class Shedding:
    """Keeps the inode table from growing beyond a size.

    Owns: how many inodes there have been. For each new inode over the limit an old one goes, and one more for every eight, as
    the kernel does not give back what is in use.
    """

    def __init__(
        self, inodes: InodeTable, drop: Callable[[int, bytes], None] = drop_from_kernel, max_inodes: int = MAX_INODES
    ) -> None:
        """Take the collaborators.

        Args:
            inodes: the table.
            drop: takes the number of a directory and a name in it; must not wait.
            max_inodes: may be held.
        """
        self._inodes = inodes
        self._drop = drop
        self._max_inodes = max_inodes
        self._made = inodes.made

    def note_growth(self) -> None:
        """Look at the table after a reply that may have made it grow."""
        grown, self._made = self._inodes.made - self._made, self._inodes.made
        excess = len(self._inodes) - self._max_inodes
        if not grown or excess <= 0:
            return
        for inode in self._inodes.oldest_files(min(grown + grown // 8 + 1, excess)):
            assert inode.parent is not None, "files have a parent"  # noqa: S101 - the root is a directory
            self._drop(inode.parent.ino, inode.name)
