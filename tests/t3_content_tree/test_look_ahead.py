"""What is likely to be looked up next, told in time and once; and entries as they are kept, short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.s3.types import ETag, ListPage, ObjectKey, ObjectVersion
from ssecfs.tree.course import LAST_AHEAD
from ssecfs.tree.listing import FULL_PAGE, Entry, EntryKind, Listing
from ssecfs.tree.names import Name

PREFIX = "folder/"
FOREVER_S = float("inf")

ETAGS = st.one_of(
    st.from_regex(r'"[0-9a-f]{32}"', fullmatch=True),
    st.from_regex(r'"[0-9A-F]{32}"', fullmatch=True),
    st.from_regex(r'"[0-9a-f]{32}-\d+"', fullmatch=True),
    st.text(max_size=40),
)


def version(component: str, etag: str = '"e"') -> ObjectVersion:
    return ObjectVersion(ObjectKey(PREFIX + component), ETag(etag), 5, 9)


def page(components: list[str], token: str | None = None, prefixes: tuple[str, ...] = ()) -> ListPage:
    return ListPage(tuple(version(component) for component in components), prefixes, token)


def numbered(count: int) -> tuple[Listing, list[Name]]:
    names = [Name(b"%05d" % number) for number in range(count)]
    listing = Listing(PREFIX, 0.0)
    listing.take(page([name.decode() for name in names]), 0.0)
    return listing, names


def unnumbered(name: Name) -> int:
    """No order but that of names."""
    return 0 * len(name)


@given(etag=ETAGS, size=st.integers(0, 1 << 62), modified_s=st.integers(-(1 << 40), 1 << 40), is_estimated=st.booleans())
def test_version_comes_out_of_a_listing_as_it_went_in(etag: str, size: int, modified_s: int, *, is_estimated: bool) -> None:
    given_version = ObjectVersion(ObjectKey(PREFIX + "grüße, 世界"), ETag(etag), size, modified_s, is_estimated)
    listing = Listing(PREFIX, 0.0)
    listing.take(ListPage((given_version,), (), None), 0.0)
    assert [entry.version for entry in listing.entries()] == [given_version]


def test_names_are_in_the_order_of_the_pages_and_our_own_come_last() -> None:
    listing = Listing(PREFIX, 0.0)
    listing.note(Name(b"b"), Entry(Name(b"b"), EntryKind.OBJECT, version("b")))
    listing.note(Name(b"z"), Entry(Name(b"z"), EntryKind.OBJECT, version("z")))
    listing.take(page(["a", "b"], "token"), 1.0)
    listing.take(page(["c"], None, (PREFIX + "d/",)), 2.0)
    assert [(shown.names, shown.as_of) for shown in listing.pages] == [([b"a", b"b"], 1.0), ([b"c", b"d"], 2.0)]
    assert (list(listing.added), listing.is_complete) == ([b"z"], True)


def test_removed_name_has_no_entry_and_can_come_back_without_being_named_twice() -> None:
    listing, names = numbered(3)
    listing.note(names[1], None)
    assert (listing.get(names[1]), listing.knows(names[1])) == (None, True)
    listing.note(names[1], Entry(names[1], EntryKind.DIRECTORY, None))
    assert (listing.get(names[1]), list(listing.added)) == (Entry(names[1], EntryKind.DIRECTORY, None), [])


def test_incomplete_listing_answers_only_for_what_it_covers() -> None:
    listing = Listing(PREFIX, 0.0)
    listing.take(page(["a", "c"], "token"), 0.0)
    known = {name: listing.knows(Name(name)) for name in (b"a", b"b", b"c", b"d")}
    # Of c there may be a directory as well, on the next page.
    assert known == {b"a": True, b"b": True, b"c": False, b"d": False}


@pytest.mark.parametrize(("count", "is_large"), [(0, False), (FULL_PAGE, False), (FULL_PAGE + 1, True)])
def test_listing_is_large_with_more_than_a_page(count: int, is_large: bool) -> None:
    listing, _ = numbered(count)
    assert listing.is_large is is_large


def test_single_look_up_asks_for_nothing_more() -> None:
    listing, names = numbered(500)
    assert [listing.look_ahead(names[place], unnumbered, 0.0, FOREVER_S) for place in (7, 300, 50)] == [[], [], []]


def test_look_ups_in_order_ask_for_ever_more_and_for_each_name_once() -> None:
    listing, names = numbered(2000)
    asked = [[entry.name for entry in listing.look_ahead(name, unnumbered, 0.0, FOREVER_S)] for name in names]
    assert [len(one) for one in asked[:5]] == [0, 8, 9, 17, 33]
    assert [name for one in asked for name in one] == names[2:]
    assert max(names.index(one[-1]) - place for place, one in enumerate(asked) if one) == LAST_AHEAD


def test_look_ups_in_order_ask_for_no_more_than_will_be_wanted_in_time() -> None:
    """At one look-up in half a second, and with five seconds to go, ten names are enough."""
    listing, names = numbered(2000)
    ahead = 0
    for place, name in enumerate(names[:200]):
        now = place * 0.5
        for entry in listing.look_ahead(name, unnumbered, now, 5.0):
            ahead = max(ahead, names.index(entry.name) - place)
        listing.answered_at = now
    assert ahead == 10


def test_time_that_the_program_waits_for_us_is_not_its_pace() -> None:
    listing, names = numbered(2000)
    asked = 0
    for place, name in enumerate(names[:20]):
        asked += len(listing.look_ahead(name, unnumbered, place * 10.0, 5.0))
        listing.answered_at = (place + 1) * 10.0
    assert asked > LAST_AHEAD
