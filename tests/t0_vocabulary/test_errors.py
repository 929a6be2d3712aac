"""The error tree: its drawing, its errnos, its exit codes."""

import errno
import inspect
import logging
import os
import re
from typing import Final

import pytest

from ssecfs import errors
from ssecfs.errors import RequestError, SsecfsError, StartupError, StoreError

CLASSES: Final = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, SsecfsError)]
LEAVES: Final = [one for one in CLASSES if not one.__subclasses__()]
_DRAWN: Final = re.compile(r"^ {4}([│├└─ ]*)(\w+Error)\b(.*)$", re.MULTILINE)


def drawn() -> list[tuple[str, str, str]]:
    """Rows of the drawing: class, class above it, the words after the name."""
    above: list[str] = []
    rows = []
    for branch, name, words in _DRAWN.findall(inspect.getdoc(errors) or ""):
        depth = len(branch) // 3
        rows.append((name, above[depth - 1] if depth else "Exception", words))
        above[depth:] = [name]
    return rows


def test_drawing_has_every_class_once_under_its_parent() -> None:
    assert sorted((name, above) for name, above, _ in drawn()) == sorted(
        (one.__name__, one.__bases__[0].__name__) for one in CLASSES
    )


def test_drawn_errno_is_the_class_s() -> None:
    for name, _, words in drawn():
        found = re.search(r"\bE[A-Z]+\b", words)
        if found:
            assert getattr(errors, name).errno == getattr(errno, found[0]), name


def test_drawn_word_transient_is_the_class_s() -> None:
    assert {name for name, _, words in drawn() if "trans" in words} == {one.__name__ for one in CLASSES if one.transient}


def test_drawn_exit_code_is_the_class_s() -> None:
    codes = {name: int(found[1]) for name, _, words in drawn() if (found := re.match(r"\s+(\d+)\b", words))}
    assert codes == {one.__name__: one.exit_code for one in StartupError.__subclasses__()}


def test_exit_codes_are_unique_and_leave_the_shell_s_alone() -> None:
    codes = [one.exit_code for one in StartupError.__subclasses__()]
    assert sorted(set(codes)) == sorted(codes)
    assert all(1 < code < 64 for code in codes)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_leaf_has_an_errno_that_programs_know_and_a_sentence(leaf: type[SsecfsError]) -> None:
    assert os.strerror(leaf.errno) != f"Unknown error {leaf.errno}"
    assert leaf.errno not in {0, errno.ENOSYS}, "the kernel would stop asking"
    assert (leaf.__doc__ or "").strip().endswith(".")


def test_requests_are_logged_lowest_and_the_store_s_answers_above() -> None:
    assert RequestError.log_level == logging.DEBUG
    assert StoreError.log_level == logging.WARNING
    assert SsecfsError.log_level == logging.ERROR


def test_only_the_store_s_errors_are_transient() -> None:
    assert all(issubclass(one, StoreError) for one in CLASSES if one.transient)
