"""Repeats: the kernel looks up a name that it knew, and when that fails, looks it up once more; nobody waits twice for that.

Imported by ``fuse.operations``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from ssecfs.errors import StoreUnreachableError

AGAIN_S: Final = 0.5
"""So long the same question gets the same answer."""


class Repeats:
    """Questions that the server did not answer a moment ago.

    Owns: the errors, by question, and until when of the loop's clock they count.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._unanswered: dict[tuple[int, bytes], tuple[StoreUnreachableError, float]] = {}

    @contextmanager
    def answered_once(self, parent_ino: int, name: bytes) -> Iterator[None]:
        """Ask for a name, unless that was in vain a moment ago.

        Raises:
            StoreUnreachableError: it was.
        """
        error, until = self._unanswered.get((parent_ino, name), (None, 0.0))
        if error is not None and trio.current_time() < until:
            raise error
        try:
            yield
        except StoreUnreachableError as failure:
            now = trio.current_time()
            self._unanswered = {question: kept for question, kept in self._unanswered.items() if now < kept[1]}
            self._unanswered[parent_ino, name] = (failure, now + AGAIN_S)
            raise
