"""Objects below one prefix on their way to another: all copied, then the old ones deleted; or the copies taken back.

What lives here: requests, many at once, page by page. What does not: inodes, listings and locks (``renames``). Imported by
``fs.renames``.

An object is deleted only as the version that was copied: what another client stores meanwhile stays where it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from ssecfs.cache.blockcache import BlockCache
from ssecfs.errors import ObjectChangedError, ObjectMissingError
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Absence, Always, IfAbsent, ObjectKey, ObjectVersion, PutCondition
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.names import checked_key

COPIES_AT_ONCE: Final = 64

ATTEMPTS: Final = 4
"""How often an object that other clients keep changing is looked at before the copy is given up."""

MetadataFor = Callable[[Attrs, ObjectKey], Mapping[str, str]]


@dataclass(slots=True)
class TreeMove:
    """One move, and how far it is.

    Attributes:
        source, target: prefixes that end in a slash.
        has_marker: whether the source has a marker of its own; it is not copied with the rest.
        has_file_as_marker: whether there is an object with the marker's key and a body; it is copied.
        copied: the versions that were copied, as digests: about 70 bytes each, however many there are.
        copied_s: newest LastModified of what the copies made, seconds since the epoch by the server's clock.
        made: the versions that the copies made, likewise.
        held: of the objects that somebody holds, by the object key they had: version there, version now.
    """

    source: str
    target: str
    has_marker: bool = False
    has_file_as_marker: bool = False
    copied_s: int = 0
    copied: set[int] = field(default_factory=set)
    made: set[int] = field(default_factory=set)
    held: dict[ObjectKey, tuple[ObjectVersion, ObjectVersion]] = field(default_factory=dict)

    def target_key(self, object_key: ObjectKey) -> ObjectKey:
        """Where an object goes.

        Raises:
            NameTooLongError: the object key would be over 1024 bytes.
        """
        return checked_key(self.target + object_key.removeprefix(self.source))


class TreeMover:
    """The steps of a move. Owns nothing."""

    def __init__(
        self, *, store: ObjectStore, copier: Copier, book: AttrBook, cache: BlockCache, metadata_for: MetadataFor
    ) -> None:
        """Take the collaborators; metadata_for seals attributes for an object key."""
        self._store = store
        self._copier = copier
        self._book = book
        self._cache = cache
        self._metadata_for = metadata_for

    async def copy_all(self, move: TreeMove, held_keys: Callable[[], set[ObjectKey]]) -> None:
        """Copy every object, some of them at the same time; of a failed copy nothing is noted.

        Args:
            move: what, and where to.
            held_keys: tells, whenever it is asked, the keys of objects whose versions the caller wants to know.

        Raises:
            NameTooLongError: an object key would be over 1024 bytes.
            StoreError: the endpoint refused or could not be reached.
        """
        limit = trio.CapacityLimiter(COPIES_AT_ONCE)

        async def copy(version: ObjectVersion, held: set[ObjectKey]) -> None:
            async with limit:
                await self._copy(move, version, held)

        token = None
        while True:
            page = await self._store.list_page(move.source, "", token)
            held = held_keys()
            async with open_tasks() as nursery:
                for version in page.objects:
                    if version.object_key == move.source and version.size == 0:
                        move.has_marker = True
                        move.copied.add(_digest(version))
                    else:
                        move.has_file_as_marker = move.has_file_as_marker or version.object_key == move.source
                        nursery.start_soon(copy, version, held)
            token = page.next_token
            if token is None:
                return

    async def find_copies(self, move: TreeMove, held: Callable[[], list[ObjectVersion]]) -> None:
        """Find the copies of objects that somebody began to hold after they were copied."""
        while True:
            missing = [version for version in held() if version.object_key not in move.held and _digest(version) in move.copied]
            if not missing:
                return
            for version in missing:
                copy = (await self._book.load(move.target_key(version.object_key))).version
                if copy is None:
                    raise ObjectMissingError
                move.held[version.object_key] = version, copy

    async def delete_sources(self, move: TreeMove) -> None:
        """Delete what was copied, and forget it here."""
        await self._delete(move.source, move.copied)

    async def take_back(self, move: TreeMove) -> None:
        """Delete the copies."""
        await self._delete(move.target, move.made)

    def note_made(self, move: TreeMove, version: ObjectVersion, attrs: Attrs) -> None:
        """Take note of an object that now is at the target."""
        move.made.add(_digest(version))
        move.copied_s = max(move.copied_s, version.modified_s)
        self._book.note(version, attrs)

    async def _copy(self, move: TreeMove, listed: ObjectVersion, held: set[ObjectKey]) -> None:
        """Copy one object; one that is gone meanwhile needs no copy."""
        try:
            # The target was empty when we began, so a listing vouches for the absence; but it may have a marker.
            is_own_marker = listed.object_key == move.source
            condition = Always() if is_own_marker else IfAbsent(Absence.LISTED)
            source, made, attrs = await self._copy_as_it_is(listed, move.target_key(listed.object_key), condition)
        except ObjectMissingError:
            return
        move.copied.add(_digest(source))
        self.note_made(move, made, attrs)
        if source.object_key in held:
            move.held[source.object_key] = source, made
        else:
            self._cache.rebind(source, made)

    async def _copy_as_it_is(
        self, version: ObjectVersion, target_key: ObjectKey, condition: PutCondition
    ) -> tuple[ObjectVersion, ObjectVersion, Attrs]:
        """Copy an object in the version that is there by now; that version, its copy, their attributes."""
        attempts = ATTEMPTS
        while True:
            attrs = self._book.known(version)
            if attrs is None:
                known = await self._book.load(version.object_key)
                if known.version is None:
                    raise ObjectMissingError
                version, attrs = known.version, known.attrs
            metadata = self._metadata_for(attrs, target_key)
            try:
                made = await self._copier.copy(version, target_key, metadata, condition)
            except ObjectChangedError:
                attempts -= 1
                if not attempts:
                    raise
                self._book.forget(version.object_key)
            else:
                return version, made, attrs

    async def _delete(self, prefix: str, known: set[int]) -> None:
        token = None
        while True:
            page = await self._store.list_page(prefix, "", token)
            doomed = [version.object_key for version in page.objects if _digest(version) in known]
            if doomed:
                await self._store.delete_many(doomed)
            for object_key in doomed:
                self._book.forget(object_key)
                self._cache.drop(object_key)
            token = page.next_token
            if token is None:
                return


def _digest(version: ObjectVersion) -> int:
    """What tells versions apart, without the time, which an upload's answer only estimates."""
    return hash((version.object_key, version.etag, version.size))
