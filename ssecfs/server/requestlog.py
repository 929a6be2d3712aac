"""The request log: one JSON object on a line for each request, for tests to count and people to read.

Imported by ``server.http``. It holds no header and no query value, so no secret.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOGGER: Final = logging.getLogger(__name__)


class RequestLog:
    """Appends lines to a file, each at once. Owns: the file.

    What cannot be written, on a full disk for example, is no reason not to serve: the server's own log says it.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file; None: keep no log. It names objects, so that a new one is private."""
        if path is not None:
            path.touch(mode=0o600)
        self._file = path.open("a", encoding="utf-8", buffering=1) if path is not None else None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close the file."""
        if self._file is not None:
            with _complaining():
                self._file.close()

    def note(self, **fields: str | float) -> None:
        """Write one line."""
        if self._file is not None:
            with _complaining():
                self._file.write(json.dumps({"time": round(time.time(), 6), **fields}) + "\n")


@contextmanager
def _complaining() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        LOGGER.error("the request log cannot be written: %s", error.strerror)  # noqa: TRY400 - a traceback says no more
