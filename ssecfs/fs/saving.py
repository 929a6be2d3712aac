"""Saving: bring what changed about an inode to the server, now or in a moment.

What lives here: when, and what happens when it fails. What does not: which requests it takes (``storing``). Imported by the
rest of ``fs`` and by ``app``.

Changes of attributes that come in a row are waited for, so that chmod, chown and utimens are one copy. What cannot be saved
stays unsaved, is tried again and is never dropped.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from ssecfs.content.openfile import OpenFile
from ssecfs.errors import ObjectChangedError, SpoolError, SsecfsError, StoreError
from ssecfs.fs.conflicts import Conflicts
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.storing import Storing, Tables
from ssecfs.fs.streaming import Streaming
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, Linkage, Saved

LOGGER: Final = logging.getLogger(__name__)

COALESCE_S: Final = 0.5
"""How long a change of attributes waits for the next one."""

BEHIND_S: Final = 0.1
"""How long an upload that nobody waits for is put off: who writes a file often gives it its name and times right after."""

RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to save what failed; the last one repeats."""

PARKED_S: Final = 300.0
"""Pause after the server refused for good: full quota, no permission. Closing, fsync and flush ask at once."""

UPLOADS_BEHIND: Final = 32
"""Uploads at the same time that nobody waits for."""


