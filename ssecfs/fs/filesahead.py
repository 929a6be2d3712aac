"""Reading ahead from file to file: a program that reads the small files of a directory in order finds the next ones here.

Imported by ``fs.files``. What is next says the directory's listing; what is fetched goes into the block cache, where the reader
finds it, or finds it on its way. Nobody waits for it, and nobody misses it: what fails is fetched again by who wants it.
"""

import logging
from collections import deque
from functools import partial
from typing import Final

import trio

from ssecfs.cache.blockcache import BlockCache
from ssecfs.errors import SsecfsError
from ssecfs.fs.nodes import Nodes
from ssecfs.s3.types import ByteRange, ObjectVersion
from ssecfs.sizes import KIB
from ssecfs.tasks import start_alone
from ssecfs.tree.directory import Directories
from ssecfs.tree.inodes import Inode, InodeTable, Linkage
from ssecfs.tree.listing import Entry

LOGGER: Final = logging.getLogger(__name__)

SMALL_FILE: Final = 512 * KIB
"""Bytes of a file up to which it is fetched before it is asked for; in a larger one reading ahead pays by itself."""

FILES_AHEAD: Final = 64
"""Files of a directory that are ahead of its reader at most, 32 MiB."""

AT_ONCE: Final = 32
"""Requests under way, 16 MiB in memory."""

SHARE: Final = 8
"""The part of the cache that may be ahead of one reader: one in so many, else what is ahead pushes itself out."""


class FilesAhead:
    """Fetches the small files that will be read next.

    Owns: the queue of what is to be fetched, and the tasks that do it. Lifetime: the mount's.
    """

    def __init__(
        self, *, nodes: Nodes, inodes: InodeTable, directories: Directories, cache: BlockCache, nursery: trio.Nursery
    ) -> None:
        """Take the collaborators; nursery is the mount's."""
        self._nodes = nodes
        self._inodes = inodes
        self._directories = directories
        self._cache = cache
        self._nursery = nursery
        self._queue: deque[ObjectVersion] = deque(maxlen=4 * FILES_AHEAD)
        self._workers = 0

    def note_read(self, inode: Inode) -> None:
        """Take note that a file is read from its beginning, and start to fetch what is likely next; never waits."""
        parent = inode.parent
        if parent is None or inode.linkage is not Linkage.LINKED:
            return
        number = partial(self._inodes.number_for, parent)
        at_most = min(FILES_AHEAD, self._cache.disk_limit_bytes // (SHARE * SMALL_FILE))
        if at_most == 0:
            return
        for entry in self._directories.next_to_read(parent, inode.name, number, at_most):
            version = self._version(parent, entry)
            if version is not None and 0 < version.size <= SMALL_FILE:
                self._queue.append(version)
        while self._workers < min(AT_ONCE, len(self._queue)):
            self._workers += 1
            start_alone(self._nursery, "files ahead", self._work)

    def _version(self, parent: Inode, entry: Entry) -> ObjectVersion | None:
        """What is on the server under a name, as far as we know; None: nothing that could be fetched."""
        live = self._inodes.child(parent, entry.name)
        if live is None or live.version is None:
            return entry.version
        return None if live.attrs.is_dir or self._nodes.is_ours(live) else live.version

    async def _work(self) -> None:
        try:
            while self._queue:
                version = self._queue.popleft()
                if self._cache.cached_bytes(version) < version.size:
                    await self._cache.read(version, ByteRange(0, version.size))
        except SsecfsError as error:
            self._queue.clear()
            LOGGER.debug("reading ahead of the next files failed: %s", error)
        finally:
            self._workers -= 1
