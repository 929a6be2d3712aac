"""Extended attributes: get, list, set, remove.

Imported by ``fuse``. Only ``user.*`` is kept, in the object's metadata beside the other attributes: a change is saved as theirs
are, and there is room for little. Some that nobody set tell about the object (``user.ssecfs.*``); they are not listed, so that
no program copies them. Other namespaces are refused without a look at anything, because the kernel asks before each write.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ssecfs.cache.blockcache import BlockCache
from ssecfs.errors import NoAttributeError, NotPermittedError, UnsupportedError
from ssecfs.fs.files import Clock
from ssecfs.fs.nodes import Nodes
from ssecfs.fs.saving import Saver
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import ObjectInfo
from ssecfs.tree.attrs import require_room
from ssecfs.tree.inodes import Inode, Linkage

USER: Final = b"user."
OWN: Final = b"user.ssecfs."

ASKED: Final[Mapping[bytes, Callable[[ObjectInfo], str | None]]] = {
    b"user.ssecfs.key-md5": lambda info: info.key_md5,
    b"user.ssecfs.version-id": lambda info: info.version_id,
    b"user.ssecfs.storage-class": lambda info: info.storage_class,
}
"""What only a HEAD tells."""


class Xattrs:
    """Operations on extended attributes. Owns nothing."""

    def __init__(self, *, nodes: Nodes, saver: Saver, store: ObjectStore, cache: BlockCache, now_ns: Clock) -> None:
        """Take the collaborators."""
        self._nodes = nodes
        self._saver = saver
        self._store = store
        self._cache = cache
        self._now_ns = now_ns

    async def get(self, inode: Inode, name: bytes) -> bytes:
        """The value of an attribute.

        Raises:
            NoAttributeError: there is none of the name.
            UnsupportedError: a namespace that is not kept.
        """
        _require_user(name)
        attrs = await self._nodes.require_open(inode)
        value = await self._tell(inode, name) if name.startswith(OWN) else attrs.xattrs.get(name)
        if value is None:
            raise _missing(inode)
        return value

    async def names(self, inode: Inode) -> list[bytes]:
        """The names of the attributes that somebody set."""
        attrs = await self._nodes.require_open(inode)
        return [name for name in attrs.xattrs if name.startswith(USER) and not name.startswith(OWN)]

    async def set(self, inode: Inode, name: bytes, value: bytes) -> None:
        """Set an attribute, whether there is one of the name or not (the kernel's flags are dealt with above).

        Raises:
            AttributeTooBigError: the object's metadata cannot hold it.
            NotPermittedError: a name of ours.
            UnsupportedError: a namespace that is not kept.
        """
        _require_writable(name)
        attrs = await self._nodes.require_open(inode)
        after = attrs.with_xattrs({**attrs.xattrs, name: value})
        require_room(after)
        self._saver.note_changed(inode, replace(after, ctime_ns=self._now_ns()))

    async def remove(self, inode: Inode, name: bytes) -> None:
        """Remove an attribute.

        Raises:
            NoAttributeError: there is none of the name.
            NotPermittedError, UnsupportedError: as set.
        """
        _require_writable(name)
        attrs = await self._nodes.require_open(inode)
        if name not in attrs.xattrs:
            raise _missing(inode)
        rest = {other: value for other, value in attrs.xattrs.items() if other != name}
        self._saver.note_changed(inode, replace(attrs.with_xattrs(rest), ctime_ns=self._now_ns()))

    async def _tell(self, inode: Inode, name: bytes) -> bytes | None:
        """What we know about an object, or learn from a HEAD; None: nothing, or there is no object."""
        version = inode.version
        if version is None or inode.linkage is Linkage.UNLINKED:
            return None
        known = {
            b"user.ssecfs.seal": inode.attrs.seal.value,
            b"user.ssecfs.etag": version.etag.strip('"'),
            b"user.ssecfs.cached-bytes": str(self._cache.cached_bytes(version)),
        }
        text = known.get(name)
        if text is None and name in ASKED:
            text = ASKED[name](await self._store.head(version.object_key))
        return text.encode() if text is not None else None


def _require_user(name: bytes) -> None:
    if not name.startswith(USER):
        message = "only extended attributes of users are kept: user.*"
        raise UnsupportedError(message)


def _require_writable(name: bytes) -> None:
    _require_user(name)
    if name.startswith(OWN):
        message = "extended attributes named user.ssecfs.* tell about the object; they cannot be set or removed"
        raise NotPermittedError(message)


def _missing(inode: Inode) -> NoAttributeError:
    message = f"inode {inode.ino} has no extended attribute of that name"
    return NoAttributeError(message)
