"""Create, open, read, write, flush, fsync, release: what happens through a handle.

Imported by ``fuse``. Flush (each close) returns when the content is safe (``closing`` says where), fsync when the
object is on the server, or with the error that kept it from getting there.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ssecfs.content.openfile import OpenFile
from ssecfs.content.openfiles import OpenFiles
from ssecfs.content.readahead import ReadAhead
from ssecfs.errors import BadHandleError, EntryExistsError, IsADirError, ObjectChangedError, StaleError
from ssecfs.fs.closing import Closing
from ssecfs.fs.descriptors import has_descriptor
from ssecfs.fs.filesahead import FilesAhead
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.newnames import NewNames
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.fs.streaming import Streaming
from ssecfs.s3.types import ByteRange
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, InodeTable, Linkage, Saved
from ssecfs.tree.listing import EntryKind

Clock = Callable[[], int]
"""Wall time in nanoseconds since the epoch."""


class Existing(Enum):
    """What create does with a name that is taken (the kernel may not have known)."""

    OPEN = "open"
    EMPTY = "open and empty"
    REFUSE = "refuse"


class Content(Enum):
    """What open does with the content."""

    KEEP = "keep"
    EMPTY = "empty"
    """O_TRUNC: the kernel leaves it to open."""


class Pages(Enum):
    """What the kernel may do with the pages it holds of a file that is being opened."""

    KEEP = "keep"
    DROP = "drop"


class Reads(Enum):
    """Whether reading moves the access time."""

    NOTED = "noted"
    IGNORED = "ignored"
    """O_NOATIME, or the mount option."""


class Access(Enum):
    """What a handle was opened for."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who makes a new file, and which permissions it asks for (umask already applied)."""

    uid: int
    gid: int
    mode: int


@dataclass(slots=True)
class FileHandle:
    """One open(2)."""

    inode: Inode
    open_file: OpenFile
    losses: int
    """Of the open file, when it was opened."""
    access: Access
    reads: Reads
    read_ahead: ReadAhead = field(default_factory=ReadAhead)
    opener: int = 0


