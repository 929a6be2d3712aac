"""A mount that runs: what it answers over the control socket, and how all that is unsaved is uploaded.

Imported by ``app.assembly``, which puts the parts together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from ssecfs.app.building import Built
from ssecfs.app.control import Answer, Handler
from ssecfs.app.status import show_path
from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.journal import Journal, RecordId
from ssecfs.content.openfiles import OpenFiles
from ssecfs.fs.recovery import Recovery
from ssecfs.s3.deferring import DeferringStore


@dataclass(frozen=True, slots=True)
class Mount:
    """The parts of a running mount that its tasks use.

    Attributes:
        end: set when it is to end, because it was unmounted.
    """

    source: str
    endpoint: str
    built: Built
    open_files: OpenFiles
    cache: BlockCache
    deferring: DeferringStore
    journal: Journal
    end: trio.Event = field(default_factory=trio.Event)


async def flush_all(mount: Mount) -> None:
    """Upload everything that is unsaved, files that are still open included.

    Raises:
        SsecfsError: the first failure, after everything was tried.
    """
    await mount.built.saver.save_all(mount.built.filesystem.files.unsaved_inodes())
    await mount.deferring.flush_all()


def handlers(mount: Mount) -> Mapping[str, Handler]:
    """What the control socket answers, by question."""

    async def status(_: str) -> Answer:
        progress = mount.built.progress
        return {
            "source": mount.source,
            "endpoint": mount.endpoint,
            "pid": os.getpid(),
            "dirty_bytes": mount.open_files.dirty_bytes(),
            "unsaved": mount.built.saver.waiting,
            "safe_bytes": mount.built.ledger.vouched_bytes,
            "safe_files": mount.built.ledger.vouched_files,
            "to_delete": mount.deferring.doomed,
            "refused": mount.built.saver.parked,
            "damaged_files": [show_path(path) for path in mount.built.saver.damaged],
            "journal_unreadable": mount.journal.unreadable,
            "parked": len(mount.built.recovery.parked),
            "inodes": len(mount.built.filesystem.inodes),
            "saved": progress.saved,
            "failed": progress.failed,
            "failing": mount.built.saver.failing or int(progress.is_failing and mount.built.saver.waiting > 0),
            "not_deleted": mount.deferring.refused,
            "last_error": progress.last_error,
            "last_error_s": progress.failed_s,
            "last_success_s": progress.saved_s,
            "cache_hits": mount.cache.counts.hits,
            "cache_misses": mount.cache.counts.misses,
            "cache_broken": mount.cache.counts.broken,
            "cache_bytes": mount.cache.disk_bytes,
            "cache_limit": mount.cache.disk_limit_bytes,
        }

    async def flush(_: str) -> Answer:
        await flush_all(mount)
        return {}

    async def drop_cache(_: str) -> Answer:
        mount.cache.drop_all()
        return {}

    async def end(_: str) -> Answer:
        mount.end.set()
        return {}

    return {"status": status, "flush": flush, "drop cache": drop_cache, "end": end, **_recovery_handlers(mount.built.recovery)}


def _recovery_handlers(recovery: Recovery) -> Mapping[str, Handler]:
    async def parked(_: str) -> Answer:
        return {
            "files": [
                {
                    "number": record_id,
                    "path": show_path(record.path),
                    "size": record.content.size,
                    "noted_s": record.noted_s,
                }
                for record_id, record in recovery.parked.items()
            ]
        }

    async def publish(number: str) -> Answer:
        return {"ending": await recovery.publish(RecordId(int(number)))}

    async def discard(number: str) -> Answer:
        recovery.discard(RecordId(int(number)))
        return {}

    return {"parked": parked, "publish": publish, "discard": discard}
