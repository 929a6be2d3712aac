"""Listings: the same names whatever the pages, each standing for its own object, and our own changes in them."""

from hypothesis import given
from hypothesis import strategies as st

from ssecfs.s3.types import ETag, ListPage, ObjectKey, ObjectVersion
from ssecfs.tree.listing import Entry, EntryKind, Listing
from ssecfs.tree.names import Name, show, show_beside

PREFIX = "d/"
COMPONENTS = st.sampled_from(["a", "b", "c", "", ".", "a%file", "a%=", "a-", "z" * 300, "h", "a_$folder$", "e_$folder$"])
KEYS = st.sets(st.tuples(COMPONENTS, st.sampled_from(["", "/", "/x"])).map("".join), max_size=14)


def version(component: str, size: int = 1) -> ObjectVersion:
    return ObjectVersion(ObjectKey(PREFIX + component), ETag('"e"'), size, 1)


def is_marker(key: str) -> bool:
    return key.endswith("_$folder$")


def pages_of(keys: set[str], page_size: int) -> list[ListPage]:
    """The pages of a listing with a slash as delimiter, as a server makes them."""
    groups = {key.partition("/")[0] + "/" if "/" in key else key for key in keys} - {""}
    groups |= {""} & keys
    ordered = sorted(groups, key=str.encode)
    chunks = [ordered[start : start + page_size] for start in range(0, len(ordered), page_size)] or [[]]
    return [
        ListPage(
            tuple(version(key, 0 if is_marker(key) else 1) for key in chunk if not key.endswith("/")),
            tuple(PREFIX + key for key in chunk if key.endswith("/")),
            None if number == len(chunks) else "more",
        )
        for number, chunk in enumerate(chunks, start=1)
    ]


def listing_of(keys: set[str], page_size: int = 1000, hidden: str | None = None) -> Listing:
    listing = Listing(PREFIX, 0.0, hidden)
    for page in pages_of(keys, page_size):
        listing.take(page, 0.0)
    return listing


def shown_by(listing: Listing) -> dict[bytes, str]:
    """Name to object key, or to the kind of a directory."""
    return {
        entry.name: entry.version.object_key
        if entry.version is not None
        else ("directory with an old marker" if entry.has_old_marker else "directory")
        for entry in listing.entries()
    }


@given(KEYS, st.integers(1, 5))
def test_every_object_has_a_name_of_its_own_whatever_the_pages(keys: set[str], page_size: int) -> None:
    listing = listing_of(keys, page_size)
    shown = shown_by(listing)
    assert shown == shown_by(listing_of(keys))
    files = {PREFIX + key for key in keys if "/" not in key and not is_marker(key)}
    assert sorted(key for key in shown.values() if not key.startswith("directory")) == sorted(files)
    directories = {key.partition("/")[0] for key in keys if "/" in key}
    directories |= {key.removesuffix("_$folder$") for key in keys if "/" not in key and is_marker(key)}
    assert {name for name, what in shown.items() if what.startswith("directory")} == {show(one) for one in directories}
    names = [name for page in listing.pages for name in page.names]
    assert sorted(names) == sorted(shown)


@given(KEYS, st.integers(1, 5))
def test_what_is_known_of_a_part_is_true_of_the_whole(keys: set[str], page_size: int) -> None:
    whole = listing_of(keys)
    part = Listing(PREFIX, 0.0)
    part.take(pages_of(keys, page_size)[0], 0.0)
    for component in ("a", "b", "c", "", ".", "a-", "a%file", "e", "z" * 300):
        for name in (show(component), show_beside(component)):
            if part.knows(name):
                assert part.get(name) == whole.get(name)


@given(KEYS)
def test_removed_directory_gives_its_name_to_the_file_beside_it(keys: set[str]) -> None:
    listing = listing_of(keys | {"a", "a/x"})
    assert listing.get(show_beside("a")) == Entry(show_beside("a"), EntryKind.OBJECT, version("a"))
    listing.note(Name(b"a"), None)
    assert listing.get(Name(b"a")) == Entry(Name(b"a"), EntryKind.OBJECT, version("a"))
    assert listing.get(show_beside("a")) is None
    # Who held the file knows it by its old name.
    listing.note(show_beside("a"), Entry(show_beside("a"), EntryKind.OBJECT, version("a", 7)))
    assert listing.get(Name(b"a")) == Entry(Name(b"a"), EntryKind.OBJECT, version("a", 7))
    listing.note(show_beside("a"), None)
    assert listing.get(Name(b"a")) is None


def test_marker_is_told_from_a_file_with_its_key() -> None:
    listing = Listing(PREFIX, 0.0)
    listing.take(ListPage((version("", 0),), (), None), 0.0)
    assert (listing.marker, shown_by(listing)) == (version("", 0), {})
    listing = listing_of({""})
    assert (listing.marker, shown_by(listing)) == (None, {b"%=": "d/"})


def test_hidden_folder_is_not_shown_and_a_file_of_its_name_stands_beside_it() -> None:
    listing = listing_of({"h", "h/x", "a"}, hidden="h")
    assert shown_by(listing) == {b"a": "d/a", b"h%file": "d/h"}
    listing.note(Name(b"h%file"), None)
    assert shown_by(listing) == {b"a": "d/a"}


def test_last_entry_of_a_directory_without_a_marker_is_known_as_such() -> None:
    listing = listing_of({"a", "b"})
    assert not listing.shows_only(Name(b"a"))
    listing.note(Name(b"b"), None)
    assert listing.shows_only(Name(b"a"))
    assert not listing.shows_only(Name(b"b"))
    listing.marker = version("", 0)
    assert not listing.shows_only(Name(b"a"))


def test_old_marker_is_remembered_until_the_directory_is_removed() -> None:
    listing = listing_of({"e_$folder$"})
    listing.note(Name(b"e"), Entry(Name(b"e"), EntryKind.DIRECTORY, None))
    assert shown_by(listing) == {b"e": "directory with an old marker"}
    listing.note(Name(b"e"), None)
    listing.note(Name(b"e"), Entry(Name(b"e"), EntryKind.DIRECTORY, None))
    assert shown_by(listing) == {b"e": "directory"}
