"""unlink, rename, symlink, readlink, mknod: what happens to names.

Imported by ``fuse``. A rename is a copy on the server, then a delete; in between both names exist there, never none.
"""

import stat
from enum import Enum
from typing import Final

from ssecfs.content.readahead import ReadAhead
from ssecfs.errors import (
    BadRequestError,
    EntryExistsError,
    IsADirError,
    NameTooLongError,
    NotADirError,
    NotPermittedError,
    RenameAcrossError,
)
from ssecfs.fs.directories import DirectoryOps
from ssecfs.fs.files import Existing, Files, Owner
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver, Tables
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always, ObjectVersion
from ssecfs.tree.inodes import Inode, Linkage
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import Name, check_name

MAX_SYMLINK_BYTES: Final = 4095

STORABLE_TYPES: Final = frozenset({stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK})


class Replace(Enum):
    """What rename does with a target that is there."""

    YES = "yes"
    NO = "no"


class Entries:
    """Operations on names. Owns nothing."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        tables: Tables,
        files: Files,
        directory_ops: DirectoryOps,
        store: ObjectStore,
        copier: Copier,
        saver: Saver,
    ) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._tables = tables
        self._files = files
        self._directory_ops = directory_ops
        self._store = store
        self._copier = copier
        self._saver = saver

    async def unlink(self, inode: Inode) -> None:
        """Remove a file; who has it open keeps its content.

        Raises:
            IsADirError: it is a directory.
        """
        if inode.attrs.is_dir:
            message = f"inode {inode.ino} is a directory: use rmdir"
            raise IsADirError(message)
        async with inode.lock:
            if inode.linkage is Linkage.UNLINKED:
                return
            await self._detach_content(inode)
            if inode.version is not None:
                await self._store.delete(inode.version.object_key)
            self._note_gone(inode)

    async def rename(self, inode: Inode, parent: Inode, raw_name: bytes, may_replace: Replace) -> None:
        """Give a file another name.

        Raises:
            RenameAcrossError: it is a directory (mv then copies it entry by entry).
            EntryExistsError: the target is there and must not be replaced.
            IsADirError: the target is a directory.
        """
        name = check_name(raw_name)
        target = await self._nodes.find(parent, name)
        if target is inode:
            return
        if target is not None and may_replace is Replace.NO:
            message = "the new name is taken"
            raise EntryExistsError(message)
        if inode.attrs.is_dir:
            if target is not None and not target.attrs.is_dir:
                message = f"the new name of directory {inode.ino} is that of a file"
                raise NotADirError(message)
            message = f"directory {inode.ino} cannot be renamed on the server: copy its entries, then remove them"
            raise RenameAcrossError(message)
        if target is not None and target.attrs.is_dir:
            message = f"the new name of file {inode.ino} is that of a directory"
            raise IsADirError(message)
        await self._rename_locked([inode] if target is None else sorted((inode, target), key=lambda one: one.ino), parent, name)

    async def symlink(self, parent: Inode, raw_name: bytes, target: bytes, owner: Owner) -> Inode:
        """Make a symbolic link: its target is the object's content, so SSE-C covers it. The inode counts as looked up."""
        if len(target) > MAX_SYMLINK_BYTES:
            message = f"a link's target has at most {MAX_SYMLINK_BYTES} bytes"
            raise NameTooLongError(message)
        return await self._store_new(parent, raw_name, owner, target)

    async def mknod(self, parent: Inode, raw_name: bytes, owner: Owner) -> Inode:
        """Make an empty file, FIFO or socket. The inode counts as looked up.

        Raises:
            NotPermittedError: device nodes.
        """
        if stat.S_IFMT(owner.mode) not in STORABLE_TYPES:
            message = "device nodes cannot be kept in a bucket"
            raise NotPermittedError(message)
        return await self._store_new(parent, raw_name, owner, b"")

    async def readlink(self, inode: Inode) -> bytes:
        """The target of a symbolic link."""
        if not inode.attrs.is_symlink:
            message = f"inode {inode.ino} is not a symbolic link"
            raise BadRequestError(message)
        open_file = self._tables.open_files.acquire(inode.ino, inode.version)
        try:
            return await open_file.read(0, MAX_SYMLINK_BYTES, ReadAhead())
        finally:
            self._tables.open_files.release(inode.ino)

    async def _store_new(self, parent: Inode, raw_name: bytes, owner: Owner, content: bytes) -> Inode:
        inode, fh = await self._files.create(parent, raw_name, owner, Existing.REFUSE)
        try:
            if content:
                await self._files.write(fh, 0, content)
            await self._saver.save(inode)
            self._tables.inodes.note_lookup(inode)
        except BaseException:
            self._tables.inodes.unlink(inode)
            raise
        finally:
            self._files.release(fh)
        self._directory_ops.note_changed(parent)
        return inode

    async def _rename_locked(self, locked: list[Inode], parent: Inode, name: Name) -> None:
        """Take the locks in ascending ino, then rename the inode that is not the target."""
        async with locked[0].lock:
            if len(locked) == 1:
                await self._move(locked[0], None, parent, name)
                return
            async with locked[1].lock:
                target = self._tables.inodes.child(parent, name)
                inode = locked[0] if locked[1] is target else locked[1]
                await self._move(inode, target, parent, name)

    async def _move(self, inode: Inode, target: Inode | None, parent: Inode, name: Name) -> None:
        old_parent, old_name, old_version = inode.parent, inode.name, inode.version
        assert old_parent is not None, "files have a parent"  # noqa: S101 - the root is a directory
        if target is not None:
            await self._detach_content(target)
        open_file = self._tables.open_files.peek(inode.ino)
        is_dirty = open_file is not None and open_file.is_dirty
        if old_version is not None and not is_dirty:
            await self._copy_to(inode, old_version, parent, name)
        replaced = target.version if target is not None else None
        if target is not None:
            self._note_gone(target)
        self._tables.inodes.move(inode, parent, name)
        self._tables.directories.note_removed(old_parent, old_name)
        if old_version is None or is_dirty:
            # The content travels with its next upload, over whatever was there; a file that is on the server goes there now.
            inode.version = replaced
            if old_version is not None:
                await self._saver.save_locked(inode)
        elif inode.version is not None:
            self._tables.directories.note_entry(parent, Entry(name, EntryKind.OBJECT, inode.version))
        if old_version is not None:
            await self._store.delete(old_version.object_key)
            self._tables.book.forget(old_version.object_key)
        self._directory_ops.note_changed(old_parent)
        self._directory_ops.note_changed(parent)

    async def _copy_to(self, inode: Inode, source: ObjectVersion, parent: Inode, name: Name) -> None:
        path = f"{parent.path}/{name.decode()}" if parent.path else name.decode()
        object_key = self._tables.namespace.file_key(path)
        attrs = inode.attrs
        version = await self._copier.copy(source, object_key, self._saver.metadata_for(attrs, object_key), Always())
        self._saver.note_copied(inode, source, version)
        inode.version = version
        self._tables.book.note(version, attrs)

    async def _detach_content(self, inode: Inode) -> None:
        """Bring the content of a file that somebody has open here, before its object goes."""
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is not None and inode.version is not None:
            await open_file.detach()

    def _note_gone(self, inode: Inode) -> None:
        """The name is no more; who holds the inode keeps it."""
        parent = inode.parent
        assert parent is not None, "the root is never removed"  # noqa: S101 - only names are removed
        if inode.version is not None:
            self._tables.book.forget(inode.version.object_key)
            self._tables.cache.drop(inode.version.object_key)
        self._tables.directories.note_removed(parent, inode.name)
        self._directory_ops.note_changed(parent)
        self._tables.inodes.unlink(inode)
