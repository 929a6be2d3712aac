"""A cache directory with everything in it, over a store in memory."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from support.cacherig import OpenRig, Rig, SpoolMaker
from support.memory_store import MemoryStore

from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import namespace_id, open_cache_directory
from ssecfs.cache.index import Index
from ssecfs.cache.plain import PlainBlocks
from ssecfs.cache.segments import CacheOptions, Segments
from ssecfs.cache.spool import Spool
from ssecfs.keyring.keyring import Keyring
from ssecfs.sizes import GIB, KIB, MIB
from ssecfs.ssec import CustomerKey

NAMESPACE = namespace_id("https://example", "bucket", "")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def open_rig(tmp_path: Path, customer_key: CustomerKey, store: MemoryStore) -> OpenRig:
    """Open the cache of this test, as a mount does; may be done again and again."""

    @asynccontextmanager
    async def opened(size_bytes: int = GIB, plain_bytes: int = 128 * KIB, hot_bytes: int = MIB) -> AsyncIterator[Rig]:
        with open_cache_directory(tmp_path / "cache", NAMESPACE, Keyring((customer_key,))) as directory:
            containers = Containers(directory.blocks)
            index = Index(directory.index, directory.keys)
            segments = Segments(containers, index, CacheOptions(size_bytes, 0, MIB))
            async with trio.open_nursery() as nursery:
                cache = BlockCache(
                    directory=directory,
                    containers=containers,
                    index=index,
                    segments=segments,
                    plain=PlainBlocks(plain_bytes),
                    store=store,
                    nursery=nursery,
                )
                spool = Spool(
                    directory=directory,
                    containers=containers,
                    make_room=segments.give_up,
                    memory_bytes=hot_bytes,
                    disk_limiter=trio.CapacityLimiter(1),
                )
                yield Rig(store, directory, index, segments, cache, spool)
                nursery.cancel_scope.cancel()
            index.close()
            containers.close()

    return opened


@pytest.fixture(scope="session")
def spool_for_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpoolMaker]:
    """Spools over one directory, for generated steps that would make too many of their own."""
    keyring = Keyring((CustomerKey(bytes(range(32))),))
    with open_cache_directory(tmp_path_factory.mktemp("spools") / "cache", NAMESPACE, keyring) as directory:
        containers = Containers(directory.blocks)

        def make(hot_bytes: int) -> Spool:
            return Spool(
                directory=directory,
                containers=containers,
                make_room=lambda _: False,
                memory_bytes=hot_bytes,
                disk_limiter=trio.CapacityLimiter(1),
            )

        yield make
        containers.close()
