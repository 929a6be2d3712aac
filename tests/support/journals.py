"""Small journals, as files, and what a damaged one still tells. Imported by tests of the cache."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ssecfs.cache.journal import Journal
from ssecfs.cache.records import ContentRecord, FileRecord, MoveRecord, Phase, SpooledContent, Step
from ssecfs.cache.seal import ContentId

CIPHER = AESGCM(bytes(32))
NAMESPACE_ID = bytes(16)
CONTENT_ID = ContentId(b"c" * 16)
MOVE = MoveRecord(Step.COPYING, "old/", "new/", b"old", b"new", had_target=False)

Files = Mapping[str, bytes]
"""The content of a folder, by name."""


def file_record(path: bytes, content: bytes = b"content") -> FileRecord:
    """A closed file, recorded inline."""
    spooled = SpooledContent(CONTENT_ID, {}, {0: content}, {})
    size = len(content)
    return FileRecord(
        path,
        Phase.CLOSED,
        {"mode": "33188"},
        None,
        frozenset(),
        frozenset(),
        0,
        ContentRecord(size, None, 0, ((0, size),), spooled),
    )


def open_journal(folder: Path, cipher: AESGCM = CIPHER, namespace_id: bytes = NAMESPACE_ID) -> Journal:
    return Journal(folder / "journal.sqlite", cipher, namespace_id)


@dataclass(frozen=True)
class Small:
    """A journal with two files and a rename.

    Attributes:
        killed: as a daemon leaves it that was killed: what came last is in the log alone.
        closed: as it is after an orderly end.
    """

    records: tuple[FileRecord, FileRecord]
    killed: Files
    closed: Files


def make_small(folder: Path) -> Small:
    records = (file_record(b"first"), file_record(b"second", b"x" * 5000))
    folder.mkdir()
    with closing(open_journal(folder)) as journal:
        journal.store(journal.new_id(), records[0])
    with closing(open_journal(folder)) as journal:
        journal.store(journal.new_id(), records[1])
        journal.store_move(journal.new_id(), MOVE)
        killed = read_files(folder)
    return Small(records, killed, read_files(folder))


def read_files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_files(folder: Path, files: Files) -> None:
    """Make a folder hold these files and no others."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
