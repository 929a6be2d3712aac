"""Names that the kernel shows, and the object keys that they stand for: one to the other. Pure, no I/O.

What lives here: prefix, markers, our own hidden folder, length limits, and the escapes. What does not: which names exist
(``directory``). Imported by ``tree`` and ``fs``.

An object key is PREFIX and components with slashes between them. A component is shown as it is, except:

- One that the kernel cannot show is *quoted*: NUL is written ``%00``, ``%`` is written ``%25``, and ``%=`` ends the name. So
  ``.`` is shown as ``.%=``, and the empty component of ``a//b`` as ``%=``.
- A file whose name a directory has too (``a`` beside ``a/b``) is shown with ``%file`` behind its name.
- A component of more than 255 bytes is shown *shortened*: its beginning, ``%``, 32 digits of its SHA-256, ``%long``.
- A name that is not UTF-8, as programs may give it, is quoted in the object key: the byte E9 is written ``%E9``.

What looks like one of these without being one is quoted once more. So every name stands for exactly one component, and the
other way round; only for a shortened name a listing must be asked which.

Source: S3 user guide, "Creating object key names"; DESIGN: key = PREFIX + path, a directory is a zero-byte marker ``dir/``.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from ssecfs.errors import BadRequestError, NameTooLongError
from ssecfs.s3.types import MAX_OBJECT_KEY_BYTES, ObjectKey

MAX_NAME_BYTES: Final = 255
SEPARATOR: Final = "/"
OWN_FOLDER: Final = ".ssecfs"
"""Hidden at the top of the mount: canary objects and journals live there."""

ROOT_MARKER: Final = ".ssecfs/root/"

FOLDER_SUFFIX: Final = "_$folder$"
"""Marker that Hadoop tools put beside a directory: ``dir_$folder$``."""

_DOTS: Final = frozenset({b"", b".", b".."})
_BESIDE: Final = b"%file"
_QUOTED: Final = b"%="
_SHORTENED: Final = re.compile(rb"%[0-9a-f]{32}%long\Z")
_MAX_HEAD_BYTES: Final = MAX_NAME_BYTES - len("%") - 32 - len("%long") - len(_BESIDE)


class Name(bytes):
    """One directory entry as the kernel shows it: 1 to 255 bytes without slash or NUL, neither ``.`` nor ``..``."""

    __slots__ = ()

    @property
    def component(self) -> str:
        """The component of object keys that the name stands for; show and show_beside are the inverses.

        Raises:
            BadRequestError: it is a shortened name that does not come from a listing.
        """
        if self.isascii() and self.find(b"%") < 0:
            return self.decode()  # nearly all of them
        plain = self.removesuffix(_BESIDE) if self.is_beside else bytes(self)
        if _SHORTENED.search(plain):
            message = "this name stands for one that is too long to be shown, and for none that is there"
            raise BadRequestError(message)
        innermost = _innermost(plain)
        if _is_alien(innermost):
            return _quote(plain).decode()
        if plain != innermost and _is_unshowable(innermost):
            unquoted = _unquote(plain)
            assert unquoted is not None, "there is something within"  # noqa: S101 - see _innermost
            return unquoted.decode()
        return plain.decode()

    @property
    def is_beside(self) -> bool:
        """Tell whether this is the name of a file beside a directory of the same name."""
        return _is_beside(self)

    @property
    def plain(self) -> "Name":
        """The name without regard to a directory that has it, too: that of the directory."""
        return show(self.component)

    @property
    def is_shortened(self) -> bool:
        """Tell whether only a listing knows the component."""
        return _SHORTENED.search(self.removesuffix(_BESIDE)) is not None


class _ShortenedName(Name):
    """A name that has to be told its component."""

    def __new__(cls, shown: bytes, component: str) -> Self:
        name = super().__new__(cls, shown)
        name._component = component
        return name

    _component: str

    @property
    def component(self) -> str:
        return self._component


def show(component: str) -> Name:
    """The name under which a component of an object key is shown."""
    plain = component.encode()
    if b"%" not in plain and b"\0" not in plain and plain not in _DOTS and len(plain) <= MAX_NAME_BYTES:
        return Name(plain)  # nearly all of them
    innermost = _innermost(plain)
    shown = plain
    if plain != innermost and _is_alien(innermost):
        shown = _unquote(plain) or plain
    elif _is_unshowable(innermost):
        shown = _quote(plain)
    return Name(shown) if len(shown) <= MAX_NAME_BYTES else _shorten(shown, component)


def show_beside(component: str) -> Name:
    """The name under which a file is shown when a directory has its name."""
    shown = show(component)
    if not shown.is_shortened and len(shown) + len(_BESIDE) <= MAX_NAME_BYTES:
        return Name(shown + _BESIDE)
    return _ShortenedName(_shorten(shown, component) + _BESIDE, component)


def check_name(raw_name: bytes) -> Name:
    """Accept a name that the kernel hands us.

    Raises:
        NameTooLongError: over 255 bytes.
    """
    if len(raw_name) > MAX_NAME_BYTES:
        message = f"a name has at most {MAX_NAME_BYTES} bytes, this one has {len(raw_name)}"
        raise NameTooLongError(message)
    return Name(raw_name)


def join_path(parent_path: str, name: Name) -> str:
    """The path of a file in a directory: its object key without the mount's prefix.

    Args:
        parent_path: of the directory; ends in a slash, or is empty for the root.
        name: of the file.
    """
    return parent_path + name.component


def join_directory_path(parent_path: str, name: Name) -> str:
    """The path of a directory in a directory; it ends in a slash."""
    return parent_path + name.component + SEPARATOR


def _shorten(shown: bytes, component: str) -> Name:
    head = shown[:_MAX_HEAD_BYTES].decode("utf-8", "ignore").encode()
    digits = hashlib.sha256(component.encode()).hexdigest()[:32].encode()
    return _ShortenedName(head + b"%" + digits + b"%long", component)


def _is_beside(name: bytes) -> bool:
    stem = name.removesuffix(_BESIDE)
    return stem != name and stem not in _DOTS and not _is_beside(stem)


def _is_unshowable(component: bytes) -> bool:
    """Tell whether a component has to be quoted: the kernel cannot show it, or it looks like another one's name."""
    if component in _DOTS or b"\0" in component:
        return _is_utf8(component)
    return (_is_beside(component) or _SHORTENED.search(component) is not None) and _is_utf8(component)


