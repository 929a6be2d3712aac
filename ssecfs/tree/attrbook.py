"""Known attributes by object version, and the HEAD requests that make them known.

What lives here: the memory of attributes. What does not: where they are kept over remounts (``attrshelf``), inodes
(``inodes``), listings (``directory``). Imported by ``fs``.

Attributes belong to a version: as long as listings show that version, no HEAD is needed. HEADs run many at once, one an object.
"""

import logging
import stat
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from ssecfs.errors import ObjectMissingError
from ssecfs.log import digest_name
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ETag, ObjectInfo, ObjectKey, ObjectVersion
from ssecfs.tree.attrs import Attrs, Defaults, SealState, format_metadata, parse_attrs
from ssecfs.tree.attrshelf import AttrShelf, Record
from ssecfs.tree.names import SEPARATOR

LOGGER: Final = logging.getLogger(__name__)

MAX_IN_MEMORY: Final = 20_000
"""Objects whose attributes are kept in memory, about 20 MB; those of many more are on the shelf."""

HEADS_AT_ONCE: Final = 64


NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an object.

    Attributes:
        version: that the attributes belong to; None: a directory without a marker.
        as_of: loop time at which the endpoint told; NEVER: in the life of another mount.
    """

    version: ObjectVersion | None
    attrs: Attrs
    as_of: float


class AttrBook:
    """Attributes of object versions.

    Owns: the map from object key to version and attributes, and the HEADs in progress. Lifetime: the mount's.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        shelf: AttrShelf,
        defaults: Defaults,
        seal_key: bytes,
        mounted_s: int,
        nursery: trio.Nursery,
    ) -> None:
        """Take the collaborators.

        Args:
            store: where to ask.
            shelf: where attributes are kept over remounts.
            defaults: attributes of objects that carry none.
            seal_key: for the HMAC over attributes.
            mounted_s: the time of directories that have no marker, seconds since the epoch.
            nursery: the mount's; HEADs run there, so that an interrupted program does not end one that another waits for.
        """
        self._store = store
        self._shelf = shelf
        self._defaults = defaults
        self._seal_key = seal_key
        self._nursery = nursery
        self._no_marker = defaults.for_directory(mounted_s)
        self._known: OrderedDict[ObjectKey, Known] = OrderedDict()
        self._running: dict[ObjectKey, _Flight] = {}
        self._limit = trio.CapacityLimiter(HEADS_AT_ONCE)

    def known(self, version: ObjectVersion) -> Attrs | None:
        """The attributes of a version, if they are known; costs no request."""
        found = self.last_known(version.object_key)
        if found is None or found.version is None or not found.version.is_same(version):
            return None
        if found.version.is_estimated and not version.is_estimated:
            # From now on only this exact time counts: a copy by somebody else might keep size and ETag.
            self.note(version, found.attrs)
        return found.attrs

    def last_known(self, object_key: ObjectKey) -> Known | None:
        """What was last known of an object, true by now or not; None: nothing."""
        found = self._known.get(object_key)
        if found is not None:
            self._known.move_to_end(object_key)
            return found
        record = self._shelf.load(object_key)
        if record is None:
            return None
        if record.version is None:
            return self._keep(object_key, Known(None, self._no_marker, NEVER))
        info = ObjectInfo(record.version, record.metadata, key_md5=None)
        attrs = parse_attrs(info, self._defaults, self._seal_key)
        return self._keep(object_key, Known(record.version, attrs, NEVER))

    def last_known_marker(self, marker_key: ObjectKey) -> Known | None:
        """As last_known, for a directory: what has a body is a file and no marker."""
        found = self.last_known(marker_key)
        return self._as_marker(found) if found is not None else None

    def note(self, version: ObjectVersion, attrs: Attrs) -> None:
        """Remember attributes that we stored."""
        metadata = format_metadata(attrs, version.object_key, self._seal_key)
        self._keep(version.object_key, Known(version, attrs, trio.current_time()))
        self._shelf.store(version.object_key, Record(version, metadata))

    def parse(self, object_key: ObjectKey, metadata: Mapping[str, str], size: int, modified_s: int) -> Attrs:
        """The attributes of an object that is not on the server yet, from the metadata that it is to have; nothing is noted."""
        version = ObjectVersion(object_key, ETag(""), size, modified_s)
        return parse_attrs(ObjectInfo(version, metadata, key_md5=None), self._defaults, self._seal_key)

    def note_info(self, info: ObjectInfo, as_of: float) -> Known:
        """Remember what HEAD or GET told; as_of: loop time at which it was asked."""
        attrs = parse_attrs(info, self._defaults, self._seal_key)
        if attrs.seal is SealState.BAD:
            what = digest_name(info.version.object_key)
            LOGGER.warning("attributes of object %s were changed by another program or by the provider", what)
        self._shelf.store(info.version.object_key, Record(info.version, info.metadata))
        return self._keep(info.version.object_key, Known(info.version, attrs, as_of))

    def note_no_marker(self, marker_key: ObjectKey, as_of: float) -> Known:
        """Remember that a directory has no marker; as_of: loop time at which the endpoint was asked."""
        self._shelf.store(marker_key, Record(None, {}))
        return self._keep(marker_key, Known(None, self._no_marker, as_of))

    def forget(self, object_key: ObjectKey) -> None:
        """Drop what is known of an object that is gone."""
        self._known.pop(object_key, None)
        self._shelf.drop(object_key)

    async def load(self, object_key: ObjectKey) -> Known:
        """Ask for an object with HEAD, or wait for one that is under way.

        Raises:
            ObjectMissingError: there is no such object, and it is no directory's marker.
            StoreError: the endpoint could not tell.
        """
        flight = self._start(object_key)
        await flight.done.wait()
        if flight.error is not None:
            raise flight.error
        assert flight.found is not None, "done without error means found"  # noqa: S101 - see _head
        return flight.found

    async def load_marker(self, marker_key: ObjectKey) -> Known:
        """As load, for a directory: what has a body is a file and no marker."""
        return self._as_marker(await self.load(marker_key))

    def request(self, object_keys: Iterable[ObjectKey]) -> None:
        """Start HEADs without waiting."""
        for object_key in object_keys:
            self._start(object_key)

    def directory_defaults(self) -> Attrs:
        """The attributes of a directory that has no marker."""
        return self._no_marker

    def file_defaults(self, version: ObjectVersion) -> Attrs:
        """The attributes of a file of which only the listing is known."""
        return self._defaults.for_file(version.size, version.modified_s)

    def locked_attrs(self, version: ObjectVersion | None) -> Attrs:
        """The attributes of a file that our customer keys do not open, or of a directory whose marker they do not (None)."""
        return self._no_marker if version is None else replace(self.file_defaults(version), mode=stat.S_IFREG)

    def _as_marker(self, known: Known) -> Known:
        if known.version is None or known.version.size == 0:
            return known
        return Known(None, self._no_marker, known.as_of)

    def _keep(self, object_key: ObjectKey, known: Known) -> Known:
        self._known[object_key] = known
        self._known.move_to_end(object_key)
        if len(self._known) > MAX_IN_MEMORY:
            self._known.popitem(last=False)
        return known

    def _start(self, object_key: ObjectKey) -> "_Flight":
        flight = self._running.get(object_key)
        if flight is None:
            flight = self._running[object_key] = _Flight()
            self._nursery.start_soon(self._head, object_key, flight, name="head")
        return flight

    async def _head(self, object_key: ObjectKey, flight: "_Flight") -> None:
        as_of = trio.current_time()
        try:
            async with self._limit:
                as_of = trio.current_time()
                info = await self._store.head(object_key)
            flight.found = self.note_info(info, as_of)
        except ObjectMissingError as error:
            if object_key.endswith(SEPARATOR):
                flight.found = self.note_no_marker(object_key, as_of)
            else:
                self.forget(object_key)
                flight.error = error
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, whose boundary deals with it
            flight.error = error
        finally:
            del self._running[object_key]
            flight.done.set()


@dataclass(slots=True, eq=False)
class _Flight:
    """One HEAD under way, for all who wait for it; found or error is set when done is."""

    done: trio.Event = field(default_factory=trio.Event)
    found: Known | None = None
    error: Exception | None = None
