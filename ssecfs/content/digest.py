"""The SHA-256 of a file, computed while it is written from start to end. Pure, no I/O.

Imported by ``content.openfile``. A write that is not the next one ends the computation: then the digest is unknown and is not
stored, which is better than reading a large file again only to hash it.
"""

import hashlib


class RunningDigest:
    """SHA-256 over [0, position). Lost for good at the first write elsewhere."""

    __slots__ = ("_hash", "_is_wanted", "_position")

    def __init__(self) -> None:
        """Begin at the start of an empty file."""
        self._hash = hashlib.sha256()
        self._is_wanted = True
        self._position: int | None = 0

    def stop(self) -> None:
        """Nobody will ask for the digest: follow the position only."""
        self._is_wanted = False

    def note_write(self, offset: int, piece: bytes | memoryview) -> None:
        """Follow a write of piece at offset."""
        if offset != self._position:
            self._position = None
            return
        if self._is_wanted:
            self._hash.update(piece)
        self._position = offset + len(piece)

    def note_truncate(self, size: int) -> None:
        """Follow a truncation to size bytes."""
        if size == 0:
            self._hash, self._is_wanted = hashlib.sha256(), True
            self._position = 0
        elif size != self._position:
            self._position = None

    def covers(self, size: int) -> bool:
        """Tell whether all of a file of size bytes was written from start to end."""
        return self._position == size

    def hexdigest(self, size: int) -> str | None:
        """The digest of the whole file of size bytes in hex; None: not known."""
        return self._hash.hexdigest() if self._is_wanted and self.covers(size) else None
