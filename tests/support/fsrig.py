"""The fs floor without a kernel: operations by path, over a store in memory. Errors come as names of errno."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import trio
from support.cacherig import cache_rig
from support.memory_store import MemoryStore

from ssecfs.app.building import Ground, Habits, build
from ssecfs.cache.journal import Journal
from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import SsecfsError
from ssecfs.fs.attributes import AttrChange
from ssecfs.fs.closing import ON_SERVER, Durability, WriteBack
from ssecfs.fs.conflicts import Origin
from ssecfs.fs.directories import DOTS
from ssecfs.fs.files import Access, Content, Existing, Owner
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.nodes import Trust
from ssecfs.fs.recovery import Recovery
from ssecfs.fs.removed import Removed
from ssecfs.fs.renames import Replace
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Progress, Tables
from ssecfs.fs.unfinished import Unfinished
from ssecfs.fuse.operations import Filesystem
from ssecfs.keyring.keyring import Keyring
from ssecfs.room import Room
from ssecfs.s3.copying import Copier
from ssecfs.s3.deferring import DeferringStore
from ssecfs.s3.noting import NotingStore
from ssecfs.s3.store import ObjectStore
from ssecfs.sizes import GIB, KIB, MIB
from ssecfs.ssec import CustomerKey
from ssecfs.tree.attrbook import AttrBook
from ssecfs.tree.attrs import Defaults
from ssecfs.tree.attrshelf import AttrShelf
from ssecfs.tree.attrtext import NS_PER_S
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Name, Namespace

SEAL_KEY = bytes(32)
KEYRING = Keyring((CustomerKey(bytes(range(32))),))

CONFLICT_S = 1_700_000_000
CONFLICT_SUFFIX = ".conflict-test-host-20231114T221320Z"
"""The time of conflict copies, and what their names end in."""


def forget_nothing(_ino: int) -> None:
    """There is no kernel that knew anything."""


def errno_name(error: OSError | SsecfsError) -> str:
    return errno.errorcode[error.errno or 0]


class End(Enum):
    """How a mount ends."""

    UNMOUNTED = "unmounted"
    KILLED = "killed"
    """Nothing is uploaded any more; what is on the disk stays."""


@dataclass
class FsRig:
    """One mount's life. Each call is one system call of a program; what it raises has the errno that the program gets."""

    fs: Filesystem
    saver: Saver
    progress: Progress
    store: MemoryStore
    ledger: Ledger
    recovery: Recovery
    deferring: DeferringStore
    journal: Journal
    _held: list[Inode] = field(default_factory=list)

    async def walk(self, path: str) -> Inode:
        inode = self.fs.inodes.root
        for name in Path(path).parts:
            inode = await self.fs.nodes.lookup(inode, Name(os.fsencode(name)))
            self.fs.inodes.note_lookup(inode)
            self._held.append(inode)
        return inode

    def forget(self) -> None:
        """Give back what was looked up, as the kernel does when it needs memory."""
        for inode in self._held:
            self.fs.nodes.forget(inode.ino, 1)
        self._held.clear()

    async def parent_of(self, path: str) -> tuple[Inode, bytes]:
        place = Path(path)
        parent = await self.walk(str(place.parent) if place.parent != Path() else "")
        parent.require_directory()
        return parent, os.fsencode(place.name)

    async def open(self, path: str, flags: int) -> int:
        parent, name = await self.parent_of(path)
        found = await self.fs.nodes.find(parent, Name(name))
        content = Content.EMPTY if flags & os.O_TRUNC else Content.KEEP
        access = Access.READ if flags & os.O_ACCMODE == os.O_RDONLY else Access.WRITE
        if found is not None and not (flags & os.O_CREAT and flags & os.O_EXCL):
            return (await self.fs.files.open(found, content, access))[0]
        if not flags & os.O_CREAT:
            await self.fs.nodes.lookup(parent, Name(name))
        owner = Owner(1, 2, stat.S_IFREG | 0o644)
        return (await self.fs.files.create(parent, name, owner, Existing.REFUSE))[1]

    async def close(self, fh: int) -> None:
        try:
            await self.fs.files.flush(fh)
        finally:
            self.fs.files.release(fh)

    async def write(self, path: str, offset: int, piece: bytes, flags: int) -> None:
        fh = await self.open(path, flags | os.O_WRONLY)
        try:
            await self.fs.files.write(fh, offset, piece)
        finally:
            await self.close(fh)

    async def read(self, path: str) -> bytes:
        fh = await self.open(path, os.O_RDONLY)
        try:
            return await self.fs.files.read(fh, 0, GIB)
        finally:
            await self.close(fh)

    async def truncate(self, path: str, size: int) -> None:
        await self.fs.attributes.change(await self.walk(path), AttrChange(size=size))

    async def chmod(self, path: str, mode: int) -> None:
        await self.fs.attributes.change(await self.walk(path), AttrChange(mode=mode))

    async def mkdir(self, path: str) -> None:
        parent, name = await self.parent_of(path)
        await self.fs.directories.mkdir(parent, name, Owner(1, 2, stat.S_IFDIR | 0o755))

    async def rmdir(self, path: str) -> None:
        await self.fs.removal.rmdir(await self.walk(path))

    async def unlink(self, path: str) -> None:
        await self.fs.removal.unlink(await self.walk(path))

    async def rename(self, path: str, target: str) -> None:
        # As the kernel does: both directories first, then the entries.
        await self.parent_of(path)
        parent, name = await self.parent_of(target)
        inode = await self.walk(path)
        await self.fs.renames.rename(inode, parent, name, Replace.YES)

    async def listdir(self, path: str) -> list[str]:
        fh = self.fs.directories.opendir(await self.walk(path))
        try:
            names: list[str] = []

            def show(inode: Inode, name: bytes, next_offset: int) -> bool:
                if name not in DOTS:
                    names.append(os.fsdecode(name))
                return True

            await self.fs.directories.readdir(fh, 0, show)
            return sorted(names)
        finally:
            self.fs.directories.releasedir(fh)

    async def stat(self, path: str) -> tuple[int, int]:
        inode = await self.walk(path)
        attrs = await self.fs.nodes.getattr(inode)
        return attrs.mode, 0 if attrs.is_dir else attrs.size

    async def flush(self) -> None:
        await self.saver.save_all()
        await self.deferring.flush_all()


