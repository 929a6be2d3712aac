"""One mount, put together: every object made, in order, in one nursery, and taken apart in reverse.

Imported by ``app.mount``. This is the only place that starts tasks which live as long as the mount.

Shutdown, read top to bottom in ``_serve``: the kernel's requests end (unmounted, or a signal) - everything unsaved is uploaded
- the mount point is freed - the index is closed, the cache directory free for the next mount - whoever waits for the end knows.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import pyfuse3
import trio

from ssecfs.app.building import DISK_THREADS, Ground, Habits, build
from ssecfs.app.config import DEFAULT_CACHE_BYTES, DEFAULT_SPOOL_BYTES, FREE_FLOOR_BYTES, Access, MountOptions
from ssecfs.app.connect import Connection, connect
from ssecfs.app.control import control_socket_path, prepare_folder, serve_control
from ssecfs.app.process import collect_rarely
from ssecfs.app.running import Mount, flush_all, handlers
from ssecfs.cache.blockcache import BlockCache
from ssecfs.cache.containers import Containers
from ssecfs.cache.directory import CacheDirectory, namespace_id, open_cache_directory
from ssecfs.cache.index import Index
from ssecfs.cache.journal import Journal
from ssecfs.cache.plain import PlainBlocks
from ssecfs.cache.records import FileRecord
from ssecfs.cache.segments import CacheOptions, Segments
from ssecfs.cache.spool import Spool
from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import CacheDirError, EndpointError, LocalError, SsecfsError, StoreError
from ssecfs.fs.attributes import Overrides
from ssecfs.fs.closing import Durability, WriteBack
from ssecfs.fs.conflicts import Origin
from ssecfs.fs.files import Reads
from ssecfs.fs.nodes import Trust
from ssecfs.fs.removed import Removed
from ssecfs.fs.storing import Tables
from ssecfs.fs.unfinished import Unfinished
from ssecfs.fuse.interrupts import Interrupts
from ssecfs.fuse.operations import Operations
from ssecfs.fuse.session import forget_attributes, mounted
from ssecfs.fuse.xattrs import XattrOperations
from ssecfs.keyring.derive import derive_subkey
from ssecfs.keyring.keyring import Keyring
from ssecfs.room import Room
from ssecfs.s3.copying import Copier
from ssecfs.s3.deferring import DeferringStore
from ssecfs.s3.noting import NotingStore
from ssecfs.s3.store import ObjectStore
from ssecfs.tasks import unwrapped
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Defaults
from ssecfs.tree.attrshelf import AttrShelf
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import InodeTable
from ssecfs.tree.names import Namespace

LOGGER: Final = logging.getLogger(__name__)


def run_mount(options: MountOptions, keyring: Keyring, on_ready: Callable[[], None]) -> None:
    """Mount, and serve until unmounted or told to end by a signal.

    Args:
        options: see there.
        keyring: the customer keys.
        on_ready: called once the mount answers.

    Raises:
        StartupError: nothing was mounted.
    """
    with unwrapped():
        trio.run(_run, options, keyring, on_ready)


async def _run(options: MountOptions, keyring: Keyring, on_ready: Callable[[], None]) -> None:
    connection = await connect(options, keyring)
    collect_rarely()
    namespace = namespace_id(connection.endpoint, options.bucket, options.prefix)
    with ExitStack() as end, ExitStack() as stack:
        directory = stack.enter_context(open_cache_directory(options.cache_dir, namespace, keyring))
        containers = Containers(directory.blocks)
        stack.callback(containers.close)
        index = Index(directory.index, directory.keys)
        stack.callback(index.close)
        with _start_up():
            journal = Journal(directory.journal, directory.keys.records, directory.namespace_id)
        stack.callback(journal.close)
        socket_path = control_socket_path(options.mountpoint)
        prepare_folder(socket_path)
        stack.callback(socket_path.unlink, missing_ok=True)
        async with trio.open_nursery() as nursery:
            with _start_up():
                mount = await _assemble(options, keyring, connection, Disk(directory, containers, index, journal), nursery)
            await nursery.start(serve_control, socket_path, handlers(mount), end, name="control")
            await _serve(options, mount, nursery, on_ready)
            mount.cache.close()
            nursery.cancel_scope.cancel()


@contextmanager
def _start_up() -> Iterator[None]:
    """What fails before anything is mounted, whoever is asked then, is told to the user as a failed start."""
    try:
        yield
    except LocalError as error:
        message = f"{error}; nothing was mounted, and what is unsaved stays where it is"
        raise CacheDirError(message) from error
    except StoreError as error:
        message = f"the server failed while the mount began: {error}; nothing was mounted, try again"
        raise EndpointError(message) from error


@dataclass(frozen=True, slots=True)
class Disk:
    """What a mount keeps on the local disk."""

    directory: CacheDirectory
    containers: Containers
    index: Index
    journal: Journal


async def _assemble(
    options: MountOptions, keyring: Keyring, connection: Connection, disk: Disk, nursery: trio.Nursery
) -> Mount:
    removed, unfinished = Removed(disk.journal, options.durability), Unfinished(disk.journal)
    noting = NotingStore(connection.store, unfinished)
    deferring = DeferringStore(noting, nursery, removed.note_deleted)
    store: ObjectStore = deferring if options.durability is Durability.JOURNAL else noting
    records = disk.journal.load()
    cache, spool = _make_cache(options, store, disk, records.values(), nursery)
    seal_key = derive_subkey(keyring.first, "attributes")
    defaults = _defaults(options)
    trust = Trust(options.ttl_s, int(time.time()))
    namespace = Namespace(options.prefix)
    book = AttrBook(
        store=store,
        shelf=AttrShelf(disk.index),
        defaults=defaults,
        seal_key=seal_key,
        mounted_s=trust.mounted_s,
        nursery=nursery,
    )
    tables = Tables(
        inodes=InodeTable(defaults.for_directory(trust.mounted_s), derive_subkey(keyring.first, "inodes")),
        directories=Directories(store=store, book=book, namespace=namespace, ttl_s=options.ttl_s, nursery=nursery),
        book=book,
        open_files=OpenFiles(cache, spool),
        cache=cache,
        namespace=namespace,
    )
    ground = Ground(
        store=store,
        copier=Copier(store, cache.read, Room(options.memory_bytes // 4)),
        tables=tables,
        journal=disk.journal,
        removed=removed,
        unfinished=unfinished,
        spool=spool,
        seal_key=seal_key,
        origin=Origin(os.uname().nodename, time.time_ns),
        forget_attributes=forget_attributes,
        nursery=nursery,
    )
    built = build(ground, _habits(options, trust, disk.containers))
    await built.filesystem.nodes.load_root()
    if options.access is Access.READ_WRITE:
        await built.recovery.begin(records)
    elif records:
        LOGGER.warning("%d unsaved files of an earlier mount wait for one that may write", len(records))
    return Mount(options.source, connection.endpoint, built, tables.open_files, cache, deferring, disk.journal)


def _make_cache(
    options: MountOptions, store: ObjectStore, disk: Disk, records: Iterable[FileRecord], nursery: trio.Nursery
) -> tuple[BlockCache, Spool]:
    """The clean cache and the spool: a half and a quarter of the memory for buffers."""
    cache_options = _cache_options(options, disk.containers)
    segments = Segments(disk.containers, disk.index, cache_options, disk.journal.claims(records))
    cache = BlockCache(
        directory=disk.directory,
        containers=disk.containers,
        index=disk.index,
        segments=segments,
        plain=PlainBlocks(cache_options.memory_bytes // 2),
        store=store,
        nursery=nursery,
    )
    spool = Spool(
        directory=disk.directory,
        containers=disk.containers,
        make_room=segments.give_up,
        memory_bytes=cache_options.memory_bytes // 4,
        disk_limiter=trio.CapacityLimiter(DISK_THREADS),
    )
    return cache, spool


async def _serve(options: MountOptions, mount: Mount, mount_nursery: trio.Nursery, on_ready: Callable[[], None]) -> None:
    """Mount, answer the kernel until it is over, upload the rest."""
    make_operations = XattrOperations if options.has_xattrs else Operations
    interrupts = Interrupts(mount_nursery)
    operations = make_operations(mount.built.filesystem, interrupts)
    with mounted(operations, options.mountpoint, _fuse_options(options)):
        on_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, name="signals")
            nursery.start_soon(_end_on_request, mount.end, name="end")
            await pyfuse3.main()
            nursery.cancel_scope.cancel()
        await interrupts.wait_done()
        try:
            await flush_all(mount)
        except SsecfsError as error:
            LOGGER.error("not everything could be uploaded before the end, see ssecfs recover: %s", error)  # noqa: TRY400
            mount.built.saver.record_rest()


async def _end_on_signal() -> None:
    """SIGTERM, Ctrl-C and a closed terminal end the mount as unmounting does."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            pyfuse3.terminate()
            return


