"""Care with the memory of a process: nothing of it on disk where it holds a customer key, and kept where it is used again.

All of it best effort. Imported by the commands that mount and serve. Source: prctl(2), getrlimit(2), mallopt(3).
"""

import ctypes
import gc
import logging
import resource
from typing import Final

LOGGER: Final = logging.getLogger(__name__)

_PR_SET_DUMPABLE: Final = 4

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
KEPT_BYTES: Final = 64 << 20
"""Freed memory that stays with the process.

By default glibc gives back each freed buffer of over 128 KiB, and takes it anew, page by page, for the next one: sealing 1 MiB
in chunks takes 0.13 ms instead of 0.55 (measured).
"""
LARGEST_KEPT_BYTES: Final = 32 << 20
"""What glibc allows at most for the other threshold."""

COLLECT_AFTER: Final = (20_000, 20, 100)
"""New objects before a look for cycles, and such looks before older generations are looked at."""


def protect_memory() -> None:
    """Forbid core dumps, and reading this process's memory by others than root."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        LOGGER.warning("core dumps could not be forbidden for this process")


def keep_memory() -> None:
    """Let freed buffers be used again instead of going back to the kernel; only glibc has the choice."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


def collect_rarely() -> None:
    """Look for garbage in cycles seldom, and never in what is there now: call it when everything lasting has been made.

    Hundreds of thousands of inodes and entries are no garbage, and looking through them again and again took a third of the
    time of a walk (measured); what is thrown away here is hardly ever in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
