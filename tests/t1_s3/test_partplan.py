"""The plan of an upload's parts: whatever the file and its changes, it is one that S3 takes, and no other sends fewer bytes."""

from bisect import bisect_right
from functools import cache
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ssecfs.s3.partplan import USUAL, Origin, Part, PartLimits, plan_parts
from ssecfs.s3.types import ByteRange
from ssecfs.sizes import GIB, KIB, MIB, TIB

SMALL = PartLimits(least=4, sent=6, copied=9, count=10_000)


@st.composite
def files(draw: st.DrawFn, unit: int, longest: int) -> tuple[int, list[ByteRange]]:
    """A size, and ranges of it that can be copied; many of them are just about too short for that."""
    lengths = draw(st.lists(st.one_of(st.integers(1, longest), st.integers(1, 7)), min_size=1, max_size=16))
    borders = [0]
    for length in lengths:
        borders.append(borders[-1] + length * unit + draw(st.integers(0, unit - 1)))
    first = draw(st.integers(0, 1))
    return borders[-1], [ByteRange(*pair) for pair in pairwise(borders)][first::2]


def sent_bytes(parts: list[Part]) -> int:
    return sum(len(part.byte_range) for part in parts if part.origin is Origin.SENT)


def check(parts: list[Part], size: int, clean: list[ByteRange], least: int, longest: int) -> None:
    assert [0, *(part.byte_range.stop for part in parts)] == [*(part.byte_range.start for part in parts), size]
    assert all(len(part.byte_range) >= least for part in parts[:-1])
    assert all(1 <= len(part.byte_range) <= longest for part in parts)
    for part in parts:
        if part.origin is Origin.COPIED:
            place = bisect_right(clean, part.byte_range.start, key=lambda one: one.start) - 1
            assert place >= 0
            assert part.byte_range.stop <= clean[place].stop


@given(files(MIB, 40))
def test_parts_of_any_file_cover_it_and_keep_the_limits(file: tuple[int, list[ByteRange]]) -> None:
    size, clean = file
    check(plan_parts(size, clean), size, clean, 5 * MIB, 5 * GIB)


@settings(max_examples=30)
@given(st.integers(0, 5 * TIB), st.integers(0, 5 * TIB), st.integers(1, 40 * GIB))
def test_parts_of_huge_files_are_at_most_ten_thousand(size: int, start: int, length: int) -> None:
    start = min(start, size)
    stop = min(start + length, size)
    clean = [one for one in (ByteRange(0, start), ByteRange(stop, size)) if len(one)]
    for plan, copied in ((plan_parts(size), []), (plan_parts(size, clean), clean)):
        assert len(plan) <= 10_000
        check(plan, size, copied, 5 * MIB if size else 0, 5 * GIB)


def test_many_patches_far_apart_keep_within_ten_thousand_parts() -> None:
    clean = [ByteRange(start * 10 * MIB + 4 * KIB, (start + 1) * 10 * MIB) for start in range(20_000)]
    parts = plan_parts(20_000 * 10 * MIB, clean)
    assert len(parts) <= 10_000
    check(parts, 20_000 * 10 * MIB, clean, 5 * MIB, 5 * GIB)


@settings(max_examples=1000)
@given(files(1, 17))
def test_no_other_plan_sends_fewer_bytes(file: tuple[int, list[ByteRange]]) -> None:
    size, clean = file
    parts = plan_parts(size, clean, SMALL)
    check(parts, size, clean, 4, 9 + 4)
    assert sent_bytes(parts) == fewest(size, clean, 4)


def fewest(size: int, clean: list[ByteRange], least: int) -> int:
    """The bytes that must be sent, found by trying every place where a run can end."""
    may_copy = [any(one.start <= place < one.stop for one in clean) for place in range(size)]

    @cache
    def from_here(place: int, copied_before: bool) -> int:
        if place == size:
            return 0
        best = size * 2
        for stop in [*range(place + least, size), size]:
            if not copied_before and all(may_copy[place:stop]):
                best = min(best, from_here(stop, True))
            if copied_before or place == 0:
                best = min(best, stop - place + from_here(stop, False))
        return best

    return from_here(0, False)


def test_patch_in_the_middle_of_a_gibibyte_sends_five_mebibytes() -> None:
    place = 500 * MIB + 12_345
    parts = plan_parts(GIB, [ByteRange(0, place), ByteRange(place + 4 * KIB, GIB)])
    assert sent_bytes(parts) == USUAL.least


def test_file_that_was_cut_is_only_copied() -> None:
    assert [part.origin for part in plan_parts(100 * MIB, [ByteRange(0, 100 * MIB)])] == [Origin.COPIED]


def test_appended_bytes_are_all_that_is_sent() -> None:
    assert sent_bytes(plan_parts(100 * MIB + 7, [ByteRange(0, 100 * MIB)])) == 7


def test_file_with_nothing_to_copy_goes_in_parts_of_eight_mebibytes() -> None:
    lengths = [len(part.byte_range) for part in plan_parts(20 * MIB)]
    assert lengths == [8 * MIB, 8 * MIB, 4 * MIB]
