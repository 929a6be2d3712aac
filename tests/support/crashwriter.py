"""A program that works in a folder of a mount and writes down, outside of it, what it was told: for the tests of crashes.

Run with python, as a process of its own: ``crashwriter.py FOLDER MANIFEST WORK [sync-names]``. WORK is a seed, or ``tour``. It
works until the mount is gone, then it ends with 0. It imports nothing of ssecfs.

A line of the manifest is ``{"number": N, "begin": [GROUP, ...]}`` before a call that changes something, and ``{"number": N,
"done": WORLD}`` after it succeeded. A WORLD says of some paths what is there: the SHA-256 of a file, ``directory``, or null for
nothing. A GROUP lists the worlds of which one must be found when there is no ``done``.
"""

import errno
import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20
DIRECTORY = "directory"
GONE = {errno.ENOTCONN, errno.ECONNABORTED}

World = dict[str, str | None]


class Manifest:
    """Writes lines, each at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._count = 0

    def begin(self, groups: list[list[World]]) -> int:
        """Something is about to change; gives its number."""
        self._count += 1
        self._write({"number": self._count, "begin": groups})
        return self._count

    @contextmanager
    def change(self, groups: list[list[World]], done: World) -> Iterator[None]:
        """Do something in the block; if it ends well, done is true."""
        number = self.begin(groups)
        yield
        self._write({"number": number, "done": done})

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")


class Writer:
    """Works in a folder, one call at a time, and knows what is in it."""

    def __init__(self, folder: Path, manifest: Manifest, rng: random.Random, *, syncs_names: bool) -> None:
        self._folder = folder
        self._syncs_names = syncs_names
        self._manifest = manifest
        self._rng = rng
        self._files: dict[str, bytes] = {}
        self._directories: list[str] = []
        self._held: dict[str, int] = {}
        self._next = 0

    def content(self, size: int) -> bytes:
        return self._rng.randbytes(size)

    def new_path(self) -> str:
        self._next += 1
        parent = self._rng.choice(["", *self._directories])
        return f"{parent}{self._next}"

    def some_path(self) -> str:
        """A file that is not held open; makes one if there is none."""
        free = [path for path in self._files if path not in self._held]
        if not free:
            path = self.new_path()
            self.write(path, self.content(100))
            return path
        return self._rng.choice(free)

    def write(self, path: str, content: bytes) -> None:
        """Make a file or overwrite one, and close it."""
        with self._becoming(path, content):
            (self._folder / path).write_bytes(content)

    def append(self, path: str, piece: bytes) -> None:
        with self._becoming(path, self._files[path] + piece), (self._folder / path).open("ab") as file:
            file.write(piece)

    def patch(self, path: str, piece: bytes) -> None:
        before = self._files[path]
        place = self._rng.randrange(len(before) + 1)
        after = before[:place] + piece + before[place + len(piece) :]
        with self._becoming(path, after), (self._folder / path).open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), piece, place)

    def replace(self, path: str, content: bytes) -> None:
        """Write beside, rename over."""
        self.write(f"{path}.new", content)
        self.rename(f"{path}.new", path)

    def rename(self, path: str, target: str) -> None:
        content, replaced = self._files[path], self._files.get(target)
        before: World = {path: digest(content), target: digest(replaced)}
        after: World = {path: None, target: digest(content)}
        with self._manifest.change([[before, before | {target: digest(content)}, after]], after):
            (self._folder / path).rename(self._folder / target)
            self._sync_names(path, target)
            del self._files[path]
            self._files[target] = content

    def unlink(self, path: str) -> None:
        with self._manifest.change([[{path: digest(self._files[path])}, {path: None}]], {path: None}):
            (self._folder / path).unlink()
            self._sync_names(path)
            del self._files[path]

    def make_directory(self) -> None:
        path = f"{self.new_path()}/"
        with self._manifest.change([[{path: None}, {path: DIRECTORY}]], {path: DIRECTORY}):
            (self._folder / path).mkdir()
            self._directories.append(path)

    def rename_directory(self, path: str) -> None:
        """All of it has one name or the other."""
        target = f"{self.new_path().rsplit('/', 1)[-1]}-moved/"
        moved = {name: target + name.removeprefix(path) for name in self._below(path)}
        states: World = {name: digest(self._files[name]) if name in self._files else DIRECTORY for name in moved}
        before = states | dict.fromkeys(moved.values())
        after = dict.fromkeys(moved) | {moved[name]: state for name, state in states.items()}
        with self._manifest.change([[before, after]], after):
            (self._folder / path).rename(self._folder / target)
            self._sync_names(path, target)
            self._files = {moved.get(name, name): content for name, content in self._files.items()}
            self._directories = [moved.get(name, name) for name in self._directories]

    def hold(self, path: str, content: bytes) -> None:
        """Make a file that stays open; fsync vouches for it."""
        with self._becoming(path, content):
            self._held[path] = os.open(self._folder / path, os.O_CREAT | os.O_RDWR, 0o644)
            write_all(self._held[path], content)
            os.fsync(self._held[path])

    def go_on(self, path: str, piece: bytes, finish: Callable[[int], None]) -> None:
        """Write more to a file that is held open, and vouch for it by fsync or close."""
        with self._becoming(path, self._files[path] + piece):
            write_all(self._held[path], piece)
            finish(self._held[path])
            if finish is os.close:
                del self._held[path]

    def start_unsaved(self, content: bytes) -> None:
        """A file that nobody is told about: it may come or not, but only whole, and is never finished."""
        path = self.new_path()
        self._manifest.begin([[{path: None}, {path: digest(content)}]])
        self._held[path] = os.open(self._folder / path, os.O_CREAT | os.O_RDWR, 0o644)
        write_all(self._held[path], content)

    @contextmanager
    def _becoming(self, path: str, content: bytes) -> Iterator[None]:
        before, after = digest(self._files.get(path)), digest(content)
        with self._manifest.change([[{path: before}, {path: after}]], {path: after}):
            yield
            self._files[path] = content

    def _below(self, path: str) -> list[str]:
        return [name for name in [*self._files, *self._directories] if name.startswith(path)]

    def _sync_names(self, *paths: str) -> None:
        """As programs do that want a name to survive a power cut."""
        for folder in {(self._folder / path).parent for path in paths if self._syncs_names}:
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def movable_directories(self) -> list[str]:
        return [path for path in self._directories if not any(held.startswith(path) for held in self._held)]

    def held_paths(self) -> list[str]:
        return [path for path in self._held if path in self._files]


def digest(content: bytes | None) -> str | None:
    return hashlib.sha256(content).hexdigest() if content is not None else None


def write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def some_size(rng: random.Random) -> int:
    """Mostly small; some with several blocks, few with several parts."""
    low, high = rng.choices([(0, 8 * KIB), (50 * KIB, 300 * KIB), (MIB, 4 * MIB), (17 * MIB, 18 * MIB)], [70, 20, 8, 2])[0]
    return rng.randrange(low, high)


def wander(writer: Writer, rng: random.Random) -> None:
    """Do something, as the generator says."""

    def go_on() -> None:
        held = writer.held_paths()
        if held:
            writer.go_on(rng.choice(held), writer.content(some_size(rng)), rng.choice([os.fsync, os.close]))
        else:
            writer.hold(writer.new_path(), writer.content(some_size(rng)))

    def move_directory() -> None:
        movable = writer.movable_directories()
        if movable:
            writer.rename_directory(rng.choice(movable))
        else:
            writer.make_directory()

    works: dict[Callable[[], None], int] = {
        lambda: writer.write(writer.new_path(), writer.content(some_size(rng))): 30,
        lambda: writer.write(writer.some_path(), writer.content(some_size(rng))): 15,
        lambda: writer.append(writer.some_path(), writer.content(some_size(rng))): 10,
        lambda: writer.patch(writer.some_path(), writer.content(some_size(rng) % (64 * KIB))): 8,
        lambda: writer.replace(writer.some_path(), writer.content(some_size(rng))): 12,
        lambda: writer.rename(writer.some_path(), writer.new_path()): 8,
        lambda: writer.unlink(writer.some_path()): 8,
        writer.make_directory: 3,
        move_directory: 2,
        go_on: 10,
        lambda: writer.start_unsaved(writer.content(some_size(rng))): 2,
    }
    rng.choices(list(works), list(works.values()))[0]()


def tour(writer: Writer) -> None:
    """Everything once, with sizes that make a difference."""
    writer.make_directory()
    first, second = writer.new_path(), writer.new_path()
    for size in (17 * MIB, 300 * KIB, 10):
        path = writer.new_path()
        writer.hold(path, writer.content(size))
        writer.go_on(path, writer.content(10), os.close)
        writer.write(first, writer.content(size))
        writer.write(second, writer.content(size))
        writer.rename(second, first)
        writer.rename(path, writer.new_path())
        writer.replace(first, writer.content(size))
        writer.append(first, writer.content(1000))
        writer.patch(first, writer.content(5))
        writer.unlink(first)
    directory = writer.movable_directories()[0]
    writer.hold(f"{directory}old", writer.content(100))
    writer.go_on(f"{directory}old", writer.content(10), os.close)
    writer.write(f"{directory}new", writer.content(100))
    writer.rename_directory(directory)


def main(folder: Path, manifest: Path, work: str, *, syncs_names: bool) -> None:
    """Work until the mount is gone, or the tour has been made often enough to have been everywhere."""
    rng = random.Random(work)
    writer = Writer(folder, Manifest(manifest), rng, syncs_names=syncs_names)
    try:
        folder.mkdir()
        if work == "tour":
            for _ in range(2):
                tour(writer)
            sys.exit("the tour is over, and the mount is still there")
        while True:
            wander(writer, rng)
    except OSError as error:
        if error.errno not in GONE:
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], syncs_names=sys.argv[4:] == ["sync-names"])
