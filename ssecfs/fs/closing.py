"""Closing: where unsaved content has to be before close(2) returns.

Imported by ``fs.files`` and ``app``. By default on the server. With write-back in the journal, synced: the upload follows. When
too much waits already, when the last upload of the file failed, or when the local disk cannot take it, close waits for the
server then, too: so programs are slowed down and told, and the spool stays bounded.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.content.openfiles import OpenFiles
from ssecfs.errors import LocalError
from ssecfs.fs.gate import Gate
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.saving import Saver
from ssecfs.fs.streaming import Streaming
from ssecfs.tree.inodes import Inode, Linkage


class Durability(Enum):
    """What a successful close means."""

    SERVER = "the content is on the server"
    JOURNAL = "the content is on the local disk, and goes to the server whatever happens"


@dataclass(frozen=True, slots=True)
class WriteBack:
    """How closing works on a mount.

    Attributes:
        durability: see there.
        limit_bytes: what may be in the journal and not on the server.
    """

    durability: Durability = Durability.SERVER
    limit_bytes: int = 0


ON_SERVER: Final = WriteBack()


class Closing:
    """Closes files. Owns nothing."""

    def __init__(
        self,
        *,
        saver: Saver,
        ledger: Ledger,
        streaming: Streaming,
        open_files: OpenFiles,
        gate: Gate,
        write_back: WriteBack,
    ) -> None:
        """Take the collaborators."""
        self._streaming = streaming
        self._saver = saver
        self._ledger = ledger
        self._open_files = open_files
        self._gate = gate
        self._write_back = write_back

    async def close(self, inode: Inode) -> None:
        """Bring the content of a file to where it is safe.

        Raises:
            SsecfsError: it is nowhere safe yet; nothing is lost.
        """
        if not (self._may_wait(inode) and await self._keep(inode)):
            await self._saver.save(inode)

    def _may_wait(self, inode: Inode) -> bool:
        if self._write_back.durability is Durability.SERVER or inode.linkage is Linkage.LOST:
            return False
        return self._ledger.vouched_bytes < self._write_back.limit_bytes and not self._saver.has_failed(inode)

    async def _keep(self, inode: Inode) -> bool:
        """Have the journal vouch for the content; tells whether it could."""
        async with self._gate.changing(inode), inode.lock:
            open_file = self._open_files.peek(inode.ino)
            if inode.linkage is not Linkage.LINKED or open_file is None or not open_file.is_dirty:
                return inode.linkage is not Linkage.LOST
            if not self._ledger.is_vouched_for(inode, open_file):
                self._streaming.adopt_times(inode)
                try:
                    await self._ledger.vouch(inode, open_file)
                except LocalError:
                    return False
        self._saver.save_behind(inode)
        return True
