"""Care with the memory of a process that holds a customer key: no core dumps, not traceable by others. Best effort.

Imported by ``app.mount``. Source: prctl(2), getrlimit(2).
"""

import ctypes
import logging
import resource
from typing import Final

LOGGER: Final = logging.getLogger(__name__)

_PR_SET_DUMPABLE: Final = 4


def protect_memory() -> None:
    """Forbid core dumps, and reading this process's memory by others than root."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        LOGGER.warning("core dumps could not be forbidden for this process")
