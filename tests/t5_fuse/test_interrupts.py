"""Who waits for an answer is let go when a signal ends it; changes go on without him."""

import os
import signal
import subprocess
import sys

import pytest
import trio
import trio.testing

from ssecfs.errors import CallInterruptedError, StoreUnreachableError
from ssecfs.fuse.interrupts import Interrupts, is_ending
from ssecfs.fuse.repeats import AGAIN_S, Repeats

STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
if sys.argv[1] == "blocked":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.kill(os.getpid(), signal.SIGSTOP)
sys.exit(0)
"""


def stopped(mode: str = "") -> subprocess.Popen[bytes]:
    """A process that is stopped, so that signals stay pending."""
    process = subprocess.Popen([sys.executable, "-c", STOPPED, mode])
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("mode", "number", "expected"),
    [("", signal.SIGINT, True), ("", signal.SIGTERM, True), ("", signal.SIGUSR1, False), ("blocked", signal.SIGINT, False)],
)
async def test_process_with_a_pending_signal_is_ending_if_it_is_one_that_ends(
    mode: str, number: signal.Signals, expected: bool
) -> None:
    process = stopped(mode)
    assert not is_ending(process.pid)
    process.send_signal(number)
    assert is_ending(process.pid) is expected
    end(process)
    assert not is_ending(process.pid)


async def test_who_is_to_end_waits_no_longer_and_others_go_on(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    interrupts, process, answered = Interrupts(nursery), stopped(), trio.Event()
    others: list[bool] = []

    async def other() -> None:
        with interrupts.ending(os.getpid()):
            await answered.wait()
        others.append(True)

    nursery.start_soon(other)
    process.send_signal(signal.SIGINT)
    with pytest.raises(CallInterruptedError), interrupts.ending(process.pid):
        await answered.wait()
    assert others == []
    answered.set()
    await trio.testing.wait_all_tasks_blocked()
    assert others == [True]
    end(process)


async def test_change_goes_on_when_nobody_waits_and_its_result_is_undone(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    interrupts, process, may_end = Interrupts(nursery), stopped(), trio.Event()
    undone: list[str] = []

    async def change() -> str:
        await may_end.wait()
        return "made"

    process.send_signal(signal.SIGINT)
    with pytest.raises(CallInterruptedError):
        await interrupts.outliving(process.pid, change, undone.append)
    assert undone == []
    may_end.set()
    await interrupts.wait_done()
    assert undone == ["made"]
    end(process)


async def test_change_gives_its_result_or_its_error_to_who_waits(nursery: trio.Nursery) -> None:
    interrupts = Interrupts(nursery)

    async def change() -> str:
        return "made"

    async def fail() -> str:
        raise StoreUnreachableError

    assert await interrupts.outliving(os.getpid(), change) == "made"
    with pytest.raises(StoreUnreachableError):
        await interrupts.outliving(os.getpid(), fail)
    await interrupts.wait_done()


async def test_name_that_got_no_answer_is_not_asked_for_again_at_once(mock_clock: trio.testing.MockClock) -> None:
    repeats, asked = Repeats(), list[bytes]()

    def ask(name: bytes) -> None:
        with repeats.answered_once(1, name):
            asked.append(name)
            raise StoreUnreachableError

    for name in (b"a", b"a", b"b"):
        with pytest.raises(StoreUnreachableError):
            ask(name)
    assert asked == [b"a", b"b"]
    mock_clock.jump(AGAIN_S)
    with pytest.raises(StoreUnreachableError):
        ask(b"a")
    assert asked == [b"a", b"b", b"a"]
