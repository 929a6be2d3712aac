"""setattr: chmod, chown, utimens and truncate, by path or by handle.

Imported by ``fuse``. The change is true at once here and reaches the server in a moment (``saving``), or with the next close,
fsync, rename or unmount.
"""

import stat
from dataclasses import dataclass, replace
from typing import Final

from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import IsADirError, NotPermittedError, StaleError
from ssecfs.fs.files import Clock, Owner
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.fs.streaming import Streaming
from ssecfs.tree.attrs import Attrs, SealState, require_room, without_set_ids
from ssecfs.tree.inodes import Inode


@dataclass(frozen=True, slots=True)
class AttrChange:
    """What setattr asks for; None: leave it.

    Attributes:
        mode: permission bits (the file type never changes).
        size: bytes.
        atime_ns, mtime_ns: nanoseconds since the epoch.
        is_by_handle: whoever asks has the file open, and a new size is saved with the content when it is closed.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    is_by_handle: bool = False


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is shown instead of the stored owner and permissions (``--uid``, ``--gid``, ``--umask``); the stored ones stay.

    Attributes:
        uid, gid: None: as stored.
        umask: permission bits that are never shown, but for symbolic links, where they mean nothing.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int = 0

    def shown(self, attrs: Attrs) -> Attrs:
        """The attributes as a program sees them."""
        uid = attrs.uid if self.uid is None else self.uid
        gid = attrs.gid if self.gid is None else self.gid
        mode = attrs.mode if attrs.is_symlink else attrs.mode & ~self.umask
        if (mode, uid, gid) == (attrs.mode, attrs.uid, attrs.gid):
            return attrs
        return replace(attrs, mode=mode, uid=uid, gid=gid)

    def owner(self, uid: int, gid: int, mode: int) -> Owner:
        """Who a new entry of a process belongs to: it is stored as it is shown. The mask only hides."""
        return Owner(uid if self.uid is None else self.uid, gid if self.gid is None else self.gid, mode)

    def accept(self, change: AttrChange, attrs: Attrs) -> AttrChange:
        """The change to what is stored, if the mount allows it: owners stay, and so do the bits that are not shown.

        Raises:
            NotPermittedError: another owner or group than the one that everything has here.
        """
        for wanted, fixed in ((change.uid, self.uid), (change.gid, self.gid)):
            if wanted is not None and fixed is not None and wanted != fixed:
                message = f"on this mount everything belongs to {fixed} (--uid, --gid)"
                raise NotPermittedError(message)
        return replace(
            change,
            uid=change.uid if self.uid is None else None,
            gid=change.gid if self.gid is None else None,
            mode=change.mode if change.mode is None else change.mode & ~self.umask | attrs.mode & self.umask,
        )


AS_STORED: Final = Overrides()


class Attributes:
    """Changes of attributes. Owns nothing."""

    def __init__(
        self, *, nodes: Nodes, open_files: OpenFiles, saver: Saver, streaming: Streaming, overrides: Overrides, now_ns: Clock
    ) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._open_files = open_files
        self._saver = saver
        self._streaming = streaming
        self._overrides = overrides
        self._now_ns = now_ns

    async def change(self, inode: Inode, change: AttrChange) -> Attrs:
        """Apply a change and give the new attributes.

        Raises:
            AccessDeniedError: the object does not open with our customer keys.
            IsADirError: a size for a directory.
            NoEntryError: the file is gone.
            NotPermittedError: an owner that the mount does not allow.
            StaleError: the file became another client's version meanwhile.
            AttributeTooBigError: the object's metadata cannot hold our attributes beside those of other tools.
        """
        await self._nodes.require_open(inode)
        if change.size is not None:
            await self._resize(inode, change.size, is_by_handle=change.is_by_handle)
        change = replace(self._overrides.accept(change, inode.attrs), size=None, is_by_handle=False)
        if change != AttrChange():
            self._change(inode, change)
        return inode.attrs

    def _change(self, inode: Inode, change: AttrChange) -> None:
        before = inode.attrs
        after = _changed(before, change)
        now_ns = self._now_ns()
        if change.atime_ns is not None:
            inode.forget_reads()
        if replace(after, seal=before.seal) == before:
            # It was so already: as on a local disk ctime moves, but that alone is not worth a request.
            inode.attrs = replace(before, ctime_ns=now_ns)
            return
        require_room(after)
        self._saver.note_changed(inode, replace(after, ctime_ns=now_ns))

    async def _resize(self, inode: Inode, size: int, *, is_by_handle: bool) -> None:
        if inode.attrs.is_dir:
            message = f"inode {inode.ino} is a directory and has no size to change"
            raise IsADirError(message)
        open_file = self._open_files.acquire(inode.ino, inode.version)
        try:
            now_ns = self._now_ns()
            if size != open_file.size:
                losses = open_file.losses
                await self._saver.let_change(inode, open_file)
                if open_file.losses != losses:
                    message = f"inode {inode.ino} became another client's version while a change of its size waited"
                    raise StaleError(message)
                await open_file.truncate(size)
                self._streaming.drop(inode)
                inode.attrs = inode.attrs.with_content(size, now_ns)
            else:
                self._saver.note_changed(inode, replace(inode.attrs, mtime_ns=now_ns, ctime_ns=now_ns))
            if open_file.is_dirty and not is_by_handle:
                self._saver.save_soon(inode)
        finally:
            self._open_files.release(inode.ino)


def _changed(attrs: Attrs, change: AttrChange) -> Attrs:
    """The attributes after a change, ctime aside. Pure."""
    mode = attrs.mode
    if attrs.is_file and (change.uid is not None or change.gid is not None):
        mode = without_set_ids(mode)
    if change.mode is not None:
        mode = stat.S_IFMT(mode) | change.mode
    return replace(
        attrs,
        mode=mode,
        uid=attrs.uid if change.uid is None else change.uid,
        gid=attrs.gid if change.gid is None else change.gid,
        atime_ns=attrs.atime_ns if change.atime_ns is None else change.atime_ns,
        mtime_ns=attrs.mtime_ns if change.mtime_ns is None else change.mtime_ns,
        seal=SealState.MISSING,
    )
