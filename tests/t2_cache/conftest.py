"""A cache directory with everything in it, over a store in memory."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from support.cacherig import NAMESPACE, OpenRig, Rig, SpoolMaker, cache_rig
from support.memory_store import MemoryStore

from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import open_cache_directory
from ssecfs.cache.spool import Spool
from ssecfs.keyring.keyring import Keyring
from ssecfs.ssec import CustomerKey


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def open_rig(tmp_path: Path, customer_key: CustomerKey, store: MemoryStore) -> OpenRig:
    """Open the cache of this test, as a mount does; may be done again and again."""

    def opened(**limits: int) -> AbstractAsyncContextManager[Rig]:
        return cache_rig(tmp_path / "cache", Keyring((customer_key,)), store, **limits)

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
