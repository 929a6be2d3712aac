"""OpenFile: the bytes of one file while somebody has it open or it has unsaved changes.

What lives here: reads, writes and truncation over a base version and the dirty extents in the spool. What does not: names and
attributes (``tree``), when to upload (``fs.saving``), how (``upload``). Imported by ``content`` and ``fs``.

A byte comes from the first of these that has it: the spool, where the dirty extents say so; the base version, below
``base_limit``; else it is zero (a hole). ``base_limit`` only falls: what a truncation cut off never comes back.
Writes and truncations are atomic (no await) except that they wait while an upload of this file is reading it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Final

import trio

from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.records import ContentRecord
from ssecfs.cache.spans import blocks_of, blocks_range, split_range
from ssecfs.cache.spool import Spool, SpoolContent
from ssecfs.content.digest import RunningDigest
from ssecfs.content.extents import ExtentSet
from ssecfs.content.readahead import ReadAhead
from ssecfs.errors import FileTooBigError, ObjectChangedError
from ssecfs.s3.types import ByteRange, ObjectVersion
from ssecfs.sizes import MIB, TIB

MAX_FILE_BYTES: Final = 5 * TIB
"""Largest object that S3 takes."""

DETACH_PIECE: Final = 8 * MIB

MAX_KEPT_BLOCKS: Final = 64
"""Written blocks that a patch leaves in the cache, sealed inline: 8 MiB take some milliseconds."""


class OpenFile:
    """Content of one file.

    Attributes:
        writers: handles that may still write, each of which saves what is unsaved when it is closed.

    Owns: size, dirty extents, base version, spool content. Invariants: dirty extents lie within [0, size);
    base_limit <= base.size, and is 0 without a base; a clean file has the base's size.
    Lifetime: from the first handle (or change) until nobody holds it and it is saved.
    """

    def __init__(self, *, cache: BlockCache, spool: Spool, base: ObjectVersion | None) -> None:
        """Begin clean, with the content of base; None: a new, empty file, which is dirty at once."""
        self._cache = cache
        self._spool = spool
        self._base = base
        self._base_limit = base.size if base is not None else 0
        self._size = self._base_limit
        self._dirty = ExtentSet()
        self._content: SpoolContent | None = None
        self._digest = RunningDigest()
        self._changes = 0 if base is not None else 1
        self._saved_changes = 0
        self._written_changes = 0
        self._shape = 0
        self._losses = 0
        self.writers = 0
        self._still: trio.Event | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def base(self) -> ObjectVersion | None:
        """The version that the content started from; None: there is none."""
        return self._base

    @property
    def is_dirty(self) -> bool:
        """Tell whether there is something to upload."""
        return self._changes != self._saved_changes

    @property
    def is_half_written(self) -> bool:
        """Tell whether a handle has changed it since it was saved, and there are handles that may go on."""
        return self.writers > 0 and self._written_changes > self._saved_changes

    def note_written(self) -> None:
        """The last change was made through a handle."""
        self._written_changes = self._changes

    @property
    def dirty_bytes(self) -> int:
        """Count the bytes that exist only here."""
        return self._dirty.total

    @property
    def changes(self) -> int:
        """Count of changes, to tell whether there were any since."""
        return self._changes

    @property
    def sha256(self) -> str | None:
        """Digest of the content in hex, if it was written from start to end; else None."""
        return self._digest.hexdigest(self._size)

    @property
    def is_sequential(self) -> bool:
        """Tell whether the content was written from start to end, and all of it is here."""
        return not self._base_limit and self._digest.covers(self._size)

    def stop_digest(self) -> None:
        """Nobody will ask for the digest of what is written now."""
        self._digest.stop()

    @property
    def losses(self) -> int:
        """How often the content gave way to another client's version; what was read before is not of the same file."""
        return self._losses

    @property
    def clean(self) -> list[ByteRange]:
        """The ranges that are those of the base, in order."""
        return self._dirty.gaps(0, self._base_limit)

    async def read(self, offset: int, length: int, ahead: ReadAhead) -> bytes:
        """Read up to length bytes at offset; shorter only at the end of the file.

        Raises:
            ObjectChangedError: the base version is gone from the server.
            StoreError, BrokenSealError: the bytes cannot be had.
        """
        while True:
            shape, base = self._shape, self._base
            stop = min(offset + length, self._size)
            if offset >= stop:
                return b""
            wanted = ByteRange(offset, stop)
            try:
                clean = await self._read_clean(wanted, ahead)
            except ObjectChangedError:
                if self._base is base:
                    raise
                continue  # it was our own upload that replaced the version
            if shape == self._shape:
                return self._assemble(wanted, clean)

    async def write(self, offset: int, piece: bytes | memoryview) -> int:
        """Write piece at offset, growing the file as needed; all of it or nothing.

        Raises:
            FileTooBigError: beyond 5 TiB.
            CacheFullError: no room on the local disk.
        """
        if offset + len(piece) > MAX_FILE_BYTES:
            message = "an object has at most 5 TiB: split the file"
            raise FileTooBigError(message)
        await self.wait_until_free()
        content = self._spool_content()
        done = 0
        for span in split_range(ByteRange(offset, offset + len(piece))):
            content.write(span.block_no, span.skip, piece[done : done + span.length])
            done += span.length
        self._dirty.add(offset, offset + len(piece))
        self._digest.note_write(offset, piece)
        self._size = max(self._size, offset + len(piece))
        self._changes += 1
        return len(piece)

    async def truncate(self, size: int) -> None:
        """Cut or grow the file to size bytes; grown bytes are zero."""
        if size > MAX_FILE_BYTES:
            message = "an object has at most 5 TiB"
            raise FileTooBigError(message)
        await self.wait_until_free()
        if size < self._size:
            self._dirty.cut(size)
            self._base_limit = min(self._base_limit, size)
            if self._content is not None:
                self._content.truncate(size)
            self._shape += 1
        if size != self._size:
            self._digest.note_truncate(size)
            self._changes += 1
        self._size = size

    @asynccontextmanager
    async def held_still(self) -> AsyncIterator[None]:
        """Make writers wait, so that an upload reads one consistent content."""
        await self.wait_until_free()
        event = self._still = trio.Event()
        try:
            yield
        finally:
            self._still = None
            event.set()

    async def read_whole(self, wanted: ByteRange) -> bytes:
        """Read a range for an upload; the file is held still, and nobody reads ahead."""
        return self._assemble(wanted, await self._read_clean(wanted, ReadAhead()))

    async def read_left(self, wanted: ByteRange) -> bytes:
        """As read_whole, when the base is gone from the server: zeros for what is not on this machine."""
        base = self._base
        gaps = self._dirty.gaps(wanted.start, min(wanted.stop, self._base_limit)) if base is not None else []
        return self._assemble(wanted, [piece for gap in gaps if base for piece in self._cache.read_kept(base, gap)])

    async def detach(self) -> None:
        """Bring the whole content here, because the object is about to be deleted or replaced while it is open."""
        for gap in self.clean:
            for start in range(gap.start, gap.stop, DETACH_PIECE):
                piece = ByteRange(start, min(start + DETACH_PIECE, gap.stop))
                clean = await self._cache.read(self._require_base(), piece)
                for part in self._dirty.gaps(piece.start, min(piece.stop, self._base_limit)):  # somebody may have cut it
                    self._store_clean(part, clean[part.start - piece.start : part.stop - piece.start])
        self._base = None
        self._base_limit = 0
        self._shape += 1

    def record(self) -> ContentRecord:
        """What a later mount needs to go on with this content; the spool has to be synced for it to be of use.

        Raises:
            CacheFullError: no room on the local disk.
        """
        dirty = tuple((extent.start, extent.stop) for extent in self._dirty)
        spooled = self._content.record() if self._content is not None else None
        return ContentRecord(self._size, self._base, self._base_limit, dirty, spooled)

    def restore(self, record: ContentRecord) -> None:
        """Go on with what an earlier mount recorded; this one is clean, and of nothing but the base.

        Raises:
            CacheFullError: no room on the local disk.
        """
        self._content = self._spool.restore(record.spooled) if record.spooled is not None else None
        self._base, self._base_limit, self._size = record.base, record.base_limit, record.size
        for start, stop in record.dirty:
            self._dirty.add(start, stop)
        self._digest.note_truncate(record.size)
        self._changes += 1
        self._shape += 1

    def note_saved(self, version: ObjectVersion) -> None:
        """The content is on the server as version: it is clean now, and what is here of it becomes cached blocks."""
        if self._content is not None and self._dirty.covers(0, self._size):
            self._cache.adopt(version, self._content)
        else:
            written = self._written_blocks()
            if self._base is not None:
                self._cache.rebind(self._base, version, self._changed_ranges(self._base))
            for block_no, block in written.items():
                self._cache.keep(version, block_no, block)
            if self._content is not None:
                self._content.discard()
        self._content = None
        self._dirty = ExtentSet()
        self._base = version
        self._base_limit = version.size
        self._saved_changes = self._changes
        self._shape += 1

    def note_copied(self, version: ObjectVersion) -> None:
        """The base was copied on the server without a change of its bytes (attributes, rename)."""
        self._base = version
        self._shape += 1

    def note_arrived(self, version: ObjectVersion) -> None:
        """An earlier upload of this content got there after all: what is still clean is the same in version."""
        if self._base is not None:
            self._cache.rebind(self._base, version, self._changed_ranges(self._base))
        self._base = version
        self._shape += 1

    def rebase(self, version: ObjectVersion | None) -> None:
        """Another client's version counts (None: nothing is there any more): show that, and forget what we changed."""
        is_same = self._base is None or (version is not None and self._base.is_same(version))
        if self.is_dirty or not is_same:
            self._losses += 1
        if self.is_dirty:
            self.discard()
        self._dirty = ExtentSet()
        self._base = version
        self._base_limit = self._size = version.size if version is not None else 0
        self._digest = RunningDigest()
        self._shape += 1

    def discard(self) -> None:
        """Forget all changes: the file is gone."""
        if self._content is not None:
            self._content.discard()
        self._content = None
        self._saved_changes = self._changes

    async def wait_until_free(self) -> None:
        """Wait while the file is held still; without a pause where it is not."""
        while self._still is not None:
            await self._still.wait()

    def _require_base(self) -> ObjectVersion:
        assert self._base is not None, "base_limit is 0 without a base"  # noqa: S101 - an invariant
        return self._base

    def _changed_ranges(self, base: ObjectVersion) -> list[ByteRange]:
        """Where the content is not that of base, an end that moved included."""
        moved = ByteRange(self._base_limit, max(base.size, self._size))
        return [*self._dirty.within(0, self._base_limit), *([moved] if len(moved) else [])]

    def _written_blocks(self) -> dict[int, bytes]:
        """The blocks with dirty bytes, if they are few and all of each is here: they need not be fetched after the upload."""
        numbers = {block_no for extent in self._dirty for block_no in range(*blocks_of(extent))}
        if len(numbers) > MAX_KEPT_BLOCKS:
            return {}
        blocks = {}
        for block_no in numbers:
            whole = blocks_range(block_no, block_no + 1, self._size)
            gaps = self._dirty.gaps(whole.start, min(whole.stop, self._base_limit))
            clean = [piece for gap in gaps for piece in self._cache.read_kept(self._require_base(), gap)]
            if sum(map(len, gaps)) == sum(len(piece) for _, piece in clean):
                blocks[block_no] = self._assemble(whole, clean)
        return blocks

    def _store_clean(self, part: ByteRange, clean: bytes) -> None:
        """Put bytes of the base into the spool."""
        content = self._spool_content()
        for span in split_range(part):
            place = span.offset - part.start
            content.write(span.block_no, span.skip, clean[place : place + span.length])
        self._dirty.add(part.start, part.stop)

    def _spool_content(self) -> SpoolContent:
        if self._content is None:
            self._content = self._spool.create()
        return self._content

    async def _read_clean(self, wanted: ByteRange, ahead: ReadAhead) -> list[tuple[int, bytes]]:
        """The parts of a range that come from the base version, with their offsets."""
        base = self._base
        if base is None:
            return []
        stop = min(wanted.stop, self._base_limit)
        pieces = []
        for gap in self._dirty.gaps(wanted.start, stop):
            for window in ahead.windows(gap, base.size):
                self._cache.request(base, window.start, window.stop)
            pieces.append((gap.start, await self._cache.read(base, gap)))
        return pieces

    def _assemble(self, wanted: ByteRange, clean: list[tuple[int, bytes]]) -> bytes:
        """Put clean and dirty parts together, with zeros between them."""
        pieces: list[bytes | bytearray] = []
        position = wanted.start
        for start, piece in sorted([*self._still_clean(clean), *self._dirty_parts(wanted)], key=itemgetter(0)):
            if position < start:
                pieces.append(bytes(start - position))
            pieces.append(piece)
            position = start + len(piece)
        if len(pieces) == 1 and isinstance(pieces[0], bytes) and position == wanted.stop:
            return pieces[0]
        return b"".join([*pieces, bytes(wanted.stop - position)])

    def _still_clean(self, clean: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Clean parts without what was written while they were fetched."""
        for start, piece in clean:
            for gap in self._dirty.gaps(start, start + len(piece)):
                yield gap.start, piece if len(gap) == len(piece) else piece[gap.start - start : gap.stop - start]

    def _dirty_parts(self, wanted: ByteRange) -> Iterator[tuple[int, bytes | bytearray]]:
        """The dirty parts of a range, with their offsets; of a block, only as much as was ever written."""
        if self._content is None:
            return
        for extent in self._dirty.within(wanted.start, wanted.stop):
            for span in split_range(extent):
                block = self._content.read(span.block_no)
                yield span.offset, block if span.length == len(block) else block[span.skip : span.skip + span.length]
