"""Parts of an upload: how an object is cut into parts, and which of them are copied from another object. Pure, no I/O.

Imported by ``s3.multipart`` and ``s3.copying``.

Every part but the last has at least 5 MiB. So a changed byte inside a large object costs 5 MiB that are sent, a copied range
between two changes pays only if it is long enough, and which ranges to copy is a small problem of shortest paths: see _reach.

Source: S3 user guide, "Amazon S3 multipart upload limits".
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from ssecfs.s3.types import ByteRange
from ssecfs.sizes import MIB


class Origin(Enum):
    """Where the bytes of a part come from."""

    SENT = "sent"
    COPIED = "copied"


@dataclass(frozen=True, slots=True)
class Part:
    """A range of the new object, sent or copied from the same range of another one."""

    byte_range: ByteRange
    origin: Origin


@dataclass(frozen=True, slots=True)
class PartLimits:
    """How parts may be.

    Attributes:
        least: bytes of a part, the last excepted.
        sent: bytes of a part that is sent, at most (but one that would leave less than least behind is longer).
        copied: the same for one that is copied.
        count: parts, at most.
    """

    least: int = 5 * MIB
    sent: int = 8 * MIB
    copied: int = 256 * MIB
    count: int = 10_000

    def larger(self) -> "PartLimits":
        """The limits for fewer parts."""
        return replace(self, least=2 * self.least, sent=2 * self.sent, copied=2 * self.copied)


USUAL: Final = PartLimits()
"""Parts of 8 MiB keep four streams busy; a server copies 256 MiB well within the timeout of a request."""

STREAM_STEP: Final = 1000
"""Parts of the same size in a row, when the size of the object is not known yet: so 10 000 parts hold 8 TiB."""

SKIPPED_AT_ONCE: Final = 2
"""Of three neighbouring ranges that could be copied and are sent, copying the middle one always saves bytes."""


def plan_parts(size: int, clean: Sequence[ByteRange] = (), limits: PartLimits = USUAL) -> list[Part]:
    """Cut [0, size) into parts so that as few bytes as possible are sent.

    Args:
        size: of the new object.
        clean: its ranges that can be copied: in order, not empty, not touching.
        limits: of parts; larger ones are used when there would be too many.
    """
    while True:
        parts = [part for run in _runs(size, clean, limits.least) for part in _cut(run, size, limits)]
        if len(parts) <= limits.count:
            return parts
        limits = limits.larger()


def stream_part(number: int) -> ByteRange:
    """The range of a part, counted from 1, of an object whose size is not known yet."""
    step, place = divmod(number - 1, STREAM_STEP)
    start = USUAL.sent * (STREAM_STEP * ((1 << step) - 1) + (place << step))
    return ByteRange(start, start + (USUAL.sent << step))


def stream_part_number(offset: int) -> int:
    """The number of the part that a byte belongs to; see stream_part."""
    step = (offset // (USUAL.sent * STREAM_STEP) + 1).bit_length() - 1
    start = USUAL.sent * STREAM_STEP * ((1 << step) - 1)
    return STREAM_STEP * step + (offset - start) // (USUAL.sent << step) + 1


def _cut(run: Part, size: int, limits: PartLimits) -> Iterator[Part]:
    """Cut a run of one origin into parts."""
    each = limits.sent if run.origin is Origin.SENT else limits.copied
    start, stop = run.byte_range.start, run.byte_range.stop
    least_rest = 1 if stop == size else limits.least
    while stop - start >= each + least_rest:
        yield Part(ByteRange(start, start + each), run.origin)
        start += each
    yield Part(ByteRange(start, stop), run.origin)


def _runs(size: int, clean: Iterable[ByteRange], least: int) -> Iterator[Part]:
    """Cut [0, size) into runs, sent and copied in turn, none but the last shorter than least."""
    position = 0
    for copied in _ranges_to_copy(size, clean, least):
        if position < copied.start:
            yield Part(ByteRange(position, copied.start), Origin.SENT)
        yield Part(copied, Origin.COPIED)
        position = copied.stop
    if position < size:
        yield Part(ByteRange(position, size), Origin.SENT)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to cut everything before a copied range.

    Attributes:
        clean: the range that can be copied.
        start: where in it the copy begins.
        sent: bytes before start that are sent.
        copied_before: the copied range before this one, and with it all before; None: there is none.
    """

    clean: ByteRange
    start: int
    sent: int
    copied_before: "tuple[_Way, int] | None"


def _ranges_to_copy(size: int, clean: Iterable[ByteRange], least: int) -> list[ByteRange]:
    """Choose what to copy: the ways to each range that could be copied follow from those to the ones before it."""
    best: _Way | None = None
    best_sent = size
    recent: deque[list[_Way]] = deque(maxlen=SKIPPED_AT_ONCE + 1)
    for candidate in clean:
        shortest = 1 if candidate.stop == size else least
        if len(candidate) < shortest:
            continue
        ways = _not_worse(
            way
            for way in (_first(candidate, least), *(_reach(candidate, way, least) for ways in recent for way in ways))
            if candidate.stop - way.start >= shortest
        )
        recent.append(ways)
        for way in ways:
            sent = way.sent + size - candidate.stop
            if sent < best_sent:
                best, best_sent = way, sent
    return _followed_back(best)


def _first(candidate: ByteRange, least: int) -> _Way:
    """Copy nothing before a range."""
    start = 0 if candidate.start == 0 else max(candidate.start, least)
    return _Way(candidate, start, start, None)


def _reach(candidate: ByteRange, before: _Way, least: int) -> _Way:
    """Copy next after a range that is copied.

    What is sent between the two must not be shorter than least. Where it is, it takes of the range before what that can spare,
    then of this one: what is left of the one before is of no use to anybody else.
    """
    start, stop = candidate.start, before.clean.stop
    if start - stop < least:
        start = max(start, before.start + 2 * least)
        stop = start - least
    return _Way(candidate, start, before.sent + start - stop, (before, stop))


def _not_worse(ways: Iterable[_Way]) -> list[_Way]:
    """The ways that no other beats both in where they begin and in what they send."""
    kept: list[_Way] = []
    for way in sorted(ways, key=lambda way: (way.start, way.sent)):
        if not kept or way.sent < kept[-1].sent:
            kept.append(way)
    return kept


def _followed_back(way: _Way | None) -> list[ByteRange]:
    """The copied ranges of a way to the end, in order."""
    ranges: list[ByteRange] = []
    stop = way.clean.stop if way is not None else 0
    while way is not None:
        ranges.append(ByteRange(way.start, stop))
        way, stop = way.copied_before or (None, 0)
    return ranges[::-1]
