"""Saving: bring what changed about an inode to the server, now or in a moment.

What lives here: which request a change needs (PUT, copy, marker) and when. What does not: how bytes are uploaded
(``content.upload``). Imported by the rest of ``fs`` and by ``app``.

A file with new content is one upload with all its attributes. A change of attributes alone is a copy on the server; those that
come in a row are waited for, so that chmod, chown and utimens are one copy. What cannot be saved stays unsaved, is tried again
and is never dropped.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from ssecfs.cache.blockcache import BlockCache
from ssecfs.content.openfile import OpenFile
from ssecfs.content.openfiles import OpenFiles
from ssecfs.content.upload import upload
from ssecfs.errors import ObjectChangedError, ObjectExistsError, SsecfsError
from ssecfs.fs.conflicts import Conflicts
from ssecfs.fs.gate import Gate
from ssecfs.fs.sealing import Sealing
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Absence, Always, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion, PutCondition
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Attrs, format_metadata
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import Inode, InodeTable, Linkage, Saved
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import Namespace

LOGGER: Final = logging.getLogger(__name__)

COALESCE_S: Final = 0.5
"""How long a change of attributes waits for the next one."""

RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to save what failed; the last one repeats."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that saving reads and updates."""

    inodes: InodeTable
    directories: Directories
    book: AttrBook
    open_files: OpenFiles
    cache: BlockCache
    namespace: Namespace


@dataclass(slots=True)
class Progress:
    """What saving has done so far; for status."""

    saved: int = 0
    failed: int = 0
    last_error: str = ""


