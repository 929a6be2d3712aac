"""Course: in which order a program goes through the names of a directory, and which are next. Pure, no I/O.

Imported by ``tree.listing``. Most programs take the order of names, in which a directory is listed (tar, rsync, restic); cp
sorts by inode number, because that is faster on a disk.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from ssecfs.tree.names import Name

Number = Callable[[Name], int]
"""The inode number that a name of the directory has, or would have."""

FIRST_AHEAD: Final = 8
"""How many names are next at first; also how many may be left out."""

LAST_AHEAD: Final = 256
"""How many names are next at most."""

RISING: Final = 3
"""Names whose inode numbers rise, one after the other, before that is taken for an order."""

MAX_NUMBERED: Final = 10_000
"""Names in a directory above which it is not sorted by inode number: that takes 10 ms."""

_NOWHERE: Final = -(1 << 62)


class Run:
    """One way along a row of places: in order, or not.

    Owns: where it is, and up to where places were given. Invariant: each place is given once, as long as the order is kept.

    Attributes:
        window: how many places ahead are given; 0: the order was left.
    """

    __slots__ = ("_given", "_last", "window")

    def __init__(self) -> None:
        """Begin nowhere."""
        self.window = 0
        self._last = _NOWHERE
        self._given = 0

    def step(self, place: int, at_most: int) -> range:
        """Go to the name before a place; the places that are next and were not given before.

        A single step gives nothing. From the second in order on, the window doubles, up to at_most.
        """
        if self._last < place <= self._last + max(self.window, FIRST_AHEAD):
            self.window = max(1, min(max(self.window * 2, FIRST_AHEAD), at_most))
        else:
            self.window, self._given = 0, place
        self._last = place
        begin, self._given = max(place, self._given), max(place + self.window, self._given)
        return range(begin, self._given)


class Course:
    """One program's way through a directory, or that of several which do the same.

    Owns: the way by name and the way by inode number, of which one counts at a time.

    Attributes:
        before: the name that was gone to before the last one.
    """

    __slots__ = ("_by_name", "_by_number", "_last", "_last_number", "_numbered", "_numbered_of", "_rises", "before")

    def __init__(self) -> None:
        """Begin nowhere."""
        self.before: Name | None = None
        self._last: Name | None = None
        self._by_name = Run()
        self._by_number = Run()
        self._last_number = 0
        self._rises = -1
        self._numbered: list[tuple[int, Name]] = []
        self._numbered_of: Sequence[Name] = ()

    @property
    def window(self) -> int:
        """How many names ahead are given; 0: there is no order."""
        return self._by_name.window or self._by_number.window

    def step(self, names: Sequence[Name], name: Name, number: Number, at_most: int = LAST_AHEAD) -> list[Name]:
        """Go to a name; the names that are next and were not given before.

        Args:
            names: of the directory, sorted; the same object as long as they are the same.
            name: one of them, or one that has come since.
            number: of a name.
            at_most: how far ahead, in names.
        """
        if name == self._last:
            return []
        self.before, self._last = self._last, name
        if self._by_number.window:
            following = self._step_by_number(names, name, number, at_most)
            if self._by_number.window:
                return following
        next_by_name = self._by_name.step(bisect_right(names, name), at_most)
        if self._by_name.window or len(names) > MAX_NUMBERED:
            self._rises = -1
            return list(islice(names, next_by_name.start, next_by_name.stop))
        return self._step_by_number(names, name, number, at_most)

    def _step_by_number(self, names: Sequence[Name], name: Name, number: Number, at_most: int) -> list[Name]:
        value = number(name)
        self._rises = self._rises + 1 if value > self._last_number else 0
        self._last_number = value
        if self._rises < RISING:
            self._by_number = Run()
            return []
        if self._numbered_of is not names:
            self._numbered, self._numbered_of = sorted((number(other), other) for other in names), names
        following = self._by_number.step(bisect_right(self._numbered, (value, name)), at_most)
        return [other for _, other in islice(self._numbered, following.start, following.stop)]
