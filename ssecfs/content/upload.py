"""Upload of one open file: at once, in parts, or as a patch of its base. No decision when (``fs.saving``), no names (``tree``).

Imported by ``fs``.
"""

import hashlib
from collections.abc import Callable, Mapping

from ssecfs.content.openfile import OpenFile
from ssecfs.s3.copying import Copier, Patch
from ssecfs.s3.multipart import SINGLE_PUT_BYTES, Reader, upload_parts
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
    base = open_file.base
    if base is None or open_file.size <= SINGLE_PUT_BYTES:
        return await send_all(
            store, open_file, open_file.read_whole, object_key, metadata_for=metadata_for, condition=condition
        )
    patch = Patch(base, open_file.clean, open_file.size, open_file.read_whole)
    return await copier.store_patched(patch, object_key, metadata_for(open_file.sha256), condition)


async def send_all(
    store: ObjectStore,
    open_file: OpenFile,
    read: Reader,
    object_key: ObjectKey,
    *,
    metadata_for: MetadataFor,
    condition: PutCondition,
) -> ObjectVersion:
    """As upload, but every byte is read and sent, whatever the server could copy."""
    size = open_file.size
    if size > SINGLE_PUT_BYTES:
        metadata = metadata_for(open_file.sha256)
        return await upload_parts(store, object_key, size, read, metadata=metadata, condition=condition)
    body = await read(ByteRange(0, size))
    digest = open_file.sha256 or hashlib.sha256(body).hexdigest()
    return await store.put(object_key, body, metadata_for(digest), condition)
