"""statfs: how much room there is. A bucket has no end, so the figures are large and constant. Pure.

Imported by ``fuse``.
"""

from dataclasses import dataclass
from typing import Final

from ssecfs.sizes import TIB
from ssecfs.tree.names import MAX_NAME_BYTES

SHOWN_BYTES: Final = 1024 * TIB
BLOCK_BYTES: Final = 4096
SHOWN_FILES: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Room:
    """Figures of statfs; all blocks are free, because what is stored is not known without listing everything."""

    block_bytes: int
    blocks: int
    files: int
    free_files: int
    name_max: int


def measure_room(known_files: int) -> Room:
    """The figures, with the number of files known here."""
    return Room(BLOCK_BYTES, SHOWN_BYTES // BLOCK_BYTES, SHOWN_FILES, SHOWN_FILES - known_files, MAX_NAME_BYTES)
