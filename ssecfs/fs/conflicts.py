"""Lost races: another client changed, made or deleted the object that ours was to replace. Neither's bytes are lost.

What lives here: what happens then. What does not: how it is noticed (the store's conditions), who is told (``saving`` lets the
error through). Imported by ``fs.saving`` and ``app``.

Our content goes to ``NAME.conflict-HOST-TIME`` beside theirs. Then the inode shows theirs, and handles from before are stale. A
change of attributes alone is not kept: theirs count.
"""

import logging
import re
import stat
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn

import trio

from ssecfs.content.openfile import OpenFile
from ssecfs.content.upload import send_all
from ssecfs.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.sealing import Sealing
from ssecfs.fs.streaming import Streaming
from ssecfs.s3.copying import Copier
from ssecfs.s3.multipart import Reader
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import MAX_OBJECT_KEY_BYTES, IfAbsent, ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.tree.attrbook import AttrBook, Known
from ssecfs.tree.attrs import SEAL_NAME
from ssecfs.tree.attrtext import NS_PER_S
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import Inode, InodeTable, Knowledge, Linkage, Saved
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import MAX_NAME_BYTES, Name, Namespace, join_path

LOGGER: Final = logging.getLogger(__name__)

MAX_HOST_CHARACTERS: Final = 64
_NOT_OF_A_HOST: Final = re.compile(r"[^A-Za-z0-9.-]")

INCOMPLETE: Final = "-incomplete"
"""Ends the name of a copy with zeros where the old version was neither changed nor kept on this machine."""

ForgetAttributes = Callable[[int], None]
"""Makes the kernel ask again for the attributes of an inode number. Never waits."""


