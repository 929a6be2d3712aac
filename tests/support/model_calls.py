"""The reference model: generated system calls, and the loop that makes them on two filesystems and compares what comes of it.

A call is a tuple: the name of a method that ``KernelCalls`` and ``FloorCalls`` share, and its arguments. Paths are few, so that
calls meet each other; handles have numbers, and stay open over whatever comes between. What is written is told by the number
of the call, so both sides write the same.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Protocol

from hypothesis import note, settings
from hypothesis import strategies as st
from support.model_looks import Facts, differences, is_alike, summary

from ssecfs.cache.spans import BLOCK_SIZE

Call = tuple[Any, ...]

Place = int | str | tuple[Any, ...]
"""A path or a handle as it is, or what is settled when its turn comes: ("there", n) is the n-th path that there is, ("file", n)
the n-th file, ("object", n) the n-th that is no directory, ("handle", n) the n-th open handle, ("in", n, name) a name in the
n-th directory, ("free", n, name) likewise, one that does not exist."""

HANDLES: Final = 3

EXPLICIT_TIMES_NS: Final = (1_000_000_000_000_000_001, 1_234_567_890_123_456_789, 0, -1_500_000_000)

XATTR_CREATE: Final = os.XATTR_CREATE
XATTR_REPLACE: Final = os.XATTR_REPLACE
ODD_NAMES: Final = ("ä\n%", "%25%", os.fsdecode(b"\xe9"), "255", "256")
"""Numbers stand for names of so many bytes; one of them is too long."""

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2


@dataclass(frozen=True)
class Phase:
    """Some calls, and what happens to the mount after them: nothing that a program should notice."""

    calls: Sequence[Call]
    then: Call | None = None


class Subject(Protocol):
    """A filesystem of ours under the model."""

    async def do(self, number: int, call: Call) -> object:
        """Make a call; its result, or the name of an errno."""

    async def look(self) -> Mapping[str, Facts]:
        """Everything that is there."""


def named(path: str) -> str:
    """A path as it is: a number stands for a name of so many bytes."""
    return "/".join("n" * int(part) if part.isdecimal() else part for part in path.split("/"))


def settled(call: Call, there: Mapping[str, Facts], handles: Sequence[int]) -> Call | None:
    """A call with paths and handles for places; None: there is no such place now."""
    paths = sorted(there.keys() - {"."})
    folders = [path for path in sorted(there) if there[path].mode.startswith("d")]
    choices: Mapping[str, Sequence[object]] = {
        "there": paths,
        "file": [path for path in paths if there[path].mode.startswith("-")],
        "object": [path for path in paths if path not in folders],
        "handle": handles,
    }

    def settle(argument: object) -> object:
        match argument:
            case (str(kind), int(place)):
                return choices[kind][place % len(choices[kind])]
            case ("in", int(place), str(name)):
                return str(PurePosixPath(folders[place % len(folders)], name))
            case ("free", int(place), str(name)):
                free = [path for folder in folders if (path := str(PurePosixPath(folder, name))) not in there]
                return free[place % len(free)]
        return argument

    try:
        return tuple(map(settle, call))
    except ZeroDivisionError:
        return None


def content_of(number: int, length: int) -> bytes:
    """What the call of that number writes."""
    ramp = bytes((number * 7 + place) % 251 for place in range(251))
    return (ramp * (length // 251 + 1))[:length]


NEW_HANDLE = st.integers(0, HANDLES - 1)
HANDLE = st.integers(0, HANDLES - 1).map(lambda place: ("handle", place))
NAME = st.sampled_from(["a", "b", "d", "e", "l", *ODD_NAMES])
THERE = st.integers(0, 9).map(lambda place: ("there", place))
FILE = st.integers(0, 5).map(lambda place: ("file", place))
INSIDE = st.tuples(st.just("in"), st.integers(0, 4), NAME)
ANYWHERE = st.sampled_from(["a", "d", "d/a", "d/e/a", "l/a", "a/a", "none", "none/a", "d/l"])
NEW = st.one_of(INSIDE, INSIDE, INSIDE, ANYWHERE)
PATH = st.one_of(THERE, THERE, THERE, THERE, INSIDE, ANYWHERE)
CONTENT = st.one_of(FILE, FILE, FILE, PATH)
SIZE = st.sampled_from([0, 1, 100, 5000, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE + 7])
MODE = st.sampled_from([0o644, 0o600, 0o755, 0o400, 0, 0o1755])
OWNER = st.integers(0, 2)
TIME = st.sampled_from(EXPLICIT_TIMES_NS)
LINK_TEXT = st.sampled_from(["a", "d", "d/a", "../a", "nowhere", "l", "d/l", "."])
XATTR_NAME = st.sampled_from(["user.a", "user.b", "user.ä"])
XATTR_FLAGS = st.sampled_from([0, 0, XATTR_CREATE, XATTR_REPLACE])
RENAME_FLAGS = st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
ACCESS = st.sampled_from([os.O_RDWR, os.O_RDONLY, os.O_WRONLY])
MORE_FLAGS = st.sampled_from([os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECTORY, os.O_NOFOLLOW])
OPEN_FLAGS = st.builds(lambda access, more: access | sum(more), ACCESS, st.sets(MORE_FLAGS, max_size=3))

BY_HANDLE: Final = (
    st.tuples(st.just("open"), NEW_HANDLE, CONTENT, OPEN_FLAGS),
    st.tuples(st.just("open"), NEW_HANDLE, NEW, st.just(os.O_RDWR | os.O_CREAT)),
    st.tuples(st.just("open"), NEW_HANDLE, FILE, st.sampled_from([os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_TRUNC])),
    st.tuples(st.just("close"), HANDLE),
    st.tuples(st.just("pwrite"), HANDLE, SIZE, SIZE),
    st.tuples(st.just("pread"), HANDLE, SIZE, SIZE),
    st.tuples(st.just("ftruncate"), HANDLE, SIZE),
    st.tuples(st.just("fsync"), HANDLE),
    st.tuples(st.just("fstat"), HANDLE),
    st.tuples(st.just("fchmod"), HANDLE, MODE),
    st.tuples(st.just("futimens"), HANDLE, TIME),
)
TRUNCATION: Final = st.tuples(st.just("truncate"), CONTENT, SIZE)
OF_CONTENT: Final = (
    st.tuples(st.just("put"), NEW, SIZE),
    st.tuples(st.just("put"), PATH, SIZE),
    st.tuples(st.just("append"), CONTENT, SIZE),
    st.tuples(st.just("patch"), CONTENT, SIZE, SIZE),
    st.tuples(st.just("get"), CONTENT),
    TRUNCATION,
)
OF_NAMES: Final = (
    st.tuples(st.just("mkdir"), NEW, MODE),
    st.tuples(st.just("mkdir"), PATH, st.just(0o755)),
    st.tuples(st.just("rmdir"), PATH),
    st.tuples(st.just("unlink"), PATH),
    st.tuples(st.just("rename"), PATH, PATH, RENAME_FLAGS),
    st.tuples(st.just("rename"), THERE, NEW, st.just(0)),
    st.tuples(st.just("rename"), THERE, THERE, st.just(0)),
    st.tuples(st.just("symlink"), LINK_TEXT, NEW),
    st.tuples(st.just("readlink"), PATH),
    st.tuples(st.just("mkfifo"), NEW, MODE),
    st.tuples(st.just("link"), THERE, NEW),
    st.tuples(st.just("listdir"), PATH),
)
OF_ATTRIBUTES: Final = (
    st.tuples(st.just("stat"), PATH),
    st.tuples(st.just("chmod"), PATH, MODE),
    st.tuples(st.just("chown"), PATH, OWNER, OWNER),
    st.tuples(st.just("utimens"), PATH, TIME),
    st.tuples(st.just("setxattr"), CONTENT, XATTR_NAME, st.sampled_from([0, 5, 200]), XATTR_FLAGS),
    st.tuples(st.just("getxattr"), CONTENT, XATTR_NAME),
    st.tuples(st.just("listxattr"), CONTENT),
    st.tuples(st.just("removexattr"), CONTENT, XATTR_NAME),
)
CALL = st.one_of(*OF_CONTENT, *OF_NAMES, *BY_HANDLE, *OF_ATTRIBUTES)

SOMETHING: Final[Sequence[Call]] = (
    ("put", "a", 100),
    ("mkdir", "d", 0o755),
    ("put", "d/a", BLOCK_SIZE + 1),
    ("mkdir", "e", 0o755),
    ("symlink", "d", "l"),
    ("setxattr", "a", "user.a", 5, 0),
    ("open", 0, "d/a", os.O_RDWR),
    ("open", 1, "a", os.O_RDWR | os.O_APPEND),
)
"""What is there at the start of a sequence that does not start with nothing."""


OBJECT = st.integers(0, 5).map(lambda place: ("object", place))
FREE = st.tuples(st.just("free"), st.integers(0, 4), st.sampled_from(["a", "b", "x"]))
BY_OTHERS = st.one_of(
    st.tuples(st.just("foreign_store"), st.one_of(OBJECT, FREE), SIZE),
    st.tuples(st.just("foreign_delete"), OBJECT),
    st.tuples(st.just("foreign_mkdir"), FREE),
)


def sequences(
    then: st.SearchStrategy[Call],
    calls: st.SearchStrategy[Call] = CALL,
    starts: Sequence[Sequence[Call]] = (SOMETHING, SOMETHING, ()),
) -> st.SearchStrategy[list[Phase]]:
    """Sequences of about fifteen calls, with something that happens to the mount now and then."""
    phase = st.builds(Phase, st.lists(calls, max_size=12), st.one_of(st.none(), then))
    return st.builds(
        lambda start, phases: [Phase(start), *phases], st.sampled_from(starts), st.lists(phase, min_size=1, max_size=6)
    )


async def compare(phases: Sequence[Phase], reference: "Reference", subject: Subject, *, looking: bool) -> None:
    """Make the calls on both sides.

    Args:
        phases: what to do.
        reference: a local directory.
        subject: ours.
        looking: compare everything after each call, not only at the end of a phase. Looking brings everything into memory, so
            there have to be sequences without.
    """
    number = 0
    for phase in phases:
        for unsettled in [*phase.calls, phase.then]:
            number += 1
            call = settled(unsettled or (), reference.look(), reference.handles())
            if not call:
                continue
            wanted, got = reference.do(number, call), await subject.do(number, call)
            note(f"{number}: {call!r} -> {shown(wanted)}")
            assert is_alike(wanted, got), f"call {number}: {call!r} gave {shown(got)}, not {shown(wanted)}"
            if looking:
                await _compare_looks(number, reference, subject)
        await _compare_looks(number, reference, subject)


class Reference(Protocol):
    """A local directory under the model."""

    def do(self, number: int, call: Call) -> object:
        """Make a call; its result, or the name of an errno."""

    def look(self) -> Mapping[str, Facts]:
        """Everything that is there."""

    def handles(self) -> Sequence[int]:
        """The open handles."""


async def _compare_looks(number: int, reference: Reference, subject: Subject) -> None:
    found = differences(reference.look(), await subject.look())
    assert found == [], "\n".join([f"after call {number}", *found])


def shown(result: object) -> object:
    """A result, short enough to be read; contents by length and digest."""
    if isinstance(result, bytes) and len(result) > 40:
        return summary(result)
    return result


def examples(usually: int, long: int) -> int:
    """How many sequences: more with --long."""
    return long if settings.get_current_profile_name() == "long" else usually
