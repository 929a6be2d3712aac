"""The house rules that no linter knows: sizes, floors, names, one boundary."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted((ROOT / "ssecfs").rglob("*.py"))
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 60

BANNED_NAMES: Final = {"key", "buf", "chunk", "data2", "off", "len_", "id_p"}
FOREIGN_NAMES: Final = {
    "ssecfs/fuse/operations.py": {"buf", "off"},  # the handlers' parameters are pyfuse3's
    "ssecfs/server/": {"chunk"},  # aws-chunked bodies and sealed chunks are called so in their specifications
}
BANNED_WORDS: Final = ("TODO", "FIXME", "XXX", str(ROOT))
BANNED_MODULES: Final = {"utils", "util", "helpers", "misc", "common"}

# Where any exception at all is caught and not raised again, and why that is right.
BROAD_CATCHES: Final = {
    "ssecfs/app/control.py": "the boundary of a background task: a bug must not end the mount; its traceback is in the log",
    "ssecfs/app/daemon.py": "the process's own boundary: nobody is above, so the traceback goes to the log",
    "ssecfs/fuse/boundary.py": "a bug must not end the mount: it becomes EIO, with its traceback in the log",
    "ssecfs/fuse/interrupts.py": "the error goes to whoever waits, and through his boundary; else it is logged",
    "ssecfs/fs/saving.py": "the boundary of a background task: a bug must neither end the mount nor drop unsaved data",
    "ssecfs/tasks.py": "the boundary of tasks that nobody waits for: a bug must not end the mount; its traceback is in the log",
    "ssecfs/server/service.py": "the server's boundary: a bug becomes a 500 answer, with its traceback in the log",
    "ssecfs/cache/blockcache.py": "single flight: the error goes to all who wait, and through each one's boundary",
    "ssecfs/tree/attrbook.py": "single flight: the error goes to all who wait, and through each one's boundary",
    "ssecfs/tree/directory.py": "the boundary of a background task: whoever needs the listing asks again, and has one",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


@each(SOURCES + TESTS)
def test_file_and_its_functions_keep_their_size(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    lengths = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions_of(path)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


@each(SOURCES + TESTS)
def test_module_says_what_it_is_for(path: Path) -> None:
    assert len(ast.get_docstring(tree_of(path)) or "") >= 20


@each(SOURCES)
def test_module_stands_on_a_floor(path: Path) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = [name.strip() for layer in layers for name in layer.split("|")] + ["ssecfs.server"]
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    assert module == "ssecfs" or any(f"{module}.".startswith(f"{floor}.") for floor in floors)


@each([path for path in SOURCES if path.name == "__init__.py"])
def test_init_holds_a_docstring_and_no_code(path: Path) -> None:
    _, *rest = tree_of(path).body
    if path.parent == ROOT / "ssecfs":
        (version,) = rest
        assert ast.unparse(version).startswith("__version__ = ")
    else:
        assert rest == []


@each(SOURCES)
def test_nothing_is_exported_twice(path: Path) -> None:
    """A name is imported from where it is defined: no ``__all__``, no ``import … as`` the same, no import that nothing uses."""
    tree = tree_of(path)
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [alias.name for alias in aliases if alias.name in {alias.asname, "*"}] == []
    assert "__all__" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@each(SOURCES)
def test_what_is_imported_from_us_is_defined_there(path: Path) -> None:
    found = [
        (node.module, alias.name)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "ssecfs"
        for alias in node.names
    ]
    assert [f"{module}.{name}" for module, name in found if not defines(module, name)] == []


def defines(module: str, name: str) -> bool:
    place = ROOT.joinpath(*module.split("."))
    if place.is_dir():
        return (place / name).is_dir() or (place / f"{name}.py").exists() or (module == "ssecfs" and name == "__version__")
    return place.with_suffix(".py").exists() and name in defined_in(place.with_suffix(".py"))


@cache
def defined_in(path: Path) -> frozenset[str]:
    names = set()
    for node in tree_of(path).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return frozenset(names)


@each(SOURCES)
def test_everything_is_caught_at_the_boundaries_only(path: Path) -> None:
    """Elsewhere a handler for everything must raise again: it tidies up, it does not decide."""
    swallowing = [
        handler.lineno
        for handler in ast.walk(tree_of(path))
        if isinstance(handler, ast.ExceptHandler) and is_broad(handler) and not raises_again(handler)
    ]
    if name_of(path) in BROAD_CATCHES:
        assert len(swallowing) == 1
    else:
        assert swallowing == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in {"Exception", "BaseException"} for node in ast.walk(handler.type))


def raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))


@each(SOURCES)
def test_names_are_those_of_the_glossary(path: Path) -> None:
    tree = tree_of(path)
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {function.name for function in functions_of(path)}
    allowed = [allowed for place, allowed in FOREIGN_NAMES.items() if name_of(path).startswith(place)]
    assert names & BANNED_NAMES.difference(*allowed) == set()
    assert path.stem not in BANNED_MODULES


@each([path for path in SOURCES + TESTS if path != Path(__file__)])
def test_no_note_to_self_and_no_path_of_one_machine_is_left(path: Path) -> None:
    text = path.read_text()
    assert [word for word in BANNED_WORDS if word in text] == []


def test_nothing_sleeps() -> None:
    """Neither the product nor a test polls: what waits, waits on an event."""
    assert [name_of(path) for path in SOURCES + TESTS for node in ast.walk(tree_of(path)) if is_sleep(node)] == []


def is_sleep(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
