"""Listing: what one directory holds, page by page as the endpoint tells it, with our own changes applied. No I/O.

Imported by ``directory`` and ``fs``. Directories may have hundreds of thousands of entries, so an entry is kept as one short
string of bytes and made anew for whoever asks.

An entry as kept: one byte for a directory; for an object its flags, size, time, ETag, and its object key where that is not the
directory's prefix and what the name stands for.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.s3.types import ETag, ListPage, ObjectKey, ObjectVersion
from ssecfs.tree.course import LAST_AHEAD, Course, Number
from ssecfs.tree.names import FOLDER_SUFFIX, SEPARATOR, Name, show, show_beside

FULL_PAGE: Final = 1000
"""Names of a full page: a directory with fewer is listed for the sake of one."""

QUESTIONS_FOR_A_PAGE: Final = 4
"""Single names that are asked for before one more page of a large directory is listed: it costs about as much as they."""

SHORTEST_PACE_S: Final = 1e-6


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
        has_old_marker: whether a directory has a marker ``NAME_$folder$``.
    """

    name: Name
    kind: EntryKind
    version: ObjectVersion | None
    has_old_marker: bool = False


@dataclass(frozen=True, slots=True)
class PageOfNames:
    """The names of one page, in the endpoint's order.

    Attributes:
        as_of: loop time at which the page was asked for.
    """

    names: list[Name]
    as_of: float


