"""Inodes: the table of everything that the kernel or an open file refers to.

What lives here: numbers, lookup counts, names and parents. What does not: what exists in the bucket (``directory``), file
content (``content``). Imported by ``tree`` and ``fs``.

Invariants: an inode is in the table while its lookup count or its pin count is above zero, or a child of it is in the table;
at most one inode has a given parent and name; the root is always there. No method waits, so each is atomic.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Final, NewType

import trio

from ssecfs.errors import NotADirError
from ssecfs.s3.types import ObjectVersion
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.attrtext import NS_PER_S
from ssecfs.tree.names import Name, join_directory_path, join_path

Ino = NewType("Ino", int)

ROOT_INO: Final = Ino(1)
MAX_INO: Final = (1 << 63) - 1
"""63 bits: some programs keep inode numbers in signed integers."""

NEVER: Final = float("-inf")

LOOKED_AT_FOR_EACH: Final = 4
"""Inodes that oldest_files looks at to find one."""
NEVER_NS: Final = -(1 << 63) * NS_PER_S
"""Before any time that a file can have."""

READS_COUNT_AFTER_NS: Final = 24 * 3600 * NS_PER_S
"""A read moves an access time that is older than that in any case. Source: mount(8), relatime."""


class Knowledge(Enum):
    """How much of the attributes is true."""

    LISTED = "listed"
    """Size and time from a listing, the rest by default."""
    FULL = "full"


class Linkage(Enum):
    """Whether the inode has a name."""

    LINKED = "linked"
    UNLINKED = "unlinked"
    """It was removed or replaced here: who has it open goes on with it."""
    LOST = "lost"
    """It was removed or replaced on the server: the kernel may still believe in it, and has to look again."""


class Saved(Enum):
    """Whether the attributes are on the server."""

    YES = "yes"
    NO = "no"


@dataclass(slots=True, eq=False)
class Inode:
    """What we know of one file or directory.

    Attributes:
        parent: None for the root.
        version: the object it is on the server; None: not there (new, or a directory without marker).
        checked_at: loop time of the last look at the server; local changes not yet saved make it irrelevant.
        lock: held while the inode is saved, renamed or removed. Order: ascending ino.
        seen_version: the version whose pages the kernel may hold.
        read_ns: time of a read that nobody saves for its own sake; see note_read.
        unsure: seals of uploads of which we do not know whether they arrived.
    """

    ino: Ino
    parent: "Inode | None"
    name: Name
    attrs: Attrs
    version: ObjectVersion | None
    knowledge: Knowledge = Knowledge.FULL
    checked_at: float = NEVER
    linkage: Linkage = Linkage.LINKED
    saved: Saved = Saved.YES
    nlookup: int = 0
    pins: int = 0
    children: int = 0
    seen_version: ObjectVersion | None = None
    read_ns: int = NEVER_NS
    unsure: frozenset[str] = frozenset()
    _lock: trio.Lock | None = None

    @property
    def lock(self) -> trio.Lock:
        """See the attributes. Made when it is needed: few of very many inodes are ever changed."""
        if self._lock is None:
            self._lock = trio.Lock()
        return self._lock

    @property
    def path(self) -> str:
        """The object key without the mount's prefix; ends in a slash for directories, empty for the root."""
        if self.parent is None:
            return ""
        join = join_directory_path if self.attrs.is_dir else join_path
        return join(self.parent.path, self.name)

    @property
    def shown_path(self) -> bytes:
        """The path as programs see it, relative to the mount point."""
        return b"" if self.parent is None else b"%b/%b" % (self.parent.shown_path, self.name)

    def is_within(self, directory: "Inode") -> bool:
        """Tell whether this is the directory, or something at any depth in it."""
        inode: Inode | None = self
        while inode is not None and inode is not directory:
            inode = inode.parent
        return inode is not None

    def note_entries_changed(self, now_ns: int) -> None:
        """An entry came or went: the directory's times move, here only (it would cost a PUT for each file)."""
        self.attrs = replace(self.attrs, mtime_ns=now_ns, ctime_ns=now_ns)

    def note_name_changed(self, now_ns: int) -> None:
        """The inode gets another name or loses it: ctime moves, and is saved with what has to be saved anyway."""
        self.attrs = replace(self.attrs, ctime_ns=now_ns)

    @property
    def atime_ns(self) -> int:
        """Time of access, reads that are only known here included."""
        return max(self.attrs.atime_ns, self.read_ns)

    def note_read(self, now_ns: int) -> None:
        """Content was read: the access time moves as with relatime, here only. It would cost a request for each read."""
        known_ns = self.atime_ns
        if known_ns <= max(self.attrs.mtime_ns, self.attrs.ctime_ns) or now_ns - known_ns >= READS_COUNT_AFTER_NS:
            self.read_ns = now_ns

    def take_reads(self) -> None:
        """Put the access time among the attributes, because they are about to be saved."""
        if self.read_ns > self.attrs.atime_ns:
            self.attrs = replace(self.attrs, atime_ns=self.read_ns)
        self.forget_reads()

    def forget_reads(self) -> None:
        """The access time is what the attributes say: somebody set it."""
        self.read_ns = NEVER_NS

    def require_directory(self) -> None:
        """Insist on a directory.

        Raises:
            NotADirError: it is something else.
        """
        if not self.attrs.is_dir:
            message = f"inode {self.ino} is not a directory"
            raise NotADirError(message)


