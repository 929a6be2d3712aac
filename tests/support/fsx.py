"""One file under random operations, beside a bytearray that says what is in it; after the fsx of BSD."""

import mmap
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.sizes import KIB, MIB

T = TypeVar("T")

SHOWN: Final = 40
"""Operations that a failure shows, the last ones."""


@dataclass(frozen=True)
class Bounds:
    """Between which sizes the file stays, and how long one operation's range is at most."""

    least: int
    most: int
    longest: int


SMALL: Final = Bounds(0, 2 * MIB, 256 * KIB)
LARGE: Final = Bounds(17 * MIB, 24 * MIB, 384 * KIB)
"""Over the size that is uploaded in parts, so that a change is uploaded as a patch."""


class Wanted:
    """What should be in the file, and what is done to it next. Owns: the bytes, the dice, the log."""

    def __init__(self, seed: int, bounds: Bounds) -> None:
        """Begin with a file of the least size."""
        self._seed = seed
        self._bounds = bounds
        self._random = random.Random(seed)
        self._log: list[str] = []
        self.content = bytearray(self._random.randbytes(bounds.least))

    def plan(self, usual: Sequence[T], weights: Sequence[float], remount: T, counts: tuple[int, int]) -> list[T]:
        """A sequence of operations; counts: how many, and how many of them remount."""
        count, remounts = counts
        operations = self._random.choices(usual, weights, k=count)
        for place in self._random.sample(range(count), remounts):
            operations[place] = remount
        return operations

    def note(self, line: str) -> None:
        """Log what is done now."""
        self._log.append(f"{len(self._log)}: {line}")

    def require(self, is_right: bool, what: str) -> None:
        """Insist on something; a failure shows the seed and the last operations."""
        last = "\n".join(self._log[-SHOWN:])
        assert is_right, f"{what}; seed {self._seed}, after\n{last}"

    def check(self, start: int, length: int, found: bytes) -> None:
        """Insist on what was found where length bytes were asked for."""
        wanted = bytes(self.content[start : start + length])
        if found != wanted:
            pairs = enumerate(zip(found, wanted, strict=False))
            place = next((place for place, (one, other) in pairs if one != other), min(len(found), len(wanted)))
            beginnings = f"{found[place : place + 16].hex()}, not {wanted[place : place + 16].hex()}"
            self.require(False, f"from byte {start + place} on: {beginnings}; {len(found)} bytes, not {len(wanted)}")

    def check_size(self, found: int) -> None:
        """Insist on the size of the file."""
        self.require(found == len(self.content), f"the size is {found}, not {len(self.content)}")

    def is_likely(self, probability: float) -> bool:
        return self._random.random() < probability

    def any_range(self) -> tuple[int, int]:
        """A position that may be after the end, and a length."""
        return self._place(self._bounds.most), self._place(self._bounds.longest)

    def range_inside(self) -> tuple[int, int]:
        """The start and the end of a range in the file."""
        start = self._place(len(self.content))
        return start, min(len(self.content), start + self._place(self._bounds.longest))

    def size(self) -> int:
        """A size for the file."""
        return max(self._bounds.least, self._place(self._bounds.most))

    def piece(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def any_piece(self) -> tuple[int, bytes]:
        """Where to write, and what."""
        piece = self.piece(self._place(self._bounds.longest))
        return self._place(self._bounds.most - len(piece)), piece

    def end_piece(self) -> bytes:
        """What to append."""
        return self.any_piece()[1][: max(0, self._bounds.most - len(self.content))]

    def put(self, start: int, piece: bytes) -> None:
        """Take note of what was written."""
        if piece:
            self.content.extend(bytes(max(0, start - len(self.content))))
            self.content[start : start + len(piece)] = piece

    def resize(self, size: int) -> None:
        """Take note of a truncation."""
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))

    def _place(self, limit: int) -> int:
        """A position up to a limit, often at or beside the edge of a page or block."""
        place = self._random.randint(0, limit)
        edge = self._random.choice([1, 1, mmap.PAGESIZE, BLOCK_SIZE])
        return max(0, min(limit, place // edge * edge + (self._random.choice([-1, 0, 0, 1]) if edge > 1 else 0)))
