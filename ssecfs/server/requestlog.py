"""The request log: one JSON object on a line for each request, for tests to count and people to read.

Imported by ``server.http``. It holds no header and no query value, so no secret.
"""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class RequestLog:
    """Appends lines to a file, each at once. Owns: the file."""

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
            self._file.close()

    def note(self, **fields: str | float) -> None:
        """Write one line."""
        if self._file is not None:
            self._file.write(json.dumps({"time": round(time.time(), 6), **fields}) + "\n")
