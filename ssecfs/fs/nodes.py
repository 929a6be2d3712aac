"""Lookup, getattr, forget: which inode a name is, and whether what we know of it is still true.

Imported by the rest of ``fs`` and by ``fuse``. Close-to-open: what is older than the TTL is checked against a listing before it
is trusted; what we changed and have not saved is ours and is not checked.
"""

from dataclasses import dataclass
from typing import Final

import trio

from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import NoEntryError, ObjectMissingError
from ssecfs.s3.types import ObjectVersion
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.directory import Directories, Entry, EntryKind
from ssecfs.tree.inodes import Inode, InodeTable, Knowledge, Linkage, Saved
from ssecfs.tree.names import Name, Namespace, check_name, join_path

LISTING_SUFFICES_FROM: Final = 4097
"""An object of that size or more is a regular file: symlink targets have at most 4096 bytes, FIFOs none."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How long attributes and names are believed.

    Attributes:
        ttl_s: seconds; may be infinite.
        mounted_s: start of the mount, seconds since the epoch; the time of directories that have none.
    """

    ttl_s: float
    mounted_s: int


class Nodes:
    """Inodes by name and number, kept true.

    Owns: nothing but the rules; the table, listings and attributes belong to ``tree``.
    """

    def __init__(
        self,
        *,
        inodes: InodeTable,
        directories: Directories,
        book: AttrBook,
        open_files: OpenFiles,
        namespace: Namespace,
        trust: Trust,
    ) -> None:
        """Take the collaborators."""
        self._inodes = inodes
        self._directories = directories
        self._book = book
        self._open_files = open_files
        self._namespace = namespace
        self._trust = trust

    def get(self, ino: int) -> Inode:
        """The inode of a number that the kernel holds."""
        return self._inodes.get(ino)

    async def lookup(self, parent: Inode, name: Name) -> Inode:
        """Find a name in a directory; its attributes are fully known afterwards.

        Raises:
            NotADirError: parent is none.
            NoEntryError: no such name.
        """
        inode = await self.find(parent, name)
        if inode is None:
            message = f"no such name in directory {parent.ino}"
            raise NoEntryError(message)
        return inode

    async def find(self, parent: Inode, name: Name) -> Inode | None:
        """As lookup; None: no such name."""
        parent.require_directory()
        live = self._inodes.child(parent, name)
        if live is not None and self.is_trusted(live):
            return live
        entry = await self._directories.find(parent, name)
        live = self._inodes.child(parent, name)
        if live is not None and self.is_ours(live):
            return live
        if entry is None:
            if live is not None:
                self._note_gone(live)
            return None
        return await self._complete(parent, entry)

    async def claim(self, parent: Inode, raw_name: bytes, kind: EntryKind) -> tuple[Name, Inode | None]:
        """Check a name for something new or renamed in a directory, and find what has it now.

        Raises:
            NotADirError: parent is none.
            NameTooLongError: the name, or the object key, would be too long.
            BadRequestError: nothing can have that name.
        """
        parent.require_directory()
        name = check_name(raw_name)
        path = join_path(parent.path, name)
        _ = self._namespace.marker_key(path) if kind is EntryKind.DIRECTORY else self._namespace.file_key(path)
        return name, await self.find(parent, name)

    async def refresh(self, inode: Inode) -> None:
        """Look at a file's object again, because it is not the version that we took it for.

        Raises:
            NoEntryError: it is gone.
        """
        parent, version = inode.parent, inode.version
        assert parent is not None, "files have a parent"  # noqa: S101 - the root is a directory
        assert version is not None, "it was on the server"  # noqa: S101 - else nothing can have changed
        self._book.forget(version.object_key)
        try:
            version, attrs = await self._book.load(version.object_key)
        except ObjectMissingError as error:
            self._note_gone(inode)
            message = f"inode {inode.ino} was removed on the server"
            raise NoEntryError(message) from error
        self._place(parent, Entry(inode.name, EntryKind.OBJECT, version), attrs, version, Knowledge.FULL)

    async def load_root(self) -> None:
        """Take the attributes of the root from its marker, if it has one."""
        try:
            version, attrs = await self._book.load(self._namespace.marker_key(""))
        except ObjectMissingError:
            return
        self._inodes.root.version = version
        self._inodes.root.attrs = attrs

    async def getattr(self, inode: Inode) -> Attrs:
        """The attributes of an inode, checked if they are older than the TTL.

        Raises:
            NoEntryError: its name is gone from the server.
        """
        if not self.is_trusted(inode):
            await self._check(inode)
        return inode.attrs

    def forget(self, ino: int, nlookup: int) -> None:
        """The kernel gives back nlookup references."""
        self._inodes.forget(ino, nlookup)

    def is_ours(self, inode: Inode) -> bool:
        """Tell whether the inode has changes that the server does not know: then only we know the truth."""
        open_file = self._open_files.peek(inode.ino)
        return inode.saved is Saved.NO or (open_file is not None and open_file.is_dirty)

    def is_trusted(self, inode: Inode) -> bool:
        """Tell whether the attributes may be used without asking."""
        if inode.parent is None or inode.linkage is Linkage.UNLINKED or self.is_ours(inode):
            return True
        return inode.knowledge is Knowledge.FULL and trio.current_time() - inode.checked_at < self._trust.ttl_s

    def enter(self, parent: Inode, entry: Entry) -> Inode:
        """The inode of a listed entry, from what is known without asking; for readdir."""
        live = self._inodes.child(parent, entry.name)
        if live is not None and (self.is_trusted(live) or _is_current(live, entry)):
            return live
        if entry.version is None:
            attrs = live.attrs if live is not None else self._book.directory_defaults(self._trust.mounted_s)
            return self._place(parent, entry, attrs, None, Knowledge.LISTED)
        attrs_known = self._book.known(entry.version)
        if attrs_known is not None:
            return self._place(parent, entry, attrs_known, entry.version, Knowledge.FULL)
        return self._place(parent, entry, self._book.file_defaults(entry.version), entry.version, Knowledge.LISTED)

    def needs_head(self, parent: Inode, entry: Entry) -> bool:
        """Tell whether even the type of a listed entry is unknown without a HEAD."""
        if entry.version is None or entry.version.size >= LISTING_SUFFICES_FROM:
            return False
        live = self._inodes.child(parent, entry.name)
        if live is not None and (self.is_trusted(live) or _is_current(live, entry)):
            return False
        return self._book.known(entry.version) is None

    async def _check(self, inode: Inode) -> None:
        """Compare an inode with the server."""
        parent = inode.parent
        assert parent is not None, "the root is always trusted"  # noqa: S101 - see is_trusted
        entry = await self._directories.find(parent, inode.name)
        if self.is_ours(inode) or inode.linkage is Linkage.UNLINKED:
            return
        if entry is None:
            self._note_gone(inode)
            message = f"inode {inode.ino} was removed on the server"
            raise NoEntryError(message)
        if await self._complete(parent, entry) is not inode:
            message = f"inode {inode.ino} was replaced on the server"
            raise NoEntryError(message)

    async def _complete(self, parent: Inode, entry: Entry) -> Inode | None:
        """The inode of an entry with all its attributes; None: it vanished while we asked."""
        live = self._inodes.child(parent, entry.name)
        if live is not None and _is_current(live, entry):
            self._confirm(live, entry)
            return live
        if entry.version is None:
            return await self._complete_directory(parent, entry)
        attrs = self._book.known(entry.version)
        version = entry.version
        if attrs is None:
            self._request_neighbours(parent, entry)
            try:
                version, attrs = await self._book.load(entry.version.object_key)
            except ObjectMissingError:
                self._directories.note_removed(parent, entry.name)
                return None
        return self._place(parent, entry, attrs, version, Knowledge.FULL)

    async def _complete_directory(self, parent: Inode, entry: Entry) -> Inode:
        path = (f"{parent.path}/" if parent.path else "") + entry.name.decode()
        try:
            version, attrs = await self._book.load(self._namespace.marker_key(path))
        except ObjectMissingError:
            return self._place(parent, entry, self._book.directory_defaults(self._trust.mounted_s), None, Knowledge.FULL)
        return self._place(parent, entry, attrs, version, Knowledge.FULL)

    def _place(self, parent: Inode, entry: Entry, attrs: Attrs, version: ObjectVersion | None, knowledge: Knowledge) -> Inode:
        """Put what the server shows into the table. Atomic."""
        live = self._inodes.child(parent, entry.name)
        if live is not None and self.is_ours(live):
            return live
        if live is not None and live.attrs.is_dir != attrs.is_dir:
            self._note_gone(live)
            live = None
        if live is None:
            live = self._inodes.add(parent, entry.name, attrs, version)
        elif not _same_version(live.version, version):
            open_file = self._open_files.peek(live.ino)
            if open_file is not None and version is not None:
                open_file.rebase(version)
            live.attrs, live.version = attrs, version
        elif knowledge is Knowledge.FULL and live.knowledge is Knowledge.LISTED:
            live.attrs = attrs
        live.knowledge = knowledge
        live.checked_at = trio.current_time()
        return live

    def _confirm(self, inode: Inode, entry: Entry) -> None:
        inode.checked_at = trio.current_time()
        if inode.version is not None and entry.version is not None:
            inode.version = inode.version.confirmed_by(entry.version)

    def _request_neighbours(self, parent: Inode, entry: Entry) -> None:
        """Start the HEADs that a program which goes through the directory will want next."""
        self._book.request(self._directories.neighbours(parent, entry.name))

    def _note_gone(self, inode: Inode) -> None:
        self._directories.drop(inode)
        self._inodes.unlink(inode)


def _same_version(one: ObjectVersion | None, other: ObjectVersion | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.is_same(other)


def _is_current(inode: Inode, entry: Entry) -> bool:
    """Tell whether a fully known file is the listed version. Directories are not told apart by listings."""
    return (
        inode.knowledge is Knowledge.FULL
        and inode.version is not None
        and entry.kind is EntryKind.OBJECT
        and entry.version is not None
        and inode.version.is_same(entry.version)
    )
