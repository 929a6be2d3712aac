"""Interrupted renames of directories: undone, or completed, before the mount answers; never half.

Imported by ``recovery``. Up to the switch (``renames``) everything is complete under the old name: the copies go. From then on
everything is complete under the new one: what is left under the old name goes. Either way an object is deleted only when the
other place has the same: size, attributes, and with them the digest of the content and the time of its last change.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Final

from ssecfs.cache.journal import Journal, RecordId
from ssecfs.cache.records import FileRecord, MoveRecord, Step
from ssecfs.errors import ObjectMissingError, SsecfsError
from ssecfs.fs.ledger import MetadataFor
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectKey, ObjectVersion
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Attrs, SealState
from ssecfs.tree.names import Namespace, check_name, join_directory_path, join_path

LOGGER: Final = logging.getLogger(__name__)


class MoveRecovery:
    """Settles interrupted renames. Owns nothing."""

    def __init__(
        self, *, journal: Journal, store: ObjectStore, book: AttrBook, namespace: Namespace, metadata_for: MetadataFor
    ) -> None:
        """Take the collaborators; metadata_for seals attributes for an object key."""
        self._journal = journal
        self._store = store
        self._book = book
        self._namespace = namespace
        self._metadata_for = metadata_for

    async def carry(self, records: Mapping[RecordId, FileRecord]) -> dict[RecordId, FileRecord]:
        """Let records follow the directories whose new name counts, should they not have done so before the end.

        Raises:
            StoreError: the endpoint refused or could not be reached.
            LocalError: the journal does not take it.
        """
        followed = dict(records)
        for move in self._journal.load_moves().values():
            for record_id, record in followed.items():
                if move.step is Step.DELETING and record.path.startswith(move.source_path + b"/"):
                    followed[record_id] = await self._follow(record, move)
                    self._journal.store(record_id, followed[record_id])
        return followed

    async def _follow(self, record: FileRecord, move: MoveRecord) -> FileRecord:
        path = move.target_path + record.path.removeprefix(move.source_path)
        old_key, new_key = self._key_of(record.path), self._key_of(path)
        version = await self._find(new_key) if record.version is not None else None
        content = record.content
        if content.base is not None and content.base == record.version:
            content = replace(content, base=version)
        attrs = self._book.parse(old_key, record.metadata, content.size, record.noted_s)
        metadata = self._metadata_for(attrs, new_key)
        return replace(record, path=path, version=version, metadata=metadata, sent=frozenset(), content=content)

    async def _find(self, object_key: ObjectKey) -> ObjectVersion | None:
        try:
            return (await self._book.load(object_key)).version
        except ObjectMissingError:
            return None

    def _key_of(self, path: bytes) -> ObjectKey:
        *folders, last = (check_name(part) for part in path.split(b"/"))
        return self._namespace.file_key(join_path(reduce(join_directory_path, folders, ""), last))

    async def begin(self) -> None:
        """Settle what the journal holds; what cannot be settled now is left for the next mount."""
        for record_id, move in self._journal.load_moves().items():
            try:
                await self._settle(record_id, move)
            except SsecfsError as error:
                LOGGER.error("the interrupted rename of a directory is not settled yet: %s", error)  # noqa: TRY400

    async def _settle(self, record_id: RecordId, move: MoveRecord) -> None:
        if move.step is Step.COPYING:
            await self._remove(move.target, move.source, lambda _: True)
            if not move.had_target:
                await self._remove_lonely_marker(move.target, lambda _: True)
            LOGGER.warning("the rename of a directory was interrupted: it has its old name")
        else:
            await self._remove(move.source, move.target, lambda version: version.modified_s <= move.copied_s)
            await self._remove_lonely_marker(move.source, lambda version: version.modified_s <= move.copied_s)
            for object_key in move.old_markers:
                await self._store.delete(object_key)
            LOGGER.warning("the rename of a directory was interrupted: it has its new name")
        self._journal.remove_move(record_id)

    async def _remove(self, prefix: str, other: str, may_go: Callable[[ObjectVersion], bool]) -> None:
        """Delete those objects under a prefix that are the same under the other."""
        token = None
        while True:
            page = await self._store.list_page(prefix, "", token)
            doomed: list[ObjectKey] = []

            async def look(version: ObjectVersion, doomed: list[ObjectKey] = doomed) -> None:
                if await self._is_same(version, ObjectKey(other + version.object_key.removeprefix(prefix))):
                    doomed.append(version.object_key)

            async with open_tasks() as nursery:
                for version in filter(may_go, page.objects):
                    nursery.start_soon(look, version)
            if doomed:
                await self._store.delete_many(doomed)
                for object_key in doomed:
                    self._book.forget(object_key)
            token = page.next_token
            if token is None:
                return

    async def _is_same(self, version: ObjectVersion, twin_key: ObjectKey) -> bool:
        is_marker = version.object_key.endswith("/") and version.size == 0
        try:
            attrs = self._book.known(version) or (await self._book.load(version.object_key)).attrs
            twin = await self._book.load(twin_key)
        except ObjectMissingError:
            return False
        if twin.version is None or twin.version.size != version.size:
            return False
        return _comparable(attrs, is_marker=is_marker) == _comparable(twin.attrs, is_marker=is_marker)

    async def _remove_lonely_marker(self, prefix: str, may_go: Callable[[ObjectVersion], bool]) -> None:
        """Delete a directory's marker, whose attributes need not be its twin's, if it is all that is under its prefix."""
        page = await self._store.list_page(prefix, "", None, max_keys=2)
        if [(version.object_key, version.size) for version in page.objects] == [(prefix, 0)] and may_go(page.objects[0]):
            await self._store.delete(ObjectKey(prefix))
            self._book.forget(ObjectKey(prefix))


def _comparable(attrs: Attrs, *, is_marker: bool) -> Attrs:
    """Attributes without what differs between an object and its copy: a marker's ctime moves with its name."""
    return replace(attrs, seal=SealState.MISSING, ctime_ns=0 if is_marker else attrs.ctime_ns)
