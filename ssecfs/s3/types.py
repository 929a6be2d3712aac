"""What the object store speaks of: object keys, versions, byte ranges, listings, part receipts. Values only, no I/O.

Imported by every module that talks of objects; imports nothing of ours but the vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NewType

ObjectKey = NewType("ObjectKey", str)
"""Name of an object in the bucket, at most 1024 bytes of UTF-8."""

ETag = NewType("ETag", str)
"""Opaque version token, quotes included as sent. Under SSE-C never an MD5 of the content."""

MAX_OBJECT_KEY_BYTES: Final = 1024

ESTIMATE_WINDOW_S: Final = 2
"""How far the Date of an upload's answer may lie from the LastModified that listings show for it later."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Half-open interval of bytes, [start, stop)."""

    start: int
    stop: int

    def __len__(self) -> int:
        """Count the bytes."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """Identity of immutable bytes: object key, ETag, size and modification time.

    The time belongs to it because some servers use the MD5 of the content as ETag: there it survives a change of metadata.

    Attributes:
        object_key: name in the bucket.
        etag: verbatim, with quotes.
        size: bytes.
        modified_s: LastModified, whole seconds since the epoch.
        is_estimated: modified_s is the Date of our own upload's answer, within ESTIMATE_WINDOW_S of the truth.
    """

    object_key: ObjectKey
    etag: ETag
    size: int
    modified_s: int
    is_estimated: bool = False

    def is_same(self, other: "ObjectVersion") -> bool:
        """Tell whether both name the same bytes and metadata."""
        window = ESTIMATE_WINDOW_S if self.is_estimated or other.is_estimated else 0
        return (
            self.object_key == other.object_key
            and self.etag == other.etag
            and self.size == other.size
            and abs(self.modified_s - other.modified_s) <= window
        )

    def confirmed_by(self, other: "ObjectVersion") -> "ObjectVersion":
        """Take over the exact time of the same version as a listing or a HEAD shows it."""
        return replace(self, modified_s=other.modified_s, is_estimated=other.is_estimated) if self.is_estimated else self


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What HEAD and GET tell of an object.

    Attributes:
        version: identity of the bytes.
        metadata: user metadata, names in lower case without ``x-amz-meta-``.
        key_md5: MD5 of the customer key that opens it; None: it is not SSE-C and was read without a key.
        storage_class: as the server names it, ``STANDARD`` when it says nothing.
        version_id: in versioned buckets.
    """

    version: ObjectVersion
    metadata: Mapping[str, str]
    key_md5: str | None
    storage_class: str = "STANDARD"
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a listing, entries sorted by UTF-8 bytes of the object key.

    Attributes:
        objects: versions as listed (exact times).
        common_prefixes: prefixes that end in the delimiter.
        next_token: for the next page; None: this is the last.
    """

    objects: tuple[ObjectVersion, ...]
    common_prefixes: tuple[str, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload in progress; the key MD5 names the customer key that it is bound to."""

    object_key: ObjectKey
    upload_id: str
    key_md5: str


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """One stored part; part_number is 1 to 10 000."""

    part_number: int
    etag: ETag
    size: int


@dataclass(frozen=True, slots=True)
class Always:
    """Upload whatever is there."""


class Absence(Enum):
    """How a caller knows that a name has no object."""

    UNKNOWN = "not at all"
    LISTED = "from a listing that is still trusted"


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """Upload only when no object has the name (``If-None-Match: *``).

    Attributes:
        absence: spares the look at an endpoint that cannot check the condition itself.
    """

    absence: Absence = Absence.UNKNOWN


@dataclass(frozen=True, slots=True)
class IfUnchanged:
    """Upload only over this version (``If-Match``)."""

    base: ObjectVersion


PutCondition = Always | IfAbsent | IfUnchanged