class Copy(Enum):
    """Why a content is kept under a name of its own."""

    CONFLICT = "conflict"
    """Another client's version counts."""
    RECOVERED = "recovered"
    """It was being written when the daemon ended."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where conflict copies come from, for their names.

    Attributes:
        host: name of this machine.
        now_ns: wall time in nanoseconds since the epoch.
    """

    host: str
    now_ns: Callable[[], int]

    def suffix(self, what: Copy) -> str:
        """What the name of a copy that is made now ends in; ASCII."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now_ns() // NS_PER_S))
        return f".{what.value}-{_NOT_OF_A_HOST.sub('-', self.host)[:MAX_HOST_CHARACTERS]}-{stamp}"


def conflict_name(name: bytes, suffix: str, limit: int) -> Name:
    """A name and a suffix, the name cut between two characters so that both have at most limit bytes."""
    kept = name[: limit - len(suffix)].decode("utf-8", "ignore").encode()
    return Name(kept + suffix.encode())


class Conflicts:
    """Settles lost races. Owns nothing."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        copier: Copier,
        inodes: InodeTable,
        directories: Directories,
        book: AttrBook,
        namespace: Namespace,
        ledger: Ledger,
        streaming: Streaming,
        seal_key: bytes,
        origin: Origin,
        forget_attributes: ForgetAttributes,
    ) -> None:
        """Take the collaborators."""
        self._store = store
        self._copier = copier
        self._inodes = inodes
        self._directories = directories
        self._book = book
        self._namespace = namespace
        self._ledger = ledger
        self._streaming = streaming
        self._seal_key = seal_key
        self._origin = origin
        self._forget_attributes = forget_attributes

    async def settle(self, inode: Inode, object_key: ObjectKey, open_file: OpenFile | None) -> ObjectInfo:
        """See what is there instead of the version that we know. Locks: requires the inode's, and its file held still.

        Args:
            inode: what was to be saved.
            object_key: its object.
            open_file: its content, if that is in the open-file table.

        Returns:
            What is there, if it is ours after all: an upload whose answer was lost.

        Raises:
            ObjectChangedError: it is theirs; unsaved content is kept beside it now, and the inode shows theirs.
            StoreError: the endpoint refused or could not be reached; everything is as before.
        """
        as_of = trio.current_time()
        try:
            info = await self._store.head(object_key)
        except ObjectMissingError:
            await self._give_way(inode, open_file, None)
        if info.metadata.get(SEAL_NAME) not in inode.unsure:
            await self._give_way(inode, open_file, self._book.note_info(info, as_of))
        return info

    async def settle_lost(self, inode: Inode, open_file: OpenFile | None) -> NoReturn:
        """Keep what is unsaved of an inode whose name went away on the server before. Locks: requires the inode's.

        Raises:
            ObjectChangedError: done.
            StoreError: as settle.
        """
        async with open_file.held_still() if open_file is not None else nullcontext():
            await self._give_way(inode, open_file, None)

    async def _give_way(self, inode: Inode, open_file: OpenFile | None, theirs: Known | None) -> NoReturn:
        """Keep ours, show theirs (None: nothing), say so."""
        fate = "our change of its attributes is dropped"
        if open_file is not None and open_file.is_dirty:
            ending = await self.keep_beside(inode, open_file, Copy.CONFLICT)
            fate = f"our content is kept beside it under a name that ends in {ending}"
        self._show(inode, open_file, theirs)
        what = "deleted" if theirs is None else "stored"
        message = f"inode {inode.ino} was {what} by another client, which counts: {fate}"
        LOGGER.warning(message)
        raise ObjectChangedError(message)

    async def keep_beside(self, inode: Inode, open_file: OpenFile, what: Copy) -> str:
        """Upload a content under a name of its own, beside the inode's; gives what the name ends in.

        Raises:
            StoreError: the endpoint refused or could not be reached; everything is as before.
        """
        suffix = self._origin.suffix(what)
        try:
            return await self._store_beside(inode, open_file, open_file.read_whole, suffix)
        except ObjectChangedError:
            # The old version is gone from the server, and not all of it is in the cache.
            return await self._store_beside(inode, open_file, open_file.read_left, suffix + INCOMPLETE)

    async def _store_beside(self, inode: Inode, open_file: OpenFile, read: Reader, suffix: str) -> str:
        """Upload under the first name that is free; gives what it ends in."""
        ending, number = suffix, 1
        while True:
            parent, name = self._place_beside(inode, ending)
            object_key = self._namespace.file_key(join_path(parent.path, name))
            sealing = Sealing(inode, object_key, self._seal_key, _note_nothing)
            try:
                version = await send_all(self._copier, open_file, read, object_key, sealing, IfAbsent())
            except ObjectExistsError:
                number += 1
                ending = f"{suffix}-{number}"
                continue
            self._book.note(version, sealing.stored)
            self._directories.note_entry(parent, Entry(name, EntryKind.OBJECT, version))
            return ending

    def _place_beside(self, inode: Inode, suffix: str) -> tuple[Inode, Name]:
        """A directory and a name in it: that of the inode, or the next above in which the object key is not too long."""
        parent = inode.parent
        assert parent is not None, "the root is no file"  # noqa: S101 - a bug, not an input
        while True:
            room = MAX_OBJECT_KEY_BYTES - len(self._namespace.listing_prefix(parent.path).encode())
            if room > len(suffix) or parent.parent is None:
                return parent, conflict_name(inode.name, suffix, min(MAX_NAME_BYTES, room))
            parent = parent.parent

    def _show(self, inode: Inode, open_file: OpenFile | None, theirs: Known | None) -> None:
        """Let the inode be what is on the server, or nothing. Atomic."""
        version = theirs.version if theirs is not None else None
        self._ledger.drop(inode)
        self._streaming.drop(inode)
        if open_file is not None:
            open_file.rebase(version)
        inode.unsure, inode.saved, inode.seen_version = frozenset(), Saved.YES, None
        if inode.parent is not None and inode.linkage is Linkage.LINKED:
            self._show_name(inode.parent, inode, version)
            if theirs is None or stat.S_IFMT(theirs.attrs.mode) != stat.S_IFMT(inode.attrs.mode):
                self._inodes.lose(inode)
            else:
                inode.attrs, inode.version = theirs.attrs, version
                inode.knowledge, inode.checked_at = Knowledge.FULL, theirs.as_of
        self._forget_attributes(inode.ino)

    def _show_name(self, parent: Inode, inode: Inode, version: ObjectVersion | None) -> None:
        if inode.attrs.is_dir:
            self._directories.drop(parent)
        elif version is None:
            self._directories.note_removed(parent, inode.name)
        else:
            self._directories.note_entry(parent, Entry(inode.name, EntryKind.OBJECT, version))


async def _note_nothing(_inode: Inode, _seal: str) -> None:
    """A copy beside is no upload of the file itself."""
