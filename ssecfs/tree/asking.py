"""Questions about one name of a directory that is too large to be listed for it.

What lives here: the requests, and what their answers mean. What does not: whether they are needed (``directory``). Imported by
``directory`` and ``fs``.
"""

from dataclasses import dataclass

import trio

from ssecfs.errors import ObjectMissingError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectVersion
from ssecfs.tasks import open_tasks
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.listing import Entry, EntryKind
from ssecfs.tree.names import FOLDER_SUFFIX, OWN_FOLDER, Name, Namespace, join_directory_path, join_path


@dataclass(frozen=True, slots=True)
class Finding:
    """What a name is.

    Attributes:
        entry: None: there is no such name.
        as_of: loop time at which the endpoint was asked.
    """

    entry: Entry | None
    as_of: float


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a directory is there.

    Attributes:
        marker: version of its marker; None: it has none.
        as_of: loop time at which the endpoint was asked.
    """

    is_there: bool
    marker: ObjectVersion | None
    as_of: float


class Asker:
    """Asks the endpoint about single names. Owns nothing."""

    def __init__(self, store: ObjectStore, book: AttrBook, namespace: Namespace) -> None:
        """Take the collaborators; the book takes note of attributes that are seen on the way."""
        self._store = store
        self._book = book
        self._namespace = namespace

    async def look(self, path: str) -> Presence:
        """Ask for the first object of a directory only: that is its marker, if it has one."""
        as_of = trio.current_time()
        prefix = self._namespace.listing_prefix(path)
        first = await self._first_object(prefix)
        is_marker = first is not None and first.object_key == prefix and first.size == 0
        return Presence(first is not None, first if is_marker else None, as_of)

    async def ask(self, path: str, name: Name, likely: EntryKind | None, *, may_have_old_marker: bool) -> Finding:
        """Ask for a name, as what it is likely to be, else as object and as directory at the same time.

        Args:
            path: of the directory.
            name: in it, not a shortened one.
            likely: what it was before.
            may_have_old_marker: whether to ask for ``NAME_$folder$``.
        """
        as_of = trio.current_time()
        if not path and name == OWN_FOLDER.encode():
            return Finding(None, as_of)
        if likely is EntryKind.OBJECT and not name.is_beside:
            entry = await self._as_object(path, name)
            if entry is not None:
                return Finding(entry, as_of)
        found: dict[EntryKind, Entry | None] = {}

        async def as_object() -> None:
            found[EntryKind.OBJECT] = await self._as_object(path, name)

        async def as_directory() -> None:
            found[EntryKind.DIRECTORY] = await self._as_directory(path, name, may_have_old_marker=may_have_old_marker)

        async with open_tasks() as nursery:
            nursery.start_soon(as_object)
            nursery.start_soon(as_directory)
        if name.is_beside:
            return Finding(found[EntryKind.OBJECT] if found[EntryKind.DIRECTORY] is not None else None, as_of)
        return Finding(found[EntryKind.DIRECTORY] or found[EntryKind.OBJECT], as_of)

    async def _as_object(self, path: str, name: Name) -> Entry | None:
        object_key = self._namespace.file_key(join_path(path, name))
        if object_key == self._namespace.listing_prefix(path):
            # The empty component: the directory's marker, unless that has a body.
            first = await self._first_object(object_key)
            is_file = first is not None and first.object_key == object_key and first.size > 0
            return Entry(name, EntryKind.OBJECT, first) if is_file else None
        try:
            known = await self._book.load(object_key)
        except ObjectMissingError:
            return None
        return Entry(name, EntryKind.OBJECT, known.version)

    async def _as_directory(self, path: str, name: Name, *, may_have_old_marker: bool) -> Entry | None:
        if not path and name.component == OWN_FOLDER:
            return Entry(name, EntryKind.DIRECTORY, None)  # always there, though not shown: files of that name stand beside it
        if await self._first_object(self._namespace.marker_key(join_directory_path(path, name))) is not None:
            return Entry(name, EntryKind.DIRECTORY, None)
        if not may_have_old_marker:
            return None
        try:
            known = await self._book.load(self._namespace.file_key(join_path(path, name) + FOLDER_SUFFIX))
        except ObjectMissingError:
            return None
        is_marker = known.version is not None and known.version.size == 0
        return Entry(name, EntryKind.DIRECTORY, None, has_old_marker=True) if is_marker else None

    async def _first_object(self, prefix: str) -> ObjectVersion | None:
        page = await self._store.list_page(prefix, "", None, max_keys=1)
        return next(iter(page.objects), None)
