"""Names in a directory and object keys in the bucket: one to the other. Pure, no I/O.

What lives here: prefix, separator, directory markers, our own hidden names, length limits. What does not: which of them exist
(``directory``). Imported by ``tree`` and ``fs``.

Source: S3 user guide, "Creating object key names"; DESIGN: key = PREFIX + path, a directory is a zero-byte marker ``dir/``.
"""

from dataclasses import dataclass
from typing import Final, NewType

from ssecfs.errors import BadRequestError, NameTooLongError
from ssecfs.s3.types import MAX_OBJECT_KEY_BYTES, ObjectKey

Name = NewType("Name", bytes)
"""One directory entry: bytes without slash or NUL, 1 to 255 of them."""

MAX_NAME_BYTES: Final = 255
SEPARATOR: Final = "/"
OWN_FOLDER: Final = ".ssecfs"
"""Hidden at the top of the mount: canary objects and journals live there."""

ROOT_MARKER: Final = ".ssecfs/root/"

FOLDER_SUFFIX: Final = "_$folder$"
"""Marker that Hadoop tools put beside a directory: ``dir_$folder$``."""


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
            path: relative to the mount point, without leading slash.

        Raises:
            NameTooLongError: the object key would be over 1024 bytes.
        """
        return checked_key(self.prefix + path)

    def marker_key(self, path: str) -> ObjectKey:
        """The object key of a directory's marker; that of a whole bucket's root lies in our own folder."""
        if path:
            return self.file_key(path + SEPARATOR)
        return ObjectKey(self.prefix or ROOT_MARKER)

    def listing_prefix(self, path: str) -> str:
        """The prefix under which everything in a directory is listed."""
        return self.file_key(path + SEPARATOR) if path else self.prefix


def check_name(name: bytes) -> Name:
    """Accept a name that the kernel hands us for a new entry.

    Raises:
        NameTooLongError: over 255 bytes.
        BadRequestError: not UTF-8 (object keys are), or empty.
    """
    if len(name) > MAX_NAME_BYTES:
        message = f"a name has at most {MAX_NAME_BYTES} bytes, this one has {len(name)}"
        raise NameTooLongError(message)
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        message = "a name must be UTF-8, because object keys are; rename the file first"
        raise BadRequestError(message) from error
    if not text or "\0" in text:
        message = "a name must not be empty or hold a NUL"
        raise BadRequestError(message)
    return Name(name)


def parse_component(component: str) -> Name | None:
    """The name of an object key's component; None: the kernel cannot show it."""
    name = component.encode("utf-8")
    if not 0 < len(name) <= MAX_NAME_BYTES or component in {".", ".."} or "\0" in component:
        return None
    return Name(name)


def join_path(parent_path: str, name: bytes) -> str:
    """The path of an entry in a directory, relative to the mount point."""
    component = name.decode("utf-8", "surrogateescape")
    return f"{parent_path}{SEPARATOR}{component}" if parent_path else component


def checked_key(object_key: str) -> ObjectKey:
    """Accept an object key, if a server does.

    Raises:
        NameTooLongError: over 1024 bytes.
    """
    if len(object_key.encode()) > MAX_OBJECT_KEY_BYTES:
        message = f"the object key would have over {MAX_OBJECT_KEY_BYTES} bytes: use shorter folder or file names"
        raise NameTooLongError(message)
    return ObjectKey(object_key)
