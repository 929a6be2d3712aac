"""The arithmetic of blocks inverts."""

from hypothesis import given
from hypothesis import strategies as st

from ssecfs.cache.containers import SLOT_BYTES, slot_offset
from ssecfs.cache.spans import BLOCK_SIZE, SEGMENT_BLOCKS, block_count, block_length, blocks_range, split_range
from ssecfs.s3.types import ByteRange

OFFSETS = st.integers(0, 50 * BLOCK_SIZE)


@given(OFFSETS, OFFSETS)
def test_spans_of_a_range_put_together_are_the_range(start: int, length: int) -> None:
    spans = list(split_range(ByteRange(start, start + length)))
    position = start
    for span in spans:
        assert span.offset == position
        assert 1 <= span.length <= BLOCK_SIZE - span.skip
        position += span.length
    assert position == start + length


@given(OFFSETS)
def test_lengths_of_the_blocks_of_a_file_add_up_to_its_size(size: int) -> None:
    count = block_count(size)
    assert sum(block_length(block_no, size) for block_no in range(count)) == size
    assert block_length(count, size) == 0
    assert len(blocks_range(0, count, size)) == size


@given(st.integers(0, 1 << 40))
def test_slot_of_a_block_leads_back_to_the_block(block_no: int) -> None:
    segment_no, offset = slot_offset(block_no)
    assert segment_no * SEGMENT_BLOCKS + offset // SLOT_BYTES == block_no
    assert offset % SLOT_BYTES == 0
    assert offset < SEGMENT_BLOCKS * SLOT_BYTES
