"""rename: another name for a file, or for a directory and everything in it.

Imported by ``fuse``. The bucket knows no rename: objects are copied on the server, then the old ones are deleted. In between
both names exist there, never none; who changed an object meanwhile keeps it, under the old name.

Directories go in steps: check, copy, mark, switch, delete. Up to the switch a failure takes the copies back and the old name is
complete; from then on everything is under the new name, and a failure leaves some of it under the old one as well.
The journal has both prefixes and the side of the switch, so that the next mount ends what a crash interrupted
(``moverecovery``).
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import trio

from ssecfs.cache.journal import RecordId
from ssecfs.cache.records import MoveRecord, Step
from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import (
    BadRequestError,
    EntryExistsError,
    IsADirError,
    NoEntryError,
    NotADirError,
    ObjectChangedError,
    ObjectMissingError,
    SsecfsError,
    StoreError,
)
from ssecfs.fs.files import Clock
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.newnames import NewNames
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.removal import Removal, parent_of, require_linked
from ssecfs.fs.storing import Storing, Tables
from ssecfs.fs.treemove import TreeMove, TreeMover
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Absence, Always, IfAbsent, ObjectKey, ObjectVersion, PutCondition
from ssecfs.tree.inodes import NEVER, Inode, Knowledge, Saved
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import Name, join_directory_path, join_path

LOGGER: Final = logging.getLogger(__name__)

TAKE_BACK_DEADLINE_S: Final = 60.0
"""How long a failed or interrupted rename may take to remove its copies."""

ATTEMPTS: Final = 4
"""How often a file that other clients keep changing is looked at before its rename is given up."""


class Replace(Enum):
    """What rename does with a target that is there."""

    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Target:
    """Where something is to go.

    Attributes:
        inode: what has the name now; None: nothing.
        may_replace: whether that, or what another client puts there, may go.
    """

    parent: Inode
    name: Name
    inode: Inode | None
    may_replace: Replace

    @property
    def file_path(self) -> str:
        """The path of a file there."""
        return join_path(self.parent.path, self.name)

    @property
    def shown_path(self) -> bytes:
        """The path there as programs see it."""
        return b"%b/%b" % (self.parent.shown_path, self.name)

    @property
    def directory_path(self) -> str:
        """The path of a directory there."""
        return join_directory_path(self.parent.path, self.name)


class Renames:
    """Renames. Owns nothing."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        new_names: NewNames,
        tables: Tables,
        removal: Removal,
        store: ObjectStore,
        copier: Copier,
        storing: Storing,
        ledger: Ledger,
        gate: Gate,
        now_ns: Clock,
    ) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._new_names = new_names
        self._tables = tables
        self._removal = removal
        self._store = store
        self._copier = copier
        self._storing = storing
        self._ledger = ledger
        self._gate = gate
        self._now_ns = now_ns
        self._mover = TreeMover(
            store=store, copier=copier, book=tables.book, cache=tables.cache, metadata_for=storing.metadata_for
        )

    async def rename(self, inode: Inode, parent: Inode, raw_name: bytes, may_replace: Replace) -> None:
        """Give a file or directory another name.

        Raises:
            NoEntryError: it is gone, or the new parent is.
            EntryExistsError: the target is there and must not be replaced.
            IsADirError: a file is to replace a directory.
            NotADirError: a directory is to replace a file.
            NotEmptyError: the directory to be replaced has entries.
            BadRequestError: a directory is to go into itself.
            NameTooLongError: the name, or an object key, would be too long.
        """
        if not inode.attrs.is_dir:
            await self._rename_file(inode, parent, raw_name, may_replace)
            return
        async with self._gate.moving(inode):
            if parent.is_within(inode):
                message = f"directory {inode.ino} cannot go into itself"
                raise BadRequestError(message)
            async with self._gate.changing(parent):
                await self._rename_directory(inode, parent, raw_name, may_replace)

    async def _find_target(self, parent: Inode, raw_name: bytes, may_replace: Replace, kind: EntryKind) -> Target:
        name, inode = await self._new_names.claim(parent, raw_name, kind)
        require_linked(parent)
        if inode is not None and may_replace is Replace.NO:
            message = "the new name is taken"
            raise EntryExistsError(message)
        return Target(parent, name, inode, may_replace)

    async def _rename_file(self, inode: Inode, parent: Inode, raw_name: bytes, may_replace: Replace) -> None:
        async with self._gate.changing(inode, parent):
            while True:
                target = await self._find_target(parent, raw_name, may_replace, EntryKind.OBJECT)
                if target.inode is inode:
                    return
                if target.inode is not None and target.inode.attrs.is_dir:
                    message = f"the new name of file {inode.ino} is that of a directory"
                    raise IsADirError(message)
                async with _locked(inode, target.inode):
                    require_linked(inode)
                    if self._tables.inodes.child(parent, target.name) is target.inode:
                        await self._move_file(inode, target)
                        return
                    # Somebody made or removed the target while we waited for the locks.

    async def _move_file(self, inode: Inode, target: Target) -> None:
        """Bring a file's object to its new name and delete the old one; both inodes are locked."""
        source = inode.version
        target_key = self._tables.namespace.file_key(target.file_path)
        if target.inode is not None:
            await self._removal.detach_content(target.inode)
        inode.note_name_changed(self._now_ns())
        if source is None:
            # Not on the server yet: what is there under the new name will be replaced by the first upload.
            replaced = target.inode.version if target.inode is not None else None
            if target.inode is not None:
                inode.unsure |= target.inode.unsure  # its upload may be there, or get there: ours to replace
            ghost, old_parent = await self._storing.find_arrived(inode), parent_of(inode)
            self._switch_file(inode, target, replaced)
            if ghost is not None:
                await self._removal.delete(ghost, old_parent, is_last=False)
            return
        await self._storing.save_vouched(inode, target.inode)
        source = inode.version or source
        old_parent = parent_of(inode)
        is_last = target.parent is not old_parent and await self._removal.is_last(inode)
        open_file = self._tables.open_files.peek(inode.ino)
        if open_file is not None and open_file.is_dirty:
            await self._storing.upload_as(inode, open_file, target_key, self._condition_for(target))
            self._switch_file(inode, target, inode.version)
            may_delete = await self._is_unchanged(source)
        else:
            source = await self._copy_file(inode, target, target_key)
            may_delete = True
        self._tables.book.forget(source.object_key)
        reach(CrashPoint.COPIED)
        if may_delete:
            await self._removal.delete(source, old_parent, is_last=is_last)

    async def _copy_file(self, inode: Inode, target: Target, target_key: ObjectKey) -> ObjectVersion:
        """Copy a clean file as it is now on the server, and switch.

        Returns:
            The version that was copied.
        """
        attempts = ATTEMPTS
        while True:
            source = inode.version
            assert source is not None, "a clean file is on the server"  # noqa: S101 - see _move_file
            inode.take_reads()
            attrs = inode.attrs
            metadata = self._storing.metadata_for(attrs, target_key)
            try:
                version = await self._copier.copy(source, target_key, metadata, self._condition_for(target))
            except ObjectChangedError:
                attempts -= 1
                if not attempts:
                    raise
                await self._nodes.refresh(inode)
                continue
            self._switch_file(inode, target, source)
            self._storing.note_copied(inode, source, version)
            self._storing.note_stored(inode, version, attrs)
            return source

    def _switch_file(self, inode: Inode, target: Target, version: ObjectVersion | None) -> None:
        """Give a file its new name in our tables, where its next upload replaces version. Atomic."""
        old_parent, replaced_record = parent_of(inode), None
        if target.inode is not None:
            replaced_record = self._ledger.release(target.inode)
            self._removal.note_replaced(target.inode)
        self._tables.directories.note_removed(old_parent, inode.name)
        self._tables.inodes.move(inode, target.parent, target.name)
        if inode.version is not None:
            self._tables.directories.note_entry(target.parent, Entry(target.name, EntryKind.OBJECT, inode.version))
        inode.version = version
        reach(CrashPoint.MOVING)
        self._ledger.note_moved(inode, replaced_record)
        self._note_moved(old_parent, target.parent)

    async def _is_unchanged(self, version: ObjectVersion) -> bool:
        """Ask whether an object is still the version on which unsaved changes were based: else it is somebody else's now."""
        try:
            info = await self._store.head(version.object_key)
        except ObjectMissingError:
            return False
        if not info.version.is_same(version):
            LOGGER.warning("a file was changed by another client while it was renamed here: theirs keeps the old name")
            return False
        return True

    def _condition_for(self, target: Target) -> PutCondition:
        """Replace what we know, or what appeared since where that is allowed anyway; else nothing."""
        if target.may_replace is Replace.YES:
            return Always()
        is_listed = self._tables.directories.knows_absent(target.parent, target.name)
        return IfAbsent(Absence.LISTED if is_listed else Absence.UNKNOWN)

    async def _rename_directory(self, directory: Inode, parent: Inode, raw_name: bytes, may_replace: Replace) -> None:
        require_linked(directory)
        target = await self._find_target(parent, raw_name, may_replace, EntryKind.DIRECTORY)
        if target.inode is directory:
            return
        if target.inode is not None:
            if not target.inode.attrs.is_dir:
                message = f"the new name of directory {directory.ino} is that of a file"
                raise NotADirError(message)
            await self._removal.require_empty(target.inode)
        old_parent = parent_of(directory)
        is_last = target.parent is not old_parent and await self._removal.is_last(directory)
        move = TreeMove(
            self._tables.namespace.marker_key(directory.path), self._tables.namespace.marker_key(target.directory_path)
        )
        record = MoveRecord(
            Step.COPYING,
            move.source,
            move.target,
            directory.shown_path.removeprefix(b"/"),
            target.shown_path.removeprefix(b"/"),
            had_target=target.inode is not None,
        )
        record_id = await self._ledger.record_move(record)
        try:
            await self._mover.copy_all(move, lambda: {version.object_key for version in self._held_below(directory)})
            await self._mover.find_copies(move, lambda: self._held_below(directory))
            marker = await self._store_marker(directory, target, move)
            replaced = [directory] if target.inode is None else [directory, target.inode]
            old_markers = tuple(marker_key for inode in replaced for marker_key in self._tables.directories.old_markers(inode))
            reach(CrashPoint.TREE_COPIED)
            record = replace(record, step=Step.DELETING, copied_s=move.copied_s, old_markers=old_markers)
            await self._ledger.record_move(record, record_id)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + TAKE_BACK_DEADLINE_S):
                await self._take_back(move, replace(record, step=Step.COPYING), record_id)
            raise
        reach(CrashPoint.TREE_DECIDED)
        self._switch_directory(directory, target, move, marker)
        reach(CrashPoint.TREE_SWITCHED)
        try:
            if is_last:
                await self._storing.save_marker(old_parent)
            await self._delete_sources(move, old_markers)
        finally:
            self._ledger.drop_move(record_id)

    def _held_below(self, directory: Inode) -> list[ObjectVersion]:
        """The versions, at any depth in a directory, that inodes refer to."""
        return [inode.version for inode in self._tables.inodes.below(directory) if inode.version is not None]

    async def _store_marker(self, directory: Inode, target: Target, move: TreeMove) -> ObjectVersion | None:
        """Store the marker under the new name; None: the directory has none and needs none."""
        is_marked = move.has_marker or directory.saved is Saved.NO or bool(self._tables.directories.old_markers(directory))
        if not (move.copied or is_marked or any(map(self._nodes.is_ours, self._tables.inodes.below(directory)))):
            self._removal.note_gone(directory)
            message = f"directory {directory.ino} was removed on the server"
            raise NoEntryError(message)
        if move.has_file_as_marker or (move.copied and not is_marked and target.inode is None):
            return None
        marker_key = move.target_key(ObjectKey(move.source))
        directory.note_name_changed(self._now_ns())
        attrs = directory.attrs
        version = await self._store.put(marker_key, b"", self._storing.metadata_for(attrs, marker_key), Always())
        self._mover.note_made(move, version, attrs)
        return version

    def _switch_directory(self, directory: Inode, target: Target, move: TreeMove, marker: ObjectVersion | None) -> None:
        """Give a directory its new name in our tables; whatever is open in it goes on with the copies. Atomic."""
        tables = self._tables
        old_parent = parent_of(directory)
        tables.directories.drop_tree(directory)
        for inode in list(tables.inodes.below(directory)):
            if inode.version is not None:
                self._follow(inode, inode.version, move)
        if target.inode is not None:
            self._removal.note_replaced(target.inode)
        tables.directories.note_removed(old_parent, directory.name)
        tables.inodes.move(directory, target.parent, target.name)
        tables.directories.note_entry(target.parent, Entry(target.name, EntryKind.DIRECTORY, None))
        for inode in tables.inodes.below(directory):
            self._ledger.note_moved(inode)
        directory.version = None
        if marker is not None:
            self._storing.note_stored(directory, marker, directory.attrs)
        self._note_moved(old_parent, target.parent)

    def _follow(self, inode: Inode, version: ObjectVersion, move: TreeMove) -> None:
        """Let an inode go on with the copy of its object; one that was changed on the server meanwhile is looked at again."""
        source, made = move.held.get(version.object_key, (version, None))
        if made is None or (source.etag, source.size) != (version.etag, version.size):
            inode.knowledge, inode.checked_at = Knowledge.LISTED, NEVER
            return
        self._storing.note_copied(inode, version, made)
        inode.version = made

    async def _take_back(self, move: TreeMove, record: MoveRecord, record_id: RecordId) -> None:
        """Remove the copies of a rename that failed; if that cannot be done now, the next mount does it."""
        try:
            await self._ledger.record_move(record, record_id)
            await self._mover.take_back(move)
        except SsecfsError as error:
            LOGGER.warning("a directory was not renamed, and some copies are left under the new name: %s", error)
        else:
            self._ledger.drop_move(record_id)

    async def _delete_sources(self, move: TreeMove, old_markers: Sequence[ObjectKey]) -> None:
        try:
            await self._mover.delete_sources(move)
            for object_key in old_markers:
                await self._store.delete(object_key)
        except StoreError as error:
            LOGGER.warning("a directory is complete under its new name; some of it is left under the old one: %s", error)
            raise

    def _note_moved(self, old_parent: Inode, new_parent: Inode) -> None:
        now_ns = self._now_ns()
        old_parent.note_entries_changed(now_ns)
        new_parent.note_entries_changed(now_ns)


@asynccontextmanager
async def _locked(*inodes: Inode | None) -> AsyncIterator[None]:
    """Hold the locks of several inodes, taken in ascending ino."""
    async with AsyncExitStack() as stack:
        for inode in sorted((inode for inode in inodes if inode is not None), key=lambda inode: inode.ino):
            await stack.enter_async_context(inode.lock)
        yield