def _is_alien(name: bytes) -> bool:
    """Tell whether a name has to be quoted in object keys: they are UTF-8, and it is not."""
    if _is_utf8(name) or len(name) > MAX_NAME_BYTES or b"\0" in name:
        return False
    return not _is_beside(name) and _SHORTENED.search(name) is None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _quote(plain: bytes) -> bytes:
    text = plain.replace(b"%", b"%25").replace(b"\0", b"%00").decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda found: f"%{ord(found[0]) - 0xDC00:02X}", text).encode() + _QUOTED


def _unquote(text: bytes) -> bytes | None:
    """What was quoted; None: the text is no quotation."""
    if not text.endswith(_QUOTED):
        return None
    plain = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), text.removesuffix(_QUOTED))
    return plain if _quote(plain) == text else None


def _innermost(text: bytes) -> bytes:
    """What is left when all quotations are undone."""
    while (plain := _unquote(text)) is not None:
        text = plain
    return text


@dataclass(frozen=True, slots=True)
class Namespace:
    """The part of a bucket that is mounted.

    Attributes:
        prefix: empty, or ends in a slash.
    """

    prefix: str

    def file_key(self, path: str) -> ObjectKey:
        """The object key of a file.

        Args:
            path: as from join_path.

        Raises:
            NameTooLongError: the object key would be over 1024 bytes.
        """
        return checked_key(self.prefix + path)

    def marker_key(self, path: str) -> ObjectKey:
        """The object key of a directory's marker; that of a whole bucket's root lies in our own folder.

        Args:
            path: as from join_directory_path; empty for the root.
        """
        assert not path or path.endswith(SEPARATOR), "a directory's path ends in a slash"  # noqa: S101 - a bug, not an input
        return self.file_key(path) if path else ObjectKey(self.prefix or ROOT_MARKER)

    def listing_prefix(self, path: str) -> str:
        """The prefix under which everything in a directory is listed; path as for marker_key."""
        return self.prefix + path


def checked_key(object_key: str) -> ObjectKey:
    """Accept an object key, if a server does.

    Raises:
        NameTooLongError: over 1024 bytes.
    """
    if len(object_key.encode()) > MAX_OBJECT_KEY_BYTES:
        message = f"the object key would have over {MAX_OBJECT_KEY_BYTES} bytes: use shorter folder or file names"
        raise NameTooLongError(message)
    return ObjectKey(object_key)
