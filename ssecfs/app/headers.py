"""``ssecfs headers --keyfile FILE``: the three SSE-C headers, for a pipe into curl."""

import sys
from collections.abc import Mapping
from pathlib import Path

from ssecfs.app.config import values_of
from ssecfs.errors import ConfigError
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.ssec import ALGORITHM, ALGORITHM_HEADER, CUSTOMER_KEY_HEADER, KEY_MD5_HEADER


def run(arguments: Mapping[str, str]) -> int:
    """Write the headers to standard output, unless that is a terminal."""
    keyfile = values_of("headers", arguments).get("keyfile")
    if not isinstance(keyfile, Path):
        message = "say which customer key to use: --keyfile FILE"
        raise ConfigError(message)
    if sys.stdout.isatty():
        message = "the headers hold the key and are not shown on a terminal: pipe them, ssecfs headers … | curl --header @- …"
        raise ConfigError(message)
    customer_key = load_keyfile(keyfile).first
    sys.stdout.write(
        f"{ALGORITHM_HEADER}: {ALGORITHM}\n"
        f"{CUSTOMER_KEY_HEADER}: {customer_key.reveal_base64()}\n"
        f"{KEY_MD5_HEADER}: {customer_key.md5}\n"
    )
    return 0
