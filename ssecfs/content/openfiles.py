"""The table of open files: one OpenFile for each inode that somebody has open or has changed. No I/O.

Imported by ``fs``. Invariants: an OpenFile is in the table while it has users; no method waits.
"""

from dataclasses import dataclass

from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.spool import Spool
from ssecfs.content.openfile import OpenFile
from ssecfs.s3.types import ObjectVersion


@dataclass(slots=True)
class _Slot:
    open_file: OpenFile
    users: int


class OpenFiles:
    """Inode number to OpenFile, with a count of users (handles, unsaved changes).

    Owns: the table and the counts. Lifetime: the mount's.
    """

    def __init__(self, cache: BlockCache, spool: Spool) -> None:
        """Take the collaborators that every OpenFile needs."""
        self._cache = cache
        self._spool = spool
        self._slots: dict[int, _Slot] = {}

    def __len__(self) -> int:
        """Count the open files."""
        return len(self._slots)

    def peek(self, ino: int) -> OpenFile | None:
        """The OpenFile of an inode, if there is one."""
        slot = self._slots.get(ino)
        return slot.open_file if slot is not None else None

    def users(self, ino: int) -> int:
        """Count the users of an inode's OpenFile."""
        slot = self._slots.get(ino)
        return slot.users if slot is not None else 0

    def acquire(self, ino: int, base: ObjectVersion | None) -> OpenFile:
        """Become a user of an inode's OpenFile; base is what a new one starts from (None: a new, empty file)."""
        slot = self._slots.get(ino)
        if slot is None:
            slot = self._slots[ino] = _Slot(OpenFile(cache=self._cache, spool=self._spool, base=base), 0)
        slot.users += 1
        return slot.open_file

    def release(self, ino: int) -> None:
        """Stop being a user; with the last one go the OpenFile and any changes that nobody saved."""
        slot = self._slots[ino]
        slot.users -= 1
        if slot.users == 0:
            slot.open_file.discard()
            del self._slots[ino]

    def dirty_bytes(self) -> int:
        """Count the bytes that exist only on this machine."""
        return sum(slot.open_file.dirty_bytes for slot in self._slots.values() if slot.open_file.is_dirty)
