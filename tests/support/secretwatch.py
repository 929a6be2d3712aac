"""The secret watch: what may not be shown, and where to look for it.

Imported by ``conftest`` and by tests that start programs. Which texts are secret is said by the test, with ``add`` and
``add_customer_key``; the watch itself makes none.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssecfs.log import secret_texts
from ssecfs.ssec import CustomerKey


class SecretWatch:
    """Knows the secrets of one test and looks for them.

    Owns: the secret texts, and the log records of the test. Lifetime: one test.
    """

    def __init__(self) -> None:
        self._secrets: list[bytes] = []
        self._records: list[str] = []

    def add(self, secret: str) -> None:
        """Watch for a text: a secret access key, a passphrase."""
        self._secrets.append(secret.encode())

    def add_customer_key(self, customer_key: CustomerKey) -> None:
        """Watch for a customer key, in all of its forms."""
        self._secrets += [text.encode() for text in secret_texts([customer_key])]
        self._secrets += [customer_key.reveal_bytes(), repr(customer_key.reveal_bytes()).encode()]

    def shown_in(self, output: str | bytes) -> bool:
        """Whether a secret stands in what a program printed."""
        content = output.encode("utf-8", "surrogateescape") if isinstance(output, str) else output
        return any(secret in content for secret in self._secrets)

    def files_showing(self, folder: Path) -> list[Path]:
        """The files below a folder that hold a secret, or have one in their name."""
        return [
            path
            for path in sorted(folder.rglob("*"))
            if self.shown_in(path.name) or (path.is_file() and not path.is_symlink() and self.shown_in(path.read_bytes()))
        ]

    def records_showing(self) -> list[str]:
        """The loggers that made a record with a secret in it."""
        return self._records

    @contextmanager
    def watching_logs(self) -> Iterator[None]:
        """Look at each of our log records when it is made, at any level and whatever the handlers do with it."""
        ours = logging.getLogger("ssecfs")
        level = ours.level
        formatter = logging.Formatter("%(name)s %(message)s")
        make_record = logging.getLogRecordFactory()

        def make_and_look(*args: object, **kwargs: object) -> logging.LogRecord:
            record = make_record(*args, **kwargs)
            if self._secrets and self.shown_in(formatter.format(record)):
                self._records.append(f"{record.name} ({record.pathname}:{record.lineno})")
            return record

        logging.setLogRecordFactory(make_and_look)
        ours.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logging.setLogRecordFactory(make_record)
            ours.setLevel(level)
