"""Recovery: what an earlier mount left in the journal.

Imported by ``app``. What a program was told is safe goes on its way to the server, as if it had just been closed; the
mount shows it at once. What was still being written is *parked*: it is left alone until somebody publishes it, beside the good
version and never over it, or discards it.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ssecfs.cache.journal import Journal, RecordId
from ssecfs.cache.records import FileRecord, Phase
from ssecfs.cache.spool import Spool
from ssecfs.content.openfile import OpenFile
from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import EntryExistsError, NoEntryError, ObjectMissingError, SsecfsError, StoreError
from ssecfs.fs.conflicts import Conflicts, Copy
from ssecfs.fs.ledger import Ledger, MetadataFor
from ssecfs.fs.moverecovery import MoveRecovery
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.removed import Removed
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Tables
from ssecfs.fs.unfinished import Unfinished
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectVersion
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrs import SEAL_NAME, Attrs
from ssecfs.tree.inodes import Ino, Inode, Saved
from ssecfs.tree.names import Name, check_name, join_path

LOGGER: Final = logging.getLogger(__name__)

_NOBODY: Final = Ino(0)


class Recovery:
    """Goes on with an earlier mount's unsaved files.

    Owns: the parked records.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        ledger: Ledger,
        nodes: Nodes,
        tables: Tables,
        spool: Spool,
        store: ObjectStore,
        saver: Saver,
        conflicts: Conflicts,
        removed: Removed,
        unfinished: Unfinished,
        metadata_for: MetadataFor,
    ) -> None:
        """Take the collaborators."""
        self._journal = journal
        self._ledger = ledger
        self._nodes = nodes
        self._tables = tables
        self._spool = spool
        self._store = store
        self._saver = saver
        self._conflicts = conflicts
        self._removed = removed
        self._unfinished = unfinished
        self._moves = MoveRecovery(
            journal=journal, store=store, book=tables.book, namespace=tables.namespace, metadata_for=metadata_for
        )
        self.parked: dict[RecordId, FileRecord] = {}

    async def begin(self, records: Mapping[RecordId, FileRecord]) -> None:
        """Go through what the journal holds. Before anything is mounted: nobody else changes the tables.

        Raises:
            StoreError: the endpoint could not be reached, or is busy; nothing is lost, the next mount begins again.
        """
        await self._unfinished.drop(self._journal.load_uploads(), self._store)
        followed = await self._moves.carry(records)
        await self._moves.begin()
        await self._go_on_removing()
        for record_id, record in followed.items():
            try:
                await self._take_up(record_id, record)
            except SsecfsError as error:
                if isinstance(error, StoreError) and error.transient:
                    raise
                LOGGER.error("an unsaved file of an earlier mount is left in the journal: %s", error)  # noqa: TRY400
                self.parked[record_id] = record
            reach(CrashPoint.TAKEN_UP)

    async def _go_on_removing(self) -> None:
        """Delete what was to be deleted, unless it is another version by now."""

        async def remove(record_id: RecordId, version: ObjectVersion) -> None:
            self._removed.adopt(record_id, version)
            try:
                known = await self._tables.book.load(version.object_key)
                is_same = known.version is not None and known.version.is_same(version)
            except ObjectMissingError:
                is_same = False
            if is_same:
                await self._store.delete(version.object_key)
                self._tables.book.forget(version.object_key)
            else:
                self._removed.note_deleted([version.object_key])

        try:
            async with open_tasks() as nursery:
                for record_id, version in self._journal.load_removals().items():
                    nursery.start_soon(remove, record_id, version)
        except SsecfsError as error:
            LOGGER.error("objects that were removed before the end of an earlier mount are still there: %s", error)  # noqa: TRY400

    async def publish(self, record_id: RecordId) -> str:
        """Store a parked content beside the file that it was to become; gives the name it has now.

        Raises:
            NoEntryError: nothing is parked under this number.
            StoreError: the endpoint refused or could not be reached; it stays parked.
        """
        record = self._take(record_id)
        try:
            ending = await self._store_beside(record)
        except BaseException:
            self.parked[record_id] = record
            raise
        self._journal.remove(record_id)
        self._discard(record)
        return ending

    def discard(self, record_id: RecordId) -> None:
        """Forget a parked content for good.

        Raises:
            NoEntryError: nothing is parked under this number.
        """
        record = self._take(record_id)
        self._journal.remove(record_id)
        self._discard(record)

    async def _store_beside(self, record: FileRecord) -> str:
        parent, name = await self._place(record)
        inode = Inode(_NOBODY, parent, name, self._attrs_of(record, parent, name), None)
        open_file = OpenFile(cache=self._tables.cache, spool=self._spool, base=record.content.base)
        open_file.restore(record.content)
        async with open_file.held_still():
            return await self._conflicts.keep_beside(inode, open_file, Copy.RECOVERED)

    def _discard(self, record: FileRecord) -> None:
        if record.content.spooled is not None:
            self._spool.restore(record.content.spooled).discard()

    def _take(self, record_id: RecordId) -> FileRecord:
        record = self.parked.pop(record_id, None)
        if record is None:
            message = f"nothing is parked under the number {record_id}"
            raise NoEntryError(message)
        return record

    async def _take_up(self, record_id: RecordId, record: FileRecord) -> None:
        parent, name = await self._place(record)
        if await self._is_done(record, parent, name):
            self._journal.remove(record_id)
            reach(CrashPoint.FOUND_STORED)
            self._discard(record)
        elif record.phase is Phase.OPEN:
            LOGGER.warning("a file was being written when an earlier mount ended; see ssecfs recover")
            self.parked[record_id] = record
        else:
            if record.phase is Phase.REMOVING:
                record = replace(record, phase=Phase.CLOSED)
                self._journal.store(record_id, record)
            self._restore(record_id, record, parent, name)

    async def _is_done(self, record: FileRecord, parent: Inode, name: Name) -> bool:
        """Ask whether an upload of the content had succeeded before the end, or the removal of the file."""
        is_removing = record.phase is Phase.REMOVING
        if not record.sent and not is_removing:
            return False
        try:
            info = await self._store.head(self._tables.namespace.file_key(join_path(parent.path, name)))
        except ObjectMissingError:
            return is_removing
        return info.metadata.get(SEAL_NAME) in record.sent

    def _restore(self, record_id: RecordId, record: FileRecord, parent: Inode, name: Name) -> None:
        """Have an inode with the content, as if it had just been closed. Atomic."""
        inodes, open_files = self._tables.inodes, self._tables.open_files
        if inodes.child(parent, name) is not None:
            message = f"a name in directory {parent.ino} is recorded twice"
            raise EntryExistsError(message)
        inode = inodes.add(parent, name, self._attrs_of(record, parent, name), record.version)
        inode.saved, inode.unsure = Saved.NO, record.seals
        inodes.pin(inode)
        open_file = open_files.acquire(inode.ino, record.content.base)
        open_file.restore(record.content)
        self._ledger.adopt(inode, record_id, record, open_file)
        self._saver.save_behind(inode)
        open_files.release(inode.ino)
        inodes.unpin(inode)

    def _attrs_of(self, record: FileRecord, parent: Inode, name: Name) -> Attrs:
        object_key = self._tables.namespace.file_key(join_path(parent.path, name))
        return self._tables.book.parse(object_key, record.metadata, record.content.size, record.noted_s)

    async def _place(self, record: FileRecord) -> tuple[Inode, Name]:
        """The directory and name of a record; directories that are no more on the server come back with its upload.

        Raises:
            NotADirError: a file has the name of a directory by now.
        """
        *folders, last = (check_name(part) for part in record.path.split(b"/"))
        directory = self._tables.inodes.root
        for name in folders:
            found = self._tables.inodes.child(directory, name) or await self._nodes.find(directory, name)
            if found is None:
                defaults = self._tables.book.directory_defaults()
                found = self._tables.inodes.add(directory, name, defaults, None)
                found.saved = Saved.NO
                self._saver.save_soon(found)
            found.require_directory()
            directory = found
        return directory, last
