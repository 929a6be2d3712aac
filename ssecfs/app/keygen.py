"""``ssecfs keygen FILE``: a new keyfile."""

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ssecfs.errors import KeyfileError
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey


def run(arguments: Mapping[str, str]) -> int:
    """Make a keyfile that only its owner can read, and say what it is."""
    path = Path(arguments["file"]).expanduser()
    customer_key = write_new_keyfile(path)
    sys.stdout.write(
        f"{path}: a new customer key; its MD5, which may be shown, is {customer_key.md5}\n"
        "Keep a copy in a safe place: without it, what is encrypted with it is lost for good.\n"
    )
    return 0


def write_new_keyfile(path: Path) -> CustomerKey:
    """Write 32 random bytes as base64 into a new file, mode 0600 from the first moment, on disk when this returns.

    Raises:
        KeyfileError: the file exists, or cannot be made.
    """
    secret = os.urandom(CUSTOMER_KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        message = f"{path} exists and is not overwritten: a lost key is lost data; give another name"
        raise KeyfileError(message) from None
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror}; give a file in a directory that exists and is yours"
        raise KeyfileError(message) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secret) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return CustomerKey(secret)