@asynccontextmanager
async def fs_mount(
    store: MemoryStore,
    cache_folder: Path,
    ttl_s: float = 5.0,
    prefix: str = "",
    write_back: WriteBack = ON_SERVER,
    end: End = End.UNMOUNTED,
) -> AsyncIterator[FsRig]:
    """Mount the store for the time of the block."""
    async with trio.open_nursery() as nursery, cache_rig(cache_folder, KEYRING, store, plain_bytes=256 * KIB) as kept:
        removed = Removed(kept.journal, write_back.durability)
        unfinished = Unfinished(kept.journal)
        noting = NotingStore(store, unfinished)
        deferring = DeferringStore(noting, nursery, removed.note_deleted)
        used: ObjectStore = deferring if write_back.durability is Durability.JOURNAL else noting
        defaults = Defaults(1, 2)
        namespace = Namespace(prefix)
        book = AttrBook(
            store=used,
            shelf=AttrShelf(kept.index),
            defaults=defaults,
            seal_key=SEAL_KEY,
            mounted_s=0,
            nursery=nursery,
        )
        tables = Tables(
            inodes=InodeTable(defaults.for_directory(0), b"ino"),
            directories=Directories(store=used, book=book, namespace=namespace, ttl_s=ttl_s, nursery=nursery),
            book=book,
            open_files=OpenFiles(kept.cache, kept.spool),
            cache=kept.cache,
            namespace=namespace,
        )
        ground = Ground(
            store=used,
            copier=Copier(used, kept.cache.read, Room(64 * MIB)),
            tables=tables,
            journal=kept.journal,
            removed=removed,
            unfinished=unfinished,
            spool=kept.spool,
            seal_key=SEAL_KEY,
            origin=Origin("test-host", lambda: CONFLICT_S * NS_PER_S),
            forget_attributes=forget_nothing,
            nursery=nursery,
        )
        built = build(ground, Habits(Trust(ttl_s, 0), write_back))
        await built.recovery.begin(kept.journal.load())
        rig = FsRig(built.filesystem, built.saver, built.progress, store, built.ledger, built.recovery, deferring, kept.journal)
        yield rig
        if end is End.UNMOUNTED:
            await rig.flush()
        nursery.cancel_scope.cancel()