class Listing:
    """What one directory held from a moment on, and what we changed since.

    Owns: the entries, the names by page. Invariants: a name is in ``pages`` at most once; a name that we added is in ``added``
    until a page has it; a name of a page that we removed stays in it and has no entry; a file has its plain name unless a
    directory has it.

    Attributes:
        prefix: of the object keys of its entries.
        hidden: component of a directory that is not shown; None: all are.
        has_old_markers: whether any directory here has, or had before, a marker ``NAME_$folder$``.
        was_large: whether the listing before it had too many names to be made for the sake of one.
        asked: single names that were asked for instead of listing more.
        began_at: loop time at which its first page was asked for.
        answered_at: loop time at which the last look-up of a name was answered.
        marker: version of the directory's own marker; None: it has none, or is not listed yet.
        next_token: of the page after those that are here; None with pages: all are here.
        is_entered: somebody wanted to know what is in the directory, not only whether it is there.
        looks: how names were looked up.
        reads: how files were read.
    """

    __slots__ = (
        "_covered",
        "_entries",
        "_order",
        "_ordered_pages",
        "_pace_s",
        "_shortened",
        "_shown",
        "added",
        "answered_at",
        "asked",
        "began_at",
        "has_old_markers",
        "hidden",
        "is_entered",
        "looks",
        "marker",
        "next_token",
        "pages",
        "prefix",
        "reads",
        "was_large",
    )

    def __init__(
        self, prefix: str, began_at: float, hidden: str | None = None, *, was_large: bool = False, has_old_markers: bool = False
    ) -> None:
        """Begin with nothing; see the attributes."""
        self.began_at = began_at
        self.answered_at = began_at
        self.hidden = hidden
        self.has_old_markers = has_old_markers
        self.was_large = was_large
        self.asked = 0
        self.marker: ObjectVersion | None = None
        self.pages: list[PageOfNames] = []
        self.added: dict[Name, None] = {}
        self.next_token: str | None = None
        self.is_entered = False
        self.prefix = prefix
        self._entries: dict[Name, bytes | None] = {}
        self._shown = 0
        self._shortened: dict[Name, Name] = {}
        self._covered = b""
        self._order: list[Name] = []
        self._ordered_pages = 0
        self._pace_s = 0.0
        self.looks = Course()
        self.reads = Course()

    def __len__(self) -> int:
        """Count the names kept, removed ones included: what it costs in memory."""
        return len(self._entries)

    @property
    def is_complete(self) -> bool:
        """Tell whether every name is here."""
        return bool(self.pages) and self.next_token is None

    @property
    def is_large(self) -> bool:
        """Tell whether it has too many names to be listed for the sake of one."""
        if self.is_complete:
            return len(self._entries) > FULL_PAGE
        return self.was_large or len(self._entries) >= FULL_PAGE

    def may_ask(self) -> bool:
        """Tell whether a name that is not known is to be asked for by itself; else one more page is due."""
        return self.is_large and self.asked < QUESTIONS_FOR_A_PAGE * (len(self.pages) + self.was_large)

    @property
    def shows_anything(self) -> bool:
        """Tell whether there is a marker or an entry: whether the directory is there at all."""
        return self.marker is not None or self._shown > 0

    def get(self, name: Name) -> Entry | None:
        """The entry of a name; None: it has none, or none that is here."""
        packed = self._entries.get(name)
        if packed is None:
            return None
        known_name = self._shortened.get(name, name)
        if _is_directory(packed):
            return Entry(known_name, EntryKind.DIRECTORY, None, has_old_marker=packed == _OLD_DIRECTORY)
        return Entry(known_name, EntryKind.OBJECT, _unpack(packed, self.prefix, known_name))

    def knows(self, name: Name) -> bool:
        """Tell whether what get says of a name is all there is, as object and as directory."""
        packed = self._entries.get(name)
        if self.is_complete or name in self.added or (packed is not None and _is_directory(packed)):
            return True
        if name.is_shortened:
            return False
        last_of_the_name = f"{self.prefix}{name.component}{FOLDER_SUFFIX}"
        return last_of_the_name.encode() < self._covered

    def entries(self) -> Iterator[Entry]:
        """Every entry that is here."""
        for name in list(self._entries):
            entry = self.get(name)
            if entry is not None:
                yield entry

    def take(self, page: ListPage, as_of: float) -> None:
        """Add a page; where an object and a directory have the same name, the directory gets it."""
        names: list[Name] = []
        for version in page.objects:
            component = version.object_key[len(self.prefix) :]
            if version.size == 0 and not component:
                self.marker = version
            elif version.size == 0 and component.endswith(FOLDER_SUFFIX):
                self.has_old_markers = True
                self._take_directory(component.removesuffix(FOLDER_SUFFIX), _OLD_DIRECTORY, names)
            else:
                self._take_object(component, _pack(version, self.prefix, component), names)
        for common_prefix in page.common_prefixes:
            self._take_directory(common_prefix[len(self.prefix) : -len(SEPARATOR)], _DIRECTORY, names)
        self.pages.append(PageOfNames(names, as_of))
        self.next_token = page.next_token
        last = [version.object_key for version in page.objects[-1:]] + list(page.common_prefixes[-1:])
        self._covered = max((object_key.encode() for object_key in last), default=self._covered)

    def take_nothing(self, marker: ObjectVersion) -> None:
        """Be complete without a page of the endpoint's: a directory that was just made has its marker and no more."""
        self.marker = marker
        self.pages.append(PageOfNames([], self.began_at))

    def note(self, name: Name, entry: Entry | None) -> None:
        """Apply a change of ours; None: the name is removed."""
        if name.is_beside and not name.is_shortened and not self._has_directory(name.component):
            name = name.plain  # it had that name when there was a directory
        if entry is None:
            self._remove(name)
            return
        if name not in self._entries:
            self.added[name] = None
        if entry.version is not None:
            self._put(name, _pack(entry.version, self.prefix, name.component))
        elif self._entries.get(name) != _OLD_DIRECTORY:
            self._put(name, _OLD_DIRECTORY if entry.has_old_marker else _DIRECTORY)

    def look_ahead(self, name: Name, number: Number, now: float, horizon_s: float) -> list[Entry]:
        """Take note that name was looked up; the entries that are likely next and were not given before.

        No further than the program will come within horizon_s, at the pace of the look-ups so far without the time that it
        waited for us.
        """
        window = self.looks.window
        pace_s = self._pace_s + (now - self.answered_at - self._pace_s) / (4 if window else 1)
        reached = int(min(horizon_s / max(pace_s, SHORTEST_PACE_S), LAST_AHEAD))
        following = self.looks.step(self._sorted(), name, number, reached)
        self._pace_s = pace_s if self.looks.window else 0.0
        return self._present(following)

    def read_ahead(self, name: Name, number: Number, at_most: int) -> list[Entry]:
        """Take note that what has a name was read; the entries that are likely next and were not given before."""
        return self._present(self.reads.step(self._sorted(), name, number, at_most))

    def _sorted(self) -> list[Name]:
        """The names that were listed, in order; the same list as long as no page came."""
        if self._ordered_pages != len(self.pages):
            self._order, self._ordered_pages = sorted(self._entries), len(self.pages)
        return self._order

    def _present(self, names: list[Name]) -> list[Entry]:
        return [entry for entry in map(self.get, names) if entry is not None]

    def shows_only(self, name: Name) -> bool:
        """Tell whether a name is all that there is: without it the directory would not be there."""
        return self.is_complete and self.marker is None and self._shown == 1 and self.get(name) is not None

    def _has_directory(self, component: str) -> bool:
        packed = self._entries.get(show(component))
        return component == self.hidden or (packed is not None and _is_directory(packed))

    def _take_object(self, component: str, packed: bytes, names: list[Name]) -> None:
        self._take(show_beside(component) if self._has_directory(component) else show(component), packed, names)

    def _take_directory(self, component: str, packed: bytes, names: list[Name]) -> None:
        if component == self.hidden:
            return
        name = show(component)
        known = self._entries.get(name)
        if known is not None and not _is_directory(known):
            self._take(show_beside(component), known, names)
        self._take(name, known if known == _OLD_DIRECTORY else packed, names)

    def _take(self, name: Name, packed: bytes, names: list[Name]) -> None:
        if name not in self._entries or name in self.added:
            names.append(name)
            self.added.pop(name, None)
        self._put(name, packed)

    def _put(self, name: Name, packed: bytes | None) -> None:
        self._shown += (packed is not None) - (self._entries.get(name) is not None)
        self._entries[name] = packed
        if name.is_shortened:
            self._shortened[name] = name

    def _remove(self, name: Name) -> None:
        """Take an entry away; a file that stood beside a directory gets its plain name."""
        packed = self._entries.get(name)
        if name in self.added:
            self._put(name, None)
            del self.added[name], self._entries[name]
        elif packed is not None:
            self._put(name, None)
        if packed is None or not _is_directory(packed):
            return
        beside = show_beside(self._shortened.get(name, name).component)
        packed = self._entries.get(beside)
        if packed is not None:
            self._remove(beside)
            if name not in self._entries:
                self.added[name] = None
            self._put(name, packed)


