"""CompleteMultipartUpload."""

import hashlib
import os
from typing import Final
from xml.etree.ElementTree import Element

from ssecfs.server import checksums
from ssecfs.server.call import Call
from ssecfs.server.checksums import ALGORITHMS, COMPOSITE, Checksum, open_checksum
from ssecfs.server.conditions import check_completion
from ssecfs.server.errors import S3Error
from ssecfs.server.operations.multipart import part_key, upload_of
from ssecfs.server.operations.objects import new_object
from ssecfs.server.profiles import Case, ETags
from ssecfs.server.records import StoredPart, StoredUpload
from ssecfs.server.request import parse_number
from ssecfs.server.response import Response, Tree, document
from ssecfs.server.xml import child_text, children, malformed, parse_document

MIN_PART_BYTES: Final = 5 << 20
MAX_DOCUMENT_BYTES: Final = 4 << 20


async def complete_upload(call: Call) -> Response:
    """Turn parts into an object. A key must fit if it is given; checksums need one."""
    call.body.ignore_checksum()  # what the headers say is said of the object
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "CompleteMultipartUpload")
    upload = upload_of(call)
    given = call.customer_key() if call.profile.checks_completion_key else None
    needs_key = upload.seal.is_ssec and bool(upload.checksum[0])
    data_key = part_key(call, upload, given) if given is not None or needs_key or not upload.seal.is_ssec else b""
    parts = {part.part_number: part for part in call.storage.uploads.parts(upload.upload_id)}
    chosen = _chosen_parts(call, root, upload, parts)
    size = sum(part.piece.size for part in chosen)
    _check_size(call, size)
    checksum = _whole_checksum(call, root, upload, chosen, data_key)
    check_completion(call, upload)
    stored = new_object(
        call,
        upload.seal,
        tuple(part.piece for part in chosen),
        _whole_etag(call, upload, chosen),
        headers=dict(upload.headers),
        tags=dict(upload.tags),
        checksums=checksum.sealed(data_key, upload.seal.object_id) if checksum else "",
    )
    call.storage.finish_upload(upload.upload_id, stored)
    tree: list[tuple[str, Tree]] = [
        ("Location", f"/{call.bucket}/{call.object_key}"),
        ("Bucket", call.bucket),
        ("Key", call.object_key),
        ("ETag", stored.etag if call.profile.names_completed else ""),
    ]
    if checksum:
        tree += [(f"Checksum{checksum.algorithm.upper()}", checksum.value), ("ChecksumType", checksum.kind)]
    shown = {} if upload.seal.is_ssec else call.echo(None)
    return document("CompleteMultipartUploadResult", tree, headers=shown | call.new_version_headers(stored))


def _chosen_parts(call: Call, root: Element, upload: StoredUpload, parts: dict[int, StoredPart]) -> list[StoredPart]:
    """The parts that a Complete document names, by their numbers.

    Raises:
        S3Error: MalformedXML, InvalidPartOrder, InvalidPart, EntityTooSmall.
    """
    chosen: list[StoredPart] = []
    for item in children(root, "Part"):
        number = parse_number((child_text(item, "PartNumber") or "").strip())
        if number is None:
            raise malformed()
        if chosen and number <= chosen[-1].part_number:
            call.profile.refuse(Case.PART_ORDER, UploadId=upload.upload_id)
        part = parts.get(number)
        etag = (child_text(item, "ETag") or "").strip().strip('"')
        if part is None or part.etag.strip('"') != etag:
            raise _invalid_part(upload, number, etag)
        chosen.append(part)
    if not chosen:
        raise malformed()
    chosen = sorted(set(chosen), key=lambda part: part.part_number)
    for part in chosen[:-1]:
        if part.piece.size < MIN_PART_BYTES:
            message = "Your proposed upload is smaller than the minimum allowed size"
            details = {"ProposedSize": str(part.piece.size), "MinSizeAllowed": str(MIN_PART_BYTES)}
            raise S3Error("EntityTooSmall", message, **details, PartNumber=str(part.part_number), ETag=part.etag.strip('"'))
    return chosen


def _check_size(call: Call, size: int) -> None:
    wanted = call.header("x-amz-mp-object-size")
    if wanted is not None and wanted != str(size):
        message = f"The provided 'x-amz-mp-object-size' header value {wanted} does not match what was computed: {size}"
        raise S3Error("InvalidRequest", message)


def _whole_checksum(
    call: Call, root: Element, upload: StoredUpload, chosen: list[StoredPart], data_key: bytes
) -> Checksum | None:
    """The object's checksum, computed from those of its parts and compared with what the client says.

    Raises:
        S3Error: InvalidRequest, InvalidPart, BadDigest.
    """
    algorithm, kind = upload.checksum
    if not algorithm:
        return None
    asked_kind = call.header("x-amz-checksum-type")
    if asked_kind is not None and asked_kind != kind:
        message = (
            f"The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode."
        )
        raise S3Error("InvalidRequest", message)
    kept = [open_checksum(part.checksum, data_key, upload.seal.object_id) for part in chosen]
    values = [checksum.value for checksum in kept if checksum is not None]
    _check_parts(root, upload, chosen, values)
    if kind == COMPOSITE:
        whole = checksums.composite(algorithm, values)
    else:
        sizes = [part.piece.size for part in chosen]
        whole = checksums.combined(algorithm, list(zip(values, sizes, strict=True)))
    wanted = call.header(f"{checksums.PREFIX}{algorithm}")
    if wanted is not None and wanted.partition("-")[0] != whole.value.partition("-")[0]:
        raise S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    return whole


def _check_parts(root: Element, upload: StoredUpload, chosen: list[StoredPart], values: list[str]) -> None:
    algorithm, kind = upload.checksum
    others = [name for name in ALGORITHMS if name != algorithm]
    for item, part, value in zip(children(root, "Part"), chosen, values, strict=True):
        said = child_text(item, f"Checksum{algorithm.upper()}")
        has_other = any(child_text(item, f"Checksum{name.upper()}") is not None for name in others)
        if said is None and kind == COMPOSITE and not has_other:
            message = (
                f"The upload was created using a {algorithm} checksum. The complete request must include the checksum for each "
                f"part. It was missing for part {part.part_number} in the request."
            )
            raise S3Error("InvalidRequest", message)
        if has_other or (said is not None and said.strip() != value):
            raise _invalid_part(upload, part.part_number, part.etag.strip('"'))


def _invalid_part(upload: StoredUpload, number: int, etag: str) -> S3Error:
    message = (
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag."
    )
    return S3Error("InvalidPart", message, UploadId=upload.upload_id, PartNumber=str(number), ETag=etag)


def _whole_etag(call: Call, upload: StoredUpload, chosen: list[StoredPart]) -> str:
    if upload.seal.is_ssec and call.profile.etags is ETags.RANDOM:
        return f'"{os.urandom(16).hex()}-{len(chosen)}"'
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in chosen)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(chosen)}"'
