"""``ssecfs cache``: show or empty the cache of a mount, or check one that no mount uses."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ssecfs.app.config import values_of
from ssecfs.app.control import ControlClient
from ssecfs.app.status import ANSWER_S, cache_line, show_path
from ssecfs.cache.directory import existing_parts, open_part
from ssecfs.cache.verify import Findings, check
from ssecfs.errors import BrokenSealError, ConfigError, WrongKeyError
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.keyring.keyring import Keyring
from ssecfs.sizes import format_size

VERIFY: Final = "verify"
BROKEN: Final = 1


def run(arguments: Mapping[str, str]) -> int:
    """Show, empty, or verify.

    Raises:
        ConfigError: the words do not fit together.
    """
    first, directory = arguments["mountpoint"], arguments.get("dir")
    values = values_of("cache", {name: text for name, text in arguments.items() if name not in {"mountpoint", "dir"}})
    if directory is None:
        return _show(Path(first).absolute(), is_dropping=bool(values.get("drop")))
    if first != VERIFY or values.get("drop"):
        message = "write either ssecfs cache MOUNTPOINT [--drop], or ssecfs cache verify DIR --keyfile FILE"
        raise ConfigError(message)
    keyfile = values.get("keyfile")
    if not isinstance(keyfile, Path):
        message = "say which customer key opens the cache: --keyfile FILE"
        raise ConfigError(message)
    return verify(Path(directory).expanduser().absolute(), load_keyfile(keyfile))


def _show(mountpoint: Path, *, is_dropping: bool) -> int:
    with ControlClient(mountpoint) as client:
        if is_dropping:
            client.ask("drop cache", ANSWER_S)
        sys.stdout.write(f"cache of {mountpoint}: {cache_line(client.ask('status', ANSWER_S))}\n")
    return 0


def verify(base: Path, keyring: Keyring) -> int:
    """Open everything sealed under a cache directory; says what is broken, and returns 1 if anything is.

    Raises:
        CacheDirError: it cannot be read, or a mount is using it.
        WrongKeyError: it is sealed under other customer keys, all of it.
    """
    is_broken = False
    others = 0
    parts = existing_parts(base)
    for part in parts:
        try:
            with open_part(part, keyring) as opened:
                findings = check(opened)
        except BrokenSealError:
            sys.stdout.write(f"{part}: sealed under another key, not looked at\n")
            others += 1
            continue
        is_broken = is_broken or bool(findings.damaged or findings.lost or findings.unreadable)
        sys.stdout.writelines(f"{part}: {line}\n" for line in describe(findings))
    if others and others == len(parts):
        message = f"nothing in {base} opens with the keyfile: it was sealed under another customer key"
        raise WrongKeyError(message)
    return BROKEN if is_broken else 0


def describe(findings: Findings) -> list[str]:
    """The lines for people: what is lost first."""
    lines = [
        f"UNSAVED DATA IS LOST: block {block.slot} of {block.container} does not open, which is of {show_path(path)}"
        for path, block in findings.lost
    ]
    if findings.unreadable:
        lines.append(f"UNSAVED DATA MAY BE LOST: {findings.unreadable} parts of the journal do not open")
    lines += [f"block {block.slot} of {block.container} does not open; it is fetched again" for block in findings.damaged]
    lines.append(f"{findings.unsaved} unsaved files, {len({path for path, _ in findings.lost})} damaged")
    lines.append(f"{findings.blocks} blocks, {format_size(findings.size)}; {len(findings.damaged)} damaged")
    return lines
