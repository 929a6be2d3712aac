"""Calls about names that Python has no function for, and what of the bucket a test may want to see beside a mount."""

import ctypes
import os
from pathlib import Path
from typing import Self

from support.clients import client_of
from support.mounts import Mounting

from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.ssec import ALGORITHM

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.opendir.restype = ctypes.c_void_p
_LIBC.telldir.restype = ctypes.c_long

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
AT_FDCWD = -100


class Dirent(ctypes.Structure):
    """struct dirent of glibc on 64-bit machines."""

    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_uint16),
        ("d_type", ctypes.c_uint8),
        ("d_name", ctypes.c_char * 256),
    )


_LIBC.readdir.restype = ctypes.POINTER(Dirent)


class Directory:
    """A stream of opendir(3), open for the time of a block."""

    def __init__(self, path: Path) -> None:
        self._stream = ctypes.c_void_p(_LIBC.opendir(os.fsencode(path)))
        assert self._stream, path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _LIBC.closedir(self._stream)

    def read(self) -> tuple[bytes, int, int] | None:
        """Name, inode number and type of the next entry; None at the end."""
        found = _LIBC.readdir(self._stream)
        return (found.contents.d_name, found.contents.d_ino, found.contents.d_type) if found else None

    def names(self) -> list[bytes]:
        """The rest of the names."""
        found = []
        while (entry := self.read()) is not None:
            found.append(entry[0])
        return found

    def tell(self) -> int:
        return int(_LIBC.telldir(self._stream))

    def seek(self, place: int) -> None:
        _LIBC.seekdir(self._stream, ctypes.c_long(place))

    def rewind(self) -> None:
        _LIBC.rewinddir(self._stream)


def renameat2(old: Path, new: Path, flags: int) -> None:
    """rename(2) with flags."""
    if _LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), ctypes.c_uint(flags)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def object_key_of(mounted: Mounting, path: Path) -> str:
    """The object key of a path whose names need no escape; a directory's without the slash."""
    return str(Path(mounted.source.partition("/")[2], path.relative_to(mounted.path)))


def keys_below(mounted: Mounting, folder: Path) -> dict[str, int]:
    """Object keys below a directory, and their sizes."""
    prefix = object_key_of(mounted, folder) + "/"
    with client_of(mounted.server) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        return {entry["Key"].removeprefix(prefix): entry["Size"] for page in pages for entry in page.get("Contents", [])}


def put_beside(mounted: Mounting, folder: Path, objects: dict[str, bytes]) -> None:
    """Store objects below a directory as another client does, by the rest of their keys."""
    customer_key = load_keyfile(mounted.keyfile).first
    prefix = object_key_of(mounted, folder) + "/"
    with client_of(mounted.server) as client:
        for name, body in objects.items():
            client.put_object(
                Bucket="bucket",
                Key=prefix + name,
                Body=body,
                SSECustomerAlgorithm=ALGORITHM,
                SSECustomerKey=customer_key.reveal_base64(),
                SSECustomerKeyMD5=customer_key.md5,
            )
