"""A mount that runs: what it answers over the control socket, and how all that is unsaved is uploaded.

Imported by ``app.assembly``, which puts the parts together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from ssecfs.app.control import Answer, Handler
from ssecfs.cache.blockcache import BlockCache
from ssecfs.content.openfiles import OpenFiles
from ssecfs.fs.saving import Saver
from ssecfs.fuse.operations import Filesystem


@dataclass(frozen=True, slots=True)
class Mount:
    """The parts of a running mount that its tasks use.

    Attributes:
        end: set when it is to end, because it was unmounted.
    """

    source: str
    endpoint: str
    filesystem: Filesystem
    open_files: OpenFiles
    saver: Saver
    cache: BlockCache
    end: trio.Event = field(default_factory=trio.Event)


async def flush_all(mount: Mount) -> None:
    """Upload everything that is unsaved, files that are still open included.

    Raises:
        SsecfsError: the first failure, after everything was tried.
    """
    await mount.saver.save_all(mount.filesystem.files.unsaved_inodes())


def handlers(mount: Mount) -> Mapping[str, Handler]:
    """What the control socket answers, by question."""

    async def status() -> Answer:
        progress = mount.saver.progress
        return {
            "source": mount.source,
            "endpoint": mount.endpoint,
            "pid": os.getpid(),
            "dirty_bytes": mount.open_files.dirty_bytes(),
            "unsaved": mount.saver.waiting,
            "inodes": len(mount.filesystem.inodes),
            "saved": progress.saved,
            "failed": progress.failed,
            "last_error": progress.last_error,
            "cache_hits": mount.cache.counts.hits,
            "cache_misses": mount.cache.counts.misses,
            "cache_broken": mount.cache.counts.broken,
            "cache_bytes": mount.cache.disk_bytes,
            "cache_limit": mount.cache.disk_limit_bytes,
        }

    async def flush() -> Answer:
        await flush_all(mount)
        return {}

    async def drop_cache() -> Answer:
        mount.cache.drop_all()
        return {}

    async def end() -> Answer:
        mount.end.set()
        return {}

    return {"status": status, "flush": flush, "drop cache": drop_cache, "end": end}