class Saver:
    """Saves inodes.

    Owns: which inodes are waiting to be saved. Invariant: a waiting inode is pinned, and its file is in the open-file table.
    """

    def __init__(
        self,
        *,
        tables: Tables,
        storing: Storing,
        conflicts: Conflicts,
        gate: Gate,
        ledger: Ledger,
        streaming: Streaming,
        nursery: trio.Nursery,
    ) -> None:
        """Take the collaborators; nursery is the mount's."""
        self._tables = tables
        self._storing = storing
        self._gate = gate
        self._ledger = ledger
        self._streaming = streaming
        self._conflicts = conflicts
        self._nursery = nursery
        self._waiting: dict[int, _Waiting] = {}
        self._behind = trio.CapacityLimiter(UPLOADS_BEHIND)

    @property
    def waiting(self) -> int:
        """Count the inodes that wait to be saved."""
        return len(self._waiting)

    @property
    def parked(self) -> int:
        """Count the inodes that the server refused to take."""
        return sum(1 for waiting in self._waiting.values() if _is_refusal(waiting.error))

    @property
    def failing(self) -> int:
        """Count the inodes that could not be saved at the last attempt."""
        return sum(1 for waiting in self._waiting.values() if waiting.error is not None)

    @property
    def damaged(self) -> list[bytes]:
        """The paths of files that cannot be saved because not all of their content can be read from the local disk."""
        return [waiting.inode.shown_path for waiting in self._waiting.values() if isinstance(waiting.error, SpoolError)]

    async def save(self, inode: Inode) -> None:
        """Bring everything unsaved about an inode to the server; returns when it is there.

        Raises:
            ObjectChangedError: another client changed the object meanwhile, and its version counts; see ``conflicts``.
            StoreError: the endpoint refused or could not be reached; nothing is lost.
        """
        await self._save_if(inode, _always)

    async def _save_if(self, inode: Inode, is_due: Callable[[Inode], bool]) -> None:
        """Save an inode, if that is still due when we have its lock: others may have saved it, and a program written on."""
        async with self._gate.changing(inode), inode.lock:
            if inode.linkage is Linkage.UNLINKED or not is_due(inode):
                return
            open_file = self._tables.open_files.peek(inode.ino)
            try:
                if inode.linkage is Linkage.LOST:
                    if self._is_unsaved(inode):
                        await self._conflicts.settle_lost(inode, open_file)
                elif open_file is not None and open_file.is_dirty:
                    await self._storing.upload(inode, open_file)
                elif inode.saved is Saved.NO:
                    await self._storing.save_attrs(inode)
            except SsecfsError as error:
                self._storing.progress.note_failure(error)
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
            object_key = self._tables.namespace.file_key(inode.path)
            await self._storing.upload_as(inode, open_file, object_key, self._storing.condition_for(inode))

    def note_changed(self, inode: Inode, attrs: Attrs) -> None:
        """Take over changed attributes: they are saved in a moment, or with the content that is to be saved anyway."""
        inode.attrs = attrs
        inode.saved = Saved.NO
        self._ledger.note_attributes(inode)
        self._streaming.note_attributes(inode)
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is None or not open_file.is_dirty:
            self.save_soon(inode)

    def save_soon(self, inode: Inode) -> None:
        """Save an inode in a moment, unless something saves it before."""
        self._start(inode, COALESCE_S)

    def save_behind(self, inode: Inode) -> None:
        """Save what the journal vouches for, as soon as there is a place among the uploads."""
        self._start(inode, BEHIND_S)

    def has_failed(self, inode: Inode) -> bool:
        """Tell whether the last attempt to save an inode that waits failed."""
        waiting = self._waiting.get(inode.ino)
        return waiting is not None and waiting.error is not None

    async def let_change(self, inode: Inode, open_file: OpenFile) -> None:
        """Wait until the content of a file may be changed: nothing reads it, no record vouches for its blocks.

        Raises:
            SsecfsError: a record does, and what it vouches for cannot be saved.
        """
        await open_file.wait_until_free()
        while self._ledger.is_frozen(inode):
            await self._save_if(inode, self._ledger.is_frozen)
            await open_file.wait_until_free()

    def _start(self, inode: Inode, pause_s: float) -> None:
        if inode.ino in self._waiting or inode.linkage is Linkage.UNLINKED:
            return
        waiting = self._waiting[inode.ino] = _Waiting(inode, pause_s)
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
            error = await self._try_to_save(inode, _always)
            if error is not None:
                errors.append(error)
            waiting = self._waiting.get(inode.ino)
            if waiting is not None:
                waiting.note(error)
                if not self._is_unsaved(inode):
                    waiting.hurry.set()

        async with open_tasks() as nursery:
            for inode in {*more, *(waiting.inode for waiting in self._waiting.values())}:
                nursery.start_soon(save, inode)
        if errors:
            raise errors[0]

    def record_rest(self) -> None:
        """Before the mount ends: record what could not be saved, so that a later one has it."""
        for waiting in self._waiting.values():
            open_file = self._tables.open_files.peek(waiting.inode.ino)
            if open_file is not None and open_file.is_dirty:
                self._ledger.record(waiting.inode, open_file)

    async def _try_to_save(self, inode: Inode, is_due: Callable[[Inode], bool]) -> SsecfsError | None:
        """Save an inode, where a failure must not keep others from being saved; it is given back."""
        try:
            await self._save_if(inode, is_due)
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

    async def _wait_and_save(self, waiting: "_Waiting") -> None:
        """Save after a pause, again and again until it is done; if the mount ends before, what is in the spool stays there."""
        inode = waiting.inode
        pauses = iter(RETRY_S)
        pause_s = waiting.pause_s
        while self._is_unsaved(inode):
            with trio.move_on_after(pause_s):
                await waiting.hurry.wait()
            if waiting.hurry.is_set():
                # Somebody saved it. What changed since has a pause of its own.
                waiting.hurry, pauses, pause_s = trio.Event(), iter(RETRY_S), COALESCE_S
            elif self._is_whole(inode):
                pause_s = next(pauses, RETRY_S[-1])
                async with self._behind:
                    error = await self._try_to_save(inode, self._is_whole)
                waiting.note(error)
                if waiting.error is not None:
                    pause_s = PARKED_S if _is_refusal(waiting.error) else pause_s
                    LOGGER.warning("inode %d is not saved yet, trying again in %g s: %s", inode.ino, pause_s, waiting.error)
            if self._is_being_written(inode):
                break  # the last close saves what was written since
        del self._waiting[inode.ino]
        if not inode.attrs.is_dir:
            self._tables.open_files.release(inode.ino)
        self._tables.inodes.unpin(inode)

    def _is_whole(self, inode: Inode) -> bool:
        """Tell whether the content is not one that a program is writing: half of it would replace a whole one on the server."""
        open_file = self._tables.open_files.peek(inode.ino)
        return open_file is None or not open_file.is_half_written or self._ledger.is_vouched_for(inode, open_file)

    def _is_being_written(self, inode: Inode) -> bool:
        """Tell whether a file has unsaved content that nobody was told is safe, and is open for writing."""
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is None or not open_file.is_dirty or not open_file.writers:
            return False
        return not self._ledger.is_vouched_for(inode, open_file)

    def _is_unsaved(self, inode: Inode) -> bool:
        if inode.linkage is Linkage.UNLINKED:
            return False
        open_file = self._tables.open_files.peek(inode.ino)
        return inode.saved is Saved.NO or (open_file is not None and open_file.is_dirty)


@dataclass(slots=True, eq=False)
class _Waiting:
    """An inode that waits to be saved; hurry tells that somebody saved it meanwhile.

    Attributes:
        pause_s: before the first attempt.
        error: of the last attempt.
    """

    inode: Inode
    pause_s: float
    error: SsecfsError | None = None
    hurry: trio.Event = field(default_factory=trio.Event)

    def note(self, error: SsecfsError | None) -> None:
        """An attempt to save it ended so; a conflict is settled."""
        self.error = None if isinstance(error, ObjectChangedError) else error


def _always(_inode: Inode) -> bool:
    return True


def _is_refusal(error: SsecfsError | None) -> bool:
    """Tell whether the server said no, and will most likely say so again."""
    return isinstance(error, StoreError) and not error.transient