_DIRECTORY: Final = b"/"
_OLD_DIRECTORY: Final = b"$"


def _is_directory(packed: bytes) -> bool:
    return len(packed) == 1


_HEADER: Final = struct.Struct("<BqqH")
_ESTIMATED: Final = 1
_HEX_ETAG: Final = 2

_MD5_ETAG: Final = re.compile(r'"[0-9a-f]{32}"')


def _pack(version: ObjectVersion, prefix: str, component: str) -> bytes:
    """The short form of a version in the directory of prefix."""
    flags = _ESTIMATED if version.is_estimated else 0
    if _MD5_ETAG.fullmatch(version.etag):
        flags |= _HEX_ETAG
        etag = bytes.fromhex(version.etag[1:-1])
    else:
        etag = version.etag.encode()
    is_usual = version.object_key == prefix + component
    object_key = b"" if is_usual else version.object_key.encode()
    return _HEADER.pack(flags, version.size, version.modified_s, len(etag)) + etag + object_key


def _unpack(packed: bytes, prefix: str, name: Name) -> ObjectVersion:
    """The inverse of _pack."""
    flags, size, modified_s, etag_length = _HEADER.unpack_from(packed)
    etag_end = _HEADER.size + etag_length
    etag = packed[_HEADER.size : etag_end]
    shown = f'"{etag.hex()}"' if flags & _HEX_ETAG else etag.decode()
    object_key = packed[etag_end:].decode() or prefix + name.component
    return ObjectVersion(ObjectKey(object_key), ETag(shown), size, modified_s, bool(flags & _ESTIMATED))
