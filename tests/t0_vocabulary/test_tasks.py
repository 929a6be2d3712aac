"""Tasks that nobody waits for: a bug in one ends nothing else, and is in the log."""

import logging

import pytest
import trio
import trio.testing

from ssecfs.tasks import start_alone


async def test_bug_in_a_task_that_runs_alone_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    done = trio.Event()

    async def fail(text: str) -> None:
        raise ValueError(text)

    async def succeed() -> None:
        done.set()

    with caplog.at_level(logging.ERROR):
        async with trio.open_nursery() as nursery:
            start_alone(nursery, "failing", fail, "a bug")
            await trio.testing.wait_all_tasks_blocked()
            start_alone(nursery, "succeeding", succeed)
            await done.wait()
    (record,) = caplog.records
    assert ("'failing'" in record.getMessage(), record.exc_info is not None) == (True, True)


async def test_task_that_runs_alone_is_cancelled_with_its_nursery() -> None:
    async with trio.open_nursery() as nursery:
        start_alone(nursery, "endless", trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
