"""What was seen of a name on the server, and whether that is still about the same thing. Values, no I/O.

Imported by ``fs.nodes``.
"""

from dataclasses import dataclass

from ssecfs.s3.types import ObjectVersion
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, Knowledge
from ssecfs.tree.listing import Entry, EntryKind


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a name on the server.

    Attributes:
        as_of: loop time at which it was asked for.
    """

    attrs: Attrs
    version: ObjectVersion | None
    as_of: float
    knowledge: Knowledge


class MovedError(Exception):
    """The directory was renamed while we asked about something in it: what we were told is of its old name."""


def require_path(directory: Inode, path: str) -> None:
    """Insist that a directory still has a path.

    Raises:
        MovedError: it was renamed.
    """
    if directory.path != path:
        raise MovedError


def is_same_version(one: ObjectVersion | None, other: ObjectVersion | None) -> bool:
    """Tell whether two objects, or absences of one, are the same."""
    if one is None or other is None:
        return one is other
    return one.is_same(other)


def is_current(inode: Inode, entry: Entry) -> bool:
    """Tell whether a fully known file is the listed version. Directories are not told apart by listings."""
    return (
        inode.knowledge is Knowledge.FULL
        and inode.version is not None
        and entry.kind is EntryKind.OBJECT
        and entry.version is not None
        and inode.version.is_same(entry.version)
    )