class Files:
    """Operations on open files.

    Owns: the handle table. Invariant: each handle pins its inode and is a user of its OpenFile.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        new_names: NewNames,
        inodes: InodeTable,
        open_files: OpenFiles,
        saver: Saver,
        closing: Closing,
        ledger: Ledger,
        streaming: Streaming,
        files_ahead: FilesAhead,
        reads: Reads,
        now_ns: Clock,
    ) -> None:
        """Take the collaborators; reads is for all files of the mount."""
        self._nodes = nodes
        self._new_names = new_names
        self._inodes = inodes
        self._open_files = open_files
        self._saver = saver
        self._closing = closing
        self._ledger = ledger
        self._streaming = streaming
        self._files_ahead = files_ahead
        self._reads = reads
        self._now_ns = now_ns
        self._handles: dict[int, FileHandle] = {}
        self._next_fh = 1

    async def create(self, parent: Inode, raw_name: bytes, owner: Owner, existing: Existing) -> tuple[Inode, int]:
        """Make a new file and open it; nothing is sent to the server before it is closed.

        Raises:
            EntryExistsError: the name is taken and must not be opened.
        """
        name, found = await self._new_names.claim(parent, raw_name, EntryKind.OBJECT)
        if found is not None:
            if existing is not Existing.REFUSE and found.attrs.is_file:
                content = Content.EMPTY if existing is Existing.EMPTY else Content.KEEP
                return found, (await self.open(found, content, Access.WRITE))[0]
            message = f"the name is taken in directory {parent.ino}"
            raise EntryExistsError(message)
        inode = self._inodes.add(parent, name, new_attrs(owner, parent, self._now_ns()), None)
        inode.saved = Saved.NO
        parent.note_entries_changed(self._now_ns())
        return inode, self._open(inode, Access.WRITE, Reads.NOTED)

    async def open(self, inode: Inode, content: Content, access: Access, reads: Reads = Reads.NOTED) -> tuple[int, Pages]:
        """Open a file, checking first whether it changed on the server.

        Returns:
            The handle, and whether pages that the kernel holds are still true.

        Raises:
            AccessDeniedError: the object does not open with our customer keys.
            IsADirError: it is a directory.
            StaleError: it is gone from the server, or something else has its name.
        """
        if (await self._nodes.require_open(inode)).is_dir:
            message = f"inode {inode.ino} is a directory"
            raise IsADirError(message)
        fh = self._open(inode, Access.WRITE if content is Content.EMPTY else access, reads)
        base = self._handles[fh].open_file.base
        pages = Pages.KEEP if inode.seen_version is not None and inode.seen_version == base else Pages.DROP
        inode.seen_version = base
        if content is Content.EMPTY:
            try:
                await self._empty(fh)
            except BaseException:
                self.release(fh)
                raise
        return fh, pages

    async def _empty(self, fh: int) -> None:
        """Of an empty file, too: programs make time stamps so. The handle's release sees to it that it is saved."""
        handle = await self._let_change(fh)
        await handle.open_file.truncate(0)
        self._streaming.drop(handle.inode)
        self._note_written(handle, 0)

    async def read(self, fh: int, offset: int, length: int) -> bytes:
        """Read up to length bytes; shorter only at the end of the file."""
        handle = self._get(fh)
        if offset == 0 and not self._nodes.is_ours(handle.inode):
            self._files_ahead.note_read(handle.inode)
        try:
            piece = await handle.open_file.read(offset, length, handle.read_ahead)
        except ObjectChangedError:
            self._nodes.doubt(handle.inode)
            raise
        if Reads.IGNORED not in {handle.reads, self._reads}:
            handle.inode.note_read(self._now_ns())
        return piece

    async def write(self, fh: int, offset: int, piece: bytes) -> int:
        """Write piece; set-id bits go, whoever writes (the kernel does not say who; on a local disk root would leave them)."""
        handle = await self._let_change(fh)
        written = await handle.open_file.write(offset, piece)
        self._note_written(handle, written)
        self._streaming.note_written(handle.inode, handle.open_file, ByteRange(offset, offset + written))
        return written

    async def _let_change(self, fh: int) -> FileHandle:
        """Wait until the content may change, and insist on the handle then: what was saved meanwhile may have lost a race."""
        handle = self._get(fh)
        await self._saver.let_change(handle.inode, handle.open_file)
        return self._get(fh)

    def _note_written(self, handle: FileHandle, written_bytes: int) -> None:
        handle.inode.attrs = handle.inode.attrs.with_content(handle.open_file.size, self._now_ns())
        handle.inode.saved = Saved.NO
        handle.open_file.note_written()
        self._ledger.note_written(handle.inode, handle.open_file, written_bytes)

    def note_opener(self, fh: int, pid: int) -> None:
        """Remember which process, by the kernel's number, opened a handle."""
        self._get(fh).opener = pid

    def opener(self, fh: int) -> int:
        """The process that opened a handle."""
        return self._handles[fh].opener

    async def flush(self, fh: int) -> None:
        """Bring what is unsaved to safety, for close(2); an empty file waits for another close that is certain to come.

        A handle for reading has nothing to upload: what others write is for their own close.
        """
        if self._handles[fh].access is Access.READ:
            return
        handle = self._get(fh)
        if not handle.open_file.is_dirty:
            return
        if not handle.open_file.size and has_descriptor(handle.opener, handle.inode.ino):
            return
        await self._closing.close(handle.inode)

    async def fsync(self, fh: int) -> None:
        """Upload what is unsaved, attributes included."""
        await self._saver.save(self._get(fh).inode)

    def release(self, fh: int) -> None:
        """Drop a handle; what flush did not save follows in a moment (it could not, or only attributes changed)."""
        handle = self._handles.pop(fh)
        if handle.access is Access.WRITE:
            handle.open_file.writers -= 1
            if handle.open_file.is_dirty or handle.inode.saved is Saved.NO:
                self._saver.save_soon(handle.inode)
        self._open_files.release(handle.inode.ino)
        self._inodes.unpin(handle.inode)

    def inode_of(self, fh: int) -> Inode:
        """The inode behind a handle.

        Raises:
            StaleError: its file is another client's version by now.
        """
        return self._get(fh).inode

    def unsaved_inodes(self) -> list[Inode]:
        """The inodes of handles that are still open and have changes; for unmounting."""
        return list({handle.inode.ino: handle.inode for handle in self._handles.values()}.values())

    def _open(self, inode: Inode, access: Access, reads: Reads) -> int:
        open_file = self._open_files.acquire(inode.ino, inode.version)
        is_behind = inode.linkage is Linkage.LINKED and not open_file.is_dirty and open_file.base != inode.version
        if is_behind and inode.version is not None:
            open_file.rebase(inode.version)
        if access is Access.WRITE:
            open_file.writers += 1
        self._inodes.pin(inode)
        fh = self._next_fh
        self._next_fh += 1
        self._handles[fh] = FileHandle(inode, open_file, open_file.losses, access, reads)
        return fh

    def _get(self, fh: int) -> FileHandle:
        handle = self._handles.get(fh)
        if handle is None:
            message = f"no open file has the handle {fh}"
            raise BadHandleError(message)
        if handle.losses != handle.open_file.losses:
            message = f"inode {handle.inode.ino} is another client's version since it was opened; open it again"
            raise StaleError(message)
        return handle


def new_attrs(owner: Owner, parent: Inode, now_ns: int) -> Attrs:
    """Attributes of a new entry; in a directory with the setgid bit it gets the directory's group, as on Linux."""
    inherits = bool(parent.attrs.mode & stat.S_ISGID)
    mode = owner.mode | (stat.S_ISGID if inherits and stat.S_ISDIR(owner.mode) else 0)
    return Attrs(mode, owner.uid, parent.attrs.gid if inherits else owner.gid, 0, now_ns, now_ns, now_ns)
