"""What was told of objects, kept in the cache's index over remounts.

What lives here: the text form of that. What does not: whether it is still true (``attrbook``). Imported by ``attrbook`` and
``app``. A record says which version it is of; the index binds it to the object key and seals it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ssecfs.cache.index import Index
from ssecfs.s3.types import ETag, ObjectKey, ObjectVersion

FORMAT: Final = 1
"""Number of the text form; records in any other count as none."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was known of an object.

    Attributes:
        version: None: there was no such object (a directory without a marker).
        metadata: user metadata.
    """

    version: ObjectVersion | None
    metadata: Mapping[str, str]


class AttrShelf:
    """Object key to what was last known of the object. Owns nothing: the records are the index's."""

    def __init__(self, index: Index) -> None:
        """Take the index."""
        self._index = index

    def store(self, object_key: ObjectKey, record: Record) -> None:
        """Keep what is known of an object, in place of what was."""
        version = record.version
        shown = None if version is None else (version.etag, version.size, version.modified_s, version.is_estimated)
        text = json.dumps((FORMAT, shown, dict(record.metadata)), separators=(",", ":"))
        self._index.store_attributes(object_key, text.encode())

    def load(self, object_key: ObjectKey) -> Record | None:
        """What was kept of an object; None: nothing."""
        stored = self._index.load_attributes(object_key)
        if stored is None:
            return None
        number, *rest = json.loads(stored)
        if number != FORMAT:
            return None
        shown, metadata = rest
        if shown is None:
            return Record(None, metadata)
        etag, size, modified_s, is_estimated = shown
        return Record(ObjectVersion(object_key, ETag(etag), size, modified_s, is_estimated), metadata)

    def drop(self, object_key: ObjectKey) -> None:
        """Forget an object."""
        self._index.drop_attributes(object_key)
