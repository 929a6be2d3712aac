"""The error boundary: whatever goes wrong in a handler is an errno for the program and one record in the log."""

import errno
import inspect
import logging
from typing import Any

import pyfuse3
import pytest

from ssecfs.errors import NoEntryError, StoreBusyError
from ssecfs.fuse.boundary import replies
from ssecfs.fuse.operations import Operations
from ssecfs.fuse.xattrs import XattrOperations


class Broken:
    """A floor below in which every step has a bug."""

    def __getattr__(self, name: str) -> Any:
        message = f"bug in {name}"
        raise RuntimeError(message)


OURS = {**vars(Operations), **vars(XattrOperations)}
HANDLERS = [name for name in OURS if inspect.iscoroutinefunction(getattr(pyfuse3.Operations, name, None))]
ANSWERING = {"access", "link"}
"""They ask nobody."""


@pytest.mark.parametrize("name", [name for name in HANDLERS if name not in ANSWERING])
async def test_bug_in_a_handler_is_eio_for_the_program_and_one_traceback(name: str, caplog: pytest.LogCaptureFixture) -> None:
    handler = getattr(XattrOperations(Broken()), name)  # type: ignore[arg-type]
    arguments: list[Any] = [Broken() for _ in inspect.signature(handler).parameters]
    if name == "forget":
        arguments = [[(1, 1)]]
    elif name == "rename":
        arguments[4] = 0
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handler(*arguments)
    assert caught.value.errno == errno.EIO
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    assert f"{name} failed unexpectedly" in record.getMessage()


def test_every_handler_of_ours_is_within_the_boundary() -> None:
    assert len(HANDLERS) == 29
    assert [name for name in HANDLERS if inspect.unwrap(OURS[name]) is OURS[name]] == []


@pytest.mark.parametrize(
    ("error", "number", "level"),
    [(NoEntryError("x"), errno.ENOENT, logging.DEBUG), (StoreBusyError("x"), errno.EIO, logging.WARNING)],
)
async def test_error_of_the_tree_is_its_errno_and_a_record_at_its_level(
    caplog: pytest.LogCaptureFixture, error: Exception, number: int, level: int
) -> None:
    @replies
    async def handler(self: object) -> None:
        raise error

    caplog.set_level(logging.DEBUG)
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handler(object())
    assert caught.value.errno == number
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (level, None)


async def test_group_of_one_error_counts_as_that_error() -> None:
    @replies
    async def handler(self: object) -> None:
        message = "one"
        raise ExceptionGroup(message, [NoEntryError("x")])

    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handler(object())
    assert caught.value.errno == errno.ENOENT
