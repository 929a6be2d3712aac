"""The table of commands and options. --help, ``-o``, the environment, the configuration file and the manual page all follow it.

What lives here: the table, and one value's text turned into a value. What does not: where values come from and whether they fit
together (``config``). Imported by ``app``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from ssecfs.errors import ConfigError
from ssecfs.sizes import parse_size

Value = str | int | float | bool | Path | tuple[str, ...]


class Kind(Enum):
    """What the text of an option must be."""

    TEXT = "text"
    PATH = "path"
    SIZE = "size"
    SECONDS = "seconds"
    ID = "user or group number"
    BITS = "permission bits"
    """Octal, as chmod(1) takes them."""
    SWITCH = "switch"
    MANY = "many"
    """May be given several times."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: without the dashes; also its ``-o`` and TOML name, and, in capitals after ``SSECFS_``, its environment variable.
        metavar: what help shows for the value; empty for switches.
        default: as help shows it; empty: none.
    """

    name: str
    kind: Kind
    metavar: str
    help: str
    default: str = ""
    choices: tuple[str, ...] = ()
    short: str = ""


@dataclass(frozen=True, slots=True)
class Argument:
    """One positional argument; an optional one has is_optional."""

    metavar: str
    help: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command and what it takes."""

    name: str
    help: str
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]

    def option(self, name: str) -> Option | None:
        """The option of a name."""
        return next((option for option in self.options if option.name == name), None)


MAX_ID: Final = (1 << 32) - 2
"""The number after it means nobody at all, for chown(2)."""

MAX_BITS: Final = 0o7777

PROFILE_NAMES: Final = ("ovh", "aws", "ceph", "minio", "garage", "blocked", "ignores-ssec", "no-trailer", "no-copy")
KEYFILE: Final = Option(
    "keyfile", Kind.PATH, "FILE", "file with the customer key; made by ssecfs keygen; readable by you alone"
)
CONFIG: Final = Option("config", Kind.PATH, "FILE", "TOML file with options", "~/.config/ssecfs/config.toml, /etc/ssecfs.toml")
LOG_LEVEL: Final = Option(
    "log-level", Kind.TEXT, "LEVEL", "what to log", "warning", choices=("debug", "info", "warning", "error")
)

CONNECTION: Final = (
    Option("endpoint-url", Kind.TEXT, "URL", "S3 endpoint, https (http only to loopback, with --allow-http)", "AWS"),
    Option("region", Kind.TEXT, "NAME", "region of the bucket", "that of the profile, else us-east-1"),
    Option("profile-name", Kind.TEXT, "NAME", "profile of the AWS configuration to take credentials from"),
    Option("ca-bundle", Kind.PATH, "PEM", "file with the certificates to trust", "the system's"),
    KEYFILE,
    Option("allow-http", Kind.SWITCH, "", "let the customer key travel over plain http, to loopback only"),
)

MOUNTING: Final = (
    Option("timeout", Kind.SECONDS, "SECONDS", "how long a request may go on failing before the program gets an error", "60"),
    Option("cache-dir", Kind.PATH, "DIR", "where sealed blocks are kept", "~/.cache/ssecfs"),
    Option("cache-size", Kind.SIZE, "SIZE", "sealed blocks kept at most", "1 GiB, or a tenth of the free disk if that is less"),
    Option("writeback", Kind.SWITCH, "", "let close return when the local disk has the content; the upload follows"),
    Option(
        "spool-size",
        Kind.SIZE,
        "SIZE",
        "with --writeback: what waits for its upload at most, then close waits, too",
        "1 GiB, or a tenth of the free disk if that is less",
    ),
    Option("memory", Kind.SIZE, "SIZE", "memory for buffers", "256M"),
    Option("ttl", Kind.SECONDS, "SECONDS", "how long names and attributes are trusted without asking; or forever", "5"),
    Option("read-only", Kind.SWITCH, "", "refuse every change"),
    Option("allow-other", Kind.SWITCH, "", "let other users see the mount; modes and owners still decide"),
    Option("uid", Kind.ID, "UID", "show everything as this user's; what is stored stays", "as stored"),
    Option("gid", Kind.ID, "GID", "show everything as this group's; what is stored stays", "as stored"),
    Option("umask", Kind.BITS, "MASK", "permission bits (octal) that are not shown; what is stored stays", "000"),
    Option("no-xattr", Kind.SWITCH, "", "keep no extended attributes; many small writes are faster then"),
    Option("noatime", Kind.SWITCH, "", "leave access times alone when files are read"),
    Option("log-file", Kind.PATH, "FILE", "where to log", "standard error with -f, else ssecfs.log in the cache directory"),
    LOG_LEVEL,
    Option("foreground", Kind.SWITCH, "", "stay in the foreground", short="f"),
    CONFIG,
)

SERVING: Final = (
    Option("listen", Kind.TEXT, "HOST:PORT", "where to listen; port 0: any free one", "127.0.0.1:9000"),
    Option("tls", Kind.TEXT, "auto|off|CERT,KEY", "certificate of its own, none (loopback only), or PEM files", "auto"),
    Option("bucket", Kind.MANY, "NAME", "make this bucket if it is missing; may be given several times"),
    Option(
        "profile", Kind.TEXT, "NAME", "whose behaviour to show; ssecfs-server(1) has the table", "ovh", choices=PROFILE_NAMES
    ),
    Option("credentials", Kind.PATH, "FILE", "access keys, as in an AWS credentials file", "environment, else made in DIR"),
    Option("fsync", Kind.SWITCH, "", "make every upload survive a power cut"),
    Option("http-keys", Kind.TEXT, "RULE", "customer keys over plain http", "allow", choices=("allow", "refuse")),
    Option("fault", Kind.MANY, "RULE", "misbehave, for example status=503,every=20; ssecfs-server(1) has the rules"),
    Option("idle-timeout", Kind.SECONDS, "SECONDS", "disconnect a client that neither sends nor reads for so long", "60"),
    Option("request-log", Kind.PATH, "FILE", "write a line of JSON for each request"),
    LOG_LEVEL,
)

