"""The one way into a worker thread, and the limits on how many there are.

Floor 1. ``s3`` uses the network limiter, ``cache`` the disk limiter. Functions that run in threads are pure in the sense that
they touch only their arguments (immutable or given away) and return a result; they live in modules that do not import trio.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import trio
import trio.from_thread
import trio.to_thread

P = ParamSpec("P")
R = TypeVar("R")


async def run_in(limiter: trio.CapacityLimiter, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking function in a worker thread and wait for it, even when cancelled: a thread is never left behind.

    Args:
        limiter: which pool it counts against.
        function: blocking; touches only its arguments.
        args: handed on.
        kwargs: handed on.

    Raises:
        Whatever the function raises.
    """
    return await trio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=limiter)  # noqa: TID251 - the one place


async def run_idle(limiter: trio.CapacityLimiter, function: Callable[[], R]) -> R:
    """As run_in, for what changes nothing that matters: when cancelled, the thread is left to end by itself, in its place.

    Args:
        limiter: which pool it counts against, until it ends.
        function: blocking; touches nothing.

    Raises:
        Whatever the function raises.
    """
    return await trio.to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=True)  # noqa: TID251 - as above


async def stream_from(
    limiter: trio.CapacityLimiter, produce: Callable[[Callable[[bytes], None]], R], sink: Callable[[bytes], None]
) -> R:
    """Run a blocking producer in a worker thread; each piece that it delivers goes to sink, in order, on the event loop.

    The producer waits until the loop has taken a piece, so nothing piles up. When the caller is cancelled, the next delivery
    raises ``trio.Cancelled`` in the thread, which ends it.

    Args:
        limiter: which pool it counts against.
        produce: blocking; calls the function it is given with each piece.
        sink: takes a piece; never waits.
    """

    def deliver(piece: bytes) -> None:
        trio.from_thread.check_cancelled()  # run_sync alone does not
        trio.from_thread.run_sync(sink, piece)

    return await run_in(limiter, produce, deliver)
