"""MemoryStore: an ObjectStore in memory, for the floors above. It passes the contract suite of the real ones."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from ssecfs.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreProtocolError,
    StoreUnreachableError,
    StoreUnsupportedError,
)
from ssecfs.s3.store import Sink
from ssecfs.s3.types import (
    ByteRange,
    ETag,
    IfAbsent,
    IfUnchanged,
    ListPage,
    ObjectInfo,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)

KEY_MD5 = "memory"
PIECE = 100_000
LEAST_PART_BYTES = 5 << 20


@dataclass
class Stored:
    version: ObjectVersion
    body: bytes
    metadata: dict[str, str]


@dataclass
class MemoryStore:
    """Objects in a dictionary. `fail_next` raises for the next calls of an operation (None: not), before they do anything.

    Attributes:
        sent_bytes: all that uploads have brought.
        note_sent: told of each body, by its size, when it is stored.
        can_copy: as of a server that refuses to copy SSE-C objects, if false.
    """

    objects: dict[ObjectKey, Stored] = field(default_factory=dict)
    uploads: dict[str, tuple[Upload, dict[str, str], dict[int, bytes]]] = field(default_factory=dict)
    operations: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[StoreError | None]] = field(default_factory=dict)
    clock: Callable[[], int] = lambda: 1_700_000_000
    gates: dict[str, trio.Event] = field(default_factory=dict)
    lost_answers: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    note_sent: Callable[[int], None] = lambda _: None
    can_copy: bool = True
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def fail_next(self, operation: str, *errors: StoreError | None) -> None:
        self.failures.setdefault(operation, []).extend(errors)

    def lose_answer(self, operation: str) -> None:
        """The next upload of that kind is done, and its answer never comes."""
        self.lost_answers.append(operation)

    def _answer(self, operation: str, version: ObjectVersion) -> ObjectVersion:
        if operation in self.lost_answers:
            self.lost_answers.remove(operation)
            raise StoreUnreachableError
        return version

    async def _begin(self, operation: str) -> None:
        self.operations[operation] += 1
        gate = self.gates.get(operation)
        if gate is not None:
            await gate.wait()
        await trio.lowlevel.checkpoint()
        error = self.failures[operation].pop(0) if self.failures.get(operation) else None
        if error is not None:
            raise error

    def _store(self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str]) -> ObjectVersion:
        etag = ETag(f'"{hashlib.sha256(body).hexdigest()[:16]}{next(self._numbers):08x}"')
        version = ObjectVersion(object_key, etag, len(body), self.clock())
        self.objects[object_key] = Stored(version, body, dict(metadata))
        return version

    def _check(self, object_key: ObjectKey, condition: PutCondition) -> None:
        current = self.objects.get(object_key)
        if isinstance(condition, IfAbsent) and current is not None:
            raise ObjectExistsError
        if isinstance(condition, IfUnchanged) and (current is None or current.version.etag != condition.base.etag):
            raise ObjectChangedError

    def _require_copies(self) -> None:
        if not self.can_copy:
            raise StoreUnsupportedError

    def _current(self, version: ObjectVersion) -> Stored:
        stored = self.objects.get(version.object_key)
        if stored is None or stored.version.etag != version.etag:
            raise ObjectChangedError
        return stored

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        await self._begin("head")
        stored = self.objects.get(object_key)
        if stored is None:
            raise ObjectMissingError
        return ObjectInfo(stored.version, dict(stored.metadata), KEY_MD5)

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        await self._begin("get")
        stored = self._current(version)
        if byte_range.stop > len(stored.body):
            raise StoreProtocolError
        for start in range(byte_range.start, byte_range.stop, PIECE):
            sink(stored.body[start : min(start + PIECE, byte_range.stop)])
            await trio.lowlevel.checkpoint()
        return ObjectInfo(stored.version, dict(stored.metadata), KEY_MD5)

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        await self._begin("put")
        self.sent_bytes += len(body)
        self.note_sent(len(body))
        self._check(object_key, condition)
        return self._answer("put", self._store(object_key, body, metadata))

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        await self._begin("copy")
        self._require_copies()
        stored = self._current(source)
        self._check(target, condition)
        return self._answer("copy", self._store(target, stored.body, metadata))

    async def delete(self, object_key: ObjectKey) -> None:
        await self._begin("delete")
        self.objects.pop(object_key, None)

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        await self._begin("delete_many")
        for object_key in object_keys:
            self.objects.pop(object_key, None)

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        await self._begin("list_page")
        objects: list[ObjectVersion] = []
        prefixes: list[str] = []
        for object_key in sorted(self.objects, key=str.encode):
            if not object_key.startswith(prefix) or (token is not None and object_key.encode() < token.encode()):
                continue
            end = object_key.find(delimiter, len(prefix)) if delimiter else -1
            common = object_key[: end + 1] if end >= 0 else None
            if common is not None and (common in prefixes or (token is not None and common == token.rpartition("\0")[0])):
                continue
            if len(objects) + len(prefixes) == max_keys:
                return ListPage(tuple(objects), tuple(prefixes), object_key)
            if common is not None:
                prefixes.append(common)
            else:
                objects.append(self.objects[object_key].version)
        return ListPage(tuple(objects), tuple(prefixes), None)

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        await self._begin("create_upload")
        upload = Upload(object_key, f"upload-{next(self._numbers)}", KEY_MD5)
        self.uploads[upload.upload_id] = (upload, dict(metadata), {})
        return upload

    def _parts(self, upload: Upload) -> dict[int, bytes]:
        if upload.upload_id not in self.uploads:
            raise StoreProtocolError
        return self.uploads[upload.upload_id][2]

    async def put_part(self, upload: Upload, part_number: int, body: bytes) -> PartReceipt:
        await self._begin("put_part")
        self.sent_bytes += len(body)
        self.note_sent(len(body))
        self._parts(upload)[part_number] = body
        return PartReceipt(part_number, ETag(f'"{hashlib.sha256(body).hexdigest()[:32]}"'), len(body))

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        await self._begin("copy_part")
        self._require_copies()
        body = self._current(source).body[byte_range.start : byte_range.stop]
        self._parts(upload)[part_number] = body
        return PartReceipt(part_number, ETag(f'"{hashlib.sha256(body).hexdigest()[:32]}"'), len(body))

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        await self._begin("complete_upload")
        stored = self._parts(upload)
        self._check(upload.object_key, condition)
        if any(len(stored[part.part_number]) < LEAST_PART_BYTES for part in parts[:-1]):
            raise StoreProtocolError
        body = b"".join(stored[part.part_number] for part in parts)
        _, metadata, _ = self.uploads.pop(upload.upload_id)
        return self._answer("complete_upload", self._store(upload.object_key, body, metadata))

    async def abort_upload(self, upload: Upload) -> None:
        await self._begin("abort_upload")
        self.uploads.pop(upload.upload_id, None)


async def no_metadata(_: object) -> dict[str, str]:
    """Metadata of an upload that is to have none."""
    return {}
