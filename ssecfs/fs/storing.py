"""Storing: how one inode gets to the server: as an upload with all its attributes, a copy for attributes alone, a marker.

What lives here: the requests of one save, and what is noted when they have succeeded. What does not: when (``saving``), how
bytes are uploaded (``content.upload``). Imported by the rest of ``fs`` and by ``app``. Locks: callers hold the inode's.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from ssecfs.cache.blockcache import BlockCache
from ssecfs.content.openfile import OpenFile
from ssecfs.content.openfiles import OpenFiles
from ssecfs.content.upload import upload as send
from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError
from ssecfs.fs.conflicts import Conflicts, ForgetAttributes
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.sealing import Sealing, Timing
from ssecfs.fs.streaming import Streaming
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Absence, Always, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion, PutCondition
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import SEAL_NAME, Attrs, format_metadata
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import Inode, InodeTable, Linkage, Saved
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import Namespace

LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that storing reads and updates."""

    inodes: InodeTable
    directories: Directories
    book: AttrBook
    open_files: OpenFiles
    cache: BlockCache
    namespace: Namespace


@dataclass(slots=True)
class Progress:
    """What saving has done so far; for status.

    Attributes:
        saved_s, failed_s: when it last succeeded and failed, seconds since the epoch; 0: never.
    """

    saved: int = 0
    failed: int = 0
    last_error: str = ""
    saved_s: float = 0.0
    failed_s: float = 0.0

    @property
    def is_failing(self) -> bool:
        """Tell whether the last attempt failed."""
        return self.failed_s > self.saved_s

    def note_success(self) -> None:
        """Count an attempt that succeeded."""
        self.saved += 1
        self.saved_s = time.time()

    def note_failure(self, error: Exception) -> None:
        """Count an attempt that failed."""
        self.failed += 1
        self.failed_s = time.time()
        self.last_error = str(error)


Upload = Callable[[PutCondition], Awaitable[ObjectVersion]]


