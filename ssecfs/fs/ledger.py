"""Ledger: the journal's records of files with unsaved content, kept true while the files change.

Imported by the rest of ``fs`` and by ``app``. What a record is, ``cache.journal`` says; what the next mount makes of it,
``recovery``.

A file that is being written is recorded from time to time, for ``ssecfs recover``. With write-back, closing it *vouches* for
the content: from then on its sealed blocks are not written again before it is on the server, because a crash in the middle of
that would spoil what the program was told is safe.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from ssecfs.cache.journal import Journal, RecordId
from ssecfs.cache.records import FileRecord, MoveRecord, Phase
from ssecfs.cache.spool import Spool
from ssecfs.content.openfile import OpenFile
from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import LocalError, SsecfsError
from ssecfs.s3.types import ObjectKey
from ssecfs.sizes import MIB
from ssecfs.tasks import start_alone
from ssecfs.threads import run_in
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.attrtext import NS_PER_S
from ssecfs.tree.inodes import Inode
from ssecfs.tree.names import Namespace

LOGGER: Final = logging.getLogger(__name__)

NOTE_AFTER_S: Final = 5.0
"""A file that is being written is recorded when its first change is that old,"""

NOTE_BYTES: Final = 4 * MIB
"""and whenever that much more of it has been written."""

MetadataFor = Callable[[Attrs, ObjectKey], Mapping[str, str]]


@dataclass(slots=True)
class _Slot:
    """What is recorded of one file.

    Attributes:
        record_id: its place in the journal.
        record: as it is there; None: not yet.
        changes: of the open file when it was recorded.
        written_bytes: by programs since then.
        is_syncing: the record is about to be stored, once the blocks that it vouches for are synced.
    """

    record_id: RecordId
    record: FileRecord | None = None
    changes: int = 0
    written_bytes: int = 0
    is_syncing: bool = False


@dataclass(frozen=True, slots=True)
class _Young:
    """A file that is to be recorded at a time of the loop's clock, if it is still being written then."""

    due: float
    inode: Inode
    open_file: OpenFile
    slot: _Slot


