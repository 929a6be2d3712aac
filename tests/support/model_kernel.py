"""The calls of the reference model as system calls below a directory: a local one, or one of a mount of ours."""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from support.fsrig import errno_name
from support.model_calls import RENAME_EXCHANGE, Call, content_of, named
from support.model_looks import Facts, facts_of, look_at

FILE_MODE: Final = 0o640
FOREIGN_OWNER: Final = (1, 2)
FOREIGN_S: Final = 1_500_000_000
"""When other clients store objects, seconds since the epoch."""
MOST_BYTES: Final = 16 << 20
AT_FDCWD: Final = -100

_libc = ctypes.CDLL(None, use_errno=True)


def rename(path: Path, target: Path, flags: int) -> None:
    """renameat2(2)."""
    if _libc.renameat2(AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class KernelCalls:
    """The calls below one directory. Owns: the open files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._number = 0
        self._files: dict[int, int] = {}

    def do(self, number: int, call: Call) -> object:
        """Make a call; its result, or the name of an errno."""
        self._number = number
        name, *arguments = call
        method: Callable[..., object] = getattr(self, name)
        try:
            return method(*arguments)
        except OSError as error:
            return errno_name(error)

    def look(self) -> Mapping[str, Facts]:
        return look_at(self.root)

    def handles(self) -> Sequence[int]:
        return sorted(self._files)

    def _at(self, path: str) -> Path:
        return self.root / named(path)

    def close_all(self) -> list[object]:
        return [self.close(handle) for handle in sorted(self._files)]

    # By handle.

    def open(self, handle: int, path: str, flags: int) -> object:
        closed = self.close(handle)
        self._files[handle] = self._open(path, flags)
        return closed

    def _open(self, path: str, flags: int) -> int:
        """Open anything but a FIFO: what goes through one is not the filesystem's."""
        file = os.open(self._at(path), flags | os.O_NONBLOCK, FILE_MODE)
        if stat.S_ISFIFO(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.ENXIO, "a FIFO")
        return file

    def close(self, handle: int) -> object:
        if handle in self._files:
            os.close(self._files.pop(handle))
            return "closed"
        return None

    def _file(self, handle: int) -> int:
        if handle not in self._files:
            raise OSError(errno.EBADF, "this one is not open")
        return self._files[handle]

    def pwrite(self, handle: int, offset: int, length: int) -> object:
        return os.pwrite(self._file(handle), content_of(self._number, length), offset)

    def pread(self, handle: int, offset: int, length: int) -> object:
        return os.pread(self._file(handle), length, offset)

    def ftruncate(self, handle: int, size: int) -> object:
        return os.ftruncate(self._file(handle), size)

    def fsync(self, handle: int) -> object:
        return os.fsync(self._file(handle))

    def fstat(self, handle: int) -> object:
        return facts_of(os.fstat(self._file(handle)))

    def fchmod(self, handle: int, mode: int) -> object:
        return os.fchmod(self._file(handle), mode)

    def futimens(self, handle: int, time_ns: int) -> object:
        return os.utime(self._file(handle), ns=(time_ns, time_ns))

    # Contents.

    def _write(self, path: str, flags: int, length: int, offset: int) -> object:
        file = self._open(path, flags)
        try:
            return os.pwrite(file, content_of(self._number, length), offset)
        finally:
            os.close(file)

    def put(self, path: str, length: int) -> object:
        return self._write(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, length, 0)

    def append(self, path: str, length: int) -> object:
        return self._write(path, os.O_WRONLY | os.O_APPEND, length, 0)

    def patch(self, path: str, offset: int, length: int) -> object:
        return self._write(path, os.O_WRONLY, length, offset)

    def get(self, path: str) -> object:
        file = self._open(path, os.O_RDONLY)
        try:
            return os.pread(file, MOST_BYTES, 0)
        finally:
            os.close(file)

    def truncate(self, path: str, size: int) -> object:
        return os.truncate(self._at(path), size)

    # Names.

    def mkdir(self, path: str, mode: int) -> object:
        return self._at(path).mkdir(mode)

    def rmdir(self, path: str) -> object:
        return self._at(path).rmdir()

    def unlink(self, path: str) -> object:
        return self._at(path).unlink()

    def rename(self, path: str, target: str, flags: int) -> object:
        return rename(self._at(path), self._at(target), flags)

    def symlink(self, text: str, path: str) -> object:
        return self._at(path).symlink_to(text)

    def readlink(self, path: str) -> object:
        return str(self._at(path).readlink())

    def mkfifo(self, path: str, mode: int) -> object:
        return os.mkfifo(self._at(path), mode)

    def link(self, path: str, target: str) -> object:
        return os.link(self._at(path), self._at(target), follow_symlinks=False)

    def listdir(self, path: str) -> object:
        return sorted(entry.name for entry in self._at(path).iterdir())

    # Attributes.

    def stat(self, path: str) -> object:
        return facts_of(self._at(path).stat())

    def chmod(self, path: str, mode: int) -> object:
        return self._at(path).chmod(mode)

    def chown(self, path: str, uid: int, gid: int) -> object:
        return os.chown(self._at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path: str, time_ns: int) -> object:
        return os.utime(self._at(path), ns=(time_ns, time_ns))

    def setxattr(self, path: str, name: str, length: int, flags: int) -> object:
        return os.setxattr(self._at(path), name, content_of(self._number, length), flags)

    def getxattr(self, path: str, name: str) -> object:
        return os.getxattr(self._at(path), name)

    def listxattr(self, path: str) -> object:
        return sorted(os.listxattr(self._at(path)))

    def removexattr(self, path: str, name: str) -> object:
        return os.removexattr(self._at(path), name)


class LocalCalls(KernelCalls):
    """The calls on a local directory, with the answers of a filesystem that has no hard links and exchanges no names."""

    def link(self, path: str, target: str) -> object:
        super().link(path, target)
        self._at(target).unlink()
        raise PermissionError(errno.EPERM, "no hard links")

    def rename(self, path: str, target: str, flags: int) -> object:
        # The exchange may change what a link on the way means.
        names = [Path(os.path.realpath(place.parent), place.name) for place in (self._at(path), self._at(target))]
        super().rename(path, target, flags)
        if flags == RENAME_EXCHANGE and not os.path.samestat(*(name.lstat() for name in names)):
            rename(*names, flags)  # and back
            raise OSError(errno.EINVAL, "no exchange")
        return None

    # What happens to a mount does nothing to a local directory, but programs end with it.

    def flush(self) -> object:
        return None

    def forget(self) -> object:
        return None

    def later(self, *_: object) -> object:
        return None

    def kill(self, *_: object) -> object:
        return None

    def remount(self, *_: object) -> object:
        return self.close_all()

    # What another client does to the bucket, while no program of ours has anything open.

    def foreign_store(self, path: str, length: int) -> object:
        closed = self.close_all()
        place = self._at(path)
        place.unlink(missing_ok=True)
        place.write_bytes(content_of(self._number, length))
        _give_defaults(place, 0o644)
        return closed

    def foreign_mkdir(self, path: str) -> object:
        closed = self.close_all()
        self._at(path).mkdir()
        _give_defaults(self._at(path), 0o755)
        return closed

    def foreign_delete(self, path: str) -> object:
        closed = self.close_all()
        self._at(path).unlink()
        return closed


def _give_defaults(place: Path, mode: int) -> None:
    """What an object without metadata shows."""
    os.chown(place, *FOREIGN_OWNER)
    place.chmod(mode)
    os.utime(place, (FOREIGN_S, FOREIGN_S))