class Storing:
    """Stores inodes.

    A file with new content is one upload with all its attributes; a change of attributes alone is a copy on the server.

    Owns: the counts of what was done.
    """

    def __init__(
        self,
        *,
        tables: Tables,
        store: ObjectStore,
        copier: Copier,
        conflicts: Conflicts,
        ledger: Ledger,
        streaming: Streaming,
        forget_attributes: ForgetAttributes,
        seal_key: bytes,
    ) -> None:
        """Take the collaborators."""
        self._tables = tables
        self._store = store
        self._copier = copier
        self._conflicts = conflicts
        self._ledger = ledger
        self._streaming = streaming
        self._forget_attributes = forget_attributes
        self._seal_key = seal_key
        self.progress = Progress()

    def metadata_for(self, attrs: Attrs, object_key: ObjectKey) -> dict[str, str]:
        """The sealed metadata that carries attributes at an object key."""
        return format_metadata(attrs, object_key, self._seal_key)

    def note_stored(self, inode: Inode, version: ObjectVersion, attrs: Attrs) -> None:
        """Everywhere take note that an inode's object is now version, with attrs, sealed. Atomic."""
        stored = attrs.as_stored()
        inode.version = version
        if inode.attrs is attrs:
            inode.attrs = stored
            inode.saved = Saved.YES
        inode.unsure = frozenset()
        inode.checked_at = trio.current_time()
        self._tables.book.note(version, stored)
        if attrs.is_dir:
            self._tables.directories.note_marker(inode, version)
        parent = inode.parent
        if parent is not None and inode.linkage is Linkage.LINKED:
            kind = EntryKind.DIRECTORY if attrs.is_dir else EntryKind.OBJECT
            shown = None if attrs.is_dir else version
            self._tables.directories.note_entry(parent, Entry(inode.name, kind, shown))
        self.progress.note_success()

    async def upload_as(self, inode: Inode, open_file: OpenFile, object_key: ObjectKey, condition: PutCondition) -> None:
        """Upload a file's content under an object key that it moves to at once; the caller holds its lock."""
        async with open_file.held_still():
            inode.take_reads()
            sealing, upload = await self._begin(inode, open_file, object_key)
            version = await upload(condition)
            reach(CrashPoint.STORED)
            await self._ledger.note_arrived(inode)
            reach(CrashPoint.SETTLED)
            self._note_uploaded(inode, open_file, version, sealing)

    async def upload(self, inode: Inode, open_file: OpenFile) -> None:
        """Upload over the version that we know of; if another client's is there, it counts."""
        object_key = self._tables.namespace.file_key(inode.path)
        async with open_file.held_still():
            inode.take_reads()
            sealing, upload = await self._begin(inode, open_file, object_key)
            while True:
                try:
                    version = await upload(self.condition_for(inode))
                except (ObjectExistsError, ObjectChangedError):
                    arrived = await self._conflicts.settle(inode, object_key, open_file)
                    version = arrived.version
                    if arrived.metadata != sealing.sent:
                        open_file.note_arrived(version)
                        inode.version = version
                        sealing, upload = await self._begin(inode, open_file, object_key)
                        continue
                reach(CrashPoint.STORED)
                await self._ledger.note_arrived(inode)
                reach(CrashPoint.SETTLED)
                self._note_uploaded(inode, open_file, version, sealing)
                break
        if sealing.timing is Timing.OVERTAKEN and inode.saved is Saved.NO:
            await self.save_attrs(inode)

    async def find_arrived(self, inode: Inode) -> ObjectVersion | None:
        """The object of a file whose upload failed for all we know, but got there: it must not stay under the old name."""
        object_key = self._tables.namespace.file_key(inode.path)
        if not inode.unsure:
            return None
        try:
            info = await self._store.head(object_key)
        except ObjectMissingError:
            return None
        return info.version if info.metadata.get(SEAL_NAME) in inode.unsure else None

    async def save_vouched(self, *inodes: Inode | None) -> None:
        """Before the server knows of a rename: what a record vouches for has to be there under the name that it has.

        Else the end of the daemon in the middle of the rename would leave an older content under one of the names.
        """
        for inode in inodes:
            open_file = self._tables.open_files.peek(inode.ino) if inode is not None else None
            if inode is not None and open_file is not None and self._ledger.vouches_for(inode):
                await self.upload(inode, open_file)

    async def _begin(self, inode: Inode, open_file: OpenFile, object_key: ObjectKey) -> tuple[Sealing, Upload]:
        """The upload of a content, or of what streaming has left of it, and the attributes that go with it."""
        stream = await self._streaming.take(inode, object_key)
        if stream is not None:
            await self._ledger.note_sending(inode, stream.sealing.sent[SEAL_NAME])
            return stream.sealing, partial(self._streaming.complete, stream)
        sealing = Sealing(inode, object_key, self._seal_key, self._ledger.note_sending)
        return sealing, partial(send, self._copier, open_file, object_key, sealing)

    def _note_uploaded(self, inode: Inode, open_file: OpenFile, version: ObjectVersion, sealing: Sealing) -> None:
        if sealing.timing is not Timing.COMPLETE:
            sealing.stored = replace(sealing.stored, size=version.size)
        if sealing.timing is Timing.EARLY:
            inode.attrs = sealing.stored
            self._forget_attributes(inode.ino)
        elif inode.attrs is sealing.attrs:
            inode.attrs = sealing.stored
        if inode.linkage is Linkage.UNLINKED:
            return
        had_pages = inode.seen_version is not None and inode.seen_version == open_file.base
        open_file.note_saved(version)
        if had_pages or inode.seen_version is None:
            inode.seen_version = version
        self.note_stored(inode, version, sealing.stored)

    def condition_for(self, inode: Inode) -> PutCondition:
        """What an upload may replace: the version that we know of, or nothing."""
        if inode.version is not None:
            return IfUnchanged(inode.version)
        is_listed = inode.parent is not None and self._tables.directories.knows_absent(inode.parent, inode.name)
        return IfAbsent(Absence.LISTED if is_listed else Absence.UNKNOWN)

    async def save_attrs(self, inode: Inode) -> None:
        """Copy an object onto itself with other attributes; a directory gets its marker."""
        inode.take_reads()
        attrs = inode.attrs
        if attrs.is_dir:
            await self.save_marker(inode)
            return
        object_key = self._tables.namespace.file_key(inode.path)
        metadata = await Sealing(inode, object_key, self._seal_key, self._ledger.note_sending)(attrs.sha256)
        while True:
            base = inode.version
            assert base is not None, "a file without a version has unsaved content"  # noqa: S101 - see save
            try:
                version = await self._copier.copy(base, object_key, metadata, IfUnchanged(base))
            except ObjectChangedError:
                open_file = self._tables.open_files.peek(inode.ino)
                async with open_file.held_still() if open_file is not None else nullcontext():
                    arrived = await self._conflicts.settle(inode, object_key, open_file)
                version = inode.version = arrived.version
                self.note_copied(inode, base, version)
                if arrived.metadata != metadata:
                    continue
            else:
                self.note_copied(inode, base, version)
            self.note_stored(inode, version, attrs)
            return

    async def save_marker(self, inode: Inode, goes: ObjectVersion | None = None) -> None:
        """Store a directory's marker with its attributes; one that has a body is a file, and stays unless it is what goes."""
        attrs = inode.attrs
        marker_key = self._tables.namespace.marker_key(inode.path)
        metadata = self.metadata_for(attrs, marker_key)
        try:
            condition = IfAbsent() if inode.version is None else Always()
            version = await self._store.put(marker_key, b"", metadata, condition)
        except ObjectExistsError:
            there = (await self._store.head(marker_key)).version
            if there.size and not (goes is not None and there.is_same(goes)):
                LOGGER.warning("directory %d keeps its attributes only here: its marker is a file with content", inode.ino)
                inode.saved = Saved.YES
                return
            version = await self._store.put(marker_key, b"", metadata, IfUnchanged(there))
        self.note_stored(inode, version, attrs)

    def note_copied(self, inode: Inode, base: ObjectVersion, version: ObjectVersion) -> None:
        """Take note that an inode's bytes were copied on the server from base to version: what is cached stays good."""
        self._tables.cache.rebind(base, version)
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is not None and open_file.base is not None:
            open_file.note_copied(version)
        if inode.seen_version == base:
            inode.seen_version = version