class Ledger:
    """Records unsaved files.

    Owns: which record is whose, by inode number. Invariant: a record that vouches for a content names only bytes that are in it
    or in containers which nobody writes to.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        namespace: Namespace,
        metadata_for: MetadataFor,
        limiter: trio.CapacityLimiter,
        nursery: trio.Nursery,
        now_ns: Callable[[], int],
    ) -> None:
        """Take the collaborators; limiter is for fsync."""
        self._journal = journal
        self._spool = spool
        self._namespace = namespace
        self._metadata_for = metadata_for
        self._limiter = limiter
        self._nursery = nursery
        self._now_ns = now_ns
        self._slots: dict[int, _Slot] = {}
        self._young: deque[_Young] = deque()
        self._vouched_bytes = 0

    @property
    def vouched_bytes(self) -> int:
        """Count the bytes that are recorded as safe and not on the server yet."""
        return self._vouched_bytes

    @property
    def vouched_files(self) -> int:
        """Count the files that are recorded as safe and not on the server yet."""
        return sum(1 for slot in self._slots.values() if _phase(slot) is Phase.CLOSED)

    def note_written(self, inode: Inode, open_file: OpenFile, written_bytes: int) -> None:
        """The content changed: record it, now or in a while. What is vouched for stays recorded as it is."""
        slot = self._slots.get(inode.ino)
        if slot is None:
            slot = self._slot_of(inode)
            if not self._young:
                start_alone(self._nursery, "note", self._note_young)
            self._young.append(_Young(trio.current_time() + NOTE_AFTER_S, inode, open_file, slot))
        slot.written_bytes += written_bytes
        if slot.written_bytes >= NOTE_BYTES:
            self._note_open(inode, open_file, slot)

    def record(self, inode: Inode, open_file: OpenFile) -> None:
        """Record the content as it is now, for ``ssecfs recover``, unless a record vouches for what it was."""
        self._note_open(inode, open_file, self._slot_of(inode))

    def is_vouched_for(self, inode: Inode, open_file: OpenFile) -> bool:
        """Tell whether all of the content is recorded as safe."""
        slot = self._slots.get(inode.ino)
        return slot is not None and _phase(slot) is Phase.CLOSED and slot.changes == open_file.changes

    def vouches_for(self, inode: Inode) -> bool:
        """Tell whether a record says of some content of the file that it is safe."""
        slot = self._slots.get(inode.ino)
        return slot is not None and _phase(slot) is Phase.CLOSED

    def is_frozen(self, inode: Inode) -> bool:
        """Tell whether a record vouches for sealed blocks of the file, so that they may not be written."""
        slot = self._slots.get(inode.ino)
        record = slot.record if slot is not None else None
        if record is None or record.phase is not Phase.CLOSED:
            return False
        return record.content.spooled is not None and bool(record.content.spooled.masks)

    async def vouch(self, inode: Inode, open_file: OpenFile) -> None:
        """Record the content so that it survives anything, then return. Locks: requires the inode's.

        Raises:
            LocalError: it could not be kept on the local disk.
        """
        slot = self._slot_of(inode)
        before = slot.record
        changes = open_file.changes
        record = self._record(inode, open_file, Phase.CLOSED)
        self._put(slot, record)  # from here on nobody writes to the blocks
        slot.is_syncing = True
        try:
            if record.content.spooled is not None:
                await self._spool.sync(record.content.spooled)
            reach(CrashPoint.SPOOLED)
            self._journal.store(slot.record_id, slot.record or record)
        except BaseException:
            self._put(slot, before)
            raise
        finally:
            slot.is_syncing = False
        reach(CrashPoint.RECORDED)
        await run_in(self._limiter, self._journal.sync)
        slot.changes = changes
        reach(CrashPoint.VOUCHED)

    def adopt(self, inode: Inode, record_id: RecordId, record: FileRecord, open_file: OpenFile) -> None:
        """An inode goes on with the content of a record of an earlier mount."""
        slot = self._slots[inode.ino] = _Slot(record_id, None, open_file.changes)
        self._put(slot, record)

    def note_attributes(self, inode: Inode) -> None:
        """The attributes or the name of a file changed: so they do in its record."""
        self._store_again(inode)

    def release(self, inode: Inode) -> RecordId | None:
        """A file gives way to another: its record, if it has one, goes when note_moved is told of it."""
        slot = self._take(inode)
        return slot.record_id if slot is not None and slot.record is not None else None

    def note_moved(self, inode: Inode, replaced: RecordId | None = None) -> None:
        """A file has another name; in the same moment goes the record of what had it before."""
        slot = self._slots.get(inode.ino)
        if slot is not None and slot.record is not None:
            self._store_again(inode, [replaced] if replaced is not None else [])
        elif replaced is not None:
            self._journal.remove(replaced)

    async def note_sending(self, inode: Inode, seal: str) -> None:
        """An upload with that seal is about to begin: the next mount has to know it for ours, even after a power cut."""
        slot = self._slots.get(inode.ino)
        if slot is None or slot.record is None:
            return
        try:
            record = replace(slot.record, seals=inode.unsure, sent=slot.record.sent | {seal})
            self._journal.store(slot.record_id, record)
            slot.record = record
            if record.phase is Phase.CLOSED:
                await run_in(self._limiter, self._journal.sync)
        except LocalError as error:
            LOGGER.warning("after a crash now, the upload of inode %d would look like somebody else's: %s", inode.ino, error)

    @asynccontextmanager
    async def removing(self, inode: Inode) -> AsyncIterator[None]:
        """Delete a file's object in the block; the next mount takes its absence for that, not for another client's doing."""
        slot = self._slots.get(inode.ino)
        if slot is None or slot.record is None or slot.record.phase is not Phase.CLOSED:
            yield
            return
        try:
            self._journal.store(slot.record_id, replace(slot.record, phase=Phase.REMOVING))
            await run_in(self._limiter, self._journal.sync)
        except LocalError as error:
            LOGGER.warning("after a crash now, the removal of inode %d would look like somebody else's: %s", inode.ino, error)
        try:
            yield
        except BaseException:
            self._store_again(inode)
            raise

    async def sync(self) -> None:
        """Make what was recorded so far survive a power cut.

        Raises:
            SpoolError: the disk fails.
        """
        await run_in(self._limiter, self._journal.sync)

    async def record_move(self, move: MoveRecord, record_id: RecordId | None = None) -> RecordId:
        """Record how far the rename of a directory is, so that it survives anything, then return; gives its number.

        Raises:
            LocalError: it could not be recorded; nothing may be begun, or deleted, then.
        """
        number = self._journal.new_id() if record_id is None else record_id
        self._journal.store_move(number, move)
        await run_in(self._limiter, self._journal.sync)
        return number

    def drop_move(self, record_id: RecordId) -> None:
        """The rename of a directory has ended; should this fail, the next mount finds that it has."""
        self._journal.remove_move(record_id)

    async def note_arrived(self, inode: Inode) -> None:
        """The content is on the server: before its blocks may go or change, its record is gone for good."""
        slot = self._slots.get(inode.ino)
        was_vouched_for = slot is not None and _phase(slot) is Phase.CLOSED
        self.drop(inode)
        if was_vouched_for:
            try:
                await run_in(self._limiter, self._journal.sync)
            except LocalError as error:
                LOGGER.warning("after a power cut a file that is saved would be looked at again: %s", error)

    def drop(self, inode: Inode) -> None:
        """Nothing of the file is unsaved any more, or nobody wants it."""
        slot = self._take(inode)
        if slot is not None and slot.record is not None:
            self._journal.remove(slot.record_id)

    def _slot_of(self, inode: Inode) -> _Slot:
        """The slot of an inode; a new one if there is none."""
        slot = self._slots.get(inode.ino)
        if slot is None:
            slot = self._slots[inode.ino] = _Slot(self._journal.new_id())
        return slot

    def _take(self, inode: Inode) -> _Slot | None:
        slot = self._slots.pop(inode.ino, None)
        if slot is not None:
            self._vouched_bytes -= _vouched_bytes(slot.record)
        return slot

    def _put(self, slot: _Slot, record: FileRecord | None) -> None:
        self._vouched_bytes += _vouched_bytes(record) - _vouched_bytes(slot.record)
        slot.record = record

    async def _note_young(self) -> None:
        """Record files that are still being written some time after their first change; ends when there are none."""
        while self._young:
            young = self._young[0]
            await trio.sleep_until(young.due)
            self._young.popleft()
            is_current = self._slots.get(young.inode.ino) is young.slot
            if is_current and young.slot.record is None and young.open_file.is_dirty:
                self._note_open(young.inode, young.open_file, young.slot)

    def _note_open(self, inode: Inode, open_file: OpenFile, slot: _Slot) -> None:
        slot.written_bytes = 0
        if _phase(slot) is Phase.CLOSED:
            return
        try:
            record = self._record(inode, open_file, Phase.OPEN)
            self._journal.store(slot.record_id, record)
        except SsecfsError as error:
            LOGGER.warning("inode %d is being written and could not be recorded: %s", inode.ino, error)
            return
        self._put(slot, record)
        slot.changes = open_file.changes

    def _record(self, inode: Inode, open_file: OpenFile, phase: Phase) -> FileRecord:
        return FileRecord(
            path=inode.shown_path.removeprefix(b"/"),
            phase=phase,
            metadata=self._metadata_for(inode.attrs, self._namespace.file_key(inode.path)),
            version=inode.version,
            seals=inode.unsure,
            sent=frozenset(),
            noted_s=self._now_ns() // NS_PER_S,
            content=open_file.record(),
        )

    def _store_again(self, inode: Inode, removed: Sequence[RecordId] = ()) -> None:
        """Record the name, attributes and seals of a file anew, and drop other records in the same moment."""
        slot = self._slots.get(inode.ino)
        if slot is None or slot.record is None:
            return
        content = slot.record.content
        if content.base is not None and content.base == slot.record.version:
            content = replace(content, base=inode.version)  # which may be a copy of it under a new name
        try:
            slot.record = replace(
                slot.record,
                path=inode.shown_path.removeprefix(b"/"),
                metadata=self._metadata_for(inode.attrs, self._namespace.file_key(inode.path)),
                version=inode.version,
                seals=inode.unsure,
                sent=frozenset(),
                content=content,
            )
            if not slot.is_syncing:
                self._journal.store(slot.record_id, slot.record, removed)
        except SsecfsError as error:
            LOGGER.warning("inode %d has a new name or attributes that could not be recorded: %s", inode.ino, error)


def _vouched_bytes(record: FileRecord | None) -> int:
    if record is None or record.phase is not Phase.CLOSED:
        return 0
    return sum(stop - start for start, stop in record.content.dirty)


def _phase(slot: _Slot) -> Phase | None:
    return slot.record.phase if slot.record is not None else None
