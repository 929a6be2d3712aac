"""The disk format: files of each version of it open for ever, and man/ssecfs-cache.5 is enough to read them."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ssecfs.cache.containers import SLOT_BYTES
from ssecfs.cache.directory import namespace_id
from ssecfs.cache.keys import make_cache_keys, unwrap
from ssecfs.cache.seal import BlockPlace, ContentId, open_block, open_record
from ssecfs.cache.spans import BLOCK_SIZE, SEGMENT_BLOCKS
from ssecfs.keyring.keyring import Keyring
from ssecfs.ssec import CustomerKey

Golden = dict[str, str | int]


@pytest.fixture(params=["format-1"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """Records that a released version wrote; never written again."""
    found: Golden = json.loads((Path(__file__).parent / "golden" / f"{request.param}.json").read_text())
    return found


def raw(golden: Golden, name: str) -> bytes:
    return bytes.fromhex(str(golden[name]))


def test_golden_records_open(golden: Golden) -> None:
    namespace = namespace_id(str(golden["endpoint_url"]), str(golden["bucket"]), str(golden["prefix"]))
    assert namespace == raw(golden, "namespace_id")
    data_key = unwrap(raw(golden, "keys_file"), Keyring((CustomerKey(raw(golden, "customer_key")),)))
    assert data_key == raw(golden, "data_key")
    keys, content_id = make_cache_keys(data_key), ContentId(raw(golden, "content_id"))
    place = BlockPlace(namespace, content_id, int(golden["block_no"]))
    assert open_block(keys.blocks, place, raw(golden, "block")) == raw(golden, "plaintext")
    label = raw(golden, "record_label") + content_id
    assert open_record(keys.records, label, raw(golden, "record")) == raw(golden, "record_plaintext")


def hkdf(secret: bytes, info: str, salt: bytes = b"") -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)


def test_manual_page_is_enough_to_read_golden_records(golden: Golden) -> None:
    """Written from the page alone: whoever changes the format has to change both."""
    texts = [str(golden[name]).encode() for name in ("endpoint_url", "bucket", "prefix")]
    namespace = hashlib.sha256(b"\0".join([b"ssecfs namespace", *texts])).digest()[:16]
    keys_file = raw(golden, "keys_file")
    assert keys_file[:8] == b"SSECFSK1"
    entry = keys_file[8 : 8 + 76]
    wrapping_key = hkdf(raw(golden, "customer_key"), "ssecfs/cache/v1", entry[:16])
    data_key = AESGCM(wrapping_key).decrypt(entry[16:28], entry[28:76], b"SSECFSK1")

    magic, length, nonce = struct.unpack_from("<4sI12s", raw(golden, "block"))
    associated = struct.pack("<4sI16s16sQ", b"SSB1", length, namespace, raw(golden, "content_id"), golden["block_no"])
    sealed = raw(golden, "block")[20 : 20 + length + 16]
    assert magic == b"SSB1"
    blocks_key = AESGCM(hkdf(data_key, "ssecfs/cache/blocks"))
    assert blocks_key.decrypt(nonce, sealed, associated) == raw(golden, "plaintext")

    magic, length, nonce = struct.unpack_from("<4sI12s", raw(golden, "record"))
    assert magic == b"SSR1"
    label = raw(golden, "record_label") + raw(golden, "content_id")
    records_key = AESGCM(hkdf(data_key, "ssecfs/cache/records"))
    assert records_key.decrypt(nonce, raw(golden, "record")[20 : 20 + length + 16], b"SSR1" + label) == raw(
        golden, "record_plaintext"
    )


@pytest.mark.parametrize("name", ["namespace_id", "content_id", "block_no"])
def test_golden_block_opens_nowhere_else(golden: Golden, name: str) -> None:
    place = {"namespace_id": raw(golden, "namespace_id"), "content_id": raw(golden, "content_id")}
    number = int(golden["block_no"]) + (name == "block_no")
    if name in place:
        place[name] = bytes(16)
    associated = struct.pack("<4sI16s16sQ", b"SSB1", 23, place["namespace_id"], place["content_id"], number)
    nonce, sealed = raw(golden, "block")[8:20], raw(golden, "block")[20:]
    with pytest.raises(InvalidTag):
        AESGCM(hkdf(raw(golden, "data_key"), "ssecfs/cache/blocks")).decrypt(nonce, sealed, associated)


def test_numbers_in_the_manual_are_those_of_the_code() -> None:
    manual = (Path(__file__).parents[2] / "man" / "ssecfs-cache.5").read_text(encoding="utf-8")
    assert f"blocks of {BLOCK_SIZE} bytes" in manual
    assert f"A container holds {SEGMENT_BLOCKS} blocks" in manual
    assert f"begins at {SLOT_BYTES} bytes times" in manual
