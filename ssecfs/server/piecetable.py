"""Pieces of a single chunk in the index: a row costs a tenth of a file. Synchronous. Imported by ``server.storage``."""

from collections.abc import Iterable

from ssecfs.server.database import Database
from ssecfs.server.records import Piece


class PieceTable:
    """Sealed chunks by the names of their pieces. Larger pieces are passed over: they are in files."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def keep(self, pieces: Iterable[Piece]) -> None:
        """Store what is fresh of some pieces."""
        for piece in pieces:
            if piece.fresh:
                self._database.run("INSERT INTO small_pieces VALUES (?, ?)", piece.name, piece.fresh)

    def sealed(self, piece: Piece) -> bytes | None:
        """The sealed chunk of a piece; None: it is not here."""
        row = self._database.row("SELECT sealed FROM small_pieces WHERE name = ?", piece.name)
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def drop(self, pieces: Iterable[Piece]) -> None:
        """Remove pieces."""
        for piece in pieces:
            if piece.is_small:
                self._database.run("DELETE FROM small_pieces WHERE name = ?", piece.name)
