"""Listings of directories, trusted for a while: fetched when they are needed, kept, dropped.

What lives here: which names exist and what kind of thing they are. What does not: one listing (``listing``), questions about
one name (``asking``), attributes (``attrbook``), inodes (``inodes``). Imported by ``fs``.

One listing answers for every name of its directory, present or not, and for the directory itself, until its time is up. A
directory of more than one page is listed in full only for readdir; single names in it are asked for one by one, and every few
questions pay for one more page.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

import trio

from ssecfs.errors import SsecfsError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectKey, ObjectVersion
from ssecfs.tree.asking import Asker, Finding, Presence
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.course import Number
from ssecfs.tree.inodes import Inode
from ssecfs.tree.listing import FULL_PAGE, Entry, EntryKind, Listing, PageOfNames
from ssecfs.tree.names import FOLDER_SUFFIX, OWN_FOLDER, SEPARATOR, Name, Namespace, join_directory_path

LOGGER: Final = logging.getLogger(__name__)

MAX_KEPT_ENTRIES: Final = 250_000
"""Bound on the entries of all kept listings, about 50 MB."""

ENTRIES_PER_LISTING: Final = 5
"""What a listing itself counts for, so that empty ones are bounded too."""

MAX_LARGE: Final = 10_000
"""Directories of which only that they are large is remembered."""

LOOKED_AT: Final = 100
"""Names asked for of a directory that is looked at in advance and perhaps never entered: small ones are listed by that."""


class Directories:
    """Listings of directories by path.

    Owns: kept listings, those that somebody goes through, pages under way, the changes made during those. Lifetime: the
    mount's.
    """

    def __init__(
        self, *, store: ObjectStore, book: AttrBook, namespace: Namespace, ttl_s: float, nursery: trio.Nursery
    ) -> None:
        """Take the collaborators.

        Args:
            store: where to list.
            book: takes note of attributes that are seen on the way.
            namespace: object keys of paths.
            ttl_s: how long a listing is trusted; may be infinite.
            nursery: the mount's, for looks in advance.
        """
        self._store = store
        self._asker = Asker(store, book, namespace)
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._nursery = nursery
        self._kept: OrderedDict[str, Listing] = OrderedDict()
        self._kept_entries = 0
        self._large: OrderedDict[str, None] = OrderedDict()
        self._walks: WeakSet[Walk] = WeakSet()
        self._under_way: dict[Listing, _PageUnderWay] = {}

    async def find(self, inode: Inode, name: Name, likely: EntryKind | None = None) -> Finding:
        """Say what a name in a directory is.

        Args:
            inode: the directory.
            name: in it.
            likely: what it was before; spares a question where it still is.

        Raises:
            StoreError: the endpoint could not tell.
        """
        path = inode.path
        listing = self._fresh(path)
        if listing is None:
            listing = self._begin(path)
        listing.is_entered = True
        while not listing.knows(name):
            if not name.is_shortened and listing.may_ask():
                listing.asked += 1
                return await self._asker.ask(path, name, likely, may_have_old_marker=listing.has_old_markers)
            await self.extend(path, listing)
        return Finding(listing.get(name), listing.began_at)

    async def look(self, path: str, max_keys: int = FULL_PAGE) -> Presence:
        """Say whether a directory is there, by its own listing, which answers for what is in it as well.

        Raises:
            StoreError: the endpoint could not tell.
        """
        listing = self._fresh(path)
        if (listing is None or not listing.pages) and self._is_large(path):
            return await self._asker.look(path)
        if listing is None:
            listing = self._begin(path)
        while not listing.pages:
            await self.extend(path, listing, max_keys)
        return _presence(listing)

    async def shows_only(self, inode: Inode, name: Name) -> bool:
        """Tell whether a directory would be gone from the server without a name: it has no marker and nothing else.

        Raises:
            StoreError: the endpoint could not tell.
        """
        await self.look(inode.path)
        listing = self._kept.get(inode.path)
        return listing is not None and listing.shows_only(name)

    def look_soon(self, inode: Inode, entries: Iterable[Entry]) -> None:
        """Begin to look at those of some directories in a directory of which there is no trusted listing; does not wait."""
        parent_path = inode.path
        before = self._kept[parent_path].looks.before if parent_path in self._kept else None
        last = None if before is None else self._kept.get(join_directory_path(parent_path, before))
        max_keys = FULL_PAGE if last is not None and last.is_entered else LOOKED_AT
        for entry in entries:
            path = join_directory_path(parent_path, entry.name)
            if self._fresh(path) is None:
                self._nursery.start_soon(self._look_ahead, path, max_keys, name="look")

    def seen(self, path: str) -> Presence | None:
        """As look, from a trusted listing only; None: there is none."""
        listing = self._fresh(path)
        return None if listing is None or not listing.pages else _presence(listing)

    def walk(self, inode: Inode) -> "Walk":
        """Go through a directory page by page, from a trusted listing as far as that goes, then as the endpoint tells it."""
        path = inode.path
        listing = self._fresh(path)
        if listing is None:
            listing = self._begin(path)
        listing.is_entered = True
        walk = Walk(self, path, listing)
        self._walks.add(walk)
        return walk

    async def markers_of_empty(self, inode: Inode) -> list[ObjectKey] | None:
        """Ask the endpoint, never a kept listing, whether a directory is empty; its markers if so; None: it is not."""
        prefix = self._namespace.listing_prefix(inode.path)
        page = await self._store.list_page(prefix, SEPARATOR, None, max_keys=2)
        if page.common_prefixes or any(version.object_key != prefix or version.size for version in page.objects):
            return None
        return [version.object_key for version in page.objects] + self.old_markers(inode)

    def old_markers(self, inode: Inode) -> list[ObjectKey]:
        """The object key of a directory's old-style marker, if its parent's listing shows one."""
        parent = inode.parent
        listing = self._kept.get(parent.path) if parent is not None else None
        entry = listing.get(inode.name) if listing is not None else None
        if entry is None or not entry.has_old_marker:
            return []
        return [self._namespace.file_key(inode.path.removesuffix(SEPARATOR) + FOLDER_SUFFIX)]

    def knows_absent(self, inode: Inode, name: Name) -> bool:
        """Tell whether a trusted listing of a directory says that a name is not there."""
        listing = self._fresh(inode.path)
        return listing is not None and listing.knows(name) and listing.get(name) is None

    def trusted_until(self, inode: Inode) -> float:
        """Loop time until which it is trusted that a name which was just not found in a directory is not there."""
        listing = self._fresh(inode.path)
        return (trio.current_time() if listing is None else listing.began_at) + self._ttl_s

    def neighbours(self, inode: Inode, name: Name, number: Number) -> list[Entry]:
        """The entries that come after a name in the kept listing, when names are being looked up in order; else none.

        No more than will be looked up, at the pace so far, in half of the time for which an answer is trusted.
        """
        listing = self._kept.get(inode.path)
        return [] if listing is None else listing.look_ahead(name, number, trio.current_time(), self._ttl_s / 2)

    def next_to_read(self, inode: Inode, name: Name, number: Number, at_most: int) -> list[Entry]:
        """The entries that come after a name in the kept listing, when files are being read in order; else none."""
        listing = self._kept.get(inode.path)
        return [] if listing is None else listing.read_ahead(name, number, at_most)

    def note_answered(self, inode: Inode) -> None:
        """A name in a directory was looked up, and the program has its answer now: from here on its pace counts."""
        listing = self._kept.get(inode.path)
        if listing is not None:
            listing.answered_at = trio.current_time()

    def note_entry(self, inode: Inode, entry: Entry) -> None:
        """Put an entry that we made or changed on the server into the listing, also into one under way."""
        self._edit(inode.path, entry.name, entry)

    def note_removed(self, inode: Inode, name: Name) -> None:
        """Take an entry that we removed on the server out of the listing, also of one under way."""
        self._edit(inode.path, name, None)

    def note_marker(self, inode: Inode, marker: ObjectVersion) -> None:
        """Put the marker of a directory that we stored into its listing, also into one under way."""
        listing = self._kept.get(inode.path)
        if listing is not None:
            listing.marker = marker
            if listing in self._under_way:
                self._under_way[listing].marker = marker

    def note_made(self, parent: Inode, inode: Inode, marker: ObjectVersion) -> None:
        """A directory that we made is empty: known as long as its parent's listing, which said that it was not there."""
        known = self._fresh(parent.path)
        if known is not None:
            listing = Listing(self._namespace.listing_prefix(inode.path), known.began_at)
            listing.take_nothing(marker)
            self._keep(inode.path, listing)

    def drop(self, inode: Inode) -> None:
        """Trust no kept listing of a directory any more."""
        self._drop(inode.path)

    def drop_tree(self, inode: Inode) -> None:
        """Trust no kept listing of a directory any more, nor of those below it."""
        top = inode.path
        for path in [path for path in (*self._kept, *self._large) if path.startswith(top)]:
            self._drop(path)

    def _fresh(self, path: str) -> Listing | None:
        """The kept listing, if it is still to be trusted."""
        listing = self._kept.get(path)
        if listing is None or trio.current_time() - listing.began_at >= self._ttl_s:
            return None
        self._kept.move_to_end(path)
        return listing

    def _is_large(self, path: str) -> bool:
        listing = self._kept.get(path)
        return path in self._large if listing is None else listing.is_large

    def _begin(self, path: str) -> Listing:
        """Begin a new listing; its first page is still to be fetched."""
        before = self._kept.get(path)
        listing = Listing(
            self._namespace.listing_prefix(path),
            trio.current_time(),
            hidden=None if path else OWN_FOLDER,
            was_large=self._is_large(path),
            has_old_markers=before is not None and before.has_old_markers,
        )
        if before is not None:
            listing.looks, listing.reads = before.looks, before.reads
        self._keep(path, listing)
        return listing

    async def extend(self, path: str, listing: Listing, max_keys: int = FULL_PAGE) -> None:
        """Fetch one more page, or wait for the one that somebody else is fetching; callers look again what is here."""
        others = self._under_way.get(listing)
        if others is not None:
            await others.done.wait()
            if others.error is not None:
                raise others.error
            return
        under_way = self._under_way[listing] = _PageUnderWay(trio.Event(), [], None)
        try:
            as_of = trio.current_time()
            page = await self._store.list_page(listing.prefix, SEPARATOR, listing.next_token, max_keys)
            before = len(listing)
            listing.take(page, as_of)
            for name, entry in under_way.edits:
                listing.note(name, entry)
            if under_way.marker is not None:
                listing.marker = under_way.marker
            if self._kept.get(path) is listing:
                self._grown(len(listing) - before)
        except SsecfsError as error:
            under_way.error = error
            raise
        finally:
            del self._under_way[listing]
            under_way.done.set()

    def _keep(self, path: str, listing: Listing) -> None:
        self._drop(path)
        self._kept[path] = listing
        self._grown(len(listing) + ENTRIES_PER_LISTING)

    def _grown(self, entries: int) -> None:
        """Count more entries; the listings that were not used for longest go when there are too many."""
        self._kept_entries += entries
        while self._kept_entries > MAX_KEPT_ENTRIES:
            path, listing = next(iter(self._kept.items()))
            self._drop(path)
            if listing.is_large:
                self._large[path] = None
        while len(self._large) > MAX_LARGE:
            self._large.popitem(last=False)

    def _drop(self, path: str) -> None:
        self._large.pop(path, None)
        listing = self._kept.pop(path, None)
        if listing is not None:
            self._kept_entries -= len(listing) + ENTRIES_PER_LISTING

    def _edit(self, path: str, name: Name, entry: Entry | None) -> None:
        kept = self._kept.get(path)
        listings = {walk.listing for walk in self._walks if walk.path == path}
        if kept is not None:
            listings.add(kept)
        before = len(kept) if kept is not None else 0
        for listing in listings:
            listing.note(name, entry)
            if listing in self._under_way:
                self._under_way[listing].edits.append((name, entry))
        if kept is not None:
            self._kept_entries += len(kept) - before

    async def _look_ahead(self, path: str, max_keys: int) -> None:
        try:
            await self.look(path, max_keys)
        except Exception as error:  # noqa: BLE001 - whoever needs it asks again, and has a boundary
            LOGGER.debug("a look in advance failed: %s", error)


class Walk:
    """One way through a directory. Owns: its place in the listing."""

    def __init__(self, directories: Directories, path: str, listing: Listing) -> None:
        """Begin before the first page."""
        self._directories = directories
        self._place = 0
        self.path: Final = path
        self.listing: Final = listing

    async def next_page(self) -> PageOfNames | None:
        """The names of the next page; None: there are no more. What they are now, the listing says.

        Raises:
            StoreError: the endpoint could not tell; the next call asks again.
        """
        while self._place >= len(self.listing.pages):
            if self.listing.is_complete:
                return None
            await self._directories.extend(self.path, self.listing)
        self._place += 1
        return self.listing.pages[self._place - 1]


def _presence(listing: Listing) -> Presence:
    return Presence(listing.shows_anything, listing.marker, listing.began_at)


@dataclass(slots=True)
class _PageUnderWay:
    """A page that is being fetched, and what we changed meanwhile."""

    done: trio.Event
    edits: list[tuple[Name, Entry | None]]
    marker: ObjectVersion | None
    error: SsecfsError | None = None
