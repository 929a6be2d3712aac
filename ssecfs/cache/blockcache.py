"""BlockCache: clean blocks on local disk, read through from the object store.

What lives here: which clean blocks there are, downloads in progress, eviction. What does not: dirty blocks (``spool``), which
blocks to ask for in advance (``content.readahead``). Imported by ``content``, ``fs`` and ``app``.

A miss fetches a run of blocks with one ranged GET; each block goes to whoever waits for it as soon as it is complete. A block
is never asked for twice at a time. Downloads run in the mount's nursery: a reader that is interrupted does not end one that
others wait for. Sealing is inline: a hop to a thread would cost more than the cipher.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from ssecfs.cache.assembler import Assembler
from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory
from ssecfs.cache.index import Binding, Index
from ssecfs.cache.plain import PlainBlocks
from ssecfs.cache.seal import BlockPlace, ContentId, new_content_id, open_block, seal_block
from ssecfs.cache.segments import Segments
from ssecfs.cache.spans import BLOCK_SIZE, block_count, block_length, blocks_of, blocks_range, split_range
from ssecfs.cache.spool import SpoolContent
from ssecfs.errors import BrokenSealError, LocalError, StoreProtocolError, StoreUnreachableError
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion

LOGGER: Final = logging.getLogger(__name__)

MAX_RUNS: Final = 12
"""Downloads in progress above which read-ahead is not begun."""

AGAIN_S: Final = 0.5
"""When pages cannot be read ahead, the kernel asks once more at once; it gets the same answer so long."""

MAX_REMEMBERED_CONTENTS: Final = 20_000

MAX_CHANGED_BLOCKS: Final = 4096
"""A content of which more blocks got other bytes since it was begun is not kept: its binding would become large."""


@dataclass(slots=True, eq=False)
class Fetch:
    """One block on its way; block or error is set when done is."""

    done: trio.Event = field(default_factory=trio.Event)
    block: bytes | None = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class Content:
    """What is known here of one version's bytes; see Binding.

    Attributes:
        failed: why no answer came a moment ago.
        failed_until: of the loop's clock; so long that counts.
    """

    content_id: ContentId
    version: ObjectVersion
    generations: Mapping[int, int]
    is_bound: bool
    fetching: dict[int, Fetch] = field(default_factory=dict)
    failed: StoreUnreachableError | None = None
    failed_until: float = 0.0


@dataclass(slots=True)
class CacheCounts:
    """Blocks served from here, fetched, and found damaged; for status."""

    hits: int = 0
    misses: int = 0
    broken: int = 0


class BlockCache:
    """Clean blocks by object version.

    Owns: contents, downloads in progress; through Segments, what is on disk. Invariants: a block that is served was opened
    with the seal of exactly its content and number, or came from the store for exactly its version.
    """

    def __init__(
        self,
        *,
        directory: CacheDirectory,
        containers: Containers,
        index: Index,
        segments: Segments,
        plain: PlainBlocks,
        store: ObjectStore,
        nursery: trio.Nursery,
    ) -> None:
        """Take the collaborators; nursery is the mount's."""
        self._directory = directory
        self._containers = containers
        self._index = index
        self._segments = segments
        self._plain = plain
        self._store = store
        self._nursery = nursery
        self._contents: OrderedDict[ObjectKey, Content] = OrderedDict()
        self._runs = 0
        self.counts = CacheCounts()

    @property
    def disk_bytes(self) -> int:
        """Clean blocks on disk."""
        return self._segments.total_bytes

    @property
    def disk_limit_bytes(self) -> int:
        """Clean blocks on disk, at most."""
        return self._segments.limit_bytes

    async def read(self, version: ObjectVersion, byte_range: ByteRange) -> bytes:
        """Read a range of a version, from here or through here; without waiting when all of it is here.

        Args:
            version: what to read.
            byte_range: within [0, version.size).

        Raises:
            ObjectChangedError: it has to be fetched and is another version by now.
            StoreError: it cannot be fetched.
        """
        content = self._content(version)
        pieces: list[bytes] = []
        last_block = (byte_range.stop - 1) // BLOCK_SIZE
        for span in split_range(byte_range):
            block = self._local_block(content, span.block_no)
            if block is None:
                block = await self._fetched(content, span.block_no, last_block + 1)
            is_whole = span.length == len(block)
            pieces.append(block if is_whole else block[span.skip : span.skip + span.length])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_kept(self, version: ObjectVersion, byte_range: ByteRange) -> list[tuple[int, bytes]]:
        """The parts of a range of a version that are here, with their offsets; nothing is fetched."""
        content = self._content(version)
        found = []
        for span in split_range(byte_range):
            block = self._local_block(content, span.block_no)
            if block is not None:
                found.append((span.offset, block[span.skip : span.skip + span.length]))
        return found

    def request(self, version: ObjectVersion, first: int, stop: int) -> None:
        """Start fetching the blocks [first, stop) that are not here, unless enough is under way; never waits."""
        content = self._content(version)
        block_no = first
        while block_no < stop and self._runs < MAX_RUNS:
            if self._is_here(content, block_no) or block_no in content.fetching:
                block_no += 1
                continue
            block_no = self._start_run(content, block_no, stop)

    def cached_bytes(self, version: ObjectVersion) -> int:
        """How much of a version is on the local disk."""
        content = self._content(version)
        return self._segments.bytes_of(content.content_id, version.size)

    def rebind(self, old: ObjectVersion, new: ObjectVersion, changed: Sequence[ByteRange] = ()) -> None:
        """The bytes of old are now those of new (a copy or a patch of ours): keep them under the new version.

        Args:
            old: what is kept, if anything is.
            new: what it is now.
            changed: ranges that are not the same in both; the blocks that they touch are forgotten.
        """
        content = self._known(old)
        if content is None:
            return
        if new.object_key != old.object_key:
            self.drop(new.object_key)
        generations = dict(content.generations)
        for part in changed:
            first, stop = blocks_of(part)
            stop = min(stop, block_count(old.size))
            if len(generations) + stop - first > MAX_CHANGED_BLOCKS:
                self.drop(old.object_key)
                return
            self._segments.drop_blocks(content.content_id, first, stop)
            self._plain.drop_blocks(content.content_id, first, stop)
            generations.update({block_no: generations.get(block_no, 0) + 1 for block_no in range(first, stop)})
        self._contents.pop(old.object_key, None)
        content = Content(content.content_id, new, generations, content.is_bound)
        self._remember(content)
        if content.is_bound:
            self._bind(content)

    def keep(self, version: ObjectVersion, block_no: int, block: bytes) -> None:
        """Keep a block of a version that we uploaded."""
        content = self._content(version)
        self._plain.put(content.content_id, block_no, block)
        self._keep(content, block_no, block)

    def adopt(self, version: ObjectVersion, spooled: SpoolContent) -> None:
        """Take over the blocks of an uploaded file: they are the clean blocks of version, without being sealed again."""
        self.drop(version.object_key)
        if spooled.changed_blocks > MAX_CHANGED_BLOCKS:
            spooled.discard()
            return
        try:
            handed = spooled.hand_over()
        except LocalError:
            LOGGER.debug("an uploaded file is not kept in the cache: no room")
            return
        content = self._contents[version.object_key] = Content(handed.content_id, version, handed.generations, is_bound=True)
        self._bind(content)
        for segment_no, mask in handed.masks.items():
            self._segments.note(handed.content_id, segment_no, mask)
        self._segments.make_room()

    def drop(self, object_key: ObjectKey) -> None:
        """Forget everything that is kept of an object."""
        content = self._contents.pop(object_key, None)
        found = self._index.find(object_key)
        for content_id in {content.content_id if content else None, found.content_id if found else None} - {None}:
            assert content_id is not None  # noqa: S101 - for the type checker
            self._segments.drop_content(content_id)
            self._plain.drop(content_id)
            self._index.unbind(content_id)

    def close(self) -> None:
        """Before the mount ends: keep what the next one wants to know."""
        self._segments.keep_order()

    def drop_all(self) -> None:
        """Forget every clean block."""
        self._contents.clear()
        self._plain.clear()
        self._segments.drop_all()

    def _content(self, version: ObjectVersion) -> Content:
        """The content of a version, with or without blocks."""
        content = self._known(version) or Content(new_content_id(), version, {}, is_bound=False)
        self._remember(content)
        return content

    def _known(self, version: ObjectVersion) -> Content | None:
        """What is kept of a version, if anything is; what is kept of another version of the object is dropped."""
        content = self._contents.get(version.object_key)
        if content is None:
            found = self._index.find(version.object_key)
            if found is not None:
                content = Content(found.content_id, found.version, found.generations, is_bound=True)
        if content is not None and not content.version.is_same(version):
            self.drop(version.object_key)
            return None
        return content

    def _remember(self, content: Content) -> None:
        self._contents[content.version.object_key] = content
        self._contents.move_to_end(content.version.object_key)
        if len(self._contents) > MAX_REMEMBERED_CONTENTS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest_key, oldest = next(iter(self._contents.items()))
        if not oldest.fetching:
            del self._contents[oldest_key]
            self._plain.drop(oldest.content_id)

    def _is_here(self, content: Content, block_no: int) -> bool:
        return self._plain.has(content.content_id, block_no) or self._segments.has(content.content_id, block_no)

    def _local_block(self, content: Content, block_no: int) -> bytes | None:
        """A block from memory or disk; None: it has to be fetched."""
        block = self._plain.get(content.content_id, block_no)
        if block is None and self._segments.has(content.content_id, block_no):
            block = self._open(content, block_no)
        if block is not None:
            self.counts.hits += 1
        return block

    def _open(self, content: Content, block_no: int) -> bytes | None:
        """Open a block from disk; one that does not open is dropped, and counts as missing."""
        place = self._place(content, block_no)
        record = self._containers.read_slot(content.content_id, block_no)
        try:
            block = open_block(self._directory.keys.blocks, place, record)
            if len(block) != block_length(block_no, content.version.size):
                message = "a sealed block has the wrong length"
                raise BrokenSealError(message)  # noqa: TRY301 - handled like any other damage
        except BrokenSealError:
            self.counts.broken += 1
            LOGGER.warning("a block in the cache does not open; it is fetched again")
            self._segments.drop_blocks(content.content_id, block_no, block_no + 1)
            return None
        self._segments.touch(content.content_id, block_no)
        self._plain.put(content.content_id, block_no, block)
        return block

    async def _fetched(self, content: Content, block_no: int, stop: int) -> bytes:
        """Wait for a block that is not here."""
        self.counts.misses += 1
        fetch = content.fetching.get(block_no)
        if fetch is None:
            if content.failed is not None and trio.current_time() < content.failed_until:
                raise content.failed
            self._start_run(content, block_no, stop)
            fetch = content.fetching[block_no]
        await fetch.done.wait()
        if fetch.error is not None:
            raise fetch.error
        assert fetch.block is not None, "done without error means a block"  # noqa: S101 - see _Run
        return fetch.block

    def _start_run(self, content: Content, first: int, stop: int) -> int:
        """Begin one download from block first up to the next block that is here or on its way, or stop.

        Returns:
            The block after the run.
        """
        end = first
        while end < stop and end not in content.fetching and not self._is_here(content, end):
            content.fetching[end] = Fetch()
            end += 1
        self._runs += 1
        self._nursery.start_soon(self._run, content, first, end, name="download")
        return end

    async def _run(self, content: Content, first: int, stop: int) -> None:
        """Download the blocks [first, stop); whatever goes wrong goes to those who wait."""
        byte_range = blocks_range(first, stop, content.version.size)
        assembler = Assembler(first, content.version.size)

        def sink(piece: bytes) -> None:
            for block_no, block in assembler.take(piece):
                self._arrived(content, block_no, block)

        try:
            await self._store.get(content.version, byte_range, sink)
            if assembler.next_block != stop:
                message = "the server's answer was too short"
                raise StoreProtocolError(message)  # noqa: TRY301 - goes to those who wait
        except Exception as error:  # noqa: BLE001 - handed to those who wait, whose boundary deals with it
            self._fail(content, range(assembler.next_block, stop), error)
        finally:
            self._runs -= 1
            for block_no in range(assembler.next_block, stop):
                fetch = content.fetching.pop(block_no, None)
                if fetch is not None:
                    fetch.done.set()

    def _arrived(self, content: Content, block_no: int, block: bytes) -> None:
        """A block is complete: hand it to its readers, and keep it unless its version was replaced meanwhile."""
        fetch = content.fetching.pop(block_no)
        fetch.block = block
        fetch.done.set()
        if self._contents.get(content.version.object_key) is content:
            self._plain.put(content.content_id, block_no, block)
            self._keep(content, block_no, block)

    def _keep(self, content: Content, block_no: int, block: bytes) -> None:
        """Seal a block onto the disk, if there is room."""
        if not self._segments.may_grow():
            return
        place = self._place(content, block_no)
        record = seal_block(self._directory.keys.blocks, place, block)
        try:
            self._containers.write_slot(content.content_id, block_no, record)
        except LocalError as error:
            LOGGER.debug("a block is not kept in the cache: %s", error)
            return
        if not content.is_bound:
            self._bind(content)
            content.is_bound = True
        self._segments.note_block(content.content_id, block_no)
        self._segments.make_room()

    def _place(self, content: Content, block_no: int) -> BlockPlace:
        return BlockPlace(self._directory.namespace_id, content.content_id, block_no, content.generations.get(block_no, 0))

    def _bind(self, content: Content) -> None:
        self._index.bind(Binding(content.content_id, content.version, content.generations))

    def _fail(self, content: Content, blocks: range, error: Exception) -> None:
        if isinstance(error, StoreUnreachableError):
            content.failed, content.failed_until = error, trio.current_time() + AGAIN_S
        for block_no in blocks:
            fetch = content.fetching.pop(block_no, None)
            if fetch is not None:
                fetch.error = error
                fetch.done.set()
