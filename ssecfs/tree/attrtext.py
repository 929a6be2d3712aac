"""How attributes are written as text in user metadata, by us and by other tools. Pure, no I/O.

What lives here: times, modes, numbers and extended attributes, each from text and to text. What does not: which metadata name
holds what (``attrs``). Imported by ``tree.attrs``.

Source: s3fs 1.90 and rclone 1.60, by trial; AWS guides of FSx for Lustre and DataSync on POSIX metadata.
"""

import base64
import binascii
import json
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MAX_ID: Final = (1 << 32) - 1

STORED_TYPES: Final = frozenset({stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK})
"""What one object can be; directories are markers."""

_SECONDS: Final = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,9})\d*)?")
_UNITS: Final = re.compile(r"(-?\d{1,19})(ns)?")
_RFC_3339: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")
_KNOWN_TYPES: Final = STORED_TYPES | {0, stat.S_IFDIR}
_MAX_MODE: Final = 0o177777


def format_time(time_ns: int) -> str:
    """Seconds since the epoch with nine digits after the point; parse_time is its inverse."""
    seconds, rest_ns = divmod(abs(time_ns), NS_PER_S)
    return f"{'-' if time_ns < 0 else ''}{seconds}.{rest_ns:09}"


def parse_time(text: str) -> int | None:
    """Nanoseconds since the epoch, from decimal seconds (s3fs, rclone) or RFC 3339 (rclone, gcsfuse); None: neither."""
    if found := _SECONDS.fullmatch(text.strip()):
        sign, seconds, fraction = found.groups()
        time_ns = int(seconds) * NS_PER_S + _nanoseconds(fraction)
        return -time_ns if sign else time_ns
    if found := _RFC_3339.fullmatch(text.strip()):
        moment, fraction, zone = found.groups()
        try:
            seconds_s = datetime.fromisoformat(moment + zone.upper()).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            return None
        return int(seconds_s) * NS_PER_S + _nanoseconds(fraction)
    return None


def parse_time_with_unit(text: str) -> int | None:
    """Nanoseconds since the epoch, as FSx and DataSync write them: ``…ns``, or milliseconds; None: neither."""
    found = _UNITS.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = found.groups()
    return int(number) * (1 if unit else NS_PER_MS)


def _nanoseconds(fraction: str | None) -> int:
    return int((fraction or "0").ljust(9, "0"))


def parse_id(text: str) -> int | None:
    """A user or group number; None: it is none."""
    return int(text) if _is_digits(text) and int(text) <= MAX_ID else None


def parse_mode(text: str, default: int) -> int | None:
    """A mode as s3fs and s3sync write it: decimal, with the file type but for new directories; else octal; None: it is none.

    Args:
        text: the value.
        default: its file type counts where the text has none, and where the text would make a directory of an object or the
            other way round.
    """
    if not _is_digits(text) or text.startswith("0"):
        return parse_octal_mode(text, default)
    usual = {0, stat.S_IFDIR} if stat.S_ISDIR(default) else STORED_TYPES | {stat.S_IFDIR}
    mode = int(text)
    return _with_type(mode, default) if mode <= _MAX_MODE and stat.S_IFMT(mode) in usual else parse_octal_mode(text, default)


def parse_octal_mode(text: str, default: int) -> int | None:
    """A mode in octal, with the file type (rclone: 100644) or without (DataSync: 0644); None: it is none."""
    if not _is_digits(text) or set(text) & set("89"):
        return None
    mode = int(text, 8)
    return _with_type(mode, default) if mode <= _MAX_MODE and stat.S_IFMT(mode) in _KNOWN_TYPES else None


def _with_type(mode: int, default: int) -> int:
    kind = stat.S_IFMT(mode)
    if stat.S_ISDIR(default) or kind not in STORED_TYPES:
        kind = stat.S_IFMT(default)
    return kind | stat.S_IMODE(mode)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10  # noqa: PLR2004 - 32 bits have no more


def format_xattrs(xattrs: Mapping[bytes, bytes]) -> str:
    """Extended attributes as s3fs writes them: a JSON object of base64 values, percent-encoded; parse_xattrs is its inverse."""
    values = {name.decode("utf-8", "surrogateescape"): base64.b64encode(value).decode() for name, value in xattrs.items()}
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return quote(text.encode("utf-8", "surrogateescape"))


def parse_xattrs(text: str) -> dict[bytes, bytes] | None:
    """Extended attributes; None: the text makes no sense."""
    try:
        values = json.loads(unquote_to_bytes(text).decode("utf-8", "surrogateescape"))
        return {
            name.encode("utf-8", "surrogateescape"): base64.b64decode(value, validate=True) for name, value in values.items()
        }
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
