"""Check of a cache directory that nothing uses: does everything that is sealed on the disk open?

Imported by ``app.cache``. Blocks are checked where they lie, in the containers; which of them count, the index and the journal
say. A clean block that does not open is fetched again: harmless. What the journal names is nowhere else: its damage is a loss.
Changes nothing, except that a damaged index or journal is set aside, as by the next mount.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory
from ssecfs.cache.index import Index
from ssecfs.cache.journal import Journal
from ssecfs.cache.records import SpooledContent
from ssecfs.cache.seal import BlockPlace, ContentId, open_block
from ssecfs.cache.spans import SEGMENT_BLOCKS
from ssecfs.errors import BrokenSealError


@dataclass(frozen=True, slots=True)
class Block:
    """A sealed block that something counts on.

    Attributes:
        container: file name, which tells nothing of what is in it.
        slot: place in the container.
    """

    container: str
    slot: int


@dataclass(slots=True)
class Findings:
    """What a check has found.

    Attributes:
        blocks: clean blocks, the damaged ones included.
        size: bytes in those that open.
        damaged: clean blocks that do not open.
        unsaved: files with unsaved content that the journal knows.
        lost: their blocks that do not open, with the paths of the files.
        unreadable: records that do not open, and journals that were set aside.
    """

    blocks: int = 0
    size: int = 0
    damaged: list[Block] = field(default_factory=list)
    unsaved: int = 0
    lost: list[tuple[bytes, Block]] = field(default_factory=list)
    unreadable: int = 0


def check(directory: CacheDirectory) -> Findings:
    """Open everything in a cache directory."""
    with ExitStack() as stack:
        containers = stack.enter_context(closing(Containers(directory.blocks)))
        index = stack.enter_context(closing(Index(directory.index, directory.keys)))
        journal = Journal(directory.journal, directory.keys.records, directory.namespace_id)
        stack.callback(journal.close)
        findings = Findings()
        generations = {binding.content_id: binding.generations for binding in index.bindings()}
        for content_id, segment_no, mask, _ in index.load_segments():
            for block_no in _numbers({segment_no: mask}):
                _check_clean(findings, directory, containers, content_id, block_no, generations.get(content_id, {}))
        records = [*journal.load().values()]
        journal.load_moves()
        journal.load_removals()
        for record in records:
            if record.content.spooled is not None:
                lost = _lost_blocks(directory, containers, record.content.spooled)
                findings.lost += [(record.path, block) for block in lost]
        findings.unsaved, findings.unreadable = len(records), journal.unreadable
        return findings


def _check_clean(
    findings: Findings,
    directory: CacheDirectory,
    containers: Containers,
    content_id: ContentId,
    block_no: int,
    generations: Mapping[int, int],
) -> None:
    findings.blocks += 1
    size = _open(directory, containers, content_id, block_no, generations)
    if size is None:
        findings.damaged.append(_block(content_id, block_no))
    else:
        findings.size += size


def _lost_blocks(directory: CacheDirectory, containers: Containers, spooled: SpooledContent) -> Iterator[Block]:
    for block_no in _numbers(spooled.masks):
        if _open(directory, containers, spooled.content_id, block_no, spooled.generations) is None:
            yield _block(spooled.content_id, block_no)


def _open(
    directory: CacheDirectory, containers: Containers, content_id: ContentId, block_no: int, generations: Mapping[int, int]
) -> int | None:
    """Bytes of a block; None: it does not open."""
    place = BlockPlace(directory.namespace_id, content_id, block_no, generations.get(block_no, 0))
    try:
        return len(open_block(directory.keys.blocks, place, containers.read_slot(content_id, block_no)))
    except BrokenSealError:
        return None


def _numbers(masks: Mapping[int, int]) -> Iterator[int]:
    """The block numbers in bit masks by segment."""
    for segment_no, mask in sorted(masks.items()):
        yield from (segment_no * SEGMENT_BLOCKS + place for place in range(SEGMENT_BLOCKS) if mask >> place & 1)


def _block(content_id: ContentId, block_no: int) -> Block:
    segment_no, slot = divmod(block_no, SEGMENT_BLOCKS)
    return Block(f"{content_id.hex()}-{segment_no}", slot)
