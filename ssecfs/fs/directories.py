"""mkdir, opendir, readdir, releasedir.

Imported by ``fuse``. A directory handle shows itself, its parent, then names page by page as the endpoint lists them, with the
same order and offsets until it is rewound, however entries come and go meanwhile.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ssecfs.errors import BadHandleError, EntryExistsError
from ssecfs.fs.files import Clock, Owner, new_attrs
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.newnames import NewNames
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Storing
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.directory import Directories, Walk
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import Name, Namespace

HEADS_AHEAD: Final = 128
"""Entries of unknown type whose HEADs are under way while readdir goes on."""

Show = Callable[[Inode, bytes, int], bool]
"""Takes an inode, its name and the offset after it; tells whether there is room for more."""

DOTS: Final = (b".", b"..")
"""Offsets 0 and 1; that of the n-th name is n + 2."""


class DirHandle:
    """One opendir(3): the names it shows, in order.

    Owns: the names so far, and the way to the rest of them.

    Attributes:
        opener: the process that made it.
        asked: up to this place, the HEADs of names of unknown type are under way.
        is_at_end: no more names will come.
    """

    def __init__(self, inode: Inode, opener: int) -> None:
        """Begin without names; the first readdir rewinds."""
        self.inode: Final = inode
        self.opener: Final = opener
        self.is_begun = False
        self.is_at_end = False
        self.asked = 0
        self.names: list[Name] = []
        self._starts: list[int] = []
        self._times: list[float] = []
        self._before: frozenset[Name] = frozenset()

    def rewind(self, walk: Walk) -> None:
        """Begin, or begin again."""
        self.is_begun = True
        self.is_at_end = False
        self.walk = walk
        self.names, self._starts, self._times = [], [], []
        self.asked = 0
        self._before = frozenset()

    def follow(self, walk: Walk) -> None:
        """Go on with another listing, because the directory was renamed; the names so far keep their offsets."""
        self.walk = walk
        self._before = frozenset(self.names)

    def add(self, names: Sequence[Name], as_of: float) -> None:
        """Take the next names, and when they were asked for."""
        self._starts.append(len(self.names))
        self._times.append(as_of)
        self.names.extend(name for name in names if name not in self._before)

    def as_of(self, place: int) -> float:
        """When a name was asked for."""
        return self._times[bisect_right(self._starts, place) - 1]


class DirectoryOps:
    """Operations on directories.

    Owns: the handle table.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        new_names: NewNames,
        inodes: InodeTable,
        directories: Directories,
        book: AttrBook,
        store: ObjectStore,
        saver: Saver,
        storing: Storing,
        ledger: Ledger,
        gate: Gate,
        namespace: Namespace,
        now_ns: Clock,
    ) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._ledger = ledger
        self._new_names = new_names
        self._inodes = inodes
        self._directories = directories
        self._book = book
        self._store = store
        self._saver = saver
        self._storing = storing
        self._gate = gate
        self._namespace = namespace
        self._now_ns = now_ns
        self._handles: dict[int, DirHandle] = {}
        self._next_fh = 1

    async def mkdir(self, parent: Inode, raw_name: bytes, owner: Owner) -> Inode:
        """Make a directory: one PUT of its marker. The inode counts as looked up.

        Raises:
            EntryExistsError: the name is taken.
        """
        async with self._gate.changing(parent):
            return await self._mkdir(parent, raw_name, owner)

    async def _mkdir(self, parent: Inode, raw_name: bytes, owner: Owner) -> Inode:
        name, found = await self._new_names.claim(parent, raw_name, EntryKind.DIRECTORY)
        if found is not None:
            message = f"the name is taken in directory {parent.ino}"
            raise EntryExistsError(message)
        attrs = new_attrs(owner, parent, self._now_ns())
        inode = self._inodes.add(parent, name, attrs, None)
        self._inodes.pin(inode)
        try:
            async with inode.lock:
                marker_key = self._namespace.marker_key(inode.path)
                version = await self._store.put(marker_key, b"", self._storing.metadata_for(attrs, marker_key), Always())
                self._storing.note_stored(inode, version, attrs)
                self._directories.note_made(parent, inode, version)
                parent.note_entries_changed(self._now_ns())
            self._inodes.note_lookup(inode)
        except BaseException:
            self._inodes.unlink(inode)
            raise
        finally:
            self._inodes.unpin(inode)
        return inode

    def opendir(self, inode: Inode, opener: int = 0) -> int:
        """Open a directory for a process; listing it waits for the first readdir."""
        inode.require_directory()
        fh = self._next_fh
        self._next_fh += 1
        self._handles[fh] = DirHandle(inode, opener)
        self._inodes.pin(inode)
        return fh

    async def readdir(self, fh: int, offset: int, show: Show) -> None:
        """Go through a directory from an offset, until show has enough.

        Args:
            fh: from opendir.
            offset: 0, or an offset that show was given.
            show: gets an inode (not counted as looked up), its name, and the offset after it; tells whether it wants more.
        """
        handle = self._get(fh)
        directory = handle.inode
        if offset == 0 or not handle.is_begun:
            handle.rewind(self._directories.walk(directory))
        dots = (directory, directory.parent or directory)
        for place in range(offset, len(DOTS)):
            if not show(dots[place], DOTS[place], place + 1):
                return
        place = max(offset - len(DOTS), 0)
        while await self._reach(handle, place):
            inode = await self._inode(handle, place)
            place += 1
            if inode is not None and not show(inode, handle.names[place - 1], place + len(DOTS)):
                return

    def opener(self, fh: int) -> int:
        """The process that opened a handle."""
        return self._handles[fh].opener

    def releasedir(self, fh: int) -> None:
        """Drop a directory handle."""
        self._inodes.unpin(self._handles.pop(fh).inode)

    async def fsyncdir(self, fh: int) -> None:
        """Save the directory's attributes, if somebody changed them, and see to it that the names in it survive a power cut.

        Raises:
            StoreError: the endpoint refused or could not be reached.
            SpoolError: the local disk fails.
        """
        await self._saver.save(self._get(fh).inode)
        await self._ledger.sync()

    def _get(self, fh: int) -> DirHandle:
        handle = self._handles.get(fh)
        if handle is None:
            message = f"no open directory has the handle {fh}"
            raise BadHandleError(message)
        return handle

    async def _inode(self, handle: DirHandle, place: int) -> Inode | None:
        """The inode of a name that a handle shows; None: it was removed."""
        self._follow(handle)
        entry = self._entry(handle, place)
        if entry is None:
            name = handle.names[place]
            return None if handle.walk.listing.knows(name) else await self._nodes.find(handle.inode, name)
        if self._nodes.needs_head(handle.inode, entry):
            self._request_ahead(handle, place)
            return await self._nodes.find(handle.inode, entry.name)
        return self._nodes.enter(handle.inode, entry, handle.as_of(place))

    def _follow(self, handle: DirHandle) -> None:
        if handle.walk.listing.prefix != self._namespace.listing_prefix(handle.inode.path):
            handle.follow(self._directories.walk(handle.inode))

    async def _reach(self, handle: DirHandle, place: int) -> bool:
        """Get names up to a place; tells whether there is one."""
        while place >= len(handle.names) and not handle.is_at_end:
            self._follow(handle)
            page = await handle.walk.next_page()
            if page is not None:
                handle.add(page.names, page.as_of)
            else:
                handle.add(self._late_names(handle), trio.current_time())
                handle.is_at_end = True
        return place < len(handle.names)

    def _late_names(self, handle: DirHandle) -> list[Name]:
        """Names that no page of the endpoint's has: they were stored meanwhile, or are not yet."""
        unsaved = [child.name for child in self._inodes.children_of(handle.inode) if self._nodes.is_ours(child)]
        return list(
            dict.fromkeys([*handle.walk.listing.added, *(name for name in unsaved if handle.walk.listing.get(name) is None)])
        )

    def _entry(self, handle: DirHandle, place: int) -> Entry | None:
        """What a name of a handle is now; None: it was removed."""
        name = handle.names[place]
        entry = handle.walk.listing.get(name)
        if entry is not None:
            return entry
        child = self._inodes.child(handle.inode, name)
        if child is None or not self._nodes.is_ours(child):
            return None
        return Entry(name, EntryKind.DIRECTORY if child.attrs.is_dir else EntryKind.OBJECT, None)

    def _request_ahead(self, handle: DirHandle, place: int) -> None:
        """Start the HEADs of the next entries of unknown type."""
        begin, handle.asked = max(place, handle.asked), min(place + HEADS_AHEAD, len(handle.names))
        ahead = (handle.walk.listing.get(name) for name in handle.names[begin : handle.asked])
        self._book.request(
            entry.version.object_key
            for entry in ahead
            if entry is not None and entry.version is not None and self._nodes.needs_head(handle.inode, entry)
        )
