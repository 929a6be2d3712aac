"""``mount.ssecfs``: what mount(8) calls for ``mount -t ssecfs`` and for lines of fstab.

Source: mount(8), "External helpers": ``mount.TYPE SOURCE DIR [-sfnv] [-N ns] [-o options] [-t type]``; exit codes likewise.
"""

import sys
from collections.abc import Sequence
from typing import Final

from ssecfs.app.cli import main as ssecfs_main
from ssecfs.errors import ConfigError

USAGE: Final = 1
MOUNT_FAILURE: Final = 32

_WITH_VALUE: Final = frozenset({"-N", "-t"})


def main(argv: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks; returns one of mount(8)'s exit codes."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        source, directory, words, is_fake = parse(arguments)
    except ConfigError as error:
        sys.stderr.write(f"mount.ssecfs: {error}\n")
        return USAGE
    if is_fake:
        return 0
    code = ssecfs_main(["mount", source, directory, *(["-o", words] if words else [])])
    if code == 0:
        return 0
    return USAGE if code == ConfigError.exit_code else MOUNT_FAILURE


def parse(arguments: Sequence[str]) -> tuple[str, str, str, bool]:
    """Source, directory, the words of -o, and whether nothing is to be done (-f).

    Raises:
        ConfigError: not what mount(8) passes.
    """
    places: list[str] = []
    words: list[str] = []
    is_fake = False
    rest = iter(arguments)
    for argument in rest:
        if argument == "-o":
            words.append(next(rest, ""))
        elif argument in _WITH_VALUE:
            next(rest, None)
        elif argument.startswith("-") and set(argument[1:]) <= set("sfnvrw"):
            is_fake = is_fake or "f" in argument
            if "r" in argument:
                words.append("ro")
        else:
            places.append(argument)
    if len(places) != 2:  # noqa: PLR2004 - a source and a directory
        message = "usage: mount.ssecfs BUCKET[/PREFIX] DIR -o endpoint-url=URL,keyfile=FILE[,…]"
        raise ConfigError(message)
    return places[0], places[1], ",".join(word for word in words if word), is_fake


if __name__ == "__main__":
    sys.exit(main())
