"""The clean cache and the spool under generated steps: against what the store holds, and against a bytearray."""

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cacherig import Rig, SpoolMaker, cache_rig
from support.memory_store import MemoryStore

from ssecfs.cache.containers import SLOT_BYTES
from ssecfs.cache.seal import SEAL_BYTES, BlockPlace, open_block
from ssecfs.cache.spans import BLOCK_SIZE, block_count, split_range
from ssecfs.cache.spool import SpoolContent
from ssecfs.errors import SpoolError
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.types import Always, ByteRange, ObjectKey, ObjectVersion
from ssecfs.ssec import CustomerKey

KEYRING = Keyring((CustomerKey(bytes(range(32))),))
NAMES = st.sampled_from([ObjectKey("a"), ObjectKey("b")])
SIZES = st.sampled_from([1, 100, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 7, 5 * BLOCK_SIZE])
OFFSETS = st.integers(0, 5 * BLOCK_SIZE)

Step = tuple[str, ObjectKey, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "read", "read", "store", "patch", "copy", "drop", "remount"]), NAMES, SIZES, OFFSETS),
    max_size=25,
)


@dataclass
class Cached:
    """A cache over a store, remounted at will. What it says is to be what the store holds."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    versions: dict[ObjectKey, ObjectVersion] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def run(self, steps: Sequence[Step], blocks: int) -> None:
        async with AsyncExitStack() as stack:
            rig = await stack.enter_async_context(self._rig(blocks))
            for what, name, size, offset in steps:
                if what == "remount":
                    await stack.aclose()
                    rig = await stack.enter_async_context(self._rig(blocks))
                else:
                    await self._do(rig, what, name, size, offset)
                    assert rig.segments.total_bytes <= blocks * SLOT_BYTES
            for name in self.versions:
                await self._do(rig, "read", name, 5 * BLOCK_SIZE, 0)

    def _rig(self, blocks: int):  # noqa: ANN202 - a context manager of cache_rig's
        return cache_rig(self.folder, KEYRING, self.store, size_bytes=blocks * SLOT_BYTES, plain_bytes=BLOCK_SIZE)

    async def _do(self, rig: Rig, what: str, name: ObjectKey, size: int, offset: int) -> None:
        version = self.versions.get(name)
        if what == "store":
            self.versions[name] = await self.store.put(name, self.chance.randbytes(size), {}, Always())
        elif version is None:
            return
        elif what == "read":
            body = self.store.objects[name].body
            wanted = ByteRange(min(offset, version.size - 1), min(offset + size, version.size))
            assert await rig.cache.read(version, wanted) == body[wanted.start : wanted.stop]
        elif what == "patch":
            await self._patch(rig, version, offset, self.chance.randbytes(size))
        elif what == "copy":
            other = ObjectKey("b" if name == "a" else "a")
            self.versions[other] = await self.store.copy(version, other, {}, Always())
            rig.cache.rebind(version, self.versions[other])
            del self.versions[name]
        else:
            rig.cache.drop(name)

    async def _patch(self, rig: Rig, old: ObjectVersion, offset: int, piece: bytes) -> None:
        """As an upload does after writing piece at offset: what changed is said, and a block of it is kept."""
        body = bytearray(self.store.objects[old.object_key].body)
        offset = min(offset, len(body))
        body[offset : offset + len(piece)] = piece
        new = self.versions[old.object_key] = await self.store.put(old.object_key, bytes(body), {}, Always())
        changed = [ByteRange(offset, min(offset + len(piece), old.size))] if offset < old.size else []
        grown = [ByteRange(old.size, new.size)] if new.size > old.size else []
        rig.cache.rebind(old, new, [*changed, *grown])
        block_no = offset // BLOCK_SIZE
        rig.cache.keep(new, block_no, bytes(body[block_no * BLOCK_SIZE : (block_no + 1) * BLOCK_SIZE]))


@settings(max_examples=60)
@given(STEPS, st.integers(1, 8))
def test_cache_after_any_steps_says_what_the_store_holds(steps: list[Step], blocks: int) -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        trio.run(Cached(Path(folder) / "cache").run, steps, blocks)


SIZE = 3 * BLOCK_SIZE
SPOOL_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "truncate", "seal", "restart"]),
        st.integers(0, SIZE) | st.sampled_from([0, BLOCK_SIZE, 2 * BLOCK_SIZE]),
        st.integers(1, 2 * BLOCK_SIZE) | st.sampled_from([BLOCK_SIZE]),
    ),
    max_size=20,
)


@dataclass
class Spooled:
    """A spool content and what it is to hold."""

    make: SpoolMaker
    hot_bytes: int
    content: SpoolContent
    model: bytearray = field(default_factory=bytearray)
    older: dict[int, set[bytes]] = field(default_factory=dict)

    def do(self, number: int, what: str, first: int, second: int) -> None:
        if what == "write":
            stop = min(first + second, SIZE)
            piece = bytes([number + 1]) * (stop - first)
            self.model.extend(bytes(max(0, stop - len(self.model))))
            self.model[first:stop] = piece
            for span in split_range(ByteRange(first, stop)):
                self.content.write(span.block_no, span.skip, piece[: span.length])
        elif what == "truncate":
            del self.model[first:]
            self.content.truncate(first)
        elif what == "seal":
            self.content.seal_all()
        else:
            recorded = self.content.record()
            self.content = self.make(self.hot_bytes).restore(recorded)
        self._note_slots()

    def _note_slots(self) -> None:
        for block_no in range(block_count(SIZE)):
            self.older.setdefault(block_no, set()).add(self.slot(block_no))

    def slot(self, block_no: int) -> bytes:
        """The record in a slot, without what longer ones left behind it."""
        found = self.content._spool._containers.read_slot(self.content.content_id, block_no)
        return found[: SEAL_BYTES + int.from_bytes(found[4:8], "little")]

    def is_right(self, block_no: int, found: bytes) -> bool:
        wanted = bytes(self.model[block_no * BLOCK_SIZE : (block_no + 1) * BLOCK_SIZE])
        return found.ljust(len(wanted), b"\0") == wanted.ljust(len(found), b"\0")


@settings(max_examples=60)
@given(SPOOL_STEPS, st.integers(1, 3))
async def test_spool_after_any_steps_and_restarts_is_handed_over_as_it_was_written(
    spool_for_models: SpoolMaker, steps: list[tuple[str, int, int]], hot_blocks: int
) -> None:
    """And no older record of a block opens in its place."""
    hot_bytes = hot_blocks * BLOCK_SIZE
    spooled = Spooled(spool_for_models, hot_bytes, spool_for_models(hot_bytes).create())
    for number, (what, first, second) in enumerate(steps):
        spooled.do(number, what, first, second)
    for block_no in range(block_count(SIZE)):
        assert spooled.is_right(block_no, bytes(spooled.content.read(block_no)))
    spool, content_id = spooled.content._spool, spooled.content.content_id
    handed = spooled.content.hand_over()
    assert handed.content_id == content_id
    for block_no in range(block_count(SIZE)):
        if handed.masks.get(0, 0) >> block_no & 1:
            current = spooled.slot(block_no)
            place = BlockPlace(spool._directory.namespace_id, content_id, block_no, handed.generations.get(block_no, 0))
            assert spooled.is_right(block_no, open_block(spool._directory.keys.blocks, place, current))
            for other in spooled.older[block_no] - {current, b""}:
                spool._containers.write_slot(content_id, block_no, other)
                with pytest.raises(SpoolError):
                    spool.open(content_id, block_no, place.generation)
    spool._containers.remove(content_id, 0)