class Saver:
    """Saves inodes.

    Owns: which inodes are waiting to be saved. Invariant: a waiting inode is pinned, and its file is in the open-file table.
    """

    def __init__(
        self,
        *,
        tables: Tables,
        store: ObjectStore,
        copier: Copier,
        conflicts: Conflicts,
        gate: Gate,
        seal_key: bytes,
        nursery: trio.Nursery,
    ) -> None:
        """Take the collaborators; nursery is the mount's."""
        self._tables = tables
        self._gate = gate
        self._store = store
        self._copier = copier
        self._conflicts = conflicts
        self._seal_key = seal_key
        self._nursery = nursery
        self._waiting: dict[int, _Waiting] = {}
        self.progress = Progress()

    @property
    def waiting(self) -> int:
        """Count the inodes that wait to be saved."""
        return len(self._waiting)

    async def save(self, inode: Inode) -> None:
        """Bring everything unsaved about an inode to the server; returns when it is there.

        Raises:
            ObjectChangedError: another client changed the object meanwhile, and its version counts; see ``conflicts``.
            StoreError: the endpoint refused or could not be reached; nothing is lost.
        """
        async with self._gate.changing(inode), inode.lock:
            if inode.linkage is Linkage.UNLINKED:
                return
            open_file = self._tables.open_files.peek(inode.ino)
            try:
                if inode.linkage is Linkage.LOST:
                    if self._is_unsaved(inode):
                        await self._conflicts.settle_lost(inode, open_file)
                elif open_file is not None and open_file.is_dirty:
                    await self._upload(inode, open_file)
                elif inode.saved is Saved.NO:
                    await self._save_attrs(inode)
            except SsecfsError as error:
                self.progress.failed += 1
                self.progress.last_error = str(error)
                raise

    async def save_new(self, inode: Inode) -> None:
        """Store a file that was just made; if the name was taken meanwhile, there is no conflict: it was not made.

        Raises:
            ObjectExistsError: the name is taken.
            StoreError: the endpoint refused or could not be reached.
        """
        async with self._gate.changing(inode), inode.lock:
            open_file = self._tables.open_files.peek(inode.ino)
            assert open_file is not None, "who makes a file has it open"  # noqa: S101 - a bug, not an input
            await self.upload_as(inode, open_file, self._tables.namespace.file_key(inode.path), self._condition_for(inode))

    def note_changed(self, inode: Inode, attrs: Attrs) -> None:
        """Take over changed attributes: they are saved in a moment, or with the content that is to be saved anyway."""
        inode.attrs = attrs
        inode.saved = Saved.NO
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is None or not open_file.is_dirty:
            self.save_soon(inode)

    def save_soon(self, inode: Inode) -> None:
        """Save an inode in a moment, unless something saves it before."""
        if inode.ino in self._waiting or inode.linkage is Linkage.UNLINKED:
            return
        waiting = self._waiting[inode.ino] = _Waiting(inode)
        self._tables.inodes.pin(inode)
        if not inode.attrs.is_dir:
            self._tables.open_files.acquire(inode.ino, inode.version)
        self._nursery.start_soon(self._wait_and_save, waiting, name="save soon")

    async def save_all(self, more: Iterable[Inode] = ()) -> None:
        """Save everything that waits, and more, and return when it is on the server.

        Raises:
            SsecfsError: the first failure, after everything was tried.
        """
        errors: list[SsecfsError] = []

        async def save(inode: Inode) -> None:
            error = await self._try_to_save(inode)
            if error is not None:
                errors.append(error)
            waiting = self._waiting.get(inode.ino)
            if waiting is not None and not self._is_unsaved(inode):
                waiting.hurry.set()

        async with open_tasks() as nursery:
            for inode in {*more, *(waiting.inode for waiting in self._waiting.values())}:
                nursery.start_soon(save, inode)
        if errors:
            raise errors[0]

    async def _try_to_save(self, inode: Inode) -> SsecfsError | None:
        """Save an inode, where a failure must not keep others from being saved; it is given back."""
        try:
            await self.save(inode)
        except SsecfsError as error:
            return error
        except Exception:
            # The boundary of background tasks: a bug must neither end the mount nor drop the data.
            LOGGER.exception("inode %d cannot be saved", inode.ino)
            return SsecfsError(f"inode {inode.ino} cannot be saved because of a bug; see the log")
        return None

    def has_other_users(self, inode: Inode) -> bool:
        """Tell whether anybody but us, who only wait to save it, has a file open."""
        return self._tables.open_files.users(inode.ino) > (1 if inode.ino in self._waiting else 0)

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
        self.progress.saved += 1

    async def upload_as(self, inode: Inode, open_file: OpenFile, object_key: ObjectKey, condition: PutCondition) -> None:
        """Upload a file's content under an object key that it moves to at once; the caller holds its lock."""
        async with open_file.held_still():
            inode.take_reads()
            sealing = Sealing(inode, object_key, self._seal_key)
            version = await upload(self._copier, open_file, object_key, sealing, condition)
            self._note_uploaded(inode, open_file, version, sealing)

    async def _upload(self, inode: Inode, open_file: OpenFile) -> None:
        """Upload over the version that we know of; if another client's is there, it counts."""
        object_key = self._tables.namespace.file_key(inode.path)
        async with open_file.held_still():
            inode.take_reads()
            sealing = Sealing(inode, object_key, self._seal_key)
            while True:
                condition = self._condition_for(inode)
                try:
                    version = await upload(self._copier, open_file, object_key, sealing, condition)
                except (ObjectExistsError, ObjectChangedError):
                    arrived = await self._conflicts.settle(inode, object_key, open_file)
                    version = arrived.version
                    if arrived.metadata != sealing.sent:
                        open_file.note_arrived(version)
                        inode.version = version
                        continue
                self._note_uploaded(inode, open_file, version, sealing)
                return

    def _note_uploaded(self, inode: Inode, open_file: OpenFile, version: ObjectVersion, sealing: Sealing) -> None:
        if inode.attrs is sealing.attrs:
            inode.attrs = sealing.stored
        if inode.linkage is Linkage.UNLINKED:
            return
        had_pages = inode.seen_version is not None and inode.seen_version == open_file.base
        open_file.note_saved(version)
        if had_pages or inode.seen_version is None:
            inode.seen_version = version
        self.note_stored(inode, version, sealing.stored)

    def _condition_for(self, inode: Inode) -> PutCondition:
        if inode.version is not None:
            return IfUnchanged(inode.version)
        is_listed = inode.parent is not None and self._tables.directories.knows_absent(inode.parent, inode.name)
        return IfAbsent(Absence.LISTED if is_listed else Absence.UNKNOWN)

    async def _save_attrs(self, inode: Inode) -> None:
        inode.take_reads()
        attrs = inode.attrs
        if attrs.is_dir:
            await self.save_marker(inode)
            return
        object_key = self._tables.namespace.file_key(inode.path)
        metadata = Sealing(inode, object_key, self._seal_key)(attrs.sha256)
        while True:
            base = inode.version
            assert base is not None, "a file without a version has unsaved content"  # noqa: S101 - see save
            try:
                version = await self._copier.copy(base, object_key, metadata, IfUnchanged(base))
            except ObjectChangedError:
                arrived = await self._conflicts.settle(inode, object_key, self._tables.open_files.peek(inode.ino))
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

    async def _wait_and_save(self, waiting: "_Waiting") -> None:
        """Save after a pause, again and again until it is done."""
        inode = waiting.inode
        pauses = iter(RETRY_S)
        pause_s = COALESCE_S
        try:
            while self._is_unsaved(inode):
                with trio.move_on_after(pause_s):
                    await waiting.hurry.wait()
                if waiting.hurry.is_set():
                    # Somebody saved it. What changed since has a pause of its own.
                    waiting.hurry, pauses, pause_s = trio.Event(), iter(RETRY_S), COALESCE_S
                else:
                    pause_s = next(pauses, RETRY_S[-1])
                    error = await self._try_to_save(inode)
                    if error is not None and not isinstance(error, ObjectChangedError):  # a conflict is in the log already
                        LOGGER.warning("inode %d is not saved yet, trying again in %g s: %s", inode.ino, pause_s, error)
                if self._is_being_written(inode):
                    break  # the last close saves what was written since
        finally:
            del self._waiting[inode.ino]
            if not inode.attrs.is_dir:
                self._tables.open_files.release(inode.ino)
            self._tables.inodes.unpin(inode)

    def _is_being_written(self, inode: Inode) -> bool:
        """Tell whether a file has unsaved content and is open for writing."""
        open_file = self._tables.open_files.peek(inode.ino)
        return open_file is not None and open_file.is_dirty and open_file.writers > 0

    def _is_unsaved(self, inode: Inode) -> bool:
        if inode.linkage is Linkage.UNLINKED:
            return False
        open_file = self._tables.open_files.peek(inode.ino)
        return inode.saved is Saved.NO or (open_file is not None and open_file.is_dirty)


@dataclass(slots=True, eq=False)
class _Waiting:
    """An inode that waits to be saved; hurry tells that somebody saved it meanwhile."""

    inode: Inode
    hurry: trio.Event = field(default_factory=trio.Event)
