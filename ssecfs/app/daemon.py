"""Going to the background: the parent waits until the work is under way, and reports what kept it from getting there.

Imported by ``app.mount``. Forks once, before there is any thread or event loop.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Final

from ssecfs.errors import StartupError

LOGGER: Final = logging.getLogger(__name__)

FAILED: Final = 1


def run_detached(work: Callable[[Callable[[], None]], None]) -> int:
    """Run work in a process of its own session; return once it calls the function it is given.

    Args:
        work: blocks for as long as the daemon lives; calls its argument when it is ready.

    Returns:
        Exit code for the parent: 0 when work is ready, else that of its error, which is on standard error then.
    """
    receiving, sending = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(sending)
        return _await_report(receiving)
    os.close(receiving)
    os.setsid()
    _be_daemon(work, sending)
    raise AssertionError  # pragma: no cover - _be_daemon ends the process


def _await_report(receiving: int) -> int:
    with os.fdopen(receiving, "rb") as pipe:
        report = pipe.read()
    if report == b"ready":
        return 0
    if not report:
        sys.stderr.write("ssecfs: the background process ended before it was ready; see its log, or use -f\n")
        return FAILED
    code, message = json.loads(report)
    sys.stderr.write(f"ssecfs: {message}\n")
    return int(code)


def _be_daemon(work: Callable[[Callable[[], None]], None], sending: int) -> None:
    """Child: do the work with nothing on standard input, output and error, then end."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir("/")
    is_reported = False

    def on_ready() -> None:
        nonlocal is_reported
        is_reported = True
        os.write(sending, b"ready")
        os.close(sending)

    code = 0
    try:
        work(on_ready)
    except StartupError as error:
        code = error.exit_code
        if not is_reported:
            os.write(sending, json.dumps([code, str(error)]).encode())
    except BaseException:
        # The process's own boundary: there is nobody above, and standard error is gone.
        code = FAILED
        LOGGER.exception("the daemon ends because of an unexpected error")
    finally:
        # No clean-up of the parent's: that is the parent's business.
        sys.stderr.flush()
        os._exit(code)
