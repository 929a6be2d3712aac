"""symlink, readlink, mknod: entries that are complete when they are made, and on the server at once.

Imported by ``fuse``.
"""

import stat
from typing import Final

from ssecfs.content.readahead import ReadAhead
from ssecfs.errors import BadRequestError, NameTooLongError, NotPermittedError, ObjectExistsError
from ssecfs.fs.files import Existing, Files, Owner
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Tables
from ssecfs.tree.inodes import Inode

MAX_SYMLINK_BYTES: Final = 4095

STORABLE_TYPES: Final = frozenset({stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK})


class Entries:
    """Operations on names. Owns nothing."""

    def __init__(
        self,
        *,
        tables: Tables,
        files: Files,
        saver: Saver,
    ) -> None:
        """Take the collaborators."""
        self._tables = tables
        self._files = files
        self._saver = saver

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
            await self._saver.save_new(inode)
            self._tables.inodes.note_lookup(inode)
        except ObjectExistsError:
            self._tables.directories.drop(parent)
            self._tables.inodes.unlink(inode)
            raise
        except BaseException:
            self._tables.inodes.unlink(inode)
            raise
        finally:
            self._files.release(fh)
        return inode
