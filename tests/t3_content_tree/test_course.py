"""In which order names are gone through, and which are next: told once, and in time."""

import random

import pytest

from ssecfs.tree.course import LAST_AHEAD, MAX_NUMBERED, RISING, Course
from ssecfs.tree.names import Name

NAMES = [Name(b"%05d" % number) for number in range(1000)]
NUMBERS = dict(zip(NAMES, random.Random(3).sample(range(10**9), len(NAMES)), strict=True))
BY_NUMBER = sorted(NAMES, key=NUMBERS.__getitem__)


def walk(course: Course, order: list[Name], names: list[Name] = NAMES) -> list[list[Name]]:
    """What is told to be next at each name."""
    return [course.step(names, name, NUMBERS.__getitem__) for name in order]


@pytest.mark.parametrize(("order", "alone"), [(NAMES, 1), (BY_NUMBER, RISING + 1)], ids=["by name", "by inode number"])
def test_names_gone_through_in_an_order_are_told_in_it_once_each(order: list[Name], alone: int) -> None:
    """In both orders some names at the start have nothing before them that would show the order."""
    told = walk(Course(), order)
    assert [len(one) for one in told[: alone + 3]] == [0] * alone + [8, 9, 17]
    assert [name for one in told for name in one] == order[alone + 1 :]
    assert max(order.index(one[-1]) - place for place, one in enumerate(told) if one) == LAST_AHEAD


def test_names_in_no_order_tell_nothing_but_by_chance() -> None:
    told = walk(Course(), random.Random(4).sample(NAMES, 500))
    assert sum(1 for one in told if one) < 5


def test_names_of_a_very_large_directory_are_not_sorted_by_number() -> None:
    names = [Name(b"%06d" % number) for number in range(MAX_NUMBERED + 1)]
    asked: list[Name] = []

    def number(name: Name) -> int:
        asked.append(name)
        return -int(name)

    course = Course()
    assert [course.step(names, name, number) for name in reversed(names[:20])] == [[]] * 20
    assert asked == []


def test_name_that_is_gone_to_again_changes_nothing() -> None:
    course = Course()
    assert walk(course, [NAMES[0], NAMES[1], NAMES[1], NAMES[1], NAMES[2]])[2:] == [[], [], NAMES[10:19]]
    assert course.before == NAMES[1]


def test_order_that_is_left_is_told_no_more_until_it_is_taken_up_again() -> None:
    course = Course()
    walk(course, NAMES[:3])
    assert walk(course, [NAMES[500], NAMES[200]]) == [[], []]
    assert walk(course, NAMES[201:202]) == [NAMES[202:210]]
