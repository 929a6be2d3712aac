"""The cache directory: who may use it, which part of it is whose, and its keys.

Imported by ``cache`` and ``app``. Layout, everything mode 0700 or 0600::

    CACHE_DIR/NAMESPACE/N/      NAMESPACE: 32 hex digits of a hash of endpoint, bucket and prefix; N: 0, 1, …
        lock                    locked while a mount uses it
        keys                    the data key, wrapped (``keys``)
        index.sqlite            what is where (``index``)
        journal.sqlite          what is unsaved (``journal``)
        blocks/                 containers of sealed blocks (``containers``)

A keyring that opens none of the numbered folders starts the next one; what is in the others stays as it is until told.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ssecfs.cache.containers import sync_folder
from ssecfs.cache.journal import may_hold_records
from ssecfs.cache.keys import CacheKeys, is_wrapped_under_all, make_cache_keys, new_data_key, unwrap, wrap
from ssecfs.errors import BrokenSealError, CacheDirError
from ssecfs.keyring.keyring import Keyring

LOGGER: Final = logging.getLogger(__name__)

NAMESPACE_ID_BYTES: Final = 16
JOURNAL_NAME: Final = "journal.sqlite"
_UNOPENED: Final = "unsaved files may be in %s, which is sealed under another customer key, or whose keys are damaged"
_NAMESPACE: Final = re.compile(f"[0-9a-f]{{{2 * NAMESPACE_ID_BYTES}}}")


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """An opened and locked part of a cache directory.

    Attributes:
        path: the numbered folder.
        namespace_id: 16 bytes, bound into every seal.
        keys: of this folder.
    """

    path: Path
    namespace_id: bytes
    keys: CacheKeys

    @property
    def blocks(self) -> Path:
        """Folder of the containers."""
        return self.path / "blocks"

    @property
    def index(self) -> Path:
        """The SQLite file."""
        return self.path / "index.sqlite"

    @property
    def journal(self) -> Path:
        """The SQLite file of the journal."""
        return self.path / JOURNAL_NAME


def namespace_id(endpoint_url: str, bucket: str, prefix: str) -> bytes:
    """16 bytes that stand for what is mounted."""
    text = f"{endpoint_url}\0{bucket}\0{prefix}"
    return hashlib.sha256(b"ssecfs namespace\0" + text.encode()).digest()[:NAMESPACE_ID_BYTES]


def prepare_cache_base(base: Path) -> None:
    """Make a cache directory, or check that it may be used; see open_cache_directory for the errors."""
    try:
        _make_private(base)
    except OSError as error:
        raise CacheDirError(_why_not(base, error)) from error


@contextmanager
def open_cache_directory(base: Path, namespace: bytes, keyring: Keyring) -> Iterator[CacheDirectory]:
    """Lock and open the part of a cache directory that belongs to a namespace and a keyring.

    Args:
        base: the cache directory; made if missing.
        namespace: see namespace_id.
        keyring: must open the keys, else another part is begun.

    Raises:
        CacheDirError: not writable, open to others, or used by another mount.
    """
    prepare_cache_base(base)
    try:
        folder = base / namespace.hex()
        _make_private(folder)
        path, data_key = _find_or_begin(folder, keyring)
    except OSError as error:
        raise CacheDirError(_why_not(base, error)) from error
    in_use = (
        f"cache directory {base} is in use by another mount of the same bucket and prefix; "
        "unmount that one, or give this one its own --cache-dir"
    )
    with _locked(path, in_use):
        yield CacheDirectory(path, namespace, make_cache_keys(data_key))


def existing_parts(base: Path) -> list[Path]:
    """The numbered folders of all namespaces, in order.

    Raises:
        CacheDirError: base cannot be read.
    """
    try:
        folders = sorted(path for path in base.iterdir() if _NAMESPACE.fullmatch(path.name))
        return [part for folder in folders for part in sorted(folder.iterdir()) if (part / "keys").exists()]
    except OSError as error:
        message = f"cache directory {base} cannot be read: {error.strerror}"
        raise CacheDirError(message) from error


@contextmanager
def open_part(path: Path, keyring: Keyring) -> Iterator[CacheDirectory]:
    """Lock and open a numbered folder that is there, whatever it belongs to.

    Raises:
        BrokenSealError: the keyring does not open it.
        CacheDirError: a mount is using it, or it cannot be read.
    """
    try:
        data_key = unwrap((path / "keys").read_bytes(), keyring)
    except OSError as error:
        raise CacheDirError(_why_not(path, error)) from error
    with _locked(path, f"{path} is in use by a mount; unmount it first"):
        yield CacheDirectory(path, bytes.fromhex(path.parent.name), make_cache_keys(data_key))


@contextmanager
def _locked(path: Path, in_use: str) -> Iterator[None]:
    """Hold the lock of a numbered folder.

    Raises:
        CacheDirError: somebody else does; in_use says so.
    """
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CacheDirError(_why_not(path, error)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CacheDirError(in_use) from error
        yield
    finally:
        os.close(lock)


def _find_or_begin(folder: Path, keyring: Keyring) -> tuple[Path, bytes]:
    """The numbered folder that the keyring opens, or a new one, and its data key."""
    number = 0
    while (path := folder / str(number)).exists():
        keys_file = path / "keys"
        if keys_file.exists():
            content = keys_file.read_bytes()
            try:
                data_key = unwrap(content, keyring)
            except BrokenSealError:
                if may_hold_records(path / JOURNAL_NAME):
                    LOGGER.error(_UNOPENED, path)  # noqa: TRY400 - no bug
                number += 1
                continue
            if not is_wrapped_under_all(content, keyring):
                _write_private(keys_file, wrap(data_key, keyring))
            return path, data_key
        break  # a start that was cut short before there were keys: nothing can be in it
    _make_private(path)
    _make_private(path / "blocks")
    data_key = new_data_key()
    _write_private(path / "keys", wrap(data_key, keyring))
    return path, data_key


def _make_private(path: Path) -> None:
    """Make a folder for us alone, or check that it is one; an empty one of ours becomes one. Its name survives a power cut."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(mode=0o700, parents=True)
        for folder in missing:
            sync_folder(folder.parent)
    except FileExistsError:
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            message = f"cache directory {path} is not a directory; give another one with --cache-dir"
            raise CacheDirError(message) from None
        if status.st_uid != os.geteuid():
            message = f"cache directory {path} belongs to another user; give another one with --cache-dir"
            raise CacheDirError(message) from None
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            if any(path.iterdir()):
                message = f"cache directory {path} is open to others; close it with: chmod 700 {path}"
                raise CacheDirError(message) from None
            path.chmod(0o700)  # made for us by somebody who did not think of it
        if not os.access(path, os.W_OK | os.X_OK):
            message = f"cache directory {path} is not writable; give another one with --cache-dir"
            raise CacheDirError(message) from None


def _write_private(path: Path, content: bytes) -> None:
    """Replace a small file, so that after a crash there is the old or the new one."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def _why_not(base: Path, error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"cache directory {base} is not writable ({error.strerror}); give another one with --cache-dir"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk of cache directory {base} is full; free some space, or give another one with --cache-dir"
    return f"cache directory {base} cannot be used: {error.strerror}; give another one with --cache-dir"
