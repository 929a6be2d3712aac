r"""``-o opt,opt=value``: the words of mount(8), split and sorted. Pure.

Imported by ``app.config`` and ``app.mount_helper``. A comma in a value is written ``\,`` and a backslash ``\\``.
"""

from typing import Final

from ssecfs.app.options import Command, Kind
from ssecfs.errors import ConfigError

IGNORED: Final = frozenset(
    (
        *("rw", "auto", "noauto", "defaults", "user", "nouser", "users", "owner", "group", "nofail", "_netdev"),
        *("dev", "nodev", "suid", "nosuid", "exec", "noexec", "async", "sync", "iversion", "noiversion"),
        *("atime", "relatime", "norelatime", "diratime", "nodiratime", "strictatime"),
    )
)
"""Words that mount(8) handles itself, or that change nothing here."""

READ_ONLY: Final = "ro"


def split_words(text: str) -> list[str]:
    """Split at commas that no backslash protects."""
    words = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            words[-1] += next(characters, "\\")
        elif character == ",":
            words.append("")
        else:
            words[-1] += character
    return [word for word in words if word]


def join_words(words: list[str]) -> str:
    """The inverse of split_words."""
    return ",".join(word.replace("\\", "\\\\").replace(",", "\\,") for word in words)


def options_from(words: list[str], command: Command) -> dict[str, str]:
    """Our options among the words, as text by name.

    Raises:
        ConfigError: a word that neither mount(8) nor we know.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("_", "-") if not name.startswith("_") else name
        if name == READ_ONLY:
            found["read-only"] = "true"
            continue
        option = command.option(name)
        if option is not None and (equals or option.kind is Kind.SWITCH):
            found[name] = value if equals else "true"
        elif option is not None:
            message = f"-o {name} needs a value: -o {name}={option.metavar}"
            raise ConfigError(message)
        elif word not in IGNORED and not name.startswith("x-"):
            message = f"there is no option -o {name}; see ssecfs mount --help"
            raise ConfigError(message)
    return found
