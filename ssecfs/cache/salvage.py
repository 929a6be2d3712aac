"""What can still be read of a damaged SQLite file that has a write-ahead log. Synchronous, no trio.

Imported by ``cache.journal``. SQLite takes a log up to the first frame whose checksum is wrong, and says nothing of the rest: a
damaged byte is an end to it. So the log is looked at first. What is in its frames is saved by giving the frames of a copy new
checksums; whether it is true, the seals of the records tell.

The log, in big-endian numbers: a header of 32 bytes (magic, version, page size, sequence, two salts, two checksums), then
frames of 24 bytes (page number, size of the file if a transaction ends, the salts, two checksums) and a page. Frames that are
left over from before have other salts.
"""

import shutil
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

PAGE_BYTES: Final = 4096
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_FRAME_BYTES: Final = _FRAME.size + PAGE_BYTES
_MAGIC: Final = 0x377F0682 + (sys.byteorder == "big")
_VERSION: Final = 3007000

Row = tuple[str, int, bytes]
"""Table, record id, value."""

_Sums = tuple[int, int]


def is_sound(path: Path) -> bool:
    """Tell whether a file looks whole, and its log holds no transaction beyond the end that SQLite sees; there may be neither.

    What a transaction that did not end left in the log is no damage.
    """
    size = path.stat().st_size if path.exists() else 0
    if size % PAGE_BYTES or (is_log_begun(path) and not size):
        return False
    log = _read_log(path)
    mended = _mended(log)
    is_whole = log[: _HEADER.size] == mended[: _HEADER.size] or not mended
    for start in range(_HEADER.size, len(mended), _FRAME_BYTES):
        is_whole = is_whole and log[start : start + _FRAME_BYTES] == mended[start : start + _FRAME_BYTES]
        _, ends_transaction, *_ = _FRAME.unpack_from(log, start)
        if ends_transaction and not is_whole:
            return False
    return True


def is_log_begun(path: Path) -> bool:
    """Tell whether there is something in the log of a file."""
    return len(_read_log(path)) > _HEADER.size


def read_rows(path: Path, tables: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """The rows of a damaged file that can be read, by their tables; the file and its log stay as they are.

    Returns:
        The rows as of the last transaction before the damage in the log, and those as of its end as far as it can be mended.
        After a power cut the first are what was synced, and the others may be any mixture; after other damage the others are
        newer. Which of them are true, their seals tell.

    Raises:
        OSError: no room for a copy.
    """
    log = _read_log(path)
    return _rows_with(path, log, tables), _rows_with(path, _mended(log), tables)


def _rows_with(path: Path, log: bytes, tables: Sequence[str]) -> list[Row]:
    """The rows of a file that would have another log."""
    rows: dict[tuple[str, int], bytes] = {}
    with TemporaryDirectory(dir=path.parent, prefix="salvage-") as folder:
        copy = Path(folder) / path.name
        with suppress(FileNotFoundError):
            shutil.copyfile(path, copy)
        Path(f"{copy}-wal").write_bytes(log)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            for table in tables:
                for order in ("ASC", "DESC"):  # from both ends, up to what is damaged
                    with suppress(sqlite3.Error, UnicodeDecodeError):
                        rows.update(_rows(connection, table, order))
    return [(table, record_id, value) for (table, record_id), value in rows.items()]


def _rows(connection: sqlite3.Connection, table: str, order: str) -> Iterator[tuple[tuple[str, int], bytes]]:
    statement = f"SELECT record_id, value FROM {table} WHERE typeof(value) = 'blob' ORDER BY record_id {order}"
    for record_id, value in connection.execute(statement):
        yield (table, record_id), value


def _read_log(path: Path) -> bytes:
    try:
        return Path(f"{path}-wal").read_bytes()
    except FileNotFoundError:
        return b""


def _mended(log: bytes) -> bytes:
    """The header and the frames of a log as they would be with the right salts and checksums, up to the first foreign frame."""
    if len(log) < _HEADER.size + _FRAME_BYTES:
        return b""
    magic, version, page_bytes, sequence, *salts, first, second = _HEADER.unpack_from(log)
    if (magic, version, page_bytes) != (_MAGIC, _VERSION, PAGE_BYTES) or _checksum(log[:24], (0, 0)) != (first, second):
        salts = list(_FRAME.unpack_from(log, _HEADER.size)[2:4])
    header = struct.pack(">6I", _MAGIC, _VERSION, PAGE_BYTES, sequence, *salts)
    sums = _checksum(header, (0, 0))
    pieces = [header, struct.pack(">2I", *sums)]
    for start in range(_HEADER.size, len(log) - _FRAME_BYTES + 1, _FRAME_BYTES):
        page_no, size, *found, _, _ = _FRAME.unpack_from(log, start)
        if found[0] != salts[0] and found[1] != salts[1]:
            break
        head = struct.pack(">2I", page_no, size)
        page = log[start + _FRAME.size : start + _FRAME_BYTES]
        sums = _checksum(page, _checksum(head, sums))
        pieces += [head, struct.pack(">4I", *salts, *sums), page]
    return b"".join(pieces)


def _checksum(content: bytes, sums: _Sums) -> _Sums:
    first, second = sums
    words = iter(struct.unpack(f"={len(content) // 4}I", content))
    for word in words:
        first = (first + word + second) & 0xFFFFFFFF
        second = (second + next(words) + first) & 0xFFFFFFFF
    return first, second
