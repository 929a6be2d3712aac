"""ObjectStore: the seam between the filesystem and an S3 endpoint, as a contract.

What lives here: the verbs and their promises. What does not: how they are done (``client``), tried again (``retry``) or made
conditional where the server cannot (``guard``). Every implementation passes the suite in ``tests/t1_s3``.

The customer key is added by the implementation, in one place: callers never see it. Writes use the first key of the keyring;
reads use the key that fits (the one that fitted last first, then the others, then none for objects that are not SSE-C).
All methods raise classes of ``StoreError`` only, and can be cancelled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ssecfs.s3.types import (
    ByteRange,
    ListPage,
    ObjectInfo,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)

Sink = Callable[[bytes], None]
"""Takes the next piece of a body, in order, on the event loop. It never waits."""


class ObjectStore(Protocol):
    """Objects of one bucket. Sizes and offsets are bytes of plaintext."""

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        """Describe an object.

        Raises:
            ObjectMissingError: a positive 404.
            WrongCustomerKeyError: no key of the keyring opens it.
        """

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        """Read part of one version (``If-Match``), handing each piece to sink as it arrives.

        Args:
            version: what is to be read.
            byte_range: inside [0, version.size), not empty, or (0, 0) for an empty object.
            sink: gets exactly the bytes of the range, in order, in pieces of any size.

        Raises:
            ObjectChangedError: the object is another version by now, or gone.
            StoreProtocolError: the answer is shorter or longer than asked for.
        """

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Store an object at once (at most 5 GiB), atomically; the body's integrity is checked by the server.

        Raises:
            ObjectExistsError: IfAbsent, and there is one.
            ObjectChangedError: IfUnchanged, and it is another version or gone.
        """

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """Copy on the server, at most 5 GiB, replacing the metadata; source and target may be the same object.

        Raises:
            StoreUnsupportedError: the endpoint cannot copy SSE-C objects.
            ObjectChangedError: the source is another version by now, or the condition fails.
        """

    async def delete(self, object_key: ObjectKey) -> None:
        """Delete an object; one that is not there is no error. Idempotent."""

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        """Delete up to 1000 objects with one request where the endpoint can, else one by one.

        Raises:
            StoreError: the first failure of any of them, after all were tried.
        """

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        """List one page of the objects whose keys start with prefix.

        Args:
            prefix: may be empty.
            delimiter: ``/`` groups deeper keys into common prefixes; empty: no grouping.
            token: next_token of the page before; None: the first page.
            max_keys: at most 1000.

        Raises:
            BucketMissingError: there is no such bucket.
        """

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        """Begin a multipart upload."""

    async def put_part(self, upload: Upload, part_number: int, body: bytes) -> PartReceipt:
        """Store one part, 5 MiB to 5 GiB (the last may be smaller). Idempotent: the last one stored counts."""

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        """Make a part from a range of an object on the server.

        Raises:
            StoreUnsupportedError: the endpoint cannot copy SSE-C objects.
            ObjectChangedError: the source is another version by now.
        """

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """Turn the parts, in order, into the object.

        Raises:
            ObjectExistsError, ObjectChangedError: the condition fails; the upload is still there to be aborted.
        """

    async def abort_upload(self, upload: Upload) -> None:
        """Drop an upload and its parts; one that is not there is no error."""
