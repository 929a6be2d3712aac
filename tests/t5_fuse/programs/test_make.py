"""make and a C compiler with sources and objects on the mount: times decide as on a disk, what was built runs."""

from pathlib import Path

import pytest
from support.budgets import requests_of
from support.clients import plant
from support.mounts import Mounting
from support.programs import program, same_in, seen_afresh

pytestmark = pytest.mark.mount

PROJECT = {
    "Makefile": b"""
CFLAGS = -g -MMD
program: main.o libarith.a
\t$(CC) -o $@ main.o -L. -larith
libarith.a: add.o mul.o
\t$(AR) rcs $@ $^
clean:
\trm -f program *.o *.d *.a
-include *.d
""",
    "arith.h": b"int add(int, int);\nint mul(int, int);\n",
    "add.c": b'#include "arith.h"\nint add(int a, int b) { return a + b; }\n',
    "mul.c": b'#include "arith.h"\nint mul(int a, int b) { return a * b; }\n',
    "main.c": b'#include <stdio.h>\n#include "arith.h"\nint main(void) { printf("%d\\n", add(2, mul(4, 10))); return 0; }\n',
}

UP_TO_DATE = "make: 'program' is up to date.\n"


def built(output: str) -> set[str]:
    """The targets of the commands that make ran."""
    lines = [line.split() for line in output.splitlines()]
    return {words[words.index("-o") + 1] for words in lines if "-o" in words} | {
        words[2] for words in lines if words[0] == "ar"
    }


def test_project_is_built_and_only_what_changed_is_built_again(folder: Path, shared_mount: Mounting, tmp_path: Path) -> None:
    plant(folder, PROJECT)
    make = program("make", folder=folder, home=tmp_path)
    run = program("./program", folder=folder, home=tmp_path)
    with requests_of(shared_mount) as counted:
        assert built(make.text("--jobs=3")) == {"main.o", "add.o", "mul.o", "libarith.a", "program"}
    assert counted["GetObject"] == 0, "what was just written is in the cache"
    assert run.text() == "42\n"
    with requests_of(shared_mount) as counted:
        assert make.text() == UP_TO_DATE
    assert set(counted) <= {"ListObjectsV2"}
    (folder / "add.c").touch()
    assert built(make.text()) == {"add.o", "libarith.a", "program"}
    (folder / "arith.h").touch()
    assert built(make.text("--jobs=3")) == {"main.o", "add.o", "mul.o", "libarith.a", "program"}
    assert make.text() == UP_TO_DATE

    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        again = same_in(afresh, shared_mount, folder)
        assert program("make", folder=again, home=tmp_path).text() == UP_TO_DATE
        assert program("./program", folder=again, home=tmp_path).text() == "42\n"
    make.text("clean")
    assert {path.name for path in folder.iterdir()} == set(PROJECT)
