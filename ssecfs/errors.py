"""Everything that can go wrong, as one tree; each class has its errno, and start-up errors have an exit code.

    SsecfsError                          EIO        error
    ├─ RequestError                                 debug     the caller asked for something impossible
    │  ├─ NoEntryError                   ENOENT
    │  ├─ EntryExistsError               EEXIST
    │  ├─ NotADirError                   ENOTDIR
    │  ├─ IsADirError                   EISDIR
    │  ├─ NotEmptyError                  ENOTEMPTY
    │  ├─ BadRequestError                EINVAL
    │  ├─ NameTooLongError               ENAMETOOLONG
    │  ├─ NotPermittedError              EPERM
    │  ├─ UnsupportedError               ENOTSUP
    │  ├─ NoAttributeError               ENODATA
    │  ├─ AttributeTooBigError           ENOSPC
    │  ├─ BadHandleError                 EBADF
    │  ├─ StaleError                     ESTALE     look it up or open it again
    │  ├─ FileTooBigError                EFBIG
    │  └─ CallInterruptedError           EINTR
    ├─ StoreError                                   warning   the endpoint answered, or could not be reached
    │  ├─ ObjectMissingError             ENOENT
    │  ├─ ObjectChangedError             ESTALE     a failed If-Match, or it vanished under an open file
    │  ├─ ObjectExistsError              EEXIST     a failed If-None-Match
    │  ├─ BucketMissingError             EIO
    │  ├─ AccessDeniedError              EACCES
    │  │  ├─ WrongCustomerKeyError       EACCES     a key was given and refused
    │  │  └─ CustomerKeyNeededError      EACCES     the object is SSE-C, the request had no key
    │  ├─ CredentialsRefusedError        EACCES
    │  ├─ StoreUnsupportedError          ENOTSUP    the endpoint cannot do this operation
    │  ├─ StoreBusyError     transient   EIO        throttled or 5xx
    │  ├─ StoreUnreachableError trans.   ETIMEDOUT
    │  ├─ TlsError                       EIO        the certificate does not verify
    │  ├─ QuotaError                     EDQUOT
    │  └─ StoreProtocolError             EIO        an answer that makes no sense
    ├─ LocalError                                   error     our own disk
    │  ├─ CacheFullError                 ENOSPC
    │  ├─ BrokenSealError                EIO        a clean block: a miss; a spool block: surfaces
    │  └─ SpoolError                     EIO
    └─ StartupError                                 exit code
       ├─ ConfigError            2       wrong usage, unknown or impossible options
       ├─ MountpointError        3       missing, not empty, busy
       ├─ CredentialsError       4       none found, or refused by the endpoint
       ├─ StoreProbeError        5       the endpoint does not do SSE-C, or blocks it
       ├─ CacheDirError          6       not writable, in use, too open
       ├─ FuseError              7       no /dev/fuse, no permission to mount
       ├─ KeyfileError           8       unreadable, too open, not a key
       ├─ WrongKeyError          9       the key is not this bucket's
       ├─ BucketError           10       the bucket is missing
       └─ EndpointError         11       cannot be reached, or its certificate does not verify

Messages say what happened, to which object, and what to do; they never hold a customer key, a credential, or file content.
Floor 0: standard library only. Anyone but ``server`` may import it.
"""

import errno as _errno
import logging
from typing import ClassVar


class SsecfsError(Exception):
    """Root of the tree."""

    errno: ClassVar[int] = _errno.EIO
    transient: ClassVar[bool] = False
    log_level: ClassVar[int] = logging.ERROR


class RequestError(SsecfsError):
    """The caller asked for something that cannot be; ordinary, not worth a log line."""

    errno = _errno.EINVAL
    log_level = logging.DEBUG


class NoEntryError(RequestError):
    """No such name."""

    errno = _errno.ENOENT


class EntryExistsError(RequestError):
    """The name is taken."""

    errno = _errno.EEXIST


class NotADirError(RequestError):
    """A directory is needed and this is none."""

    errno = _errno.ENOTDIR


class IsADirError(RequestError):
    """This is a directory and must not be."""

    errno = _errno.EISDIR


class NotEmptyError(RequestError):
    """The directory has entries."""

    errno = _errno.ENOTEMPTY


class BadRequestError(RequestError):
    """An argument makes no sense."""

    errno = _errno.EINVAL


class NameTooLongError(RequestError):
    """A name over 255 bytes, or a path whose object key is over 1024 bytes."""

    errno = _errno.ENAMETOOLONG


