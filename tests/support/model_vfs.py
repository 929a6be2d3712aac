"""A little of what Linux does above a filesystem: paths, links, lookup counts, open(2). For the model without a kernel.

Errors that the kernel finds itself are its own, in the order in which it looks for them; everything else is asked of the floor.
"""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from support.model_kernel import FILE_MODE, MOST_BYTES
from support.model_looks import Facts, time_of_change

from ssecfs.fs.directories import DOTS
from ssecfs.fs.files import Access, Content, Existing, Owner
from ssecfs.fuse.operations import Filesystem
from ssecfs.tree.inodes import Inode, Linkage
from ssecfs.tree.names import Name

TOP: Final = "top"
"""The directory that is the root of all paths; that of the mount has no fixed attributes."""

UMASK: Final = 0o022
MOST_LINKS: Final = 40
ENTRIES_AT_ONCE: Final = 2
"""Entries that a reply to readdir has room for: few, so that listings take several."""


def refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def owner_of(mode: int) -> Owner:
    """Who makes something of a mode: root."""
    return Owner(0, 0, mode & ~UMASK)


@dataclass
class OpenCall:
    """One open(2); fh: the floor's, of a file or of a directory."""

    inode: Inode
    flags: int
    fh: int

    @property
    def may_read(self) -> bool:
        return self.flags & os.O_ACCMODE in {os.O_RDONLY, os.O_RDWR}

    @property
    def may_write(self) -> bool:
        return self.flags & os.O_ACCMODE in {os.O_WRONLY, os.O_RDWR}


