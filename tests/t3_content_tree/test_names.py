"""Names and object keys."""

import pytest

from ssecfs.errors import BadRequestError, NameTooLongError
from ssecfs.tree.names import Namespace, check_name, join_path, parse_component


def test_keys_under_a_prefix_keep_it() -> None:
    namespace = Namespace("backups/")
    assert namespace.file_key("a/b") == "backups/a/b"
    assert namespace.marker_key("a") == "backups/a/"
    assert namespace.marker_key("") == "backups/"
    assert namespace.listing_prefix("") == "backups/"


def test_root_of_a_whole_bucket_lists_everything_and_keeps_its_marker_out_of_sight() -> None:
    namespace = Namespace("")
    assert namespace.listing_prefix("") == ""
    assert namespace.marker_key("").startswith(".ssecfs/")


def test_object_key_over_1024_bytes_is_refused() -> None:
    assert len(Namespace("").file_key("é" * 512)) == 512
    with pytest.raises(NameTooLongError):
        Namespace("").file_key("é" * 512 + "x")


@pytest.mark.parametrize("name", [b"a", "ö".encode(), b"with space", b"new\nline", b"x" * 255])
def test_good_names_are_accepted_as_they_are(name: bytes) -> None:
    assert check_name(name) == name


def test_name_over_255_bytes_is_too_long() -> None:
    with pytest.raises(NameTooLongError):
        check_name(b"x" * 256)


def test_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadRequestError):
        check_name(b"\xff")


@pytest.mark.parametrize("component", ["", ".", "..", "a\0b", "x" * 256])
def test_components_that_the_kernel_cannot_show_have_no_name(component: str) -> None:
    assert parse_component(component) is None


def test_paths_join_without_leading_slash() -> None:
    assert join_path("", b"a") == "a"
    assert join_path("a/b", b"c") == "a/b/c"
