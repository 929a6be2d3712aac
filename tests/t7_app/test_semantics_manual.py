"""ssecfs(7) says only what tests execute, and its table of errors is that of the error tree."""

import ast
import errno
import inspect
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from ssecfs import errors

ROOT: Final = Path(__file__).parents[2]
MANUAL: Final = (ROOT / "man" / "ssecfs.7").read_text(encoding="utf-8")

ABSTRACT: Final = {errors.SsecfsError, errors.RequestError, errors.StoreError, errors.LocalError}
"""Branches of the tree, which nobody raises."""

EXECUTED: Final[dict[str, str]] = tomllib.loads((ROOT / "tests/t7_app/semantics.toml").read_text(encoding="utf-8"))
"""Which test executes which statement of the page."""


def plain(text: str) -> str:
    """The text of the page without its markup."""
    text = re.sub(r"\\f[BIRP]|\\&", "", text)
    for written, meant in (("\\-", "-"), ("\\(aq", "'"), ("\\ ", " "), ("\\e", "\\")):
        text = text.replace(written, meant)
    return " ".join(text.split())


def part(begin: str, end: str) -> str:
    """The page between two headings."""
    return MANUAL.partition(f"\n{begin}\n")[2].partition(f"\n{end}\n")[0]


def statements() -> list[str]:
    text = part(".SH DESCRIPTION", ".SS Of ssecfs").partition("\n.SH ")[2]
    return [plain(bullet.partition("\n.S")[0]) for bullet in text.split("\n.IP \\(bu 2\n")[1:]]


@cache
def functions_in(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, kinds)}


def test_every_statement_of_the_page_is_in_the_table_and_no_other() -> None:
    assert statements() == list(EXECUTED)


def test_every_line_between_the_headings_belongs_to_a_statement() -> None:
    text = ".SH " + part(".SH DESCRIPTION", ".SS Of ssecfs").partition("\n.SH ")[2]
    for block in re.split(r"^\.S[HS] .*\n", text, flags=re.MULTILINE)[1:]:
        assert not block or block.startswith(".IP \\(bu 2\n"), block


@pytest.mark.parametrize("place", sorted(set(EXECUTED.values())))
def test_test_that_executes_a_statement_is_there(place: str) -> None:
    path, _, name = place.partition("::")
    assert name.startswith("test_")
    assert name in functions_in(ROOT / path)


def test_errors_of_the_page_are_those_of_the_tree() -> None:
    wanted: dict[str, list[str]] = {}
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.SsecfsError)]
    for kind in kinds:
        if kind not in ABSTRACT and not issubclass(kind, errors.StartupError):
            name = "ENOTSUP" if kind.errno == errno.ENOTSUP else errno.errorcode[kind.errno]
            wanted.setdefault(name, []).append((inspect.getdoc(kind) or "").splitlines()[0])
    found = re.findall(
        r"^\.TP\n\.B (E[A-Z]+)\n((?:(?!\.TP).*\n?)*)", part(".SS Of ssecfs", ".SH SEE ALSO") + "\n", re.MULTILINE
    )
    assert [(name, [plain(text) for text in texts.split("\n.br\n")]) for name, texts in found] == sorted(wanted.items())
