"""What the journal records, and the JSON that is sealed into its rows. Pure, no I/O.

Imported by ``cache.journal`` and by the floors above that fill and read the records.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ssecfs.cache.seal import ContentId
from ssecfs.s3.types import ETag, ObjectKey, ObjectVersion, Upload


class Phase(Enum):
    """What a program was told of the content."""

    OPEN = "open"
    """Nothing: it was still being written, or writing it to the server failed and the program knows."""
    CLOSED = "closed"
    """That it is safe: close or fsync succeeded."""
    REMOVING = "removing"
    """That it is safe; then removing the file began."""


@dataclass(frozen=True, slots=True)
class SpooledContent:
    """Where the dirty bytes of a file are.

    Attributes:
        content_id: of the containers.
        masks: segment number to bit mask of its sealed blocks.
        inline: block number to its bytes, for what is in no container.
        generations: of the blocks, where they are not 0.
    """

    content_id: ContentId
    masks: Mapping[int, int]
    inline: Mapping[int, bytes]
    generations: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class ContentRecord:
    """The content of a file, as far as it is not that of a version on the server.

    Attributes:
        size: bytes.
        base: the version that it started from; None: there was none.
        base_limit: from here on nothing of the base counts.
        dirty: extents, as pairs of start and stop, whose bytes are spooled.
        spooled: None: there are none.
    """

    size: int
    base: ObjectVersion | None
    base_limit: int
    dirty: tuple[tuple[int, int], ...]
    spooled: SpooledContent | None


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file with unsaved content.

    Attributes:
        path: as programs see it, relative to the mount point.
        phase: see there.
        metadata: its attributes in the form of the object's user metadata.
        version: what it replaces on the server; None: nothing.
        seals: of uploads that may have arrived, of this content or of earlier ones.
        sent: those of uploads that began since it was recorded so: they are of this content, or of a later one.
        noted_s: when it was recorded, seconds since the epoch.
    """

    path: bytes
    phase: Phase
    metadata: Mapping[str, str]
    version: ObjectVersion | None
    seals: frozenset[str]
    sent: frozenset[str]
    noted_s: int
    content: ContentRecord


class Step(Enum):
    """How far the rename of a directory is."""

    COPYING = "copying"
    """Everything is complete under the old name; what is under the new one are copies."""
    DELETING = "deleting"
    """Everything is complete under the new name."""


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """The rename of a directory, under way.

    Attributes:
        source, target: prefixes that end in a slash.
        source_path, target_path: the directory as programs see it, relative to the mount point.
        had_target: whether there was an empty directory of the new name.
        copied_s: newest LastModified of a copy, seconds since the epoch by the server's clock; 0 while copying.
        old_markers: of another form than ours, to be deleted as well.
    """

    step: Step
    source: str
    target: str
    source_path: bytes
    target_path: bytes
    had_target: bool
    copied_s: int = 0
    old_markers: tuple[ObjectKey, ...] = ()


def format_move(move: MoveRecord) -> bytes:
    """The JSON of a rename."""
    fields = {
        "step": move.step.value,
        "source": move.source,
        "target": move.target,
        "source_path": move.source_path.decode("utf-8", "surrogateescape"),
        "target_path": move.target_path.decode("utf-8", "surrogateescape"),
        "had_target": move.had_target,
        "copied_s": move.copied_s,
        "old_markers": move.old_markers,
    }
    return json.dumps(fields).encode()


def parse_move(text: bytes) -> MoveRecord:
    """The inverse of format_move.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    fields = json.loads(text)
    return MoveRecord(
        step=Step(fields["step"]),
        source=fields["source"],
        target=fields["target"],
        source_path=fields["source_path"].encode("utf-8", "surrogateescape"),
        target_path=fields["target_path"].encode("utf-8", "surrogateescape"),
        had_target=fields["had_target"],
        copied_s=fields["copied_s"],
        old_markers=tuple(map(ObjectKey, fields["old_markers"])),
    )


def format_file(record: FileRecord) -> bytes:
    """The JSON of a file."""
    content = record.content
    spooled = content.spooled
    fields = {
        "path": record.path.decode("utf-8", "surrogateescape"),
        "phase": record.phase.value,
        "metadata": dict(record.metadata),
        "version": _version_fields(record.version),
        "seals": sorted(record.seals),
        "sent": sorted(record.sent),
        "noted_s": record.noted_s,
        "size": content.size,
        "base": _version_fields(content.base),
        "base_limit": content.base_limit,
        "dirty": content.dirty,
        "spooled": _spooled_fields(spooled) if spooled is not None else None,
    }
    return json.dumps(fields).encode()


def _version_fields(version: ObjectVersion | None) -> list[object] | None:
    if version is None:
        return None
    return [version.object_key, version.etag, version.size, version.modified_s, version.is_estimated]


def _spooled_fields(spooled: SpooledContent) -> dict[str, object]:
    return {
        "content_id": spooled.content_id.hex(),
        "masks": {number: f"{mask:x}" for number, mask in spooled.masks.items()},
        "inline": {number: base64.b64encode(block).decode("ascii") for number, block in spooled.inline.items()},
        "generations": dict(spooled.generations),
    }


def parse_file(text: bytes) -> FileRecord:
    """The inverse of format_file; errors as parse_move."""
    fields = json.loads(text)
    spooled = fields["spooled"]
    content = ContentRecord(
        size=fields["size"],
        base=_parse_version(fields["base"]),
        base_limit=fields["base_limit"],
        dirty=tuple((start, stop) for start, stop in fields["dirty"]),
        spooled=_parse_spooled(spooled) if spooled is not None else None,
    )
    return FileRecord(
        path=fields["path"].encode("utf-8", "surrogateescape"),
        phase=Phase(fields["phase"]),
        metadata=fields["metadata"],
        version=_parse_version(fields["version"]),
        seals=frozenset(fields["seals"]),
        sent=frozenset(fields["sent"]),
        noted_s=fields["noted_s"],
        content=content,
    )


def _parse_version(fields: list[Any] | None) -> ObjectVersion | None:
    if fields is None:
        return None
    object_key, etag, size, modified_s, is_estimated = fields
    return ObjectVersion(ObjectKey(object_key), ETag(etag), size, modified_s, is_estimated)


def _parse_spooled(fields: Mapping[str, Any]) -> SpooledContent:
    return SpooledContent(
        ContentId(bytes.fromhex(fields["content_id"])),
        {int(number): int(mask, 16) for number, mask in fields["masks"].items()},
        {int(number): base64.b64decode(block) for number, block in fields["inline"].items()},
        {int(number): generation for number, generation in fields["generations"].items()},
    )


def format_removal(version: ObjectVersion) -> bytes:
    """The JSON of an object that is to be deleted."""
    return json.dumps(_version_fields(version)).encode()


def parse_removal(text: bytes) -> ObjectVersion:
    """The inverse of format_removal; errors as parse_move."""
    version = _parse_version(json.loads(text))
    if version is None:
        message = "a removal names no version"
        raise ValueError(message)
    return version


def format_upload(upload: Upload) -> bytes:
    """The JSON of a multipart upload."""
    return json.dumps([upload.object_key, upload.upload_id, upload.key_md5]).encode()


def parse_upload(text: bytes) -> Upload:
    """The inverse of format_upload; errors as parse_move."""
    object_key, upload_id, key_md5 = json.loads(text)
    return Upload(ObjectKey(object_key), upload_id, key_md5)
