"""Logging: where it goes, and what never goes there.

Floor 1. Records name files by inode number and objects by a short digest, never by name, so that a log on disk tells nothing of
the content. ``botocore`` and ``urllib3`` are pinned at INFO: at DEBUG they print the customer key. As a second net, the
formatter replaces every registered secret, in tracebacks too.
"""

import hashlib
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

from ssecfs.ssec import CustomerKey

_PINNED: Final = ("botocore", "boto3", "urllib3", "s3transfer")
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_REDACTED: Final = "<redacted>"


class RedactingFormatter(logging.Formatter):
    """Formats a record and replaces every secret in the result.

    Owns: the texts to hide. Lifetime: as long as its handler.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        """Remember what to hide; empty texts are ignored."""
        super().__init__(_FORMAT)
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """Format, then redact."""
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return text


def secret_texts(customer_keys: Collection[CustomerKey]) -> list[str]:
    """The forms in which a customer key might be printed: base64 and hex."""
    texts = []
    for customer_key in customer_keys:
        texts += [customer_key.reveal_base64(), customer_key.reveal_bytes().hex()]
    return texts


def set_up_logging(level: int, log_file: Path | None, secrets: Collection[str]) -> None:
    """Send our records to log_file, or to standard error, replacing any earlier set-up.

    Args:
        level: of our own records; those of the S3 libraries stay at INFO or above.
        log_file: appended to, created with mode 0600; None: standard error.
        secrets: texts that no record may show.

    Raises:
        OSError: log_file cannot be opened.
    """
    handler: logging.Handler
    if log_file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        log_file.touch(mode=0o600)
        handler = logging.FileHandler(log_file, encoding="utf-8")
    handler.setFormatter(RedactingFormatter(secrets))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("ssecfs").setLevel(level)
    for name in _PINNED:
        logging.getLogger(name).setLevel(max(level, logging.INFO))


def digest_name(name: str) -> str:
    """A short stand-in for an object key in a log: eight hex digits, the same for the same name."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
