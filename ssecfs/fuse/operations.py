"""pyfuse3 handlers: translate, delegate, translate back. Nothing here decides anything.

Imported by ``fuse.session`` and ``app``.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyfuse3

from ssecfs.errors import BadRequestError, NotPermittedError
from ssecfs.fs.attributes import Attributes, Overrides
from ssecfs.fs.directories import DOTS, DirectoryOps
from ssecfs.fs.entries import Entries
from ssecfs.fs.files import Access, Content, Existing, Files, Owner, Pages, Reads
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.removal import Removal
from ssecfs.fs.renames import Renames, Replace
from ssecfs.fs.statfs import Room, measure_room
from ssecfs.fs.xattrs import Xattrs
from ssecfs.fuse.boundary import replies, unanswered
from ssecfs.fuse.convert import attr_change, entry_attributes, missing_entry
from ssecfs.fuse.interrupts import Interrupts
from ssecfs.fuse.repeats import Repeats
from ssecfs.fuse.shedding import Shedding
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Name


@dataclass(frozen=True, slots=True)
class Filesystem:
    """The floor below, as the handlers use it."""

    inodes: InodeTable
    nodes: Nodes
    files: Files
    directories: DirectoryOps
    entries: Entries
    removal: Removal
    renames: Renames
    attributes: Attributes
    xattrs: Xattrs
    overrides: Overrides


LONGEST_S: Final = 1e9
"""As for ever as the kernel can count."""


class Operations(pyfuse3.Operations):
    """The kernel's requests. Invariant: each reply that hands out an inode has counted one lookup."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, filesystem: Filesystem, interrupts: Interrupts) -> None:
        """Take the floor below, and what lets go who is not to wait for it any more."""
        super().__init__()
        self._fs = filesystem
        self._interrupts = interrupts
        self._repeats = Repeats()
        self._shedding = Shedding(filesystem.inodes)

    def _reply(self, inode: Inode) -> pyfuse3.EntryAttributes:
        self._fs.inodes.note_lookup(inode)
        self._shedding.note_growth()
        return self._describe(inode)

    def _describe(self, inode: Inode) -> pyfuse3.EntryAttributes:
        shown = self._fs.overrides.shown(inode.attrs)
        return entry_attributes(inode, shown, min(self._fs.nodes.valid_for_s(inode), LONGEST_S))

    def _uncount(self, inode: Inode) -> None:
        """The kernel never got to see an inode that was made for it."""
        self._fs.nodes.forget(inode.ino, 1)

    def _missing(self, parent_ino: int) -> pyfuse3.EntryAttributes:
        return missing_entry(min(self._fs.nodes.missing_for_s(self._fs.nodes.get(parent_ino)), LONGEST_S))

    def _owner(self, ctx: pyfuse3.RequestContext, mode: int) -> Owner:
        return self._fs.overrides.owner(ctx.uid, ctx.gid, mode)

    @replies
    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name."""
        with self._repeats.answered_once(parent_inode, name), self._interrupts.ending(ctx.pid):
            inode = await self._fs.nodes.find(self._fs.nodes.get(parent_inode), Name(name))
        return self._missing(parent_inode) if inode is None else self._reply(inode)

    @unanswered
    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """Give back lookups."""
        for ino, nlookup in inode_list:
            self._fs.nodes.forget(ino, nlookup)

    @replies
    async def getattr(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Describe an inode."""
        node = self._fs.nodes.get(inode)
        with self._interrupts.ending(ctx.pid):
            await self._fs.nodes.getattr(node)
        return self._describe(node)

    @replies
    async def setattr(
        self,
        inode: pyfuse3.InodeT,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: pyfuse3.FileHandleT | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change attributes or size."""
        node = self._fs.files.inode_of(fh) if fh is not None else self._fs.nodes.get(inode)
        change = partial(self._fs.attributes.change, node, attr_change(attr, fields, fh))
        await self._interrupts.outliving(ctx.pid, change)
        return self._describe(node)

    @replies
    async def readlink(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileNameT:
        """Read a symbolic link."""
        with self._interrupts.ending(ctx.pid):
            return pyfuse3.FileNameT(await self._fs.entries.readlink(self._fs.nodes.get(inode)))

    @replies
    async def mknod(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        rdev: int,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Make a file, FIFO or socket."""
        parent = self._fs.nodes.get(parent_inode)
        make = partial(self._fs.entries.mknod, parent, name, self._owner(ctx, mode))
        return self._describe(await self._interrupts.outliving(ctx.pid, make, self._uncount))

    @replies
    async def mkdir(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, mode: pyfuse3.ModeT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        owner = self._owner(ctx, stat.S_IFDIR | stat.S_IMODE(mode))
        make = partial(self._fs.directories.mkdir, self._fs.nodes.get(parent_inode), name, owner)
        return self._describe(await self._interrupts.outliving(ctx.pid, make, self._uncount))

    @replies
    async def unlink(self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext) -> None:
        """Remove a file."""
        with self._interrupts.ending(ctx.pid):
            child = await self._child(parent_inode, name)
        await self._interrupts.outliving(ctx.pid, partial(self._fs.removal.unlink, child))

    @replies
    async def rmdir(self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext) -> None:
        """Remove a directory."""
        with self._interrupts.ending(ctx.pid):
            child = await self._child(parent_inode, name)
        await self._interrupts.outliving(ctx.pid, partial(self._fs.removal.rmdir, child))

    @replies
    async def symlink(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        target: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link."""
        owner = self._owner(ctx, stat.S_IFLNK | 0o777)
        parent = self._fs.nodes.get(parent_inode)
        make = partial(self._fs.entries.symlink, parent, name, target, owner)
        return self._describe(await self._interrupts.outliving(ctx.pid, make, self._uncount))

    @replies
    async def rename(
        self,
        parent_inode_old: pyfuse3.InodeT,
        name_old: pyfuse3.FileNameT,
        parent_inode_new: pyfuse3.InodeT,
        name_new: pyfuse3.FileNameT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename; of the flags, only RENAME_NOREPLACE is done (EINVAL tells the caller so)."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            message = "exchanging two names is not possible on a bucket"
            raise BadRequestError(message)
        with self._interrupts.ending(ctx.pid):
            inode = await self._child(parent_inode_old, name_old)
        may_replace = Replace.NO if flags else Replace.YES
        rename = partial(self._fs.renames.rename, inode, self._fs.nodes.get(parent_inode_new), name_new, may_replace)
        await self._interrupts.outliving(ctx.pid, rename)

    @replies
    async def link(
        self,
        inode: pyfuse3.InodeT,
        new_parent_inode: pyfuse3.InodeT,
        new_name: pyfuse3.FileNameT,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Refuse hard links, as filesystems without them do."""
        message = "hard links are not possible on a bucket"
        raise NotPermittedError(message)

    @replies
    async def open(self, inode: pyfuse3.InodeT, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        content = Content.EMPTY if flags & os.O_TRUNC else Content.KEEP
        reads = Reads.IGNORED if flags & os.O_NOATIME else Reads.NOTED
        access = Access.READ if flags & os.O_ACCMODE == os.O_RDONLY else Access.WRITE
        with self._interrupts.ending(ctx.pid):
            fh, pages = await self._fs.files.open(self._fs.nodes.get(inode), content, access, reads)
        self._fs.files.note_opener(fh, ctx.pid)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(fh), keep_cache=pages is Pages.KEEP)

    @replies
    async def create(
        self,
        parent_inode: pyfuse3.InodeT,
        name: pyfuse3.FileNameT,
        mode: pyfuse3.ModeT,
        flags: pyfuse3.FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it."""
        owner = self._owner(ctx, stat.S_IFREG | stat.S_IMODE(mode))
        taken = Existing.EMPTY if flags & os.O_TRUNC else Existing.OPEN
        existing = Existing.REFUSE if flags & os.O_EXCL else taken
        with self._interrupts.ending(ctx.pid):
            inode, fh = await self._fs.files.create(self._fs.nodes.get(parent_inode), name, owner, existing)
        self._fs.files.note_opener(fh, ctx.pid)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(fh)), self._reply(inode)

    @replies
    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> bytes:
        """Read."""
        with self._interrupts.ending(self._fs.files.opener(fh)):
            return await self._fs.files.read(fh, off, size)

    @replies
    async def write(self, fh: pyfuse3.FileHandleT, off: int, buf: bytes) -> int:
        """Write."""
        with self._interrupts.ending(self._fs.files.opener(fh)):
            return await self._fs.files.write(fh, off, buf)

    @replies
    async def flush(self, fh: pyfuse3.FileHandleT) -> None:
        """Upload, for close(2)."""
        await self._interrupts.outliving(self._fs.files.opener(fh), partial(self._fs.files.flush, fh))

    @replies
    async def release(self, fh: pyfuse3.FileHandleT) -> None:
        """Drop a handle."""
        self._fs.files.release(fh)

    @replies
    async def fsync(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:  # noqa: FBT001 - pyfuse3's signature
        """Upload."""
        await self._interrupts.outliving(self._fs.files.opener(fh), partial(self._fs.files.fsync, fh))

    @replies
    async def opendir(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        """Open a directory."""
        return pyfuse3.FileHandleT(self._fs.directories.opendir(self._fs.nodes.get(inode), ctx.pid))

    @replies
    async def readdir(self, fh: pyfuse3.FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List, until the reply is full."""

        def show(inode: Inode, name: bytes, next_id: int) -> bool:
            if pyfuse3.readdir_reply(token, pyfuse3.FileNameT(name), self._describe(inode), next_id):
                if name not in DOTS:  # those two the kernel does not count
                    self._fs.inodes.note_lookup(inode)
                return True
            self._fs.inodes.release_unused(inode)
            return False

        with self._interrupts.ending(self._fs.directories.opener(fh)):
            await self._fs.directories.readdir(fh, start_id, show)
        self._shedding.note_growth()

    @replies
    async def releasedir(self, fh: pyfuse3.FileHandleT) -> None:
        """Drop a directory handle."""
        self._fs.directories.releasedir(fh)

    @replies
    async def fsyncdir(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:  # noqa: FBT001 - pyfuse3's signature
        """Save the attributes; names are on the server when their operation returns."""
        await self._interrupts.outliving(self._fs.directories.opener(fh), partial(self._fs.directories.fsyncdir, fh))

    @replies
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Tell the room there is."""
        return _statvfs(measure_room(len(self._fs.inodes)))

    @replies
    async def access(self, inode: pyfuse3.InodeT, mode: pyfuse3.ModeT, ctx: pyfuse3.RequestContext) -> bool:
        """Allow: the kernel checks permissions itself (default_permissions)."""
        return True

    async def _child(self, parent_ino: int, name: bytes) -> Inode:
        return await self._fs.nodes.lookup(self._fs.nodes.get(parent_ino), Name(name))


def _statvfs(room: Room) -> pyfuse3.StatvfsData:
    data = pyfuse3.StatvfsData()
    data.f_bsize = room.block_bytes
    data.f_frsize = room.block_bytes
    data.f_blocks = data.f_bfree = data.f_bavail = room.blocks
    data.f_files = room.files
    data.f_ffree = data.f_favail = room.free_files
    data.f_namemax = room.name_max
    return data
