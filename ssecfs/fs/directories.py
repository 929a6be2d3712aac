"""mkdir, rmdir, opendir, readdir, releasedir.

Imported by ``fuse``. A directory handle shows one moment: what was there at the first readdir, in the same order and with the
same offsets until it is rewound, however entries come and go meanwhile.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from ssecfs.errors import BadHandleError, EntryExistsError, NotEmptyError
from ssecfs.fs.files import Clock, Owner, new_attrs
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.directory import Directories, Entry, EntryKind
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Namespace, check_name

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
        self._namespace = namespace
        self._now_ns = now_ns
        self._handles: dict[int, DirHandle] = {}
        self._next_fh = 1

    async def mkdir(self, parent: Inode, raw_name: bytes, owner: Owner) -> Inode:
        """Make a directory: one PUT of its marker. The inode counts as looked up.

        Raises:
            EntryExistsError: the name is taken.
        """
        name = check_name(raw_name)
        if await self._nodes.find(parent, name) is not None:
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
                self.note_changed(parent)
            self._inodes.note_lookup(inode)
        except BaseException:
            self._inodes.unlink(inode)
            raise
        finally:
            self._inodes.unpin(inode)
        return inode

    async def rmdir(self, inode: Inode) -> None:
        """Remove an empty directory.

        Raises:
            NotDirectoryError: it is none.
            NotEmptyError: it has entries, here or on the server.
        """
        inode.require_directory()
        async with inode.lock:
            unsaved = any(self._nodes.is_ours(child) for child in self._inodes.children_of(inode))
            if unsaved or not await self._directories.is_empty(inode):
                message = f"directory {inode.ino} is not empty"
                raise NotEmptyError(message)
            marker_key = self._namespace.marker_key(inode.path)
            await self._store.delete(marker_key)
            self._book.forget(marker_key)
            self._directories.drop(inode)
            parent = inode.parent
            assert parent is not None, "the kernel does not remove the root"  # noqa: S101 - it answers EBUSY itself
            self._directories.note_removed(parent, inode.name)
            self.note_changed(parent)
            self._inodes.unlink(inode)

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

    def note_changed(self, inode: Inode) -> None:
        """An entry came or went: the directory's times move, here only (it would cost a PUT for each file)."""
        now_ns = self._now_ns()
        inode.attrs = replace(inode.attrs, mtime_ns=now_ns, ctime_ns=now_ns)

    async def _snapshot(self, inode: Inode) -> list[Entry]:
        entries = dict(await self._directories.list_all(inode))
        for child in self._inodes.children_of(inode):
            if child.version is None and self._nodes.is_ours(child):
                entries[child.name] = Entry(child.name, EntryKind.OBJECT, None)
        return list(entries.values())

    async def _look_up(self, handle: DirHandle, place: int) -> Inode | None:
        """Ask for an entry of unknown type, with the next ones of the kind already under way."""
        ahead = handle.entries[place : place + HEADS_AHEAD]
        self._book.request(
            entry.version for entry in ahead if entry.version is not None and self._nodes.needs_head(handle.inode, entry)
        )
        return await self._nodes.find(handle.inode, handle.entries[place].name)
