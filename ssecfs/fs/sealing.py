"""Sealing: the metadata of one upload, made when its content's digest is known, and known again should the answer get lost.

Imported by ``fs.saving`` and ``fs.conflicts``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from ssecfs.crash import CrashPoint, reach
from ssecfs.s3.types import ObjectKey
from ssecfs.tree.attrs import SEAL_NAME, Attrs, format_metadata
from ssecfs.tree.inodes import Inode


class Timing(Enum):
    """What the attributes of an upload are worth, which S3 takes when it begins."""

    COMPLETE = "the content is complete by then"
    EARLY = "the content is still being written: the file's times are those that the upload began with"
    OVERTAKEN = "as EARLY, but somebody has set attributes since: they are to be saved afterwards"


@dataclass(slots=True)
class Sealing:
    """Gives an upload its metadata; what it gave is noted in the inode.

    Attributes:
        attrs: the inode's when the upload began.
        stored: the same with the digest, as they are in the metadata.
        timing: see there.
        note_sending: told of the seal, one more that the inode is unsure of, before anything is sent.
        sent: the metadata.
    """

    inode: Inode
    object_key: ObjectKey
    seal_key: bytes
    note_sending: Callable[[Inode, str], Awaitable[None]]
    timing: Timing = Timing.COMPLETE
    attrs: Attrs = field(init=False)
    stored: Attrs = field(init=False)
    sent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the attributes as they are now."""
        self.attrs = self.stored = self.inode.attrs

    async def __call__(self, sha256: str | None) -> dict[str, str]:
        """The metadata, with the digest of the content in hex; None: not known."""
        self.stored = replace(self.attrs, sha256=sha256).as_stored()
        self.sent = format_metadata(self.stored, self.object_key, self.seal_key)
        self.inode.unsure |= {self.sent[SEAL_NAME]}
        await self.note_sending(self.inode, self.sent[SEAL_NAME])
        reach(CrashPoint.SENDING)
        return self.sent
