"""The handlers of extended attributes, apart from the others because a mount can do without.

Imported by ``app``. The kernel looks for ``security.capability`` before each write(2) of a program, as long as getxattr is
answered at all: that makes small writes slower. Where these handlers are missing, pyfuse3 answers ENOSYS and the kernel does
not ask again.
"""

from collections.abc import Sequence
from functools import partial

import pyfuse3

from ssecfs.fuse.boundary import replies
from ssecfs.fuse.operations import Operations


class XattrOperations(Operations):
    """All of the kernel's requests."""

    @replies
    async def setxattr(
        self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        """Set an extended attribute; pyfuse3 has dealt with XATTR_CREATE and XATTR_REPLACE."""
        await self._interrupts.outliving(ctx.pid, partial(self._fs.xattrs.set, self._fs.nodes.get(inode), name, value))

    @replies
    async def getxattr(self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, ctx: pyfuse3.RequestContext) -> bytes:
        """Give an extended attribute; pyfuse3 compares it with the room that the program has."""
        with self._interrupts.ending(ctx.pid):
            return await self._fs.xattrs.get(self._fs.nodes.get(inode), name)

    @replies
    async def listxattr(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> Sequence[pyfuse3.XAttrNameT]:
        """Name the extended attributes."""
        with self._interrupts.ending(ctx.pid):
            return [pyfuse3.XAttrNameT(name) for name in await self._fs.xattrs.names(self._fs.nodes.get(inode))]

    @replies
    async def removexattr(self, inode: pyfuse3.InodeT, name: pyfuse3.XAttrNameT, ctx: pyfuse3.RequestContext) -> None:
        """Remove an extended attribute."""
        await self._interrupts.outliving(ctx.pid, partial(self._fs.xattrs.remove, self._fs.nodes.get(inode), name))
