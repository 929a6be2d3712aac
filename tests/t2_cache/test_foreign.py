"""A cache of another customer key or another namespace: a fresh start, and nothing of the other is touched or taken."""

from pathlib import Path

import pytest
from support.cacherig import NAMESPACE, cache_rig
from support.journals import file_record
from support.memory_store import MemoryStore

from ssecfs.cache.directory import namespace_id
from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.types import Always, ByteRange, ObjectKey
from ssecfs.ssec import CustomerKey

OURS, THEIRS = (Keyring((CustomerKey(bytes([number] * 32)),)) for number in (1, 2))
BODY = bytes(range(256)) * (BLOCK_SIZE // 256)


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def leave(folder: Path, keyring: Keyring, store: MemoryStore) -> None:
    """A mount's cache with a clean block and a file that is not saved."""
    version = (await store.head(ObjectKey("file"))).version
    async with cache_rig(folder, keyring, store) as rig:
        await rig.cache.read(version, ByteRange(0, len(BODY)))
        rig.journal.store(rig.journal.new_id(), file_record(b"unsaved"))


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await made.put(ObjectKey("file"), BODY, {}, Always())
    return made


async def test_another_customer_key_begins_anew_and_leaves_the_old_data_alone(
    store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await leave(tmp_path, THEIRS, store)
    old = tmp_path / NAMESPACE.hex() / "0"
    before = content_of(old)
    for _ in range(2):
        async with cache_rig(tmp_path, OURS, store) as rig:
            assert rig.directory.path == old.with_name("1")
            assert (rig.journal.load(), rig.segments.total_bytes, rig.journal.is_doubtful) == ({}, 0, False)
    assert content_of(old) == before
    assert f"unsaved files may be in {old}" in caplog.text
    async with cache_rig(tmp_path, THEIRS, store) as rig:
        assert list(rig.journal.load().values()) == [file_record(b"unsaved")]


async def test_damaged_keys_file_is_no_key_and_is_reported(
    store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await leave(tmp_path, OURS, store)
    keys = tmp_path / NAMESPACE.hex() / "0" / "keys"
    whole = keys.read_bytes()
    for place in range(len(whole)):
        caplog.clear()
        damaged = bytearray(whole)
        damaged[place] ^= 1
        keys.write_bytes(damaged)
        async with cache_rig(tmp_path, OURS, store) as rig:
            assert rig.directory.path.name == "1"
        assert "unsaved files may be in" in caplog.text
        assert keys.read_bytes() == damaged
    keys.write_bytes(whole)
    async with cache_rig(tmp_path, OURS, store) as rig:
        assert list(rig.journal.load().values()) == [file_record(b"unsaved")]


async def test_folder_of_another_namespace_gives_nothing_here(store: MemoryStore, tmp_path: Path) -> None:
    """The same customer key, and the files of a mount of another bucket in the place of ours."""
    await leave(tmp_path, OURS, store)
    other = namespace_id("https://example", "other bucket", "")
    (tmp_path / NAMESPACE.hex()).rename(tmp_path / other.hex())
    version = (await store.head(ObjectKey("file"))).version
    async with cache_rig(tmp_path, OURS, store, namespace=other) as rig:
        assert rig.directory.path.name == "0"
        assert (rig.journal.load(), rig.journal.damaged) == ({}, 1)
        assert await rig.cache.read(version, ByteRange(0, len(BODY))) == BODY
        assert rig.cache.counts.broken == 1
