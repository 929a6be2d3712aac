"""Removed: which objects are still to be deleted on the server, recorded so that a crash does not bring them back.

Imported by ``removal``, ``recovery`` and ``app``. Only mounts with write-back put deletions off.
"""

import logging
from collections.abc import Sequence
from typing import Final

from ssecfs.cache.journal import Journal, RecordId
from ssecfs.errors import LocalError
from ssecfs.fs.closing import Durability
from ssecfs.s3.types import ObjectKey, ObjectVersion

LOGGER: Final = logging.getLogger(__name__)


class Removed:
    """Records removals.

    Owns: which record is whose, by object key.
    """

    def __init__(self, journal: Journal, durability: Durability) -> None:
        """Take the journal; where close waits for the server, so do removals, and nothing is recorded."""
        self._journal = journal
        self._durability = durability
        self._records: dict[ObjectKey, RecordId] = {}

    def note(self, version: ObjectVersion) -> None:
        """An object is about to be deleted; should it not be recorded, a crash brings it back."""
        if self._durability is Durability.SERVER or version.object_key in self._records:
            return
        record_id = self._journal.new_id()
        try:
            self._journal.store_removal(record_id, version)
        except LocalError as error:
            LOGGER.warning("a removal could not be recorded: %s", error)
            return
        self._records[version.object_key] = record_id

    def adopt(self, record_id: RecordId, version: ObjectVersion) -> None:
        """A removal of an earlier mount is about to be done."""
        self._records[version.object_key] = record_id

    def note_deleted(self, object_keys: Sequence[ObjectKey]) -> None:
        """Objects are gone from the server, or stay there for good."""
        found = (self._records.pop(object_key, None) for object_key in object_keys)
        self._journal.remove_removals([record_id for record_id in found if record_id is not None])
