"""Upload of one open file: at once, in parts, or as a patch of its base. No decision when (``fs.saving``), no names (``tree``).

Imported by ``fs``.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping

from ssecfs.content.openfile import OpenFile
from ssecfs.s3.copying import Copier, Patch
from ssecfs.s3.multipart import SINGLE_PUT_BYTES, Reader
from ssecfs.s3.types import ObjectKey, ObjectVersion, PutCondition

MetadataFor = Callable[[str | None], Awaitable[Mapping[str, str]]]
"""Gives the metadata, once the SHA-256 of the content (hex, None: unknown) is known."""


async def upload(
    copier: Copier, open_file: OpenFile, object_key: ObjectKey, metadata_for: MetadataFor, condition: PutCondition
) -> ObjectVersion:
    """Store the content of a file that is held still; the caller notes the result.

    Raises:
        ObjectExistsError: the condition fails.
        ObjectChangedError: the condition fails, or the base is another version by now.
        StoreError: the endpoint refused or could not be reached.
    """
    base = open_file.base
    if base is None or open_file.size <= SINGLE_PUT_BYTES:
        return await send_all(copier, open_file, open_file.read_whole, object_key, metadata_for, condition)
    patch = Patch(base, open_file.clean, open_file.size, open_file.read_whole)
    return await copier.store_patched(patch, object_key, await metadata_for(open_file.sha256), condition)


async def send_all(
    copier: Copier,
    open_file: OpenFile,
    read: Reader,
    object_key: ObjectKey,
    metadata_for: MetadataFor,
    condition: PutCondition,
) -> ObjectVersion:
    """As upload, but every byte is read and sent, whatever the server could copy."""

    async def metadata_of(body: bytes | None) -> Mapping[str, str]:
        digest = open_file.sha256
        if digest is None and body is not None:
            digest = hashlib.sha256(body).hexdigest()
        return await metadata_for(digest)

    return await copier.send(open_file.size, read, object_key, metadata_of, condition)
