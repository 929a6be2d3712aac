"""Which descriptors of a file a process has, as the kernel shows them.

Imported by ``fs.files``. A shell opens the target of ``> file``, duplicates the descriptor and closes the first one: without a
look at what is left, that close would store an empty object, to be replaced a moment later. Descriptors for reading do not
count: their close stores nothing.

Source: proc_pid_fdinfo(5); ``ino`` is there from Linux 5.14 on.
"""

import os
import re
from pathlib import Path
from typing import Final

MAX_LOOKED_AT: Final = 64
"""Descriptors that are looked at: a process with more is no shell, and the look would take longer than it is worth."""

_FLAGS: Final = re.compile(r"^flags:\t([0-7]+)$", re.MULTILINE)


def has_descriptor(pid: int, ino: int) -> bool:
    """Tell whether a process has a file open for writing, for certain: False when that cannot be found out.

    During close(2) the descriptor that is being closed does not count: the kernel has taken it from the table already.

    Args:
        pid: of a process or thread, in our own namespace.
        ino: inode number of the file.
    """
    wanted = f"\nino:\t{ino}\n"
    try:
        entries = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return False  # it has ended, or belongs to somebody else
    return len(entries) <= MAX_LOOKED_AT and any(wanted in text and _may_write(text) for text in map(_read, entries))


def _may_write(text: str) -> bool:
    flags = _FLAGS.search(text)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def _read(entry: Path) -> str:
    try:
        return entry.read_text()
    except OSError:
        return ""  # closed meanwhile