COMMANDS: Final = (
    Command(
        "demo",
        "try it: an embedded server, a fresh key, a bucket and a mount, all under one directory",
        (Argument("MOUNTPOINT", "where to mount; default: mnt in the directory of the demo", is_optional=True),),
        (
            Option("stop", Kind.SWITCH, "", "unmount and stop the server; what was stored stays"),
            Option("directory", Kind.PATH, "DIR", "where everything is kept", "~/.local/share/ssecfs-demo"),
        ),
    ),
    Command(
        "mount",
        "mount a bucket as a directory",
        (
            Argument("BUCKET[/PREFIX]", "what to mount"),
            Argument("MOUNTPOINT", "an empty directory"),
        ),
        CONNECTION + MOUNTING,
    ),
    Command(
        "umount",
        "upload what is unsaved, then unmount",
        (Argument("MOUNTPOINT", "where it is mounted"),),
        (Option("timeout", Kind.SECONDS, "SECONDS", "how long to wait for uploads", "600"),),
    ),
    Command(
        "status",
        "tell what a mount is doing: what is unsaved, what failed, how the cache does",
        (Argument("MOUNTPOINT", "where it is mounted"),),
        (Option("json", Kind.SWITCH, "", "print one JSON object, for scripts"),),
    ),
    Command(
        "flush",
        "wait until everything that a mount has is on the server",
        (Argument("MOUNTPOINT", "where it is mounted"),),
        (Option("timeout", Kind.SECONDS, "SECONDS", "how long to wait for uploads", "600"),),
    ),
    Command(
        "recover",
        "list, publish or discard what was being written when an earlier mount ended",
        (Argument("MOUNTPOINT", "where it is mounted"),),
        (
            Option("publish", Kind.TEXT, "NUMBER|all", "store it beside its file, as NAME.recovered-HOST-TIME"),
            Option("discard", Kind.TEXT, "NUMBER|all", "forget it for good"),
        ),
    ),
    Command(
        "cache",
        "show, empty or check the local cache: cache MOUNTPOINT, or cache verify DIR",
        (
            Argument("MOUNTPOINT", "where it is mounted; or the word verify"),
            Argument("DIR", "the cache directory to verify, with --keyfile", is_optional=True),
        ),
        (Option("drop", Kind.SWITCH, "", "forget all clean blocks; nothing unsaved is touched"), KEYFILE, CONFIG),
    ),
    Command("keygen", "make a keyfile; never overwrites", (Argument("FILE", "the new keyfile"),), ()),
    Command(
        "presign",
        "make a URL that allows one request, and the curl command for it",
        (
            Argument("METHOD", "what it allows: get, put or head"),
            Argument("BUCKET/OBJECT", "of what"),
        ),
        (*CONNECTION, Option("expires", Kind.SECONDS, "SECONDS", "how long the URL is good; at most a week", "3600"), CONFIG),
    ),
    Command("headers", "write the three headers of a customer key, for a pipe into curl", (), (KEYFILE, CONFIG)),
    Command(
        "serve",
        "serve S3 with real SSE-C from a directory",
        (Argument("DIR", "data, index, certificate and credentials; made if missing"),),
        SERVING,
    ),
)


def find_command(name: str) -> Command:
    """The command of a name that is in the table."""
    return next(command for command in COMMANDS if command.name == name)


def parse_value(option: Option, text: str) -> Value:
    """Turn the text of an option into its value.

    Raises:
        ConfigError: says which option and what it takes.
    """
    parsers: dict[Kind, Callable[[str], Value]] = {
        Kind.TEXT: str,
        Kind.PATH: lambda given: Path(given).expanduser(),
        Kind.SIZE: parse_size,
        Kind.SECONDS: _parse_seconds,
        Kind.ID: _parse_id,
        Kind.BITS: _parse_bits,
        Kind.SWITCH: _parse_switch,
        Kind.MANY: lambda given: (given,),
    }
    try:
        value = parsers[option.kind](text)
    except ValueError as error:
        message = f"--{option.name}: {error}"
        raise ConfigError(message) from None
    if option.choices and value not in option.choices:
        message = f"--{option.name} takes one of {', '.join(option.choices)}, not {text!r}"
        raise ConfigError(message)
    return value


def _parse_seconds(text: str) -> float:
    if text == "forever":
        return float("inf")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        message = f"{text!r} is no number of seconds"
        raise ValueError(message)
    return seconds


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_ID:
        message = f"{text!r} is no user or group number"
        raise ValueError(message)
    return int(text)


def _parse_bits(text: str) -> int:
    if not text or set(text) - set("01234567") or int(text, 8) > MAX_BITS:
        message = f"{text!r} is no mask of permission bits, such as 022"
        raise ValueError(message)
    return int(text, 8)


def _parse_switch(text: str) -> bool:
    if text not in {"true", "false"}:
        message = f"{text!r} is neither true nor false"
        raise ValueError(message)
    return text == "true"
