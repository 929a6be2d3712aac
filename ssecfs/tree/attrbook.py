"""Known attributes by object version, and the HEAD requests that make them known.

What lives here: the memory of attributes. What does not: inodes (``inodes``), listings (``directory``). Imported by ``fs``.

Attributes belong to a version: as long as listings show that version, no HEAD is needed. HEADs run many at once, one an object.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from ssecfs.errors import ObjectMissingError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.tree.attrs import Attrs, Defaults, parse_attrs

MAX_KNOWN: Final = 100_000
"""Entries kept, about 60 MB at most."""

HEADS_AT_ONCE: Final = 64


class AttrBook:
    """Attributes of object versions.

    Owns: the map from object key to version and attributes, and the HEADs in progress. Lifetime: the mount's.
    """

    def __init__(self, store: ObjectStore, defaults: Defaults, seal_key: bytes, nursery: trio.Nursery) -> None:
        """Take the collaborators.

        Args:
            store: where to ask.
            defaults: attributes of objects that carry none.
            seal_key: checks the HMAC over attributes.
            nursery: the mount's; HEADs run there, so that an interrupted program does not end one that another waits for.
        """
        self._store = store
        self._defaults = defaults
        self._seal_key = seal_key
        self._nursery = nursery
        self._known: OrderedDict[ObjectKey, tuple[ObjectVersion, Attrs]] = OrderedDict()
        self._running: dict[ObjectKey, _Flight] = {}
        self._limit = trio.CapacityLimiter(HEADS_AT_ONCE)

    def known(self, version: ObjectVersion) -> Attrs | None:
        """The attributes of a version, if they are known; costs nothing."""
        found = self._known.get(version.object_key)
        if found is None or not found[0].is_same(version):
            return None
        self._known.move_to_end(version.object_key)
        return found[1]

    def note(self, version: ObjectVersion, attrs: Attrs) -> None:
        """Remember attributes that we stored or saw."""
        self._known[version.object_key] = (version, attrs)
        self._known.move_to_end(version.object_key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def forget(self, object_key: ObjectKey) -> None:
        """Drop what is known of an object that is gone."""
        self._known.pop(object_key, None)

    def note_info(self, info: ObjectInfo) -> Attrs:
        """Remember what HEAD or GET told, and give the attributes."""
        attrs = parse_attrs(info, self._defaults, self._seal_key)
        self.note(info.version, attrs)
        return attrs

    async def load(self, object_key: ObjectKey) -> tuple[ObjectVersion, Attrs]:
        """Ask for an object with HEAD, or wait for one that is under way.

        Raises:
            ObjectMissingError: there is no such object.
            StoreError: the endpoint could not tell.
        """
        flight = self._start(object_key)
        await flight.done.wait()
        if flight.error is not None:
            raise flight.error
        found = self._known.get(object_key)
        if found is None:  # pushed out at once by others: a very small book or a very large directory
            info = await self._store.head(object_key)
            return info.version, self.note_info(info)
        return found

    def request(self, versions: Iterable[ObjectVersion]) -> None:
        """Start HEADs for those of the versions whose attributes are not known, without waiting."""
        for version in versions:
            if self.known(version) is None:
                self._start(version.object_key)

    def directory_defaults(self, modified_s: int) -> Attrs:
        """The attributes of a directory that has no marker."""
        return self._defaults.for_directory(modified_s)

    def file_defaults(self, version: ObjectVersion) -> Attrs:
        """The attributes of a file of which only the listing is known."""
        return self._defaults.for_file(version.size, version.modified_s)

    def _start(self, object_key: ObjectKey) -> "_Flight":
        flight = self._running.get(object_key)
        if flight is None:
            flight = self._running[object_key] = _Flight()
            self._nursery.start_soon(self._head, object_key, flight, name="head")
        return flight

    async def _head(self, object_key: ObjectKey, flight: "_Flight") -> None:
        try:
            async with self._limit:
                info = await self._store.head(object_key)
            self.note_info(info)
        except ObjectMissingError as error:
            self.forget(object_key)
            flight.error = error
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, whose boundary deals with it
            flight.error = error
        finally:
            del self._running[object_key]
            flight.done.set()


@dataclass(slots=True, eq=False)
class _Flight:
    """One HEAD under way, for all who wait for it."""

    done: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None
