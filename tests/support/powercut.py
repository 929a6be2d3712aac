"""What a power cut leaves of a folder: rebuilt from a copy of it and the log of ``diskshim``.

What was synced is there: data after fsync of its file, names after fsync of their folder. What was not may be there or not, as
``Luck`` says; a disk may keep any of it.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

HEADER = struct.Struct("<c7xQQII")
SOURCE = Path(__file__).with_name("diskshim.c")


class Luck(Enum):
    """What survives of that which was not synced."""

    NONE = "none"
    SOME = "some"
    ALL = "all"


@dataclass(frozen=True)
class Entry:
    """One line of the log; place is an offset, a size, or a thread."""

    kind: str
    inode: int
    place: int
    first: bytes
    second: bytes


@dataclass(eq=False)
class File:
    """Content that is on the disk for certain, and changes that may be: offset and bytes, or a new size."""

    content: bytearray
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def settle(self, before: int) -> None:
        """What was changed before that entry is synced."""
        for _, place, piece in [change for change in self.pending if change[0] < before]:
            self._apply(place, piece)
        self.pending = [change for change in self.pending if change[0] >= before]

    def after(self, survives: list[bool]) -> bytes:
        for (_, place, piece), is_there in zip(self.pending, survives, strict=True):
            if is_there:
                self._apply(place, piece)
        return bytes(self.content)

    def _apply(self, place: int, piece: bytes | None) -> None:
        stop = place + len(piece or b"")
        if len(self.content) < stop:
            self.content.extend(bytes(stop - len(self.content)))
        if piece is None:
            del self.content[place:]
        else:
            self.content[place:stop] = piece


FOLDER = File(bytearray())
"""Stands for a folder among the names."""

Names = dict[Path, File]


@dataclass(frozen=True)
class Naming:
    """A name that came (to a file) or went (None), by the number of its entry."""

    number: int
    changes: dict[Path, File | None]

    def apply(self, names: Names) -> None:
        for path, file in self.changes.items():
            if file is None:
                names.pop(path, None)
            else:
                names[path] = file

    @property
    def folder(self) -> Path:
        return next(iter(self.changes)).parent


def build_shim(folder: Path) -> Path:
    """Compile the shim."""
    shim = folder / "diskshim.so"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-D_LARGEFILE64_SOURCE", "-o", shim, SOURCE, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return shim


def entries(log: Path) -> Iterator[Entry]:
    """Read a log; the last entry may be cut short."""
    with log.open("rb") as file:
        while len(header := file.read(HEADER.size)) == HEADER.size:
            kind, inode, place, first, second = HEADER.unpack(header)
            texts = file.read(first + second)
            if len(texts) == first + second:
                yield Entry(kind.decode(), inode, place, texts[:first], texts[first:])


class Disk:
    """A folder, as the disk has it and as programs see it."""

    def __init__(self, folder: Path) -> None:
        """Begin with a folder of which everything is on the disk."""
        self._folder = folder
        self._names: Names = {folder: FOLDER}
        for path in folder.rglob("*") if folder.exists() else ():
            self._names[path] = FOLDER if path.is_dir() else File(bytearray(path.read_bytes()))
        self._shown = dict(self._names)
        self._pending: list[Naming] = []
        self._inodes: dict[int, tuple[Path, File]] = {}
        self._syncing: dict[tuple[int, int], int] = {}

    def replay(self, log: Path) -> None:
        """Go through what a program did."""
        for number, entry in enumerate(entries(log)):
            if entry.kind in "ODUR":
                self._change_names(number, entry)
            elif entry.kind in "WT":
                piece = entry.first if entry.kind == "W" else None
                self._inodes[entry.inode][1].pending.append((number, entry.place, piece))
            elif entry.kind == "s":
                self._syncing[entry.inode, entry.place] = number
            else:
                self._sync(entry.inode, self._syncing[entry.inode, entry.place])

    def _change_names(self, number: int, entry: Entry) -> None:
        path = Path(entry.first.decode())
        if entry.kind == "O":
            if path not in self._shown:
                self._name(number, {path: File(bytearray())})
            self._inodes[entry.inode] = path, self._shown[path]
            if entry.place:
                self._shown[path].pending.append((number, 0, None))
        elif entry.kind == "D" and path not in self._shown:
            self._name(number, {path: FOLDER})
        elif entry.kind == "U":
            self._name(number, {path: None})
        elif entry.kind == "R" and path in self._shown:  # else it failed
            self._name(number, {path: None, Path(entry.second.decode()): self._shown[path]})

    def _name(self, number: int, changes: dict[Path, File | None]) -> None:
        naming = Naming(number, changes)
        naming.apply(self._shown)
        self._pending.append(naming)

    def _sync(self, inode: int, before: int) -> None:
        path, file = self._inodes[inode]
        if file is not FOLDER:
            file.settle(before)
            return
        synced = [naming for naming in self._pending if naming.folder == path and naming.number < before]
        for naming in synced:
            naming.apply(self._names)
        self._pending = [naming for naming in self._pending if naming not in synced]

    def cut(self, luck: Luck, rng: random.Random) -> None:
        """Make the folder what is left of it."""
        count = {Luck.NONE: 0, Luck.ALL: len(self._pending)}.get(luck, rng.randint(0, len(self._pending)))
        for naming in self._pending[:count]:
            naming.apply(self._names)
        if self._folder.exists():
            shutil.rmtree(self._folder)
        for path, file in sorted(self._names.items()):
            if not all(parent in self._names for parent in path.parents if parent.is_relative_to(self._folder)):
                continue  # the name of a folder above it is gone
            if file is FOLDER:
                path.mkdir(mode=0o700)
            elif not path.name.endswith("-shm"):  # SQLite makes it anew
                path.touch(mode=0o600)
                survives = [luck is Luck.ALL or (luck is Luck.SOME and rng.random() < 0.5) for _ in file.pending]
                path.write_bytes(file.after(survives))
