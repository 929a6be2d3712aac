"""The one way into a worker thread."""

import threading
from collections.abc import Callable

import pytest
import trio

from ssecfs.threads import run_idle, run_in, stream_from


async def test_function_runs_in_another_thread_and_returns_its_result() -> None:
    def where(number: int, *, plus: int) -> tuple[int, threading.Thread]:
        return number + plus, threading.current_thread()

    result, thread = await run_in(trio.CapacityLimiter(1), where, 1, plus=2)
    assert result == 3
    assert thread is not threading.current_thread()


async def test_what_the_function_raises_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_in(trio.CapacityLimiter(1), lambda: 1 // 0)


async def test_limiter_bounds_the_threads() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    pair = threading.Barrier(2)

    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pair.wait(timeout=10)
        with lock:
            running -= 1

    limiter = trio.CapacityLimiter(2)
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(run_in, limiter, count)
    assert most == 2


async def test_cancelled_caller_waits_for_its_thread() -> None:
    started, may_end = trio.Event(), threading.Event()
    ended = False

    def work(token: trio.lowlevel.TrioToken) -> None:
        nonlocal ended
        trio.from_thread.run_sync(started.set, trio_token=token)
        may_end.wait(timeout=10)
        ended = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_in, trio.CapacityLimiter(1), work, trio.lowlevel.current_trio_token())
        await started.wait()
        nursery.cancel_scope.cancel()
        may_end.set()
    assert ended


async def test_cancelled_caller_does_not_wait_for_an_idle_thread() -> None:
    started, may_end, ended = trio.Event(), threading.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def look() -> None:
        trio.from_thread.run_sync(started.set, trio_token=token)
        may_end.wait(timeout=10)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_idle, trio.CapacityLimiter(1), look)
        await started.wait()
        nursery.cancel_scope.cancel()
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(timeout=10)


async def test_pieces_arrive_in_order_on_the_loop() -> None:
    arrived: list[tuple[bytes, threading.Thread]] = []

    def produce(deliver: Callable[[bytes], None]) -> int:
        for number in range(5):
            deliver(bytes([number]))
        return 5

    count = await stream_from(
        trio.CapacityLimiter(1), produce, lambda piece: arrived.append((piece, threading.current_thread()))
    )
    assert count == 5
    assert arrived == [(bytes([number]), threading.current_thread()) for number in range(5)]


async def test_sink_that_raises_ends_the_producer() -> None:
    delivered = []

    def produce(deliver: Callable[[bytes], None]) -> None:
        for piece in (b"1", b"2", b"3"):
            delivered.append(piece)
            deliver(piece)

    def refuse(piece: bytes) -> None:
        raise OSError(28, piece.decode())

    with pytest.raises(OSError, match="1"):
        await stream_from(trio.CapacityLimiter(1), produce, refuse)
    assert delivered == [b"1"]


async def test_cancelled_stream_ends_its_producer_at_the_next_piece() -> None:
    delivered = []

    def produce(deliver: Callable[[bytes], None]) -> None:
        for number in range(1000):
            delivered.append(number)
            deliver(b"")

    with trio.CancelScope() as scope:
        await stream_from(trio.CapacityLimiter(1), produce, lambda _: scope.cancel())
    assert scope.cancelled_caught
    assert 1 <= len(delivered) <= 3
