"""mkdir, opendir, readdir, releasedir.

Imported by ``fuse``. A directory handle shows one moment: what was there at the first readdir, in the same order and with the
same offsets until it is rewound, however entries come and go meanwhile.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ssecfs.errors import BadHandleError, EntryExistsError
from ssecfs.fs.files import Clock, Owner, new_attrs
from ssecfs.fs.gate import Gate
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.directory import Directories, Entry, EntryKind
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Namespace

HEADS_AHEAD = 128
"""Entries of unknown type whose HEADs are under way while readdir goes on."""


@dataclass(slots=True)
class DirHandle:
    """One opendir(3): the entries it shows, in order; offset n names the n-th."""

    inode: Inode
    entries: list[Entry] = field(default_factory=list)


class DirectoryOps:
    """Operations on directories.

    Owns: the handle table.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        inodes: InodeTable,
        directories: Directories,
        book: AttrBook,
        store: ObjectStore,
        saver: Saver,
        gate: Gate,
        namespace: Namespace,
        now_ns: Clock,
    ) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._inodes = inodes
        self._directories = directories
        self._book = book
        self._store = store
        self._saver = saver
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
        name, found = await self._nodes.claim(parent, raw_name, EntryKind.DIRECTORY)
        if found is not None:
            message = f"the name is taken in directory {parent.ino}"
            raise EntryExistsError(message)
        attrs = new_attrs(owner, parent, self._now_ns())
        inode = self._inodes.add(parent, name, attrs, None)
        self._inodes.pin(inode)
        try:
            async with inode.lock:
                marker_key = self._namespace.marker_key(inode.path)
                version = await self._store.put(marker_key, b"", self._saver.metadata_for(attrs, marker_key), Always())
                self._saver.note_stored(inode, version, attrs)
                parent.note_entries_changed(self._now_ns())
            self._inodes.note_lookup(inode)
        except BaseException:
            self._inodes.unlink(inode)
            raise
        finally:
            self._inodes.unpin(inode)
        return inode

    def opendir(self, inode: Inode) -> int:
        """Open a directory; listing it waits for the first readdir."""
        inode.require_directory()
        fh = self._next_fh
        self._next_fh += 1
        self._handles[fh] = DirHandle(inode)
        self._inodes.pin(inode)
        return fh

    async def readdir(self, fh: int, offset: int) -> AsyncIterator[tuple[Inode, Entry, int]]:
        """Go through a directory from an offset.

        Yields:
            The inode (not counted as looked up), the entry, and the offset after it.
        """
        handle = self._handles.get(fh)
        if handle is None:
            message = f"no open directory has the handle {fh}"
            raise BadHandleError(message)
        if offset == 0:
            handle.entries = await self._snapshot(handle.inode)
        for place in range(offset, len(handle.entries)):
            entry = handle.entries[place]
            if self._nodes.needs_head(handle.inode, entry):
                inode = await self._look_up(handle, place)
            else:
                inode = self._nodes.enter(handle.inode, entry)
            if inode is not None:
                yield inode, entry, place + 1

    def releasedir(self, fh: int) -> None:
        """Drop a directory handle."""
        self._inodes.unpin(self._handles.pop(fh).inode)

    async def _snapshot(self, inode: Inode) -> list[Entry]:
        entries = dict(await self._directories.list_all(inode))
        for child in self._inodes.children_of(inode):
            if child.name not in entries and self._nodes.is_ours(child):
                kind = EntryKind.DIRECTORY if child.attrs.is_dir else EntryKind.OBJECT
                entries[child.name] = Entry(child.name, kind, None)
        return list(entries.values())

    async def _look_up(self, handle: DirHandle, place: int) -> Inode | None:
        """Ask for an entry of unknown type, with the next ones of the kind already under way."""
        ahead = handle.entries[place : place + HEADS_AHEAD]
        self._book.request(
            entry.version for entry in ahead if entry.version is not None and self._nodes.needs_head(handle.inode, entry)
        )
        return await self._nodes.find(handle.inode, handle.entries[place].name)