class InodeTable:
    """Number to inode, and (parent, name) to inode.

    Owns: both maps and the counts in the inodes. Lifetime: the mount's.

    Attributes:
        made: inodes that there have ever been, but for the root.
    """

    def __init__(self, root_attrs: Attrs, hash_key: bytes) -> None:
        """Begin with the root.

        Args:
            root_attrs: attributes of the root directory.
            hash_key: 1 to 64 secret bytes, the same at every mount, so that inode numbers are stable.
        """
        self._hash_key = hash_key
        self.root = Inode(ROOT_INO, None, Name(b""), root_attrs, None, nlookup=1)
        self._by_ino: dict[int, Inode] = {ROOT_INO: self.root}
        self._by_name: dict[int, dict[bytes, Inode]] = {}
        self.made = 0

    def __len__(self) -> int:
        """Count the inodes."""
        return len(self._by_ino)

    def get(self, ino: int) -> Inode:
        """The inode of a number that the kernel holds; any other number is a bug."""
        return self._by_ino[ino]

    def child(self, parent: Inode, name: bytes) -> Inode | None:
        """The inode of a name, if it is in the table."""
        return self._by_name.get(parent.ino, {}).get(name)

    def children_of(self, parent: Inode) -> list[Inode]:
        """The inodes in the table that are in a directory."""
        return list(self._by_name.get(parent.ino, {}).values())

    def below(self, directory: Inode) -> Iterator[Inode]:
        """The inodes in the table that are at any depth in a directory."""
        for child in self.children_of(directory):
            yield child
            yield from self.below(child)

    def add(self, parent: Inode, name: Name, attrs: Attrs, version: ObjectVersion | None) -> Inode:
        """Make an inode for a name that has none; it stays while somebody holds it (note_lookup, pin)."""
        ino = self._free_ino(_path_of(parent, name))
        inode = Inode(ino, parent, name, attrs, version)
        self._by_ino[ino] = inode
        self._link(inode, parent)
        parent.children += 1
        self.made += 1
        return inode

    def number_for(self, parent: Inode, name: Name) -> int:
        """The inode number that a name has, or would most likely get."""
        live = self.child(parent, name)
        return live.ino if live is not None else self._hash(_path_of(parent, name))

    def oldest_files(self, count: int) -> list[Inode]:
        """Up to count files that only the kernel holds, and that it has held for longest.

        What was looked at, taken or not, counts as new from now on; no more than a few times count is looked at.
        """
        found: list[Inode] = []
        for ino in list(islice(self._by_ino, LOOKED_AT_FOR_EACH * count)):
            if len(found) == count:
                break
            inode = self._by_ino[ino] = self._by_ino.pop(ino)
            if inode.nlookup and not inode.pins and not inode.attrs.is_dir and inode.linkage is Linkage.LINKED:
                found.append(inode)
        return found

    def note_lookup(self, inode: Inode) -> None:
        """Count one more reference of the kernel."""
        inode.nlookup += 1

    def forget(self, ino: int, nlookup: int) -> None:
        """Count nlookup references of the kernel less."""
        inode = self._by_ino.get(ino)
        if inode is not None:
            inode.nlookup = max(0, inode.nlookup - nlookup)
            self.release_unused(inode)

    def pin(self, inode: Inode) -> None:
        """Keep an inode although the kernel may forget it (open file, unsaved change)."""
        inode.pins += 1

    def unpin(self, inode: Inode) -> None:
        """Undo one pin."""
        inode.pins -= 1
        self.release_unused(inode)

    def unlink(self, inode: Inode) -> None:
        """Take the name away; the inode lives on while it is held."""
        self._take_name(inode, Linkage.UNLINKED)

    def lose(self, inode: Inode) -> None:
        """As unlink, because the name is gone from the server."""
        self._take_name(inode, Linkage.LOST)

    def move(self, inode: Inode, parent: Inode, name: Name) -> None:
        """Give the inode another name; whatever had that name must be unlinked before."""
        old_parent = self._parent_of(inode)
        self._detach(inode)
        inode.parent, inode.name = parent, name
        self._link(inode, parent)
        old_parent.children -= 1
        parent.children += 1
        self.release_unused(old_parent)

    def release_unused(self, inode: Inode) -> None:
        """Drop an inode that nobody holds, and its parents likewise."""
        while inode.parent is not None and inode.nlookup == 0 and inode.pins == 0 and inode.children == 0:
            parent = inode.parent
            if self._by_ino.pop(inode.ino, None) is None:
                return
            if inode.linkage is Linkage.LINKED:
                self._detach(inode)
            parent.children -= 1
            inode = parent

    def _take_name(self, inode: Inode, linkage: Linkage) -> None:
        if inode.linkage is Linkage.LINKED:
            inode.linkage = linkage
            self._detach(inode)
        self.release_unused(inode)

    def _link(self, inode: Inode, parent: Inode) -> None:
        self._by_name.setdefault(parent.ino, {})[inode.name] = inode

    def _detach(self, inode: Inode) -> None:
        parent = self._parent_of(inode)
        names = self._by_name.get(parent.ino, {})
        names.pop(inode.name, None)
        if not names:
            self._by_name.pop(parent.ino, None)

    def _parent_of(self, inode: Inode) -> Inode:
        assert inode.parent is not None, "the root has no name"  # noqa: S101 - a bug, not an input
        return inode.parent

    def _hash(self, path: bytes) -> Ino:
        digest = hashlib.blake2b(path, digest_size=8, key=self._hash_key).digest()
        return Ino(max(int.from_bytes(digest, "big") >> 1, ROOT_INO + 1))

    def _free_ino(self, path: bytes) -> Ino:
        """The hash of the path, or the next number that no living inode has (a renamed file keeps its old number)."""
        ino = self._hash(path)
        while ino in self._by_ino:
            ino = Ino(ino + 1 if ino < MAX_INO else ROOT_INO + 1)
        return ino


def _path_of(parent: Inode, name: Name) -> bytes:
    return b"%b/%b" % (parent.shown_path, name)