class NotPermittedError(RequestError):
    """Not possible on this filesystem (hard links, device nodes)."""

    errno = _errno.EPERM


class UnsupportedError(RequestError):
    """Not supported on this filesystem."""

    errno = _errno.ENOTSUP


class NoAttributeError(RequestError):
    """No such extended attribute."""

    errno = _errno.ENODATA


class AttributeTooBigError(RequestError):
    """The object's metadata cannot hold it."""

    errno = _errno.ENOSPC


class BadHandleError(RequestError):
    """No such open file."""

    errno = _errno.EBADF


class StaleError(RequestError):
    """What this inode or handle stood for is no more; there may be something else under its name."""

    errno = _errno.ESTALE


class FileTooBigError(RequestError):
    """Over the largest object an S3 endpoint takes."""

    errno = _errno.EFBIG


class CallInterruptedError(RequestError):
    """A signal ended the program while it waited."""

    errno = _errno.EINTR


class StoreError(SsecfsError):
    """The endpoint refused, or did not answer."""

    errno = _errno.EIO
    log_level = logging.WARNING


class ObjectMissingError(StoreError):
    """There is no such object: a positive 404, never a guess."""

    errno = _errno.ENOENT
    log_level = logging.DEBUG


class ObjectChangedError(StoreError):
    """The object is not the version we know."""

    errno = _errno.ESTALE


class ObjectExistsError(StoreError):
    """The object was to be new and is there already."""

    errno = _errno.EEXIST


class BucketMissingError(StoreError):
    """The bucket does not exist."""


class AccessDeniedError(StoreError):
    """The endpoint refused (403)."""

    errno = _errno.EACCES


class WrongCustomerKeyError(AccessDeniedError):
    """A customer key was sent, and it is not the object's."""


class CustomerKeyNeededError(AccessDeniedError):
    """The object is SSE-C and the request had no key."""


class CredentialsRefusedError(StoreError):
    """The endpoint does not accept the credentials, or the clock is off."""

    errno = _errno.EACCES


class StoreUnsupportedError(StoreError):
    """The endpoint cannot do this operation (501, or a documented refusal)."""

    errno = _errno.ENOTSUP


class StoreBusyError(StoreError):
    """Throttled, or a server error: worth another try."""

    transient = True


class StoreUnreachableError(StoreError):
    """No answer: refused, timed out, cut off."""

    errno = _errno.ETIMEDOUT
    transient = True


class TlsError(StoreError):
    """The endpoint's certificate does not verify; nothing was sent."""

    errno = _errno.EIO


class QuotaError(StoreError):
    """The bucket or account is full."""

    errno = _errno.EDQUOT


class StoreProtocolError(StoreError):
    """The endpoint's answer makes no sense."""


class LocalError(SsecfsError):
    """Our own disk."""


class CacheFullError(LocalError):
    """No room on the cache disk."""

    errno = _errno.ENOSPC


class BrokenSealError(LocalError):
    """A sealed record does not open: damaged, swapped, stale, or sealed under another key."""


class SpoolError(LocalError):
    """The spool cannot be read or written."""


class StartupError(SsecfsError):
    """A command cannot start or go on; the message is for the terminal."""

    exit_code: ClassVar[int] = 1


class ConfigError(StartupError):
    """Wrong usage, unknown or impossible options."""

    exit_code = 2


class MountpointError(StartupError):
    """The mount point is missing, not a directory, not empty, or busy."""

    exit_code = 3


class CredentialsError(StartupError):
    """No credentials, or the endpoint refuses them."""

    exit_code = 4


class StoreProbeError(StartupError):
    """The endpoint does not do SSE-C as promised, or the bucket blocks it."""

    exit_code = 5


class CacheDirError(StartupError):
    """The cache directory cannot be used."""

    exit_code = 6


class FuseError(StartupError):
    """FUSE is not available, or the kernel refuses the mount."""

    exit_code = 7


class KeyfileError(StartupError):
    """The keyfile cannot be read, is open to others, or holds no key."""

    exit_code = 8


class WrongKeyError(StartupError):
    """The key is not the one this bucket is encrypted with."""

    exit_code = 9


class BucketError(StartupError):
    """The bucket does not exist."""

    exit_code = 10


class EndpointError(StartupError):
    """The endpoint cannot be reached, or its certificate does not verify."""

    exit_code = 11
