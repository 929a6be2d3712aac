"""Lookup, getattr, forget: which inode a name is, and whether what we know of it is still true.

Imported by the rest of ``fs`` and by ``fuse``. Close-to-open: what is older than the TTL is checked against a listing before it
is trusted; what we changed and have not saved is ours and is not checked.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import AccessDeniedError, NoEntryError, ObjectMissingError, StaleError
from ssecfs.fs.sights import MovedError, Sight, is_current, is_same_version, require_path
from ssecfs.s3.types import ObjectKey
from ssecfs.tree.asking import Finding, Presence
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import NEVER, Inode, InodeTable, Knowledge, Linkage, Saved
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import SEPARATOR, Name, Namespace, check_name, join_directory_path, join_path

LISTING_SUFFICES_FROM: Final = 4097
"""An object of that size or more is a regular file: symlink targets have at most 4096 bytes, FIFOs none."""


MAX_LOOKS: Final = 10
"""How often a name is looked up again because its directory was renamed meanwhile."""


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
        check_name(name)
        for _ in range(MAX_LOOKS):
            with suppress(MovedError):
                return await self._find(parent, name)
        message = f"directory {parent.ino} is renamed again and again"
        raise StaleError(message)

    async def _find(self, parent: Inode, name: Name) -> Inode | None:
        live = self._inodes.child(parent, name)
        if live is not None and self.is_trusted(live):
            return live
        path = parent.path
        if self._directories.seen(parent.path) is None:
            found = await self._find_by_its_own_listing(parent, name)
            if found is not None:
                return found
        is_object = live is not None and not live.attrs.is_dir
        finding = await self._directories.find(parent, name, EntryKind.OBJECT if is_object else None)
        live = self._inodes.child(parent, name)
        if live is not None and self.is_trusted(live):
            return live
        require_path(parent, path)
        if finding.entry is None and live is not None and live.name.is_beside:
            finding = await self._find_without_directory(parent, live)
            require_path(parent, path)
        if finding.entry is None:
            if live is not None:
                self._note_gone(live)
            return None
        inode = await self._complete(parent, finding.entry, finding.as_of)
        self._directories.note_answered(parent)
        return inode

    async def _find_without_directory(self, parent: Inode, file: Inode) -> Finding:
        """Find a file that stood beside a directory, which is gone: as long as somebody holds it, it keeps its name."""
        finding = await self._directories.find(parent, file.name.plain, EntryKind.OBJECT)
        if finding.entry is None or finding.entry.version is None:
            return Finding(None, finding.as_of)
        return Finding(replace(finding.entry, name=file.name), finding.as_of)

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
            known = await self._book.load(version.object_key)
        except ObjectMissingError as error:
            self._directories.note_removed(parent, inode.name)
            self._note_gone(inode)
            message = f"inode {inode.ino} was removed on the server"
            raise NoEntryError(message) from error
        entry = Entry(inode.name, EntryKind.OBJECT, known.version)
        self._place(parent, entry, Sight(known.attrs, known.version, known.as_of, Knowledge.FULL))

    async def load_root(self) -> None:
        """Take the attributes of the root from its marker, if it has one."""
        known = await self._book.load_marker(self._namespace.marker_key(""))
        self._inodes.root.version = known.version
        self._inodes.root.attrs = known.attrs

    async def getattr(self, inode: Inode) -> Attrs:
        """The attributes of an inode, checked if they are older than the TTL.

        Raises:
            StaleError: it is gone from the server, or something else has its name: the kernel must look again.
        """
        if not self.is_trusted(inode):
            await self._check(inode)
        return inode.attrs

    async def require_open(self, inode: Inode) -> Attrs:
        """As getattr, for who wants more than to look.

        Raises:
            AccessDeniedError: the object does not open with our customer keys.
        """
        attrs = await self.getattr(inode)
        if inode.knowledge is Knowledge.FULL or inode.parent is None or self.is_trusted(inode):
            return attrs
        await self._book.load(self._key_of(inode.parent, inode.name, attrs))
        return await self.getattr(inode)

    def doubt(self, inode: Inode) -> None:
        """Something showed that the server has another version: believe nothing of the inode before the next look."""
        inode.checked_at = NEVER
        if inode.parent is not None:
            self._directories.drop(inode.parent)

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
        is_known = inode.knowledge is Knowledge.FULL and inode.linkage is Linkage.LINKED
        return is_known and self._is_recent(inode.checked_at)

    def valid_for_s(self, inode: Inode) -> float:
        """How long the kernel may believe the attributes of an inode without asking again."""
        if inode.parent is None or inode.linkage is Linkage.UNLINKED or self.is_ours(inode):
            return self._trust.ttl_s
        if inode.knowledge is Knowledge.LISTED:
            return 0.0
        return max(0.0, inode.checked_at + self._trust.ttl_s - trio.current_time())

    def missing_for_s(self, parent: Inode) -> float:
        """How long the kernel may believe that a name that was not found in a directory does not exist."""
        return self._directories.trusted_until(parent) - trio.current_time()

    def enter(self, parent: Inode, entry: Entry, as_of: float) -> Inode:
        """The inode of an entry that was listed at as_of, from what is known without asking; for readdir."""
        live = self._inodes.child(parent, entry.name)
        if live is not None and self.is_trusted(live):
            return live
        if entry.version is None:
            return self._enter_directory(parent, entry, as_of)
        if live is not None and is_current(live, entry):
            self._confirm(live, entry, as_of)
            return live
        attrs = self._book.known(entry.version)
        if attrs is not None:
            return self._place(parent, entry, Sight(attrs, entry.version, as_of, Knowledge.FULL))
        guessed = self._book.file_defaults(entry.version)
        return self._place(parent, entry, Sight(guessed, entry.version, as_of, Knowledge.LISTED))

    def needs_head(self, parent: Inode, entry: Entry) -> bool:
        """Tell whether even the type of a listed entry is unknown without a HEAD."""
        if entry.version is None or entry.version.size >= LISTING_SUFFICES_FROM:
            return False
        live = self._inodes.child(parent, entry.name)
        if live is not None and (self.is_trusted(live) or is_current(live, entry)):
            return False
        return self._book.known(entry.version) is None

    async def _find_by_its_own_listing(self, parent: Inode, name: Name) -> Inode | None:
        """The inode of what was a directory before; None: that is not known, or it is none any more."""
        if name.is_beside or name.is_shortened:
            return None
        path = join_directory_path(parent.path, name)
        if self._book.last_known(self._namespace.marker_key(path)) is None:
            return None
        presence = await self._directories.look(path)
        if not presence.is_there:
            self._book.forget(self._namespace.marker_key(path))
            return None
        return await self._place_directory(parent, Entry(name, EntryKind.DIRECTORY, None), presence)

    async def _check(self, inode: Inode) -> None:
        """Compare an inode with the server."""
        parent = inode.parent
        assert parent is not None, "the root is always trusted"  # noqa: S101 - see is_trusted
        found = await self.find(parent, inode.name)
        if found is not inode and not self.is_trusted(inode):
            message = f"inode {inode.ino} was removed or replaced on the server"
            raise StaleError(message)

    async def _complete(self, parent: Inode, entry: Entry, as_of: float) -> Inode | None:
        """The inode of an entry with all its attributes; None: it vanished while we asked."""
        live = self._inodes.child(parent, entry.name)
        if live is not None and is_current(live, entry):
            self._confirm(live, entry, as_of)
            return live
        try:
            return await self._learn(parent, entry, as_of)
        except AccessDeniedError:
            # Under another customer key, perhaps: it is there, whoever may open it.
            attrs = self._book.locked_attrs(entry.version)
            return self._place(parent, entry, Sight(attrs, entry.version, as_of, Knowledge.LISTED))

    async def _learn(self, parent: Inode, entry: Entry, as_of: float) -> Inode | None:
        if entry.version is None:
            return await self._complete_directory(parent, entry)
        self._look_ahead(parent, entry)
        attrs = self._book.known(entry.version)
        if attrs is not None:
            return self._place(parent, entry, Sight(attrs, entry.version, as_of, Knowledge.FULL))
        path = parent.path
        try:
            known = await self._book.load(entry.version.object_key)
        except ObjectMissingError:
            require_path(parent, path)
            self._directories.note_removed(parent, entry.name)
            return None
        return self._place(parent, entry, Sight(known.attrs, known.version, known.as_of, Knowledge.FULL))

    async def _complete_directory(self, parent: Inode, entry: Entry) -> Inode | None:
        path = join_directory_path(parent.path, entry.name)
        marker_key = self._namespace.marker_key(path)
        known = self._book.last_known_marker(marker_key)
        self._look_ahead(parent, entry)
        if known is None:
            known = await self._book.load_marker(marker_key)
        if self._is_recent(known.as_of):
            return self._place(parent, entry, Sight(known.attrs, known.version, known.as_of, Knowledge.FULL))
        presence = await self._directories.look(path)
        if not presence.is_there and not entry.has_old_marker:
            require_path(parent, path.removesuffix(entry.name.component + SEPARATOR))
            self._book.forget(marker_key)
            self._directories.note_removed(parent, entry.name)
            return None
        return await self._place_directory(parent, entry, presence)

    async def _place_directory(self, parent: Inode, entry: Entry, presence: Presence) -> Inode:
        """The inode of a directory of which its own listing was seen."""
        marker_key = self._namespace.marker_key(join_directory_path(parent.path, entry.name))
        known = self._book.last_known_marker(marker_key)
        as_of = presence.as_of
        if known is None or not is_same_version(known.version, presence.marker):
            if presence.marker is None:
                known = self._book.note_no_marker(marker_key, as_of)
            else:
                known = await self._book.load_marker(marker_key)
                as_of = known.as_of
        return self._place(parent, entry, Sight(known.attrs, known.version, as_of, Knowledge.FULL))

    def _enter_directory(self, parent: Inode, entry: Entry, as_of: float) -> Inode:
        path = join_directory_path(parent.path, entry.name)
        known = self._book.last_known_marker(self._namespace.marker_key(path))
        if known is None:
            return self._place(parent, entry, Sight(self._book.directory_defaults(), None, as_of, Knowledge.LISTED))
        if self._is_recent(known.as_of):
            return self._place(parent, entry, Sight(known.attrs, known.version, known.as_of, Knowledge.FULL))
        presence = self._directories.seen(path)
        if presence is not None and is_same_version(known.version, presence.marker):
            return self._place(parent, entry, Sight(known.attrs, known.version, presence.as_of, Knowledge.FULL))
        return self._place(parent, entry, Sight(known.attrs, known.version, as_of, Knowledge.LISTED))

    def _is_recent(self, as_of: float) -> bool:
        return trio.current_time() - as_of < self._trust.ttl_s

    def _place(self, parent: Inode, entry: Entry, sight: Sight) -> Inode:
        """Put what the server shows into the table, unless we know better. Atomic.

        Raises:
            MovedError: that was of the directory's old name.
        """
        if sight.version is not None and sight.version.object_key != self._key_of(parent, entry.name, sight.attrs):
            raise MovedError
        live = self._inodes.child(parent, entry.name)
        if live is not None and (self.is_ours(live) or (live.checked_at > sight.as_of and live.knowledge is Knowledge.FULL)):
            return live
        if live is not None and live.attrs.is_dir != sight.attrs.is_dir:
            self._note_gone(live)
            live = None
        if live is None:
            live = self._inodes.add(parent, entry.name, sight.attrs, sight.version)
        elif not is_same_version(live.version, sight.version):
            open_file = self._open_files.peek(live.ino)
            if open_file is not None and sight.version is not None:
                open_file.rebase(sight.version)
            live.attrs, live.version = sight.attrs, sight.version
        elif sight.knowledge is Knowledge.LISTED and live.knowledge is Knowledge.FULL:
            return live
        elif live.knowledge is Knowledge.LISTED:
            live.attrs = sight.attrs
        live.knowledge = sight.knowledge
        live.checked_at = sight.as_of
        return live

    def _key_of(self, parent: Inode, name: Name, attrs: Attrs) -> ObjectKey:
        if attrs.is_dir:
            return self._namespace.marker_key(join_directory_path(parent.path, name))
        return self._namespace.file_key(join_path(parent.path, name))

    def _confirm(self, inode: Inode, entry: Entry, as_of: float) -> None:
        inode.checked_at = max(inode.checked_at, as_of)
        if inode.version is not None and entry.version is not None:
            inode.version = inode.version.confirmed_by(entry.version)

    def _look_ahead(self, parent: Inode, entry: Entry) -> None:
        """Start the requests that a program which goes through the directory will want next."""
        heads: list[ObjectKey] = []
        directories: list[Entry] = []
        for ahead in self._directories.neighbours(parent, entry.name, partial(self._inodes.number_for, parent)):
            if ahead.version is not None:
                if self._book.known(ahead.version) is None:
                    heads.append(ahead.version.object_key)
                continue
            marker_key = self._namespace.marker_key(join_directory_path(parent.path, ahead.name))
            known = self._book.last_known_marker(marker_key)
            if known is None:
                heads.append(marker_key)
            elif not self._is_recent(known.as_of):
                directories.append(ahead)
        self._book.request(heads)
        self._directories.look_soon(parent, directories)

    def _note_gone(self, inode: Inode) -> None:
        if inode.attrs.is_dir:
            self._directories.drop_tree(inode)
        self._inodes.lose(inode)
