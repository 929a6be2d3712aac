"""A cache directory with everything in it, over a store in memory: the types that the tests of the cache share."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from support.memory_store import MemoryStore

from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.directory import CacheDirectory
from ssecfs.cache.index import Index
from ssecfs.cache.segments import Segments
from ssecfs.cache.spool import Spool


@dataclass
class Rig:
    store: MemoryStore
    directory: CacheDirectory
    index: Index
    segments: Segments
    cache: BlockCache
    spool: Spool


OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]

SpoolMaker = Callable[[int], Spool]
