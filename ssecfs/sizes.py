"""Byte counts: the units, and their text form (``1GiB``, ``128 KiB``).

Floor 0: standard library only, no I/O. Anyone may import it.
"""

import re
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

_UNITS: Final = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_SIZE_TEXT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Read a byte count such as ``4096``, ``128K``, ``1.5GiB``; every unit is a power of 1024.

    Raises:
        ValueError: the text is no byte count.
    """
    found = _SIZE_TEXT.fullmatch(text)
    if found is None:
        message = f"{text!r} is no size: write a number with K, M, G or T, for example 512M"
        raise ValueError(message)
    number, unit = found.groups()
    return int(float(number) * _UNITS[unit.lower()]) if "." in number else int(number) * _UNITS[unit.lower()]


def format_size(size_bytes: int) -> str:
    """Show a byte count for people: ``0 B``, ``4.0 KiB``, ``1.5 GiB``."""
    if size_bytes < KIB:
        return f"{size_bytes} B"
    for unit, name in ((KIB, "KiB"), (MIB, "MiB"), (GIB, "GiB")):
        if size_bytes < unit * 1024:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes / TIB:.1f} TiB"
