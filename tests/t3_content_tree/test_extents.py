"""ExtentSet agrees with a set of integers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ssecfs.content.extents import ExtentSet

POSITIONS = st.integers(0, 60)
STEPS = st.lists(
    st.one_of(st.tuples(st.just("add"), POSITIONS, POSITIONS), st.tuples(st.just("cut"), POSITIONS, st.just(0))), max_size=30
)


def build(steps: list[tuple[str, int, int]]) -> tuple[ExtentSet, set[int]]:
    extents, model = ExtentSet(), set[int]()
    for what, first, second in steps:
        if what == "add":
            extents.add(first, second)
            model |= set(range(first, second))
        else:
            extents.cut(first)
            model = {position for position in model if position < first}
    return extents, model


@given(STEPS)
def test_extents_after_any_steps_equal_a_set_of_positions(steps: list[tuple[str, int, int]]) -> None:
    extents, model = build(steps)
    assert {p for extent in extents for p in range(extent.start, extent.stop)} == model
    assert extents.total == len(model)
    assert bool(extents) == bool(model)


@given(STEPS)
def test_extents_after_any_steps_are_sorted_and_do_not_touch(steps: list[tuple[str, int, int]]) -> None:
    listed = list(build(steps)[0])
    assert all(extent.start < extent.stop for extent in listed)
    assert all(one.stop < other.start for one, other in pairwise(listed))


@given(STEPS, POSITIONS, POSITIONS)
def test_within_and_gaps_of_a_range_split_it_exactly(steps: list[tuple[str, int, int]], start: int, stop: int) -> None:
    extents, model = build(steps)
    inside = {p for part in extents.within(start, stop) for p in range(part.start, part.stop)}
    outside = {p for part in extents.gaps(start, stop) for p in range(part.start, part.stop)}
    assert inside == model & set(range(start, stop))
    assert outside == set(range(start, stop)) - model
    assert extents.covers(start, stop) == (set(range(start, stop)) <= model)
