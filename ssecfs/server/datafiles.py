"""Data files: the sealed chunks of pieces that have more than one.

Imported by ``server.storage`` and ``server.pieces``.

DIRECTORY/data/XX/NAME      a complete piece
DIRECTORY/incoming/NAME     a piece that is being received; removed at the start
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ssecfs.server.options import Durability
from ssecfs.server.records import Piece

_PIECE: Final = re.compile(r"[0-9a-f]{32}")


class DataFiles:
    """The files of a store. Owns: which of them are being read; a file that is removed meanwhile stays until that has ended."""

    def __init__(self, directory: Path, durability: Durability) -> None:
        """Take the store's directory; folders are made if missing."""
        self._directory = directory
        self._data = f"{directory}/data"
        self._incoming = f"{directory}/incoming"
        self._durability = durability
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()
        for folder in (self._incoming, *self._folders()):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _folders(self) -> list[str]:
        return [f"{self._data}/{number:02x}" for number in range(256)]

    def incoming_path(self, name: str) -> str:
        """Where a piece is written while it is received. A text, because it is on the path of every upload."""
        return f"{self._incoming}/{name}"

    def path(self, name: str) -> str:
        """Where a complete piece is. A text, because it is on the path of every request."""
        return f"{self._data}/{name[:2]}/{name}"

    async def publish(self, name: str, descriptor: int) -> None:
        """Move a complete piece to where the index may name it."""
        if self._durability is Durability.POWER_CUT:
            await asyncio.to_thread(os.fsync, descriptor)  # it may take as long as the disk does
        os.rename(self.incoming_path(name), self.path(name))  # noqa: PTH104 - on the path of every upload
        if self._durability is Durability.POWER_CUT:
            _fsync_folder(f"{self._data}/{name[:2]}")

    @contextmanager
    def reading(self, pieces: Iterable[Piece]) -> Iterator[None]:
        """Keep complete pieces for the time of the block, whatever happens to the object."""
        names = [piece.name for piece in pieces if not piece.is_small]
        self._readers.update(names)
        try:
            yield
        finally:
            for name in names:
                self._readers[name] -= 1
                if not self._readers[name]:
                    del self._readers[name]
                    if name in self._doomed:
                        self._doomed.remove(name)
                        _unlink(self.path(name))

    def remove(self, pieces: Iterable[Piece]) -> None:
        """Remove complete pieces."""
        for piece in pieces:
            if piece.is_small:
                continue
            if piece.name in self._readers:
                self._doomed.add(piece.name)
            else:
                _unlink(self.path(piece.name))

    def has_pieces(self) -> bool:
        """Tell whether there is any complete piece."""
        return any(_PIECE.fullmatch(path.name) for folder in self._folders() for path in Path(folder).iterdir())

    def clean_up(self, named: set[str]) -> None:
        """Remove what an earlier process left unfinished: pieces that are not among the names, and nothing else."""
        for folder in (self._incoming, *self._folders()):
            for path in Path(folder).iterdir():
                if _PIECE.fullmatch(path.name) and path.name not in named:
                    path.unlink()
        if self._durability is Durability.POWER_CUT:
            # The folders must last as long as what will be stored in them.
            for made in (self._data, self._directory, self._directory.parent):
                _fsync_folder(made)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - see path


def _fsync_folder(folder: str | Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
