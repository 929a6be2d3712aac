"""The error boundary: whatever goes wrong in a handler is an errno for the program and one record in the log."""

import errno
import inspect
import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyfuse3
import pytest
import trio
from support.syscalls import refused

from ssecfs.errors import NoEntryError, StoreBusyError
from ssecfs.fuse.boundary import replies
from ssecfs.fuse.interrupts import Interrupts
from ssecfs.fuse.operations import Filesystem, Operations
from ssecfs.fuse.session import mounted
from ssecfs.fuse.xattrs import XattrOperations
from ssecfs.threads import run_in


class Broken:
    """A part of the floor below in which every step has a bug."""

    made = 0

    def __getattr__(self, name: str) -> Any:
        message = f"bug in {name}"
        raise RuntimeError(message)


def broken_operations(nursery: trio.Nursery) -> XattrOperations:
    parts = {field.name: Broken() for field in fields(Filesystem)}
    return XattrOperations(Filesystem(**parts), Interrupts(nursery))  # type: ignore[arg-type]


OURS = {**vars(Operations), **vars(XattrOperations)}
HANDLERS = [name for name in OURS if inspect.iscoroutinefunction(getattr(pyfuse3.Operations, name, None))]
ANSWERING = {"access", "link"}
"""They ask nobody."""


@pytest.mark.parametrize("name", [name for name in HANDLERS if name not in {*ANSWERING, "forget"}])
async def test_bug_in_a_handler_is_eio_for_the_program_and_one_traceback(
    name: str, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    handler = getattr(broken_operations(nursery), name)
    arguments: list[Any] = [Broken() for _ in inspect.signature(handler).parameters]
    if name == "rename":
        arguments[4] = 0
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handler(*arguments)
    assert caught.value.errno == errno.EIO
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    assert f"{name} failed unexpectedly" in record.getMessage()


async def test_bug_where_the_kernel_wants_no_answer_is_one_traceback_and_no_error(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Anything that leaves this one handler ends the main loop, even pyfuse3's own error."""
    await broken_operations(nursery).forget([(pyfuse3.InodeT(1), 1)])
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.mount
async def test_mount_goes_on_after_bugs(
    nursery: trio.Nursery, tmp_path: Path, fuse_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "mnt"
    place.mkdir()
    limiter = trio.CapacityLimiter(1)
    with mounted(broken_operations(nursery), place, {"fsname=broken"}):
        async with trio.open_nursery() as serving:
            serving.start_soon(pyfuse3.main)
            for _ in range(2):
                for call in (os.stat, os.statvfs, os.listdir):
                    assert await run_in(limiter, refused, call, place) == "EIO"
                assert await run_in(limiter, refused, os.mkdir, place / "name") == "EIO"
            serving.cancel_scope.cancel()
    assert len(caplog.records) == len([record for record in caplog.records if record.exc_info]) >= 8


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
