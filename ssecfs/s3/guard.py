"""GuardedStore: conditions that the endpoint cannot check are checked with a HEAD just before, or by a trusted listing.

Imported by ``app``. What the endpoint can check was found out at mount (``probe``). The HEAD leaves a moment in which another
client may write; an endpoint that checks conditions itself leaves none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssecfs.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError
from ssecfs.s3.forwarding import ForwardingStore
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import (
    Absence,
    Always,
    IfAbsent,
    IfUnchanged,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)


@dataclass(frozen=True, slots=True)
class StoreFeatures:
    """What the endpoint can do, as found by the probe.

    Attributes:
        has_if_absent: it checks ``If-None-Match: *`` on uploads.
        has_if_unchanged: it checks ``If-Match`` on uploads.
    """

    has_if_absent: bool
    has_if_unchanged: bool


class GuardedStore(ForwardingStore):
    """An ObjectStore that keeps every condition, over one that may not."""

    def __init__(self, inner: ObjectStore, features: StoreFeatures) -> None:
        """Take the store below and what its endpoint can do."""
        super().__init__(inner)
        self._features = features

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        return await self._inner.put(object_key, body, metadata, await self._kept(object_key, condition))

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore. Few endpoints check conditions on copies; over itself, the source's own check is enough."""
        if not (isinstance(condition, IfUnchanged) and condition.base == source and target == source.object_key):
            await self._check(target, condition)
        return await self._inner.copy(source, target, metadata, Always())

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore. Always looks at the object itself, too: Ceph 16 checks conditions of single uploads only."""
        await self._check(upload.object_key, condition)
        left = condition if self._is_left_to_endpoint(condition) else Always()
        return await self._inner.complete_upload(upload, parts, left)

    async def _kept(self, object_key: ObjectKey, condition: PutCondition) -> PutCondition:
        """The condition that the endpoint can be left to check; any other is checked here."""
        if self._is_left_to_endpoint(condition):
            return condition
        await self._check(object_key, condition)
        return Always()

    def _is_left_to_endpoint(self, condition: PutCondition) -> bool:
        return (
            (isinstance(condition, IfAbsent) and self._features.has_if_absent)
            or (isinstance(condition, IfUnchanged) and self._features.has_if_unchanged)
            or isinstance(condition, Always)
        )

    async def _check(self, object_key: ObjectKey, condition: PutCondition) -> None:
        if isinstance(condition, Always) or condition == IfAbsent(Absence.LISTED):
            return
        try:
            info = await self._inner.head(object_key)
        except ObjectMissingError as error:
            if isinstance(condition, IfUnchanged):
                message = "the object was deleted meanwhile"
                raise ObjectChangedError(message) from error
            return
        if isinstance(condition, IfAbsent):
            message = "there is an object of that name already"
            raise ObjectExistsError(message)
        if not info.version.is_same(condition.base):
            message = "the object was changed meanwhile"
            raise ObjectChangedError(message)
