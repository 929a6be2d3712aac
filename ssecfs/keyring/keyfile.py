"""Keyfiles: read them, check who else can, and say precisely what is wrong with a bad one.

Floor 1. Three forms: 32 raw bytes; base64 of 32 bytes, as ``openssl rand -base64 32`` prints it; 64 hex digits. The text forms
may stand on several lines (several keys), each with a ``label:`` before it; ``#`` begins a comment line. No message repeats
what is in the file.

A file of exactly 32 bytes is a raw key, and so is one of 32 bytes and a newline that is no text form. Everything else is text.
"""

import base64
import binascii
import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

from ssecfs.errors import KeyfileError
from ssecfs.keyring.keyring import Keyring
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey

MAX_KEYFILE_BYTES: Final = 64 << 10

_LABEL: Final = re.compile(r"[A-Za-z0-9_.@-]+:\s*")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_MD5_BYTES: Final = 16
_HEX_MD5_LINE: Final = re.compile(rb"[0-9a-f]{32}\n?")


def load_keyfile(path: Path) -> Keyring:
    """Read a keyfile that only its owner can read.

    Raises:
        KeyfileError: missing, not a regular file, readable by others, too large, or holding no proper key.
    """
    content = _read_private(path)
    try:
        return parse_keyfile(content)
    except KeyfileError as error:
        message = f"keyfile {path}: {error}"
        raise KeyfileError(message) from None


def parse_keyfile(content: bytes) -> Keyring:
    """Read the customer keys from a keyfile's content. Pure.

    Raises:
        KeyfileError: says which line is wrong and how; never shows the line.
    """
    if not content.strip():
        message = "it is empty; make a key with: ssecfs keygen FILE"
        raise KeyfileError(message)
    if len(content) == CUSTOMER_KEY_BYTES:
        return Keyring((CustomerKey(content),))
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return Keyring((CustomerKey(_raw_key(content)),))
    if "\0" in text:
        return Keyring((CustomerKey(_raw_key(content)),))
    return _parse_lines(text)


def _parse_lines(text: str) -> Keyring:
    found: dict[CustomerKey, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        value = line.strip()
        if not value or value.startswith("#"):
            continue
        value = _LABEL.sub("", value, count=1) if _LABEL.match(value) else value
        try:
            customer_key = CustomerKey(_decode(value))
        except KeyfileError as error:
            message = f"line {number}: {error}"
            raise KeyfileError(message) from None
        if customer_key in found:
            message = f"line {number}: the same key as on line {found[customer_key]}; remove one of them"
            raise KeyfileError(message)
        found[customer_key] = number
    if not found:
        message = "it holds comments only; make a key with: ssecfs keygen FILE"
        raise KeyfileError(message)
    return Keyring(tuple(found))


def _decode(value: str) -> bytes:
    """The 32 bytes that a text form stands for; else the error that tells which mistake it is."""
    if _HEX.fullmatch(value) and len(value) == 2 * CUSTOMER_KEY_BYTES:
        return bytes.fromhex(value)
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        message = f"neither base64 nor {2 * CUSTOMER_KEY_BYTES} hex digits{_about_hex(value)}"
        raise KeyfileError(message) from None
    if len(decoded) == CUSTOMER_KEY_BYTES and not _HEX_MD5_LINE.fullmatch(decoded):
        return decoded
    raise KeyfileError(_mistake(value, decoded))


def _mistake(value: str, decoded: bytes) -> str:
    """Say what a wrong base64 value most likely is."""
    if _HEX_MD5_LINE.fullmatch(decoded):
        return "this is base64 of an MD5 in hex (the sum that goes beside a key), not a key"
    if len(decoded) == _MD5_BYTES:
        return "this is a key MD5 (16 bytes), not the key itself"
    inner = _try_base64(decoded)
    if inner is not None and len(inner) == CUSTOMER_KEY_BYTES:
        return "the key is encoded twice; decode it once with: base64 -d"
    if _HEX.fullmatch(value):
        return f"a hex key has {2 * CUSTOMER_KEY_BYTES} digits, this one has {len(value)}"
    hint = ""
    if CUSTOMER_KEY_BYTES - 3 <= len(decoded) < CUSTOMER_KEY_BYTES:
        hint = " (a shell variable drops NUL bytes and newlines of a raw key; write the key to a file at once)"
    return f"the key has {len(decoded)} bytes, it must have {CUSTOMER_KEY_BYTES}{hint}"


def _about_hex(value: str) -> str:
    return f" (there are {len(value)} hex digits)" if _HEX.fullmatch(value) else ""


def _try_base64(content: bytes) -> bytes | None:
    try:
        return base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _raw_key(content: bytes) -> bytes:
    """A key of raw bytes, perhaps with the newline that an editor or ``echo`` added."""
    if len(content) == CUSTOMER_KEY_BYTES + 1 and content.endswith(b"\n"):
        return content[:-1]
    message = f"a raw key has exactly {CUSTOMER_KEY_BYTES} bytes, this file has {len(content)}"
    raise KeyfileError(message)


def _read_private(path: Path) -> bytes:
    """Read a file after checking, on the open descriptor, that it is ours alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyfileError(_why_not(path, error)) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            message = f"keyfile {path} is not a regular file; give the file that holds the key"
            raise KeyfileError(message)
        if status.st_uid not in {os.geteuid(), 0}:
            message = f"keyfile {path} belongs to another user; make it yours with: chown $(id -u) {path}"
            raise KeyfileError(message)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            message = f"keyfile {path} can be used by others; forbid that with: chmod 600 {path}"
            raise KeyfileError(message)
        content = file.read(MAX_KEYFILE_BYTES + 1)
    if len(content) > MAX_KEYFILE_BYTES:
        message = f"keyfile {path} is larger than {MAX_KEYFILE_BYTES >> 10} KiB: this is no keyfile"
        raise KeyfileError(message)
    return content


def _why_not(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"keyfile {path} does not exist; make one with: ssecfs keygen {path}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"keyfile {path} cannot be read: no permission; run as its owner, or change the owner"
    return f"keyfile {path} cannot be read: {error.strerror}"
