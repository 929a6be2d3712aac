"""Names and object keys: the escapes and their inverses."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ssecfs.errors import BadRequestError, NameTooLongError
from ssecfs.tree.names import Name, Namespace, check_name, join_directory_path, join_path, show, show_beside

PIECES = ["a", "ü", "世", ".", "..", "\0", "%", "%=", "%25", "%00", "%E9", "%file", "%long", "%" + "0" * 32, "\n", "x" * 200]
COMPONENTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=300),
)
BYTES = [piece.encode() for piece in PIECES if "\0" not in piece] + [b"\xe9", b"\xc3", b"\xed\xa0\x80"]
NAMES = st.one_of(
    st.lists(st.sampled_from(BYTES), min_size=1, max_size=6).map(b"".join),
    st.binary(min_size=1, max_size=255).map(lambda raw: raw.translate(None, b"/\0")),
).filter(lambda name: 0 < len(name) <= 255 and name not in {b".", b".."})


def is_possible(name: bytes) -> bool:
    return 0 < len(name) <= 255 and name not in {b".", b".."} and b"/" not in name and b"\0" not in name


@given(COMPONENTS)
@example("%E9%=")
@example("%E9%file%=")
@example("x%file")
@example("x%file%file")
def test_every_component_is_shown_under_a_possible_name_that_stands_for_it(component: str) -> None:
    for name in (show(component), show_beside(component)):
        assert is_possible(name)
        assert name.component == component
        assert name.is_shortened or Name(bytes(name)).component == component


@given(NAMES)
@example(b"%E9%=")
@example(b"\xe9%=")
@example(b"\xe9%file%file")
@example(b".%=")
def test_every_name_stands_for_a_component_that_is_shown_under_it(raw_name: bytes) -> None:
    name = Name(raw_name)
    if name.is_shortened:
        with pytest.raises(BadRequestError):
            _ = name.component
    else:
        assert "/" not in name.component
        assert (show_beside(name.component) if name.is_beside else show(name.component)) == name


@given(st.lists(COMPONENTS, unique=True, max_size=8))
def test_no_two_entries_of_a_directory_are_shown_alike(components: list[str]) -> None:
    shown = [show(component) for component in components] + [show_beside(component) for component in components]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("file.txt", b"file.txt"),
        ("100%", b"100%"),
        ("a%2Fb%20c", b"a%2Fb%20c"),
        ("new\nline", b"new\nline"),
        ("", b"%="),
        (".", b".%="),
        ("..", b"..%="),
        ("a\0b%", b"a%00b%25%="),
        (".%=", b".%25=%="),
        ("a%=", b"a%="),
        ("a%file", b"a%25file%="),
        ("x" * 255, b"x" * 255),
        ("caf%E9%=", b"caf\xe9"),
        ("%E9", b"%E9"),
    ],
)
def test_component_is_shown_as_the_manual_says(component: str, name: bytes) -> None:
    assert show(component) == name
    assert Name(name).component == component


def test_component_over_255_bytes_is_shown_shortened() -> None:
    component = "ä" * 150
    digits = hashlib.sha256(component.encode()).hexdigest()[:32]
    assert show(component) == ("ä" * 106).encode() + f"%{digits}%long".encode()
    assert show(component).component == component
    assert show_beside(component) == show(component) + b"%file"


def test_file_beside_a_directory_has_a_tag() -> None:
    assert show_beside("a") == b"a%file"
    assert show_beside("a").plain == b"a"
    assert len(show_beside("x" * 253)) <= 255


def test_keys_under_a_prefix_keep_it() -> None:
    namespace = Namespace("backups/")
    assert namespace.file_key("a/b") == "backups/a/b"
    assert namespace.marker_key("a/") == "backups/a/"
    assert namespace.marker_key("") == "backups/"
    assert namespace.listing_prefix("a/") == "backups/a/"
    assert namespace.listing_prefix("") == "backups/"


def test_root_of_a_whole_bucket_lists_everything_and_keeps_its_marker_out_of_sight() -> None:
    namespace = Namespace("")
    assert namespace.listing_prefix("") == ""
    assert namespace.marker_key("").startswith(".ssecfs/")


def test_object_key_over_1024_bytes_is_refused() -> None:
    assert len(Namespace("").file_key("é" * 512)) == 512
    with pytest.raises(NameTooLongError):
        Namespace("").file_key("é" * 512 + "x")


@pytest.mark.parametrize("name", [b"a", "ö".encode(), b"with space", b"new\nline", b"\xff", b"x" * 255])
def test_good_names_are_accepted_as_they_are(name: bytes) -> None:
    assert check_name(name) == name


def test_name_over_255_bytes_is_too_long() -> None:
    with pytest.raises(NameTooLongError):
        check_name(b"x" * 256)


def test_paths_are_object_keys_without_prefix() -> None:
    assert join_path("", Name(b"a")) == "a"
    assert join_path("a/b/", Name(b"c%=")) == "a/b/c%="
    assert join_path("a/b/", Name(b"..%=")) == "a/b/.."
    assert join_directory_path("", Name(b"%=")) == "/"
    assert join_directory_path("a/", Name(b"caf\xe9")) == "a/caf%E9%=/"
