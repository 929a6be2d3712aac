"""What was sealed opens only as what it was, where it was."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.cache.seal import (
    SEAL_BYTES,
    BlockPlace,
    ContentId,
    open_block,
    open_record,
    seal_block,
    seal_record,
)
from ssecfs.errors import BrokenSealError

CIPHER = AESGCM(bytes(range(32)))
PLACE = BlockPlace(b"n" * 16, ContentId(b"c" * 16), 7)

GOLDEN_BLOCK = bytes.fromhex("535342310500000000000000000000000000000066d9d9b2dae8100ed456e6d63c7c6bfd38a35670e1")


@given(st.binary(max_size=2000))
def test_sealed_block_opens_as_it_was(plaintext: bytes) -> None:
    record = seal_block(CIPHER, PLACE, plaintext)
    assert len(record) == len(plaintext) + SEAL_BYTES
    assert open_block(CIPHER, PLACE, record + b"rest of the slot") == plaintext


@given(st.binary(min_size=1, max_size=200), st.data())
def test_block_with_a_flipped_bit_does_not_open(plaintext: bytes, data: st.DataObject) -> None:
    record = bytearray(seal_block(CIPHER, PLACE, plaintext))
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BrokenSealError):
        open_block(CIPHER, PLACE, bytes(record))


@pytest.mark.parametrize(
    "other",
    [
        BlockPlace(b"N" * 16, PLACE.content_id, 7),
        BlockPlace(PLACE.namespace_id, ContentId(b"C" * 16), 7),
        BlockPlace(PLACE.namespace_id, PLACE.content_id, 8),
    ],
)
def test_block_does_not_open_anywhere_else(other: BlockPlace) -> None:
    with pytest.raises(BrokenSealError):
        open_block(CIPHER, other, seal_block(CIPHER, PLACE, b"plaintext"))


@pytest.mark.parametrize("length", range(SEAL_BYTES + 9))
def test_block_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(BrokenSealError):
        open_block(CIPHER, PLACE, seal_block(CIPHER, PLACE, b"plaintext")[:length])


def test_block_does_not_open_under_another_key() -> None:
    with pytest.raises(BrokenSealError):
        open_block(AESGCM(bytes(32)), PLACE, seal_block(CIPHER, PLACE, b"plaintext"))


def test_record_opens_under_its_label_only() -> None:
    record = seal_record(CIPHER, b"label", b"value")
    assert open_record(CIPHER, b"label", record) == b"value"
    with pytest.raises(BrokenSealError):
        open_record(CIPHER, b"other", record)
    with pytest.raises(BrokenSealError):
        open_block(CIPHER, PLACE, record)


def test_block_of_the_first_format_still_opens() -> None:
    assert open_block(CIPHER, PLACE, GOLDEN_BLOCK) == b"hello"
