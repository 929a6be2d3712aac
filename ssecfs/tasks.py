"""Short nurseries inside one call: whichever task fails first, its error is the call's error.

Floor 1. A trio nursery wraps even one failure in a group, and callers would have to know that there was a nursery. Tasks that
outlive a call are started in the mount's nursery, by ``app.assembly``.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio


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
