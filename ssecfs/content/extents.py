"""ExtentSet: which bytes of a file are dirty, as disjoint half-open intervals. Pure, no I/O.

Imported by ``content.openfile``. Invariants: extents are sorted, not empty, and neither overlap nor touch.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from ssecfs.s3.types import ByteRange


class ExtentSet:
    """A set of byte positions, stored as extents.

    Owns: two parallel sorted lists of starts and stops.
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        """Begin empty."""
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __bool__(self) -> bool:
        """Tell whether any byte is in the set."""
        return bool(self._starts)

    def __iter__(self) -> Iterator[ByteRange]:
        """Go through the extents in order."""
        return map(ByteRange, self._starts, self._stops)

    @property
    def total(self) -> int:
        """Count the bytes."""
        return sum(self._stops) - sum(self._starts)

    def add(self, start: int, stop: int) -> None:
        """Put [start, stop) into the set."""
        if start >= stop:
            return
        # Extents that overlap or touch the new one become part of it.
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def cut(self, size: int) -> None:
        """Take every byte at or after size out of the set."""
        keep = bisect_left(self._starts, size)
        del self._starts[keep:]
        del self._stops[keep:]
        if self._stops and self._stops[-1] > size:
            self._stops[-1] = size

    def covers(self, start: int, stop: int) -> bool:
        """Tell whether all of [start, stop) is in the set; true for an empty range."""
        if start >= stop:
            return True
        place = bisect_right(self._starts, start) - 1
        return place >= 0 and stop <= self._stops[place]

    def within(self, start: int, stop: int) -> list[ByteRange]:
        """The parts of [start, stop) that are in the set, in order."""
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        return [ByteRange(max(start, self._starts[place]), min(stop, self._stops[place])) for place in range(first, last)]

    def gaps(self, start: int, stop: int) -> list[ByteRange]:
        """The parts of [start, stop) that are not in the set, in order."""
        missing = []
        position = start
        for extent in self.within(start, stop):
            if extent.start > position:
                missing.append(ByteRange(position, extent.start))
            position = extent.stop
        if position < stop:
            missing.append(ByteRange(position, stop))
        return missing
