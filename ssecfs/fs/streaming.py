"""Streaming: a large new file goes to the server in parts while the program still writes it; closing sends what is left.

Imported by the rest of ``fs`` and by ``app``. A file is streamed when it is written from start to end and nothing of an older
version is left in it. The parts become an object only when the file is saved, under the condition that holds
then; a part that was written again is sent again.

S3 takes an object's attributes when an upload begins, so a streamed file has the times of that moment and no digest, unless
somebody sets its attributes: then they are saved by a copy afterwards.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from ssecfs.content.openfile import OpenFile
from ssecfs.crash import CrashPoint, reach
from ssecfs.errors import SsecfsError, StoreError
from ssecfs.fs.ledger import Ledger
from ssecfs.fs.sealing import Sealing, Timing
from ssecfs.s3.copying import Copier
from ssecfs.s3.multipart import PARTS_AT_ONCE
from ssecfs.s3.partplan import stream_part, stream_part_number
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PartReceipt, PutCondition, Upload
from ssecfs.sizes import MIB
from ssecfs.tasks import open_tasks, start_alone
from ssecfs.tree.inodes import Inode, Linkage
from ssecfs.tree.names import Namespace

LOGGER: Final = logging.getLogger(__name__)

BEGIN_BYTES: Final = 32 * MIB
"""A file is streamed from this size on: smaller ones are worth their exact time and digest."""

ABORT_S: Final = 10.0


@dataclass(slots=True, eq=False)
class Stream:
    """One upload under way.

    Attributes:
        sealing: the metadata that it began with.
        upload: None: not begun yet.
        receipts: parts on the server, by number.
        sending: numbers of the parts on their way. One at a time: which of two would arrive last, nobody knows.
        outdated: of these, those whose bytes were written again meanwhile.
        first: all parts before that one are on the server.
        is_over: no part is to be begun any more.
        is_usable: what was sent is there, and nothing is on its way any more.
        news: set when there may be something to do.
        idle: set when no part is on its way.
    """

    inode: Inode
    open_file: OpenFile
    object_key: ObjectKey
    sealing: Sealing
    upload: Upload | None = None
    receipts: dict[int, PartReceipt] = field(default_factory=dict)
    sending: set[int] = field(default_factory=set)
    outdated: set[int] = field(default_factory=set)
    first: int = 1
    is_over: bool = False
    is_usable: bool = False
    news: trio.Event = field(default_factory=trio.Event)
    idle: trio.Event = field(default_factory=trio.Event)

    def wake(self) -> None:
        """There may be something to do."""
        self.news.set()
        self.news = trio.Event()

    def next_part(self) -> int | None:
        """The number of the first part that is complete and not on the server yet."""
        while self.first in self.receipts:
            self.first += 1
        number = self.first
        while stream_part(number).stop <= self.open_file.size:
            if number not in self.receipts and number not in self.sending:
                return number
            number += 1
        return None

    def forget(self, written: ByteRange) -> None:
        """The bytes of a range are others now: parts that have some of them are not true any more."""
        for number in range(stream_part_number(written.start), stream_part_number(max(written.stop - 1, written.start)) + 1):
            self.first = min(self.first, number)
            self.receipts.pop(number, None)
            if number in self.sending:
                self.outdated.add(number)


class Streaming:
    """Streams files.

    Owns: the uploads under way, by inode number.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        copier: Copier,
        namespace: Namespace,
        ledger: Ledger,
        seal_key: bytes,
        forget_attributes: Callable[[int], None],
        nursery: trio.Nursery,
    ) -> None:
        """Take the collaborators; forget_attributes makes the kernel ask again for those of an inode number."""
        self._forget_attributes = forget_attributes
        self._copier = copier
        self._store = store
        self._namespace = namespace
        self._ledger = ledger
        self._seal_key = seal_key
        self._nursery = nursery
        self._streams: dict[int, Stream] = {}

    def note_written(self, inode: Inode, open_file: OpenFile, written: ByteRange) -> None:
        """A program wrote: begin to stream, or go on."""
        stream = self._streams.get(inode.ino)
        if stream is not None:
            stream.forget(written)
            if stream.next_part() is not None:
                stream.wake()
        elif open_file.size >= BEGIN_BYTES and open_file.is_sequential and self._may_stream(inode):
            object_key = self._namespace.file_key(inode.path)
            sealing = Sealing(inode, object_key, self._seal_key, self._ledger.note_sending, Timing.EARLY)
            stream = self._streams[inode.ino] = Stream(inode, open_file, object_key, sealing)
            open_file.stop_digest()
            start_alone(self._nursery, "stream", self._run, stream)

    def _may_stream(self, inode: Inode) -> bool:
        """Where the server cannot copy, attributes that are set later would cost another upload."""
        return inode.linkage is Linkage.LINKED and not self._copier.is_refused

    def note_attributes(self, inode: Inode) -> None:
        """Somebody set attributes: those that the upload began with are not right."""
        stream = self._streams.get(inode.ino)
        if stream is not None:
            stream.sealing.timing = Timing.OVERTAKEN

    def adopt_times(self, inode: Inode) -> None:
        """A file is closed before its upload is complete: it has the times now that it will have then."""
        stream = self._streams.get(inode.ino)
        if stream is None or stream.sealing.timing is not Timing.EARLY:
            return
        begun = stream.sealing.attrs
        inode.attrs = replace(inode.attrs, atime_ns=begun.atime_ns, mtime_ns=begun.mtime_ns, ctime_ns=begun.ctime_ns)
        self._forget_attributes(inode.ino)

    async def take(self, inode: Inode, object_key: ObjectKey) -> Stream | None:
        """End the streaming of a file that is saved now, and held still; None: it is not streamed, or of no use."""
        stream = self._streams.pop(inode.ino, None)
        if stream is None:
            return None
        await self._end(stream)
        if stream.is_usable and stream.object_key == object_key:
            return stream
        start_alone(self._nursery, "abort", self._abort, stream)
        return None

    async def complete(self, stream: Stream, condition: PutCondition) -> ObjectVersion:
        """Send what is left, and make the object; on failure nothing of it is left on the server.

        Raises:
            ObjectExistsError, ObjectChangedError: the condition fails.
            StoreError: the endpoint refused or could not be reached.
        """
        assert stream.upload is not None, "see take"  # noqa: S101 - an invariant
        size = stream.open_file.size
        parts = _parts(size)
        try:
            stream.receipts = {number: receipt for number, receipt in stream.receipts.items() if number <= len(parts)}
            missing = iter([number for number in range(1, len(parts) + 1) if number not in stream.receipts])

            async def work() -> None:
                for number in missing:
                    await self._send(stream, number, parts[number - 1])

            async with open_tasks() as nursery:
                for _ in range(PARTS_AT_ONCE):
                    nursery.start_soon(work)
            receipts = [stream.receipts[number] for number in sorted(stream.receipts)]
            return await self._store.complete_upload(stream.upload, receipts, condition)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + ABORT_S):
                await self._abort(stream)
            raise

    def drop(self, inode: Inode) -> None:
        """Nobody wants the file any more."""
        stream = self._streams.pop(inode.ino, None)
        if stream is not None:
            start_alone(self._nursery, "abort", self._drop, stream)

    async def _run(self, stream: Stream) -> None:
        """Send parts as they get complete, a few at a time."""
        try:
            metadata = await stream.sealing(None)
            stream.upload = await self._store.create_upload(stream.object_key, metadata)
            async with open_tasks() as nursery:
                for _ in range(PARTS_AT_ONCE):
                    nursery.start_soon(self._send_some, stream)
            stream.is_usable = True
        except SsecfsError as error:
            LOGGER.debug("a file cannot be streamed, it is uploaded when it is closed: %s", error)
        finally:
            stream.is_over = True
            stream.idle.set()

    async def _send_some(self, stream: Stream) -> None:
        while not stream.is_over:
            number = stream.next_part()
            if number is None:
                await stream.news.wait()
                continue
            await self._send(stream, number, stream_part(number))

    async def _send(self, stream: Stream, number: int, part: ByteRange) -> None:
        assert stream.upload is not None, "it has begun"  # noqa: S101 - an invariant
        stream.sending.add(number)
        try:
            async with self._copier.room.taken(len(part)):
                stream.outdated.discard(number)  # what is read now is true; all of it is here, so reading does not wait
                body = await stream.open_file.read_whole(part)
                receipt = await self._store.put_part(stream.upload, number, body)
            reach(CrashPoint.PART_SENT)
            if number not in stream.outdated:
                stream.receipts[number] = receipt
        finally:
            stream.sending.discard(number)
            stream.outdated.discard(number)

    async def _end(self, stream: Stream) -> None:
        stream.is_over = True
        stream.wake()
        await stream.idle.wait()

    async def _drop(self, stream: Stream) -> None:
        await self._end(stream)
        await self._abort(stream)

    async def _abort(self, stream: Stream) -> None:
        if stream.upload is None:
            return
        try:
            await self._store.abort_upload(stream.upload)
        except StoreError as error:
            LOGGER.warning("parts of an upload that is not wanted are left on the server: %s", error)


def _parts(size: int) -> list[ByteRange]:
    """The parts of a complete file."""
    parts: list[ByteRange] = []
    while not parts or parts[-1].stop < size:
        part = stream_part(len(parts) + 1)
        parts.append(ByteRange(part.start, min(part.stop, size)))
    return parts