class Vfs:
    """The way from system calls to one mount. Owns: the lookup counts."""

    def __init__(self, fs: Filesystem) -> None:
        self._fs = fs
        self._lookups: dict[int, int] = {}

    def note_counted(self, inode: Inode) -> Inode:
        """The floor has counted a lookup."""
        self._lookups[inode.ino] = self._lookups.get(inode.ino, 0) + 1
        return inode

    def forget(self, inodes: list[Inode]) -> None:
        """Give all lookups back, but not those of inodes that are in use."""
        used = {inode.ino for inode in inodes}
        for ino in [ino for ino in self._lookups if ino not in used]:
            self._fs.nodes.forget(ino, self._lookups.pop(ino))

    async def find(self, parent: Inode, name: str) -> Inode | None:
        """LOOKUP."""
        if not parent.attrs.is_dir:
            raise refusal(errno.ENOTDIR)
        inode = await self._fs.nodes.find(parent, Name(os.fsencode(name)))
        if inode is not None:
            self._fs.inodes.note_lookup(inode)
            self.note_counted(inode)
        return inode

    async def walk(self, path: str, *, follow: bool = True) -> Inode:
        """The inode of a path below TOP; follow: go where it points, if it is a symbolic link."""
        parent, name = await self.parent(path, follow=follow)
        inode = parent if name == "." else await self.find(parent, name)
        if inode is None:
            raise refusal(errno.ENOENT)
        return inode

    async def parent(self, path: str, *, follow: bool = False) -> tuple[Inode, str]:
        """The directory of a path's last component, and that component; "." for the directory itself."""
        place, waiting, links = [self._fs.inodes.root], [TOP, *PurePosixPath(path).parts], 0
        while waiting:
            name = waiting.pop(0)
            if name == "..":
                place = place[:-1] or place
                continue
            if not waiting and not follow:
                return _in_directory(place[-1], name)
            inode = await self.find(place[-1], name)
            if inode is not None and inode.attrs.is_symlink:
                links += 1
                if links > MOST_LINKS:
                    raise refusal(errno.ELOOP)
                text = os.fsdecode(await self._fs.entries.readlink(inode))
                waiting = [*PurePosixPath(text).parts, *waiting]
            elif not waiting:
                return place[-1], name
            elif inode is None:
                raise refusal(errno.ENOENT)
            else:
                place.append(inode)
        return place[-1], "."

    async def open(self, path: str, flags: int) -> OpenCall:
        """open(2)."""
        if flags & os.O_CREAT:
            found = await self._find_or_create(path, flags)
            if isinstance(found, OpenCall):
                return found
        else:
            found = await self.walk(path, follow=not flags & os.O_NOFOLLOW)
        attrs = found.attrs
        if flags & os.O_DIRECTORY and not attrs.is_dir:
            raise refusal(errno.ENOTDIR)
        if attrs.is_symlink:
            raise refusal(errno.ELOOP)
        if attrs.is_dir:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT):
                raise refusal(errno.EISDIR)
            return OpenCall(found, flags, self._fs.directories.opendir(found))
        if not attrs.is_file:
            raise refusal(errno.ENXIO)
        content = Content.EMPTY if flags & os.O_TRUNC else Content.KEEP
        access = Access.READ if flags & os.O_ACCMODE == os.O_RDONLY else Access.WRITE
        return OpenCall(found, flags, (await self._fs.files.open(found, content, access))[0])

    async def _find_or_create(self, path: str, flags: int) -> Inode | OpenCall:
        if flags & os.O_DIRECTORY:
            raise refusal(errno.EINVAL)
        is_exclusive = bool(flags & os.O_EXCL)
        parent, name = await self.parent(path, follow=not flags & os.O_NOFOLLOW and not is_exclusive)
        inode = parent if name == "." else await self.find(parent, name)
        if inode is None:
            owner = owner_of(stat.S_IFREG | FILE_MODE)
            inode, fh = await self._fs.files.create(parent, os.fsencode(name), owner, Existing.REFUSE)
            self._fs.inodes.note_lookup(inode)
            return OpenCall(self.note_counted(inode), flags, fh)
        if is_exclusive:
            raise refusal(errno.EEXIST)
        return inode

    async def close(self, file: OpenCall) -> None:
        """FLUSH and RELEASE, or RELEASEDIR."""
        if file.inode.attrs.is_dir:
            self._fs.directories.releasedir(file.fh)
            return
        try:
            await self._fs.files.flush(file.fh)
        finally:
            self._fs.files.release(file.fh)

    async def read(self, inode: Inode) -> bytes:
        """All of a file, by a handle of its own."""
        fh, _ = await self._fs.files.open(inode, Content.KEEP, Access.READ)
        try:
            return await self._fs.files.read(fh, 0, MOST_BYTES)
        finally:
            await self._fs.files.flush(fh)
            self._fs.files.release(fh)

    async def names(self, directory: Inode) -> list[str]:
        """Opendir, readdir and closedir."""
        fh = self._fs.directories.opendir(directory)
        names: list[str] = []
        offset, is_more = 0, True
        try:
            while is_more:
                is_more = False
                room = ENTRIES_AT_ONCE

                def show(inode: Inode, name: bytes, next_offset: int) -> bool:
                    nonlocal offset, is_more, room
                    if not room:
                        is_more = True
                        self._fs.inodes.release_unused(inode)
                        return False
                    room -= 1
                    offset = next_offset
                    if name not in DOTS:
                        self._fs.inodes.note_lookup(inode)
                        self.note_counted(inode)
                        names.append(os.fsdecode(name))
                    return True

                await self._fs.directories.readdir(fh, offset, show)
        finally:
            self._fs.directories.releasedir(fh)
        return names

    async def facts(self, inode: Inode, content: str | None = None, xattrs: Mapping[str, bytes] | None = None) -> Facts:
        """stat(2), and what else was read."""
        attrs = self._fs.overrides.shown(await self._fs.nodes.getattr(inode))
        mode, owner, mtime = stat.filemode(attrs.mode), (attrs.uid, attrs.gid), time_of_change(attrs.mtime_ns)
        if attrs.is_dir:
            return Facts(mode, owner, mtime, content=content, xattrs=xattrs or {})
        links = 1 if inode.linkage is Linkage.LINKED else 0
        return Facts(mode, owner, mtime, attrs.size, links, content, xattrs or {})


def _in_directory(parent: Inode, name: str) -> tuple[Inode, str]:
    if not parent.attrs.is_dir:
        raise refusal(errno.ENOTDIR)
    return parent, name
