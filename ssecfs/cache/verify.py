"""Check of a cache directory that nothing uses: does every sealed block on the disk open? Changes nothing.

Imported by ``app.cache``. Blocks are checked where they lie, in the containers; what the index says of them does not matter,
because it may lie or vanish. Values in the index are opened as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory
from ssecfs.cache.seal import BLOCK_MAGIC, BlockPlace, ContentId, open_block
from ssecfs.cache.spans import SEGMENT_BLOCKS
from ssecfs.errors import BrokenSealError

_NEVER_WRITTEN: Final = bytes(len(BLOCK_MAGIC))


class Verdict(Enum):
    """What became of one slot."""

    GOOD = "good"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Checked:
    """One sealed block.

    Attributes:
        container: file name, which tells nothing of what is in it.
        slot: place in the container.
        size: bytes of the plaintext; 0 for a broken one.
    """

    container: str
    slot: int
    size: int
    verdict: Verdict


def check_blocks(directory: CacheDirectory) -> Iterator[Checked]:
    """Open every block of a cache directory; slots that were never written are passed over."""
    containers = Containers(directory.blocks)
    try:
        for content_id, segment_no in sorted(containers.present()):
            for slot in range(SEGMENT_BLOCKS):
                record = containers.read_slot(content_id, segment_no * SEGMENT_BLOCKS + slot)
                if record[: len(_NEVER_WRITTEN)].strip(b"\0"):
                    yield _check(directory, content_id, segment_no, slot, record)
    finally:
        containers.close()


def _check(directory: CacheDirectory, content_id: ContentId, segment_no: int, slot: int, record: bytes) -> Checked:
    container = f"{content_id.hex()}-{segment_no}"
    place = BlockPlace(directory.namespace_id, content_id, segment_no * SEGMENT_BLOCKS + slot)
    try:
        block = open_block(directory.keys.blocks, place, record)
    except BrokenSealError:
        return Checked(container, slot, 0, Verdict.BROKEN)
    return Checked(container, slot, len(block), Verdict.GOOD)
