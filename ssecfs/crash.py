"""Crash points: moments at which a test has the daemon kill itself, to see what the next mount makes of it.

Floor 1, imported by every floor above. ``SSECFS_CRASH_AT=POINT[:COUNT]`` in the environment of a daemon makes it send itself
SIGKILL when it gets to the point for the COUNT-th time (1 if not given). It is safe to leave in: who sets the environment of
a process can end it anyway, a killed daemon loses nothing that it acknowledged, and without the variable a point costs one
comparison. A name that is no point is never reached.
"""

import os
import signal
from enum import Enum
from typing import Final

CRASH_VARIABLE: Final = "SSECFS_CRASH_AT"


class CrashPoint(Enum):
    """Moments between two steps of which the second must not be missing for ever."""

    SPOOLED = "spooled"
    """The blocks of a closed file are sealed and synced; nothing is recorded."""
    RECORDED = "recorded"
    """A closed file is in the journal, which is not synced yet."""
    VOUCHED = "vouched"
    """The journal is synced; close has not returned."""
    SENDING = "sending"
    """The request of an upload, or of a copy onto itself, is about to go out."""
    PART_SENT = "part-sent"
    """A part of an upload is on the server."""
    STORED = "stored"
    """The server has a content, and its record is still there."""
    SETTLED = "settled"
    """The record of a content on the server is gone, its blocks are not yet clean ones."""
    MOVING = "moving"
    """A file has another name in the tables; in the journal it has the old one."""
    COPIED = "copied"
    """A file is under its new name on the server, and under the old one, too."""
    TREE_COPIED = "tree-copied"
    """A directory is under its new name on the server, and under the old one, too; the old one counts."""
    TREE_DECIDED = "tree-decided"
    """The journal says that a directory's new name counts; of the records of what is in it nothing has changed."""
    TREE_SWITCHED = "tree-switched"
    """Everything has the new name of a directory, and nothing is deleted under the old one."""
    DELETED = "deleted"
    """The object of a removed file is gone, its record is not."""
    TAKEN_UP = "taken-up"
    """A record of an earlier mount has been dealt with; there may be more."""
    FOUND_STORED = "found-stored"
    """The record of an earlier mount whose content had got to the server is gone, its blocks are not."""


_point, _, _count = os.environ.get(CRASH_VARIABLE, "").partition(":")
_left = int(_count) if _count.isdecimal() else 1


def reach(point: CrashPoint) -> None:
    """Tell that a point is reached: the process ends here if that was asked for. Atomic."""
    if _point and _point == point.value:
        _end_when_due()


def _end_when_due() -> None:
    global _left  # noqa: PLW0603 - counts down to the end of the process
    _left -= 1
    if not _left:
        os.kill(os.getpid(), signal.SIGKILL)
