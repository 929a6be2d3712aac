"""The objects of a filesystem, made in order, over the tables and the store that a mount has.

Imported by ``app.assembly``, and by tests that need a filesystem without a kernel.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from ssecfs.cache.journal import Journal
from ssecfs.cache.spool import Spool
from ssecfs.fs.attributes import AS_STORED, Attributes, Overrides
from ssecfs.fs.closing import ON_SERVER, Closing, WriteBack
from ssecfs.fs.conflicts import Conflicts, ForgetAttributes, Origin
from ssecfs.fs.directories import DirectoryOps
from ssecfs.fs.entries import Entries
from ssecfs.fs.files import Files, Reads
from ssecfs.fs.filesahead import FilesAhead
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.newnames import NewNames
from ssecfs.fs.nodes import Nodes, Trust
from ssecfs.fs.recovery import Recovery
from ssecfs.fs.removal import Removal
from ssecfs.fs.removed import Removed
from ssecfs.fs.renames import Renames
from ssecfs.fs.saving import Saver
from ssecfs.fs.storing import Progress, Storing, Tables
from ssecfs.fs.streaming import Streaming
from ssecfs.fs.unfinished import Unfinished
from ssecfs.fs.xattrs import Xattrs
from ssecfs.fuse.operations import Filesystem
from ssecfs.s3.copying import Copier
from ssecfs.s3.store import ObjectStore
from ssecfs.tree.attrs import format_metadata

DISK_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Ground:
    """What a filesystem stands on.

    Attributes:
        seal_key: 32 bytes, for the seal of attributes.
        origin: names this mount in conflict copies.
        nursery: lives as long as the mount.
    """

    store: ObjectStore
    copier: Copier
    tables: Tables
    journal: Journal
    removed: Removed
    unfinished: Unfinished
    spool: Spool
    seal_key: bytes
    origin: Origin
    forget_attributes: ForgetAttributes
    nursery: trio.Nursery
    now_ns: Callable[[], int] = time.time_ns


@dataclass(frozen=True, slots=True)
class Habits:
    """How a filesystem behaves."""

    trust: Trust
    write_back: WriteBack = ON_SERVER
    overrides: Overrides = AS_STORED
    reads: Reads = Reads.NOTED


@dataclass(frozen=True, slots=True)
class Saving:
    """What brings changes to safety."""

    gate: Gate
    ledger: Ledger
    streaming: Streaming
    conflicts: Conflicts
    storing: Storing
    saver: Saver


@dataclass(frozen=True, slots=True)
class Built:
    """A filesystem, and what else its mount has to do with."""

    filesystem: Filesystem
    saver: Saver
    progress: Progress
    ledger: Ledger
    recovery: Recovery


def build(ground: Ground, habits: Habits) -> Built:
    """Make everything from the tables up; nothing is asked of the server yet."""
    saving = _make_saving(ground)
    filesystem = _make_operations(ground, habits, saving)
    recovery = Recovery(
        journal=ground.journal,
        ledger=saving.ledger,
        nodes=filesystem.nodes,
        tables=ground.tables,
        spool=ground.spool,
        store=ground.store,
        saver=saving.saver,
        conflicts=saving.conflicts,
        removed=ground.removed,
        unfinished=ground.unfinished,
        metadata_for=saving.storing.metadata_for,
    )
    return Built(filesystem, saving.saver, saving.storing.progress, saving.ledger, recovery)


def _make_saving(ground: Ground) -> Saving:
    tables, gate = ground.tables, Gate()
    ledger = Ledger(
        journal=ground.journal,
        spool=ground.spool,
        namespace=tables.namespace,
        metadata_for=partial(format_metadata, seal_key=ground.seal_key),
        limiter=trio.CapacityLimiter(DISK_THREADS),
        nursery=ground.nursery,
        now_ns=ground.now_ns,
    )
    streaming = Streaming(
        store=ground.store,
        copier=ground.copier,
        namespace=tables.namespace,
        ledger=ledger,
        seal_key=ground.seal_key,
        forget_attributes=ground.forget_attributes,
        nursery=ground.nursery,
    )
    conflicts = Conflicts(
        store=ground.store,
        copier=ground.copier,
        inodes=tables.inodes,
        directories=tables.directories,
        book=tables.book,
        namespace=tables.namespace,
        ledger=ledger,
        streaming=streaming,
        seal_key=ground.seal_key,
        origin=ground.origin,
        forget_attributes=ground.forget_attributes,
    )
    storing = Storing(
        tables=tables,
        store=ground.store,
        copier=ground.copier,
        conflicts=conflicts,
        ledger=ledger,
        streaming=streaming,
        forget_attributes=ground.forget_attributes,
        seal_key=ground.seal_key,
    )
    saver = Saver(
        tables=tables,
        storing=storing,
        conflicts=conflicts,
        gate=gate,
        ledger=ledger,
        streaming=streaming,
        nursery=ground.nursery,
    )
    return Saving(gate, ledger, streaming, conflicts, storing, saver)


def _make_operations(ground: Ground, habits: Habits, saving: Saving) -> Filesystem:
    tables, store, now_ns = ground.tables, ground.store, ground.now_ns
    inodes, open_files, namespace = tables.inodes, tables.open_files, tables.namespace
    saver, ledger, gate = saving.saver, saving.ledger, saving.gate
    nodes = Nodes(
        inodes=inodes,
        directories=tables.directories,
        book=tables.book,
        open_files=open_files,
        namespace=namespace,
        trust=habits.trust,
    )
    new_names = NewNames(nodes, namespace)
    files = _make_files(ground, habits, nodes, new_names, saving)
    removal = Removal(
        nodes=nodes,
        tables=tables,
        store=store,
        saver=saver,
        storing=saving.storing,
        ledger=ledger,
        streaming=saving.streaming,
        removed=ground.removed,
        gate=gate,
        now_ns=now_ns,
    )
    return Filesystem(
        inodes,
        nodes,
        files,
        _make_directory_ops(ground, nodes, new_names, saving),
        Entries(tables=tables, files=files, saver=saver),
        removal,
        _make_renames(ground, nodes, new_names, removal, saving),
        Attributes(
            nodes=nodes,
            open_files=open_files,
            saver=saver,
            streaming=saving.streaming,
            overrides=habits.overrides,
            now_ns=now_ns,
        ),
        Xattrs(nodes=nodes, saver=saver, store=store, cache=tables.cache, now_ns=now_ns),
        habits.overrides,
    )


def _make_files(ground: Ground, habits: Habits, nodes: Nodes, new_names: NewNames, saving: Saving) -> Files:
    tables = ground.tables
    return Files(
        nodes=nodes,
        new_names=new_names,
        inodes=tables.inodes,
        open_files=tables.open_files,
        saver=saving.saver,
        closing=_make_closing(ground, habits, saving),
        ledger=saving.ledger,
        streaming=saving.streaming,
        files_ahead=FilesAhead(
            nodes=nodes,
            inodes=tables.inodes,
            directories=tables.directories,
            cache=tables.cache,
            nursery=ground.nursery,
        ),
        reads=habits.reads,
        now_ns=ground.now_ns,
    )


def _make_closing(ground: Ground, habits: Habits, saving: Saving) -> Closing:
    return Closing(
        saver=saving.saver,
        ledger=saving.ledger,
        streaming=saving.streaming,
        open_files=ground.tables.open_files,
        gate=saving.gate,
        write_back=habits.write_back,
    )


def _make_directory_ops(ground: Ground, nodes: Nodes, new_names: NewNames, saving: Saving) -> DirectoryOps:
    tables = ground.tables
    return DirectoryOps(
        nodes=nodes,
        new_names=new_names,
        inodes=tables.inodes,
        directories=tables.directories,
        book=tables.book,
        store=ground.store,
        saver=saving.saver,
        storing=saving.storing,
        ledger=saving.ledger,
        gate=saving.gate,
        namespace=tables.namespace,
        now_ns=ground.now_ns,
    )


def _make_renames(ground: Ground, nodes: Nodes, new_names: NewNames, removal: Removal, saving: Saving) -> Renames:
    return Renames(
        nodes=nodes,
        new_names=new_names,
        tables=ground.tables,
        removal=removal,
        store=ground.store,
        copier=ground.copier,
        storing=saving.storing,
        ledger=saving.ledger,
        gate=saving.gate,
        now_ns=ground.now_ns,
    )
