"""Unfinished: multipart uploads under way, recorded so that the mount after a crash drops what they have left on the server.

Imported by ``fs.recovery`` and ``app``. Nobody sees the parts of such an upload, and everybody pays for them.
"""

import logging
from collections.abc import Mapping
from typing import Final

from ssecfs.cache.journal import Journal, RecordId
from ssecfs.errors import LocalError, StoreError
from ssecfs.log import digest_name
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Upload
from ssecfs.tasks import open_tasks

LOGGER: Final = logging.getLogger(__name__)


class Unfinished:
    """Records uploads; an UploadLog.

    Owns: which record is whose, by upload id.
    """

    def __init__(self, journal: Journal) -> None:
        """Take the journal."""
        self._journal = journal
        self._records: dict[str, RecordId] = {}

    def note_begun(self, upload: Upload) -> None:
        """See UploadLog. It survives the end of the daemon, not always a power cut: nobody waits for the disk here."""
        record_id = self._journal.new_id()
        try:
            self._journal.store_upload(record_id, upload)
        except LocalError as error:
            LOGGER.warning("after a crash now, the parts of an upload would stay on the server: %s", error)
            return
        self._records[upload.upload_id] = record_id

    def note_ended(self, upload: Upload) -> None:
        """See UploadLog."""
        record_id = self._records.pop(upload.upload_id, None)
        if record_id is not None:
            self._journal.remove_upload(record_id)

    async def drop(self, left: Mapping[RecordId, Upload], store: ObjectStore) -> None:
        """Drop what uploads of an earlier mount have left; what cannot be dropped is left to the next mount.

        Args:
            left: what the journal held before any upload of this mount.
            store: one that tells us of what it drops.
        """

        async def drop(record_id: RecordId, upload: Upload) -> None:
            self._records[upload.upload_id] = record_id
            try:
                await store.abort_upload(upload)
            except StoreError as error:
                del self._records[upload.upload_id]
                what = digest_name(upload.object_key)
                LOGGER.warning("parts of an interrupted upload of object %s are still on the server: %s", what, error)

        async with open_tasks() as nursery:
            for record_id, upload in left.items():
                nursery.start_soon(drop, record_id, upload)
