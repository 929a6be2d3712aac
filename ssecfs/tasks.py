"""Tasks: short nurseries inside one call, and tasks that nobody waits for.

Floor 1. A trio nursery wraps even one failure in a group, and callers would have to know that there was a nursery: with
``open_tasks`` whichever task fails first, its error is the call's error. Tasks that outlive a call run in the mount's nursery,
which the first bug would end; ``start_alone`` is the boundary of those that have no error to hand to anybody.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVarTuple

import trio

LOGGER: Final = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")


def start_alone(
    nursery: trio.Nursery, name: str, task: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments
) -> None:
    """Start a task whose bugs end nothing but itself; its traceback is in the log."""
    nursery.start_soon(_run_alone, name, task, arguments, name=name)


async def _run_alone(name: str, task: Callable[..., Awaitable[None]], arguments: tuple[object, ...]) -> None:
    try:
        await task(*arguments)
    except Exception:
        LOGGER.exception("a bug ended the task %r", name)


@asynccontextmanager
async def open_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery whose first failure leaves it as itself; the other tasks are cancelled."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            yield nursery


@contextmanager
def unwrapped() -> Iterator[None]:
    """Let the first real error out of a group; a group of cancellations stays what it is."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors = [error for error in _leaves(group) if not isinstance(error, trio.Cancelled)]
        if not errors:
            raise
        raise errors[0] from errors[0].__cause__


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
