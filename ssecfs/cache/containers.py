"""Container files: each holds the sealed blocks of one segment of one content, in fixed slots. Synchronous, no trio.

Imported by ``cache.blockcache`` and ``cache.spool``. A container is sparse: a slot that was never written reads as zeros, which
no seal accepts. Whatever is damaged here is found when a block is opened.

This is where OSError of the local disk becomes an error of ours.
"""

import errno
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ssecfs.cache.seal import SEAL_BYTES, ContentId
from ssecfs.cache.spans import BLOCK_SIZE, SEGMENT_BLOCKS
from ssecfs.errors import CacheFullError, LocalError, SpoolError

SLOT_BYTES: Final = BLOCK_SIZE + 4096
"""A sealed block and the rest of a page, so that slots begin at page borders."""

MAX_OPEN: Final = 256
"""Containers whose descriptors are kept open."""

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


def slot_offset(block_no: int) -> tuple[int, int]:
    """The segment that a block is in, and the offset of its slot in that segment's container."""
    segment_no, place = divmod(block_no, SEGMENT_BLOCKS)
    return segment_no, place * SLOT_BYTES


class Containers:
    """The container files of one cache directory.

    Owns: their descriptors. Invariant: at most MAX_OPEN are open.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; it exists."""
        self._folder = folder
        self._open: OrderedDict[tuple[ContentId, int], int] = OrderedDict()

    def read_slot(self, content_id: ContentId, block_no: int) -> bytes:
        """The bytes of a slot, as far as they are there; empty when the container is missing or cannot be read."""
        segment_no, offset = slot_offset(block_no)
        try:
            return os.pread(self._descriptor(content_id, segment_no, 0), BLOCK_SIZE + SEAL_BYTES, offset)
        except OSError:
            return b""

    def write_slot(self, content_id: ContentId, block_no: int, record: bytes) -> None:
        """Write a sealed block into its slot.

        Raises:
            CacheFullError: no room on the disk.
            SpoolError: the disk fails otherwise.
        """
        segment_no, offset = slot_offset(block_no)
        try:
            descriptor = self._descriptor(content_id, segment_no, os.O_CREAT)
            written = os.pwrite(descriptor, record, offset)
            while written < len(record):
                written += os.pwrite(descriptor, record[written:], offset + written)
        except OSError as error:
            raise _translate(error) from error

    def sync(self, content_id: ContentId, segments: list[int]) -> None:
        """Make what was written to some segments survive a power cut. Thread: any."""
        try:
            for segment_no in segments:
                path = self._path(content_id, segment_no)
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            sync_folder(self._folder)
        except OSError as error:
            raise _translate(error) from error

    def remove(self, content_id: ContentId, segment_no: int) -> None:
        """Remove a container; one that is not there is no error."""
        descriptor = self._open.pop((content_id, segment_no), None)
        if descriptor is not None:
            os.close(descriptor)
        self._path(content_id, segment_no).unlink(missing_ok=True)

    def present(self) -> Iterator[tuple[ContentId, int]]:
        """Go through the containers on disk; files that are none are skipped."""
        for entry in os.scandir(self._folder):
            name, _, segment = entry.name.partition("-")
            try:
                yield ContentId(bytes.fromhex(name)), int(segment)
            except ValueError:
                continue

    def free_bytes(self) -> int:
        """Room on the disk for an unprivileged user."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Close all descriptors."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, content_id: ContentId, segment_no: int, flags: int) -> int:
        found = self._open.get((content_id, segment_no))
        if found is not None:
            self._open.move_to_end((content_id, segment_no))
            return found
        descriptor = os.open(self._path(content_id, segment_no), os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        self._open[content_id, segment_no] = descriptor
        if len(self._open) > MAX_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _path(self, content_id: ContentId, segment_no: int) -> Path:
        return self._folder / f"{content_id.hex()}-{segment_no}"


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder survive a power cut.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translate(error: OSError) -> LocalError:
    if error.errno in _FULL:
        return CacheFullError("the disk of the cache directory is full; free some space")
    return SpoolError(f"the disk of the cache directory fails: {error.strerror}")
