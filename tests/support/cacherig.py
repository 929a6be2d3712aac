"""A cache directory with everything in it, over a store in memory: what the tests of the cache and of content share."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from support.memory_store import MemoryStore

from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory, namespace_id, open_cache_directory
from ssecfs.cache.index import Index
from ssecfs.cache.journal import Journal
from ssecfs.cache.plain import PlainBlocks
from ssecfs.cache.segments import CacheOptions, Segments
from ssecfs.cache.spool import Spool
from ssecfs.keyring.keyring import Keyring
from ssecfs.sizes import GIB, KIB, MIB

NAMESPACE = namespace_id("https://example", "bucket", "")


@dataclass
class Rig:
    store: MemoryStore
    directory: CacheDirectory
    index: Index
    journal: Journal
    segments: Segments
    cache: BlockCache
    spool: Spool


OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]

SpoolMaker = Callable[[int], Spool]


@asynccontextmanager
async def cache_rig(
    folder: Path,
    keyring: Keyring,
    store: MemoryStore,
    *,
    size_bytes: int = GIB,
    plain_bytes: int = 128 * KIB,
    hot_bytes: int = MIB,
    free_floor_bytes: int = 0,
    namespace: bytes = NAMESPACE,
) -> AsyncIterator[Rig]:
    """Open a cache directory, as a mount does, for the time of the block."""
    with open_cache_directory(folder, namespace, keyring) as directory:
        containers = Containers(directory.blocks)
        index = Index(directory.index, directory.keys)
        journal = Journal(directory.journal, directory.keys.records, directory.namespace_id)
        limits = CacheOptions(size_bytes, free_floor_bytes, MIB)
        segments = Segments(containers, index, limits, journal.claims(journal.load().values()))
        try:
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
                yield Rig(store, directory, index, journal, segments, cache, spool)
                cache.close()
                nursery.cancel_scope.cancel()
        finally:
            index.close()
            journal.close()
            containers.close()
