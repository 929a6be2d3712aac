"""Journal records, bindings and generations: what was written opens for ever, and the manual page is enough to read it."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ssecfs.cache.keys import make_cache_keys
from ssecfs.cache.records import (
    ContentRecord,
    FileRecord,
    MoveRecord,
    Phase,
    SpooledContent,
    Step,
    parse_file,
    parse_move,
    parse_upload,
)
from ssecfs.cache.seal import BlockPlace, ContentId, open_block, open_record
from ssecfs.s3.types import ETag, ObjectKey, ObjectVersion, Upload

Golden = dict[str, Any]

VERSION = ObjectVersion(ObjectKey("prefix/dir/über"), ETag('"etag"'), 300_000, 1_700_000_000)
CONTENT_ID = ContentId(bytes(range(16)))


@pytest.fixture(params=["journal-1"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """Records that a released version wrote; never written again."""
    found: Golden = json.loads((Path(__file__).parent / "golden" / f"{request.param}.json").read_text())
    return found


def raw(golden: Golden, name: str) -> bytes:
    return bytes.fromhex(golden[name])


def test_golden_records_open_and_say_what_they_said(golden: Golden) -> None:
    keys, namespace = make_cache_keys(raw(golden, "data_key")), raw(golden, "namespace_id")

    def opened(name: str, kind: bytes) -> bytes:
        return open_record(keys.records, kind + namespace + golden[f"{name}_id"].to_bytes(8, "little"), raw(golden, name))

    assert parse_file(opened("file", b"journal")) == FileRecord(
        path="dir/über".encode(),
        phase=Phase.CLOSED,
        metadata={"mode": "33188", "mtime": "1700000000.123456789"},
        version=VERSION,
        seals=frozenset({"ab12", "cd34"}),
        sent=frozenset({"cd34"}),
        noted_s=1_700_000_100,
        content=ContentRecord(
            size=262_200,
            base=VERSION,
            base_limit=262_144,
            dirty=((131_072, 262_144), (262_150, 262_200)),
            spooled=SpooledContent(CONTENT_ID, {0: 0b110}, {}, {1: 3}),
        ),
    )
    small = parse_file(opened("small", b"journal"))
    assert (small.path, small.phase, small.version) == (b"small\xff", Phase.OPEN, None)
    assert small.content == ContentRecord(5, None, 0, ((0, 5),), SpooledContent(CONTENT_ID, {}, {0: b"small"}, {}))
    assert parse_move(opened("move", b"move")) == MoveRecord(
        Step.DELETING,
        "prefix/old/",
        "prefix/new/",
        b"old",
        b"new",
        had_target=True,
        copied_s=1_700_000_000,
        old_markers=(ObjectKey("prefix/old_$folder$"),),
    )
    upload = Upload(ObjectKey("prefix/dir/über"), "2~upload.id", "1B2M2Y8AsgTpgAmY7PhCfg==")
    assert parse_upload(opened("upload", b"upload")) == upload
    place = BlockPlace(namespace, CONTENT_ID, golden["block_no"], golden["generation"])
    assert open_block(keys.blocks, place, raw(golden, "block")) == raw(golden, "block_plaintext")


def unseal(golden: Golden, name: str, label: bytes) -> Any:
    """A record by the page alone."""
    records_key = HKDF(algorithm=SHA256(), length=32, salt=b"", info=b"ssecfs/cache/records").derive(raw(golden, "data_key"))
    magic, length, nonce = struct.unpack_from("<4sI12s", raw(golden, name))
    assert magic == b"SSR1"
    return json.loads(AESGCM(records_key).decrypt(nonce, raw(golden, name)[20 : 20 + length + 16], b"SSR1" + label))


def journal_label(golden: Golden, word: bytes, name: str) -> bytes:
    return word + raw(golden, "namespace_id") + struct.pack("<Q", golden[f"{name}_id"])


def test_manual_page_is_enough_to_read_a_file_with_containers(golden: Golden) -> None:
    found = unseal(golden, "file", journal_label(golden, b"journal", "file"))
    version = ["prefix/dir/über", '"etag"', 300_000, 1_700_000_000, False]
    assert found == {
        "path": "dir/über",
        "phase": "closed",
        "metadata": {"mode": "33188", "mtime": "1700000000.123456789"},
        "version": version,
        "seals": ["ab12", "cd34"],
        "sent": ["cd34"],
        "noted_s": 1_700_000_100,
        "size": 262_200,
        "base": version,
        "base_limit": 262_144,
        "dirty": [[131_072, 262_144], [262_150, 262_200]],
        "spooled": {"content_id": golden["content_id"], "masks": {"0": "6"}, "inline": {}, "generations": {"1": 3}},
    }


def test_manual_page_is_enough_to_read_a_small_file(golden: Golden) -> None:
    found = unseal(golden, "small", journal_label(golden, b"journal", "small"))
    assert found["path"].encode("utf-8", "surrogateescape") == b"small\xff"
    assert {number: base64.b64decode(block) for number, block in found["spooled"]["inline"].items()} == {"0": b"small"}
    assert (found["phase"], found["version"], found["dirty"], found["size"]) == ("open", None, [[0, 5]], 5)


def test_manual_page_is_enough_to_read_a_rename(golden: Golden) -> None:
    assert unseal(golden, "move", journal_label(golden, b"move", "move")) == {
        "step": "deleting",
        "source": "prefix/old/",
        "target": "prefix/new/",
        "source_path": "old",
        "target_path": "new",
        "had_target": True,
        "copied_s": 1_700_000_000,
        "old_markers": ["prefix/old_$folder$"],
    }


def test_manual_page_is_enough_to_read_a_removal(golden: Golden) -> None:
    found = unseal(golden, "removal", journal_label(golden, b"removal", "removal"))
    assert found == ["prefix/dir/über", '"etag"', 300_000, 1_700_000_000, False]


def test_manual_page_is_enough_to_read_an_upload(golden: Golden) -> None:
    found = unseal(golden, "upload", journal_label(golden, b"upload", "upload"))
    assert found == ["prefix/dir/über", "2~upload.id", "1B2M2Y8AsgTpgAmY7PhCfg=="]


def test_manual_page_is_enough_to_read_a_binding_and_the_generation_that_it_names(golden: Golden) -> None:
    *version, generations = unseal(golden, "binding", b"binding" + raw(golden, "content_id"))
    assert (version, generations) == (["prefix/dir/über", '"etag"', 300_000, 1_700_000_000, False], {"1": 3})
    blocks_key = HKDF(algorithm=SHA256(), length=32, salt=b"", info=b"ssecfs/cache/blocks").derive(raw(golden, "data_key"))
    _, length, nonce = struct.unpack_from("<4sI12s", raw(golden, "block"))

    def opened(generation: int) -> bytes:
        place = (b"SSB1", length, raw(golden, "namespace_id"), raw(golden, "content_id"), golden["block_no"], generation)
        sealed = raw(golden, "block")[20 : 20 + length + 16]
        return AESGCM(blocks_key).decrypt(nonce, sealed, struct.pack("<4sI16s16sII", *place))

    assert opened(generations[str(golden["block_no"])]) == raw(golden, "block_plaintext")
    for other in (0, 2, 4):
        with pytest.raises(InvalidTag):
            opened(other)


def test_journal_in_the_manual_has_every_field_of_the_code(golden: Golden) -> None:
    manual = (Path(__file__).parents[2] / "man" / "ssecfs-cache.5").read_text(encoding="utf-8")
    section = manual[manual.index(".SH JOURNAL") : manual.index(".SH COMPATIBILITY")]
    file = unseal(golden, "file", journal_label(golden, b"journal", "file"))
    move = unseal(golden, "move", journal_label(golden, b"move", "move"))
    for name in (*file, *file["spooled"], *move):
        assert any(name in line.split() for line in section.replace(",", "").replace('"', "").splitlines()), name