async def _end_on_request(end: trio.Event) -> None:
    """After the unmounting, which the kernel need not tell us: another mount namespace may have a copy of the mount."""
    await end.wait()
    pyfuse3.terminate()


def _cache_options(options: MountOptions, containers: Containers) -> CacheOptions:
    size = options.cache_size_bytes
    if size is None:
        size = min(DEFAULT_CACHE_BYTES, containers.free_bytes() // 10)
    return CacheOptions(size, FREE_FLOOR_BYTES, options.memory_bytes)


def _habits(options: MountOptions, trust: Trust, containers: Containers) -> Habits:
    spool_size = options.spool_size_bytes
    if spool_size is None:
        spool_size = min(DEFAULT_SPOOL_BYTES, containers.free_bytes() // 10)
    return Habits(
        trust=trust,
        write_back=WriteBack(options.durability, spool_size),
        overrides=Overrides(options.uid, options.gid, options.umask),
        reads=Reads.NOTED if options.moves_atime else Reads.IGNORED,
    )


def _defaults(options: MountOptions) -> Defaults:
    """Objects without attributes belong to whoever owns the mount point."""
    status = options.mountpoint.stat()
    return Defaults(uid=status.st_uid, gid=status.st_gid)


def _fuse_options(options: MountOptions) -> set[str]:
    chosen = {f"fsname={options.source}", "subtype=ssecfs"}
    if options.is_shared:
        chosen.add("allow_other")
    if options.access is Access.READ_ONLY:
        chosen.add("ro")
    return chosen
