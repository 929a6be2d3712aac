"""Keyfiles: read them, check who else can, and say precisely what is wrong with a bad one.

Floor 1. Three forms: 32 raw bytes; base64 of 32 bytes, as ``openssl rand -base64 32`` prints it; 64 hex digits. The text forms
may stand on several lines (several keys), each with a ``label:`` before it; ``#`` begins a comment line. No message repeats
what is in the file.

Which form it is, is decided by size first: a file of exactly 32 bytes is a raw key, whatever the bytes are, unless all of it is
text that ends in a newline (31 typed characters; a random key looks like that less than once in 10^15). Everything else is
text. So 33 bytes, a raw key and the newline that an editor added, are an error and no guess.
"""

import base64
import binascii
import errno
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Final

from ssecfs.errors import KeyfileError
from ssecfs.keyring.keyring import Keyring
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey

MAX_KEYFILE_BYTES: Final = 64 << 10

_LABEL: Final = re.compile(r"[\w.@-]+:\s*")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TYPED_LINES: Final = re.compile(rb"[\t\r\n -~]*\n")
_MD5_BYTES: Final = 16
_HEX_MD5_LINE: Final = re.compile(rb"[0-9a-f]{32}\n?")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_SHELL_LOSS_BYTES: Final = 4
_SHELL_HINT: Final = " (a shell variable drops NUL bytes and newlines of a raw key; make the key with: ssecfs keygen FILE)"


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
    if len(content) == CUSTOMER_KEY_BYTES and not _TYPED_LINES.fullmatch(content):
        return Keyring((CustomerKey(content),))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise KeyfileError(_raw_mistake(content)) from None
    if _NO_TEXT.search(text):
        raise KeyfileError(_raw_mistake(content))
    return _parse_lines(text)


def _parse_lines(text: str) -> Keyring:
    found: dict[CustomerKey, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        value = line.strip()
        if not value or value.startswith("#"):
            continue
        try:
            customer_key = CustomerKey(_decode(_LABEL.sub("", value, count=1) if _LABEL.match(value) else value))
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
    decoded = _try_base64(value)
    if decoded is None:
        raise KeyfileError(_no_form(value))
    if len(decoded) == CUSTOMER_KEY_BYTES and not _HEX_MD5_LINE.fullmatch(decoded):
        return decoded
    raise KeyfileError(_mistake(value, decoded))


def _no_form(value: str) -> str:
    """Say what a value that is neither base64 nor a hex key may have been meant as."""
    if _HEX.fullmatch(value):
        return _wrong_hex(value)
    hint = ""
    if len(value) == CUSTOMER_KEY_BYTES:
        hint = "; if these characters are the key itself, keep them in a file without a newline"
    return f"neither base64 (44 characters, the last is =) nor 64 hex digits; it has {len(value)} characters{hint}"


def _wrong_hex(value: str) -> str:
    return f"a hex key has {2 * CUSTOMER_KEY_BYTES} digits, this one has {len(value)}"


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
        return _wrong_hex(value)
    return f"the key has {len(decoded)} bytes, it must have {CUSTOMER_KEY_BYTES}{_shell_hint(decoded)}"


def _raw_mistake(content: bytes) -> str:
    """Say what a file that is neither text nor 32 bytes most likely is."""
    if content.startswith(_UTF16_MARKS):
        return "this is UTF-16 text (as PowerShell writes it); save it as plain text"
    hint = _shell_hint(content)
    if len(content) == CUSTOMER_KEY_BYTES + 1 and content.endswith(b"\n"):
        hint = f", the last one a newline; cut it off with: head -c {CUSTOMER_KEY_BYTES}"
    return f"a raw key has exactly {CUSTOMER_KEY_BYTES} bytes, this file has {len(content)}{hint}"


def _shell_hint(secret: bytes) -> str:
    return _SHELL_HINT if 0 < CUSTOMER_KEY_BYTES - len(secret) <= _SHELL_LOSS_BYTES else ""


def _try_base64(value: str | bytes) -> bytes | None:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _read_private(path: Path) -> bytes:
    """Read a file after checking, on the open descriptor, that it is ours alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise KeyfileError(_why_not(path, error)) from error
    try:
        _check_private(path, os.fstat(descriptor))
        content = _read_up_to(descriptor, MAX_KEYFILE_BYTES + 1)
    except OSError as error:
        raise KeyfileError(_why_not(path, error)) from error
    finally:
        os.close(descriptor)
    if len(content) > MAX_KEYFILE_BYTES:
        message = f"keyfile {path} is larger than {MAX_KEYFILE_BYTES >> 10} KiB: this is no keyfile"
        raise KeyfileError(message)
    return content


def _check_private(path: Path, status: os.stat_result) -> None:
    """Refuse what is no file, or belongs to others, or is open to them."""
    quoted = shlex.quote(str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        message = f"keyfile {path} is {kind}; give the file that holds the key"
        raise KeyfileError(message)
    if status.st_uid not in {os.geteuid(), 0}:
        message = f"keyfile {path} belongs to another user; make it yours with: chown {os.geteuid()} {quoted}"
        raise KeyfileError(message)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"keyfile {path} can be used by others; forbid that with: chmod 600 {quoted}"
        raise KeyfileError(message)


def _read_up_to(descriptor: int, limit: int) -> bytes:
    """Read to the end of the file, or limit bytes."""
    content = b""
    while piece := os.read(descriptor, limit - len(content)):
        content += piece
    return content


def _why_not(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return (
            f"keyfile {path} does not exist; give the one that the bucket was written with, "
            f"or, for a new bucket, make one with: ssecfs keygen {shlex.quote(str(path))}"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"keyfile {path} cannot be read: no permission; run as its owner, or change the owner"
    return f"keyfile {path} cannot be read: {error.strerror}"
