"""The one error boundary: every exception of a handler becomes an errno, and is logged once.

Imported by ``fuse.operations`` only. pyfuse3 replies only to its own FUSEError and lets anything else end the mount, so nothing
else may leave a handler. ``Cancelled`` passes through.
"""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import pyfuse3

from ssecfs.errors import SsecfsError

LOGGER: Final = logging.getLogger(__name__)

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

Handler = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def errno_of(error: BaseException) -> int:
    """The errno that a program gets for an exception; a group with one member counts as the member."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error.errno if isinstance(error, SsecfsError) else errno.EIO


def replies(handler: Handler[S, P, R]) -> Handler[S, P, R]:
    """Turn what a handler raises into the reply."""

    @functools.wraps(handler)
    async def reply(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await handler(self, *args, **kwargs)
        except pyfuse3.FUSEError:
            raise
        except SsecfsError as error:
            LOGGER.log(error.log_level, "%s: %s", handler.__name__, error)
            raise pyfuse3.FUSEError(error.errno) from error
        except Exception as error:
            number = errno_of(error)
            LOGGER.exception("%s failed unexpectedly; the program gets %s", handler.__name__, errno.errorcode[number])
            raise pyfuse3.FUSEError(number) from error

    return reply


def unanswered(handler: Handler[S, P, None]) -> Handler[S, P, None]:
    """As replies, for a request that the kernel wants no reply to: there, even pyfuse3's own error would end the mount."""
    reply = replies(handler)

    @functools.wraps(handler)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with suppress(pyfuse3.FUSEError):
            await reply(self, *args, **kwargs)

    return run
