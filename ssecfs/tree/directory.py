"""What is in a directory: listings, trusted for a while, with our own changes applied to them.

What lives here: which names exist and what kind of thing they are. What does not: their attributes (``attrbook``), inodes
(``inodes``). Imported by ``fs``.

One listing answers for every name of its directory, present or not, until its time is up. A directory of more than one page is
listed in full only for readdir; single names in it are asked for one by one.
"""

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import trio

from ssecfs.errors import ObjectMissingError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ListPage, ObjectVersion
from ssecfs.tasks import open_tasks
from ssecfs.tree.inodes import Inode
from ssecfs.tree.names import FOLDER_SUFFIX, OWN_FOLDER, SEPARATOR, Name, Namespace, join_path, parse_component

MAX_KEPT_ENTRIES: Final = 400_000
"""Bound on the entries of all kept listings, about 100 MB."""


FIRST_LOOK_AHEAD: Final = 8
LAST_LOOK_AHEAD: Final = 256
"""Bounds on the HEADs that are started before they are asked for."""


class EntryKind(Enum):
    """What a name is."""

    OBJECT = "object"
    """A file, symlink, FIFO or socket: one object."""
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a directory.

    Attributes:
        version: of the object; None for a directory.
    """

    name: Name
    kind: EntryKind
    version: ObjectVersion | None


@dataclass(slots=True)
class Listing:
    """What one directory held at a moment, and what we changed since.

    Attributes:
        marker: version of the directory's own marker; None: it has none.
        covered_key: up to this object key the listing is complete; None: all of it is.
    """

    entries: dict[Name, Entry] = field(default_factory=dict)
    marker: ObjectVersion | None = None
    covered_key: str | None = None
    fetched_at: float = -math.inf
    _order: list[Name] = field(default_factory=list)
    _last_place: float = -math.inf
    _window: int = 0

    def answers_for(self, object_key: str) -> bool:
        """Tell whether a name that is not in entries is known not to exist, as object or as directory."""
        if self.covered_key is None:
            return True
        return (object_key + SEPARATOR).encode() < self.covered_key.encode()

    def look_ahead(self, name: Name) -> list[ObjectVersion]:
        """Take note that name was looked up; the objects that are likely next.

        A single look-up asks for nothing more. From the second in order on, the window doubles.
        """
        if len(self._order) != len(self.entries):
            self._order = sorted(self.entries)
        place = bisect_right(self._order, name)
        is_next = self._last_place < place <= self._last_place + max(self._window, FIRST_LOOK_AHEAD)
        self._window = min(max(self._window * 2, FIRST_LOOK_AHEAD), LAST_LOOK_AHEAD) if is_next else 0
        self._last_place = place
        found = (self.entries[other].version for other in self._order[place : place + self._window] if other in self.entries)
        return [version for version in found if version is not None]


class Pages(Enum):
    """How much of a directory to list."""

    FIRST = "first"
    ALL = "all"


class Directories:
    """Listings of directories.

    Owns: kept listings, listings in progress, the changes made during those. Lifetime: the mount's.
    """

    def __init__(self, store: ObjectStore, namespace: Namespace, ttl_s: float) -> None:
        """Take the collaborators.

        Args:
            store: where to list.
            namespace: object keys of paths.
            ttl_s: how long a listing is trusted; may be infinite.
        """
        self._store = store
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._kept: OrderedDict[int, Listing] = OrderedDict()
        self._kept_entries = 0
        self._running: dict[int, trio.Event] = {}
        self._edits: dict[int, list[tuple[Name, Entry | None]]] = {}

    async def find(self, inode: Inode, name: Name) -> Entry | None:
        """Say what a name in a directory is; None: there is no such name.

        Raises:
            StoreError: the endpoint could not tell.
        """
        listing = self.fresh(inode)
        if listing is None and not self._is_large(inode):
            listing = await self._list(inode, Pages.FIRST)
        if listing is not None:
            if name in listing.entries:
                return listing.entries[name]
            if listing.answers_for(self._namespace.file_key(join_path(inode.path, name))):
                return None
        return await self._ask_for(inode, name)

    async def list_all(self, inode: Inode) -> Mapping[Name, Entry]:
        """Every entry of a directory, from a trusted complete listing or a new one."""
        listing = self.fresh(inode)
        if listing is None or listing.covered_key is not None:
            listing = await self._list(inode, Pages.ALL)
        return listing.entries

    async def is_empty(self, inode: Inode) -> bool:
        """Ask the endpoint, never a kept listing, whether a directory has no entry but its own marker."""
        prefix = self._namespace.listing_prefix(inode.path)
        page = await self._store.list_page(prefix, SEPARATOR, None, max_keys=2)
        return not page.common_prefixes and all(version.object_key == prefix for version in page.objects)

    def fresh(self, inode: Inode) -> Listing | None:
        """The kept listing, if it is still to be trusted."""
        listing = self._kept.get(inode.ino)
        if listing is None or trio.current_time() - listing.fetched_at >= self._ttl_s:
            return None
        self._kept.move_to_end(inode.ino)
        return listing

    def knows_absent(self, inode: Inode, name: Name) -> bool:
        """Tell whether a trusted listing of a directory says that a name is not there."""
        listing = self.fresh(inode)
        if listing is None or name in listing.entries:
            return False
        return listing.answers_for(self._namespace.file_key(join_path(inode.path, name)))

    def neighbours(self, inode: Inode, name: Name) -> list[ObjectVersion]:
        """Objects that come after a name in the kept listing, when names are being looked up in order; else none."""
        listing = self._kept.get(inode.ino)
        if listing is None:
            return []
        return listing.look_ahead(name)

    def note_entry(self, inode: Inode, entry: Entry) -> None:
        """Put an entry that we made or changed on the server into the listing, also into one in progress."""
        self._edit(inode, entry.name, entry)

    def note_removed(self, inode: Inode, name: Name) -> None:
        """Take an entry that we removed on the server out of the listing, also of one in progress."""
        self._edit(inode, name, None)

    def drop(self, inode: Inode) -> None:
        """Trust no kept listing of a directory any more."""
        listing = self._kept.pop(inode.ino, None)
        if listing is not None:
            self._kept_entries -= len(listing.entries)

    def _is_large(self, inode: Inode) -> bool:
        listing = self._kept.get(inode.ino)
        return listing is not None and listing.covered_key is not None

    def _edit(self, inode: Inode, name: Name, entry: Entry | None) -> None:
        listing = self._kept.get(inode.ino)
        if listing is not None:
            self._kept_entries -= len(listing.entries)
            _apply(listing, name, entry)
            self._kept_entries += len(listing.entries)
        if inode.ino in self._edits:
            self._edits[inode.ino].append((name, entry))

    async def _list(self, inode: Inode, pages: Pages) -> Listing:
        """List a directory; whoever comes meanwhile waits for the same answer."""
        while (running := self._running.get(inode.ino)) is not None:
            await running.wait()
            listing = self._kept.get(inode.ino)
            if listing is not None and (pages is Pages.FIRST or listing.covered_key is None):
                return listing
        event = self._running[inode.ino] = trio.Event()
        self._edits[inode.ino] = []
        try:
            listing = await self._fetch(inode, pages)
            for name, entry in self._edits[inode.ino]:
                _apply(listing, name, entry)
            self._keep(inode, listing)
        finally:
            del self._running[inode.ino], self._edits[inode.ino]
            event.set()
        return listing

    async def _fetch(self, inode: Inode, pages: Pages) -> Listing:
        prefix = self._namespace.listing_prefix(inode.path)
        listing = Listing(fetched_at=trio.current_time())
        token = None
        while True:
            page = await self._store.list_page(prefix, SEPARATOR, token)
            _take_page(listing, page, prefix)
            token = page.next_token
            if token is None or pages is Pages.FIRST:
                break
        if inode.parent is None:
            listing.entries.pop(Name(OWN_FOLDER.encode()), None)
        if token is not None:
            listing.covered_key = max([version.object_key for version in page.objects[-1:]] + list(page.common_prefixes[-1:]))
        return listing

    def _keep(self, inode: Inode, listing: Listing) -> None:
        self.drop(inode)
        self._kept[inode.ino] = listing
        self._kept_entries += len(listing.entries)
        while self._kept_entries > MAX_KEPT_ENTRIES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_entries -= len(oldest.entries)

    async def _ask_for(self, inode: Inode, name: Name) -> Entry | None:
        """Ask for one name as object and as directory, at the same time."""
        path = join_path(inode.path, name)
        found: dict[EntryKind, Entry] = {}

        async def as_object() -> None:
            try:
                info = await self._store.head(self._namespace.file_key(path))
            except ObjectMissingError:
                return
            found[EntryKind.OBJECT] = Entry(name, EntryKind.OBJECT, info.version)

        async def as_directory() -> None:
            page = await self._store.list_page(self._namespace.marker_key(path), "", None, max_keys=1)
            if page.objects:
                found[EntryKind.DIRECTORY] = Entry(name, EntryKind.DIRECTORY, None)

        async with open_tasks() as nursery:
            nursery.start_soon(as_object)
            nursery.start_soon(as_directory)
        return found.get(EntryKind.DIRECTORY) or found.get(EntryKind.OBJECT)


def _apply(listing: Listing, name: Name, entry: Entry | None) -> None:
    if entry is None:
        listing.entries.pop(name, None)
    else:
        listing.entries[name] = entry


def _take_page(listing: Listing, page: ListPage, prefix: str) -> None:
    """Add a page's entries; where an object and a directory have the same name, the directory is shown."""
    for version in page.objects:
        component = version.object_key[len(prefix) :]
        if not component:
            listing.marker = version
            continue
        if component.endswith(FOLDER_SUFFIX) and version.size == 0:
            _take_directory(listing, component.removesuffix(FOLDER_SUFFIX))
            continue
        name = parse_component(component)
        if name is not None and name not in listing.entries:
            listing.entries[name] = Entry(name, EntryKind.OBJECT, version)
    for common_prefix in page.common_prefixes:
        _take_directory(listing, common_prefix[len(prefix) : -len(SEPARATOR)])


def _take_directory(listing: Listing, component: str) -> None:
    name = parse_component(component)
    if name is not None:
        listing.entries[name] = Entry(name, EntryKind.DIRECTORY, None)
