"""unlink and rmdir, and what it means that a name goes.

Imported by ``fuse`` and ``fs.renames``. Who has a removed file open keeps its content: it is brought here before the object is
deleted.
"""

from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import IsADirError, NoEntryError, NotEmptyError
from ssecfs.fs.files import Clock
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.removed import Removed
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Storing, Tables
from ssecfs.fs.streaming import Streaming
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectKey, ObjectVersion
from ssecfs.tree.inodes import Inode, Linkage


class Removal:
    """Takes names away. Owns nothing."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        tables: Tables,
        store: ObjectStore,
        saver: Saver,
        storing: Storing,
        ledger: Ledger,
        streaming: Streaming,
        removed: Removed,
        gate: Gate,
        now_ns: Clock,
    ) -> None:
        """Take the collaborators."""
        self._ledger = ledger
        self._streaming = streaming
        self._removed = removed
        self._nodes = nodes
        self._tables = tables
        self._store = store
        self._saver = saver
        self._storing = storing
        self._gate = gate
        self._now_ns = now_ns

    async def unlink(self, inode: Inode) -> None:
        """Remove a file.

        Raises:
            IsADirError: it is a directory.
            NoEntryError: it is gone already.
        """
        if inode.attrs.is_dir:
            message = f"inode {inode.ino} is a directory: use rmdir"
            raise IsADirError(message)
        async with self._gate.changing(inode), inode.lock:
            require_linked(inode)
            await self.detach_content(inode)
            if inode.version is not None:
                async with self._ledger.removing(inode):
                    await self.delete(inode.version, parent_of(inode), is_last=await self.is_last(inode))
            elif (arrived := await self._storing.find_arrived(inode)) is not None:
                await self.delete(arrived, parent_of(inode), is_last=False)
            reach(CrashPoint.DELETED)
            self.note_gone(inode)

    async def rmdir(self, inode: Inode) -> None:
        """Remove an empty directory.

        Raises:
            NotADirError: it is none.
            NotEmptyError: it has entries, here or on the server.
            NoEntryError: it is gone already.
        """
        inode.require_directory()
        async with self._gate.changing(inode), inode.lock:
            require_linked(inode)
            markers = await self.require_empty(inode)
            if await self.is_last(inode):
                await self._storing.save_marker(parent_of(inode))
            for marker_key in markers:
                await self._store.delete(marker_key)
            self._tables.book.forget(self._tables.namespace.marker_key(inode.path))
            self.note_gone(inode)

    async def require_empty(self, directory: Inode) -> list[ObjectKey]:
        """Insist on a directory without entries, here and on the server; gives its markers.

        Raises:
            NotEmptyError: it has some.
        """
        unsaved = any(self._nodes.is_ours(child) for child in self._tables.inodes.children_of(directory))
        markers = await self._tables.directories.markers_of_empty(directory)
        if unsaved or markers is None:
            message = f"directory {directory.ino} is not empty"
            raise NotEmptyError(message)
        return markers

    async def detach_content(self, inode: Inode) -> None:
        """Bring the content of a file here that somebody has open, before its object goes."""
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is not None and inode.version is not None and self._saver.has_other_users(inode):
            await open_file.detach()

    async def is_last(self, inode: Inode) -> bool:
        """Tell whether the server would forget the directory of an inode with its object: no marker, nothing else in it.

        Raises:
            StoreError: the endpoint could not tell.
        """
        directory = parent_of(inode)
        if directory.parent is None or directory.version is not None:
            return False
        return await self._tables.directories.shows_only(directory, inode.name)

    async def delete(self, version: ObjectVersion, directory: Inode, *, is_last: bool) -> None:
        """Delete a file's object; the directory whose last one it is gets a marker first.

        Raises:
            StoreError: the endpoint refused or could not be reached.
        """
        if is_last:
            await self._storing.save_marker(directory, version)
            if version.object_key == self._tables.namespace.marker_key(directory.path):
                return  # the marker took its place
        self._removed.note(version)
        await self._store.delete(version.object_key)

    def note_gone(self, inode: Inode) -> None:
        """The name and the object are no more; who holds the inode keeps it. Atomic."""
        if inode.version is not None:
            self._tables.book.forget(inode.version.object_key)
            self._tables.cache.drop(inode.version.object_key)
        self.note_replaced(inode)

    def note_replaced(self, inode: Inode) -> None:
        """The name and the object belong to something else now; who holds the inode keeps it. Atomic."""
        parent = parent_of(inode)
        self._ledger.drop(inode)
        self._streaming.drop(inode)
        if inode.attrs.is_dir:
            self._tables.directories.drop_tree(inode)
        self._tables.directories.note_removed(parent, inode.name)
        parent.note_entries_changed(self._now_ns())
        inode.note_name_changed(self._now_ns())
        self._tables.inodes.unlink(inode)


def parent_of(inode: Inode) -> Inode:
    """The directory of an inode that is not the root."""
    assert inode.parent is not None, "the kernel neither removes nor renames the root"  # noqa: S101 - it answers EBUSY itself
    return inode.parent


def require_linked(inode: Inode) -> None:
    """Insist on an inode that still has its name.

    Raises:
        NoEntryError: somebody removed it while we waited.
    """
    if inode.linkage is not Linkage.LINKED:
        message = f"inode {inode.ino} was removed meanwhile"
        raise NoEntryError(message)
