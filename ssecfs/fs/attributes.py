"""setattr: chmod, chown, utimens and truncate, by path or by handle.

Imported by ``fuse``. The change is true at once here and reaches the server in a moment (``saving``), or with the next close,
fsync, rename or unmount.
"""

from dataclasses import dataclass, replace

from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import IsADirError
from ssecfs.fs.files import Clock, without_set_ids
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, Saved


@dataclass(frozen=True, slots=True)
class AttrChange:
    """What setattr asks for; None: leave it.

    Attributes:
        mode: permission bits (the file type never changes).
        size: bytes.
        atime_ns, mtime_ns: nanoseconds since the epoch.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


class Attributes:
    """Changes of attributes. Owns nothing."""

    def __init__(self, *, nodes: Nodes, open_files: OpenFiles, saver: Saver, now_ns: Clock) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._open_files = open_files
        self._saver = saver
        self._now_ns = now_ns

    async def change(self, inode: Inode, change: AttrChange) -> Attrs:
        """Apply a change and give the new attributes.

        Raises:
            IsADirError: a size for a directory.
            NoEntryError: the file is gone.
        """
        await self._nodes.getattr(inode)
        if change.size is not None:
            await self._resize(inode, change.size)
        before = inode.attrs
        after = _changed(before, change, self._now_ns())
        if after != before:
            inode.attrs = after
            inode.saved = Saved.NO
        if inode.saved is Saved.NO:
            open_file = self._open_files.peek(inode.ino)
            if open_file is None or not open_file.is_dirty:
                self._saver.save_soon(inode)
        return inode.attrs

    async def _resize(self, inode: Inode, size: int) -> None:
        if inode.attrs.is_dir:
            message = f"inode {inode.ino} is a directory and has no size to change"
            raise IsADirError(message)
        open_file = self._open_files.acquire(inode.ino, inode.version)
        try:
            await open_file.truncate(size)
            inode.attrs = inode.attrs.with_content(size, self._now_ns())
            if open_file.is_dirty:
                # Nobody may have it open (truncate(2) by path, or open(2) with O_TRUNC that follows in a moment).
                self._saver.save_soon(inode)
        finally:
            self._open_files.release(inode.ino)


def _changed(attrs: Attrs, change: AttrChange, now_ns: int) -> Attrs:
    """The attributes after a change; ctime moves whenever anything was asked for. Pure."""
    if change == AttrChange(size=change.size):
        return attrs
    mode = attrs.mode
    if change.uid is not None or change.gid is not None:
        mode = without_set_ids(mode) if attrs.is_file else mode
    if change.mode is not None:
        mode = (attrs.mode & ~0o7777) | (change.mode & 0o7777)
    return replace(
        attrs,
        mode=mode,
        uid=attrs.uid if change.uid is None else change.uid,
        gid=attrs.gid if change.gid is None else change.gid,
        atime_ns=attrs.atime_ns if change.atime_ns is None else change.atime_ns,
        mtime_ns=attrs.mtime_ns if change.mtime_ns is None else change.mtime_ns,
        ctime_ns=now_ns,
    )
