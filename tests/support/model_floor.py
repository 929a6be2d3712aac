"""The calls of the reference model on the fs floor over a store in memory, without a kernel."""

import errno
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio
from support.fsrig import FsRig, errno_name, fs_mount
from support.model_calls import RENAME_EXCHANGE, RENAME_NOREPLACE, XATTR_CREATE, XATTR_REPLACE, Call, content_of, named
from support.model_looks import Facts, summary
from support.model_vfs import TOP, OpenCall, Vfs, owner_of, refusal
from support.strangestore import StrangeStore

from ssecfs.errors import NoAttributeError, SsecfsError
from ssecfs.fs.attributes import AttrChange
from ssecfs.fs.files import Owner
from ssecfs.fs.renames import Replace
from ssecfs.tree.inodes import Inode
from ssecfs.tree.names import SEPARATOR, Name, join_path


class CrashError(Exception):
    """The end of a daemon that had no time for anything."""


@asynccontextmanager
async def floor_calls(store: StrangeStore, cache_folder: Path) -> AsyncIterator["FloorCalls"]:
    """Mount for the time of the block."""
    subject = FloorCalls(store, cache_folder)
    await subject.start()
    try:
        yield subject
    except BaseException:
        await subject.crash()
        raise
    await subject.end()


class FloorCalls:
    """The calls on a mount, and what may happen to the mount. Owns: the mount, the open files."""

    def __init__(self, store: StrangeStore, cache_folder: Path) -> None:
        self.store = store
        self._cache_folder = cache_folder
        self._number = 0
        self._files: dict[int, OpenCall] = {}
        self._mount = AsyncExitStack()

    async def start(self, ttl_s: float = 5.0) -> None:
        self._ttl_s = ttl_s
        self.rig: FsRig = await self._mount.enter_async_context(fs_mount(self.store, self._cache_folder, ttl_s))
        self._fs = self.rig.fs
        self._vfs = Vfs(self._fs)
        if await self._vfs.find(self._fs.inodes.root, TOP) is None:
            await self._fs.directories.mkdir(self._fs.inodes.root, os.fsencode(TOP), owner_of(stat.S_IFDIR | 0o777))

    async def end(self) -> None:
        await self.close_all()
        await self._mount.aclose()

    async def crash(self) -> None:
        """End as after kill -9: what is on the server is all that is left."""
        self._files.clear()
        try:
            await self._mount.__aexit__(CrashError, CrashError(), None)
        except* CrashError:
            pass

    async def do(self, number: int, call: Call) -> object:
        """Make a call; its result, or the name of an errno."""
        self._number = number
        name, *arguments = call
        method: Callable[..., Awaitable[object]] = getattr(self, name)
        try:
            return await method(*arguments)
        except (OSError, SsecfsError) as error:
            return errno_name(error)

    async def look(self) -> Mapping[str, Facts]:
        found: dict[str, Facts] = {}
        await self._look(await self._vfs.walk(""), ".", found)
        return found

    async def _look(self, inode: Inode, path: str, found: dict[str, Facts]) -> None:
        content = None
        if inode.attrs.is_file:
            content = summary(await self._vfs.read(inode))
        elif inode.attrs.is_symlink:
            content = os.fsdecode(await self._fs.entries.readlink(inode))
        xattrs = {os.fsdecode(name): await self._fs.xattrs.get(inode, name) for name in await self._fs.xattrs.names(inode)}
        found[path] = await self._vfs.facts(inode, content, xattrs)
        for name in await self._vfs.names(inode) if inode.attrs.is_dir else []:
            child = await self._vfs.find(inode, name)
            assert child is not None, f"{name!r} is listed, and cannot be found"
            await self._look(child, str(Path(path, name)), found)

    # What may happen to the mount.

    async def close_all(self) -> list[object]:
        return [await self.close(handle) for handle in sorted(self._files)]

    async def flush(self) -> object:
        return await self.rig.flush()

    async def forget(self) -> object:
        return self._vfs.forget([file.inode for file in self._files.values()])

    async def later(self, seconds: float) -> object:
        """Time passes, and what waited for that gets its turn."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        if seconds != float("inf"):
            clock.jump(seconds)
        await trio.testing.wait_all_tasks_blocked()
        return None

    async def kill(self, is_cache_lost: bool) -> object:
        await self.crash()
        return await self._mount_again(is_cache_lost, self._ttl_s)

    async def remount(self, is_cache_lost: bool, ttl_s: float) -> object:
        closed = await self.close_all()
        await self._mount.aclose()
        await self._mount_again(is_cache_lost, ttl_s)
        return closed

    async def _mount_again(self, is_cache_lost: bool, ttl_s: float) -> None:
        if is_cache_lost:
            shutil.rmtree(self._cache_folder)
        await self.start(ttl_s)

    # What another client does to the bucket, while no program of ours has anything open.

    async def foreign_store(self, path: str, length: int) -> object:
        return await self._by_another(path, content_of(self._number, length))

    async def foreign_mkdir(self, path: str) -> object:
        return await self._by_another(path, b"", SEPARATOR)

    async def foreign_delete(self, path: str) -> object:
        return await self._by_another(path, None)

    async def _by_another(self, path: str, body: bytes | None, end: str = "") -> object:
        closed = await self.close_all()
        await self.flush()
        parent, name = await self._vfs.parent(named(path))
        await self.store.by_another(join_path(parent.path, Name(os.fsencode(name))) + end, body)
        if self._ttl_s == float("inf"):
            await self.remount(False, self._ttl_s)
        await self.later(self._ttl_s)
        return closed

    # By handle.

    async def open(self, handle: int, path: str, flags: int) -> object:
        closed = await self.close(handle)
        self._files[handle] = await self._vfs.open(named(path), flags)
        return closed

    async def close(self, handle: int) -> object:
        if handle not in self._files:
            return None
        await self._vfs.close(self._files.pop(handle))
        return "closed"

    def _file(self, handle: int) -> OpenCall:
        if handle not in self._files:
            raise refusal(errno.EBADF)
        return self._files[handle]

    async def pwrite(self, handle: int, offset: int, length: int) -> object:
        return await self._pwrite(self._file(handle), offset, length)

    async def _pwrite(self, file: OpenCall, offset: int, length: int) -> int:
        if not file.may_write:
            raise refusal(errno.EBADF)
        if not length:
            return 0
        if file.flags & os.O_APPEND:
            offset = (await self._fs.nodes.getattr(file.inode)).size
        return await self._fs.files.write(file.fh, offset, content_of(self._number, length))

    async def pread(self, handle: int, offset: int, length: int) -> object:
        file = self._file(handle)
        if not file.may_read:
            raise refusal(errno.EBADF)
        if file.inode.attrs.is_dir:
            raise refusal(errno.EISDIR)
        return await self._fs.files.read(file.fh, offset, length)

    async def ftruncate(self, handle: int, size: int) -> object:
        file = self._file(handle)
        if not file.may_write:
            raise refusal(errno.EINVAL)
        # As the kernel does; by path it leaves the time to the filesystem.
        await self._fs.attributes.change(file.inode, AttrChange(size=size, mtime_ns=time.time_ns(), is_by_handle=True))
        return None

    async def fsync(self, handle: int) -> object:
        file = self._file(handle)
        if file.inode.attrs.is_dir:
            return await self._fs.directories.fsyncdir(file.fh)
        return await self._fs.files.fsync(file.fh)

    async def fstat(self, handle: int) -> object:
        return await self._vfs.facts(self._file(handle).inode)

    async def fchmod(self, handle: int, mode: int) -> object:
        await self._fs.attributes.change(self._file(handle).inode, AttrChange(mode=mode))
        return None

    async def futimens(self, handle: int, time_ns: int) -> object:
        await self._fs.attributes.change(self._file(handle).inode, AttrChange(atime_ns=time_ns, mtime_ns=time_ns))
        return None

    # Contents.

    async def _write(self, path: str, flags: int, length: int, offset: int) -> object:
        file = await self._vfs.open(named(path), flags)
        try:
            return await self._pwrite(file, offset, length)
        finally:
            await self._vfs.close(file)

    async def put(self, path: str, length: int) -> object:
        return await self._write(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, length, 0)

    async def append(self, path: str, length: int) -> object:
        return await self._write(path, os.O_WRONLY | os.O_APPEND, length, 0)

    async def patch(self, path: str, offset: int, length: int) -> object:
        return await self._write(path, os.O_WRONLY, length, offset)

    async def get(self, path: str) -> object:
        inode = await self._vfs.walk(named(path))
        if not inode.attrs.is_file:
            raise refusal(errno.EISDIR if inode.attrs.is_dir else errno.ENXIO)
        return await self._vfs.read(inode)

    async def truncate(self, path: str, size: int) -> object:
        inode = await self._vfs.walk(named(path))
        if not inode.attrs.is_file:
            raise refusal(errno.EISDIR if inode.attrs.is_dir else errno.EINVAL)
        await self._fs.attributes.change(inode, AttrChange(size=size))
        return None

    # Names.

    async def _new(self, path: str) -> tuple[Inode, bytes]:
        """The place of something that is to be made."""
        parent, name = await self._vfs.parent(named(path))
        if name == "." or await self._vfs.find(parent, name) is not None:
            raise refusal(errno.EEXIST)
        return parent, os.fsencode(name)

    async def mkdir(self, path: str, mode: int) -> object:
        self._vfs.note_counted(await self._fs.directories.mkdir(*await self._new(path), owner_of(stat.S_IFDIR | mode)))
        return None

    async def rmdir(self, path: str) -> object:
        await self._fs.removal.rmdir(await self._vfs.walk(named(path), follow=False))
        return None

    async def unlink(self, path: str) -> object:
        await self._fs.removal.unlink(await self._vfs.walk(named(path), follow=False))
        return None

    async def rename(self, path: str, target: str, flags: int) -> object:
        await self._vfs.parent(named(path))
        parent, name = await self._vfs.parent(named(target))
        inode = await self._vfs.walk(named(path), follow=False)
        other = await self._vfs.find(parent, name)
        if flags == RENAME_EXCHANGE and other is None:
            raise refusal(errno.ENOENT)
        if flags == RENAME_NOREPLACE and other is not None:
            raise refusal(errno.EEXIST)
        if other is inode:
            return None
        if parent.is_within(inode) or flags == RENAME_EXCHANGE:
            raise refusal(errno.EINVAL)  # of an exchange, it is the handler that says so
        if other is not None and inode.is_within(other):
            raise refusal(errno.ENOTEMPTY)
        await self._fs.renames.rename(inode, parent, os.fsencode(name), Replace.NO if flags else Replace.YES)
        return None

    async def symlink(self, text: str, path: str) -> object:
        parent, name = await self._new(path)
        owner = Owner(0, 0, stat.S_IFLNK | 0o777)
        self._vfs.note_counted(await self._fs.entries.symlink(parent, name, os.fsencode(text), owner))
        return None

    async def readlink(self, path: str) -> object:
        return os.fsdecode(await self._fs.entries.readlink(await self._vfs.walk(named(path), follow=False)))

    async def mkfifo(self, path: str, mode: int) -> object:
        parent, name = await self._new(path)
        self._vfs.note_counted(await self._fs.entries.mknod(parent, name, owner_of(stat.S_IFIFO | mode)))
        return None

    async def link(self, path: str, target: str) -> object:
        await self._vfs.walk(named(path), follow=False)
        await self._new(target)
        raise refusal(errno.EPERM)

    async def listdir(self, path: str) -> object:
        inode = await self._vfs.walk(named(path))
        if not inode.attrs.is_dir:
            raise refusal(errno.ENOTDIR)
        return sorted(await self._vfs.names(inode))

    # Attributes.

    async def stat(self, path: str) -> object:
        return await self._vfs.facts(await self._vfs.walk(named(path)))

    async def _change(self, path: str, change: AttrChange, *, follow: bool = True) -> object:
        await self._fs.attributes.change(await self._vfs.walk(named(path), follow=follow), change)
        return None

    async def chmod(self, path: str, mode: int) -> object:
        return await self._change(path, AttrChange(mode=mode))

    async def chown(self, path: str, uid: int, gid: int) -> object:
        return await self._change(path, AttrChange(uid=uid, gid=gid), follow=False)

    async def utimens(self, path: str, time_ns: int) -> object:
        return await self._change(path, AttrChange(atime_ns=time_ns, mtime_ns=time_ns))

    async def _with_xattrs(self, path: str, number: int) -> Inode:
        """An inode that may have extended attributes of users; number: the errno for others."""
        inode = await self._vfs.walk(named(path))
        if not inode.attrs.is_file and not inode.attrs.is_dir:
            raise refusal(number)
        return inode

    async def setxattr(self, path: str, name: str, length: int, flags: int) -> object:
        inode, raw_name = await self._with_xattrs(path, errno.EPERM), os.fsencode(name)
        if flags:
            await self._require_xattr(inode, raw_name, flags)
        return await self._fs.xattrs.set(inode, raw_name, content_of(self._number, length))

    async def _require_xattr(self, inode: Inode, name: bytes, flags: int) -> None:
        """As pyfuse3 does."""
        try:
            await self._fs.xattrs.get(inode, name)
        except NoAttributeError:
            if flags & XATTR_REPLACE:
                raise
        else:
            if flags & XATTR_CREATE:
                raise refusal(errno.EEXIST)

    async def getxattr(self, path: str, name: str) -> object:
        return await self._fs.xattrs.get(await self._with_xattrs(path, errno.ENODATA), os.fsencode(name))

    async def listxattr(self, path: str) -> object:
        return sorted(map(os.fsdecode, await self._fs.xattrs.names(await self._vfs.walk(named(path)))))

    async def removexattr(self, path: str, name: str) -> object:
        return await self._fs.xattrs.remove(await self._with_xattrs(path, errno.EPERM), os.fsencode(name))
