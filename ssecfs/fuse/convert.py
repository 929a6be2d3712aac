"""Our attributes and changes, and pyfuse3's: one to the other. Pure.

Imported by ``fuse.operations`` only.
"""

import stat
from typing import Final

import pyfuse3

from ssecfs.fs.attributes import AttrChange
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, Linkage

SECTOR: Final = 512
"""Unit of st_blocks, whatever the block size."""

PREFERRED_IO: Final = 128 << 10
"""st_blksize: one block of the cache."""

DIRECTORY_BYTES: Final = 4096


def entry_attributes(inode: Inode, attrs: Attrs, timeout_s: float) -> pyfuse3.EntryAttributes:
    """The reply that shows attrs as those of an inode; the kernel may keep it for timeout_s."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.InodeT(inode.ino)
    entry.generation = 0
    entry.entry_timeout = timeout_s
    entry.attr_timeout = timeout_s
    entry.st_mode = pyfuse3.ModeT(attrs.mode)
    entry.st_nlink = 1 if inode.linkage is Linkage.LINKED else 0
    entry.st_uid = attrs.uid
    entry.st_gid = attrs.gid
    entry.st_rdev = 0
    entry.st_size = DIRECTORY_BYTES if attrs.is_dir else attrs.size
    entry.st_blksize = PREFERRED_IO
    entry.st_blocks = -(-attrs.size // SECTOR)
    entry.st_atime_ns = inode.atime_ns
    entry.st_mtime_ns = attrs.mtime_ns
    entry.st_ctime_ns = attrs.ctime_ns
    return entry


def missing_entry(timeout_s: float) -> pyfuse3.EntryAttributes:
    """The reply that lets the kernel remember for timeout_s that a name does not exist."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = pyfuse3.InodeT(0)
    entry.entry_timeout = timeout_s
    return entry


def attr_change(attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields, fh: int | None) -> AttrChange:
    """What the kernel asks setattr for; fh: the handle through which a program does, if it does."""
    return AttrChange(
        mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
        uid=attr.st_uid if fields.update_uid else None,
        gid=attr.st_gid if fields.update_gid else None,
        size=attr.st_size if fields.update_size else None,
        atime_ns=attr.st_atime_ns if fields.update_atime else None,
        mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        is_by_handle=fh is not None,
    )
