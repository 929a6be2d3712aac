"""Dirty blocks against a bytearray, and a full disk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cacherig import OpenRig, SpoolMaker

from ssecfs.cache.spans import BLOCK_SIZE, split_range
from ssecfs.errors import CacheFullError, SpoolError
from ssecfs.s3.types import ByteRange

SIZE = 5 * BLOCK_SIZE
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, SIZE - 1), st.integers(1, 2 * BLOCK_SIZE)),
        st.tuples(st.just("truncate"), st.integers(0, SIZE), st.just(0)),
        st.tuples(st.just("seal"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS, st.integers(1, 3))
async def test_spool_after_any_steps_equals_a_bytearray(
    spool_for_models: SpoolMaker, steps: list[tuple[str, int, int]], hot_blocks: int
) -> None:
    spool = spool_for_models(hot_blocks * BLOCK_SIZE)
    content, neighbour = spool.create(), spool.create()
    model = bytearray()
    for number, (what, first, second) in enumerate(steps):
        if what == "write":
            stop = min(first + second, SIZE)
            piece = bytes([number + 1]) * (stop - first)
            model.extend(bytes(max(0, stop - len(model))))
            model[first:stop] = piece
            for span in split_range(ByteRange(first, stop)):
                content.write(span.block_no, span.skip, piece[: span.length])
            neighbour.write(number, 3, b"somebody else")
        elif what == "truncate":
            del model[first:]
            content.truncate(first)
        else:
            content.seal_all()
    for block_no in range(-(-SIZE // BLOCK_SIZE)):
        wanted = bytes(model[block_no * BLOCK_SIZE : (block_no + 1) * BLOCK_SIZE])
        found = bytes(content.read(block_no))
        assert found.ljust(len(wanted), b"\0") == wanted.ljust(len(found), b"\0")
    content.discard()
    neighbour.discard()


async def test_full_disk_shows_at_write_and_leaves_what_was_there(open_rig: OpenRig, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_rig() as rig:
        content = rig.spool.create()
        content.write(0, 0, b"before")
        monkeypatch.setattr("ssecfs.cache.containers.Containers.free_bytes", lambda _: 0)
        with pytest.raises(CacheFullError):
            content.write(1, 0, b"too much")
        content.write(0, 6, b" and after")
        assert content.read(0) == b"before and after"
        assert content.read(1) == b""


async def test_damaged_dirty_block_is_an_error_and_not_zeros(open_rig: OpenRig) -> None:
    async with open_rig() as rig:
        content = rig.spool.create()
        content.write(0, 0, b"precious")
        content.seal_all()
        (container,) = rig.directory.blocks.iterdir()
        damaged = bytearray(container.read_bytes())
        damaged[25] ^= 1
        container.write_bytes(damaged)
        with pytest.raises(SpoolError):
            content.read(0)


async def test_discarded_content_leaves_no_file(open_rig: OpenRig) -> None:
    async with open_rig() as rig:
        content = rig.spool.create()
        for block_no in range(100):
            content.write(block_no, 0, b"x" * BLOCK_SIZE)
        assert list(rig.directory.blocks.iterdir())
        content.discard()
        assert not list(rig.directory.blocks.iterdir())
