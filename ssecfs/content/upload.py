"""Upload of one open file: at once, in parts, or as a patch of its base. No decision when (``fs.saving``), no names (``tree``).

Imported by ``fs``.
"""

import hashlib
from collections.abc import Callable, Mapping

from ssecfs.content.openfile import OpenFile
from ssecfs.s3.copying import Copier, Patch
from ssecfs.s3.multipart import SINGLE_PUT_BYTES, upload_parts
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ByteRange, ObjectKey, ObjectVersion, PutCondition

MetadataFor = Callable[[str | None], Mapping[str, str]]
"""Gives the metadata, once the SHA-256 of the content (hex, None: unknown) is known."""


async def upload(
    store: ObjectStore,
    copier: Copier,
    open_file: OpenFile,
    object_key: ObjectKey,
    *,
    metadata_for: MetadataFor,
    condition: PutCondition,
) -> ObjectVersion:
    """Store the content of a file that is held still; the caller notes the result.

    Raises:
        ObjectExistsError: the condition fails.
        ObjectChangedError: the condition fails, or the base is another version by now.
        StoreError: the endpoint refused or could not be reached.
    """
    size = open_file.size
    if size <= SINGLE_PUT_BYTES:
        body = await open_file.read_whole(ByteRange(0, size))
        digest = open_file.sha256 or hashlib.sha256(body).hexdigest()
        return await store.put(object_key, body, metadata_for(digest), condition)
    metadata = metadata_for(open_file.sha256)
    if open_file.base is None:
        return await upload_parts(store, object_key, size, open_file.read_whole, metadata=metadata, condition=condition)
    patch = Patch(open_file.base, open_file.clean, size, open_file.read_whole)
    return await copier.store_patched(patch, object_key, metadata, condition)
