"""Where the values of options come from, and whether they fit together.

Imported by the commands. From weak to strong: configuration files, environment, ``-o``, command line. The result is a frozen
record; nobody below ``app`` sees anything else.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from ssecfs.app.options import COMMANDS, Command, Kind, Value, find_command, parse_value
from ssecfs.errors import ConfigError
from ssecfs.fs.closing import Durability
from ssecfs.s3.transport import check_endpoint
from ssecfs.sizes import GIB, MIB

DEFAULT_CACHE_BYTES: Final = GIB
DEFAULT_SPOOL_BYTES: Final = GIB
FREE_FLOOR_BYTES: Final = 256 * MIB
MIN_MEMORY_BYTES: Final = 16 * MIB


class Access(Enum):
    """What a mount allows."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"


class Stay(Enum):
    """Where a mount runs."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Everything that one mount needs to know.

    Attributes:
        prefix: empty, or ends in a slash.
        endpoint_url: None: AWS, or what boto3 finds in its own configuration.
        is_http_allowed: a key may travel over plain http to this machine itself.
        cache_size_bytes, spool_size_bytes: None: by the free disk.
        ttl_s: may be infinite.
        uid, gid: None: as stored.
        log_file: None: standard error.
    """

    bucket: str
    prefix: str
    mountpoint: Path
    endpoint_url: str | None
    region: str | None
    profile_name: str | None
    ca_bundle: Path | None
    is_http_allowed: bool
    keyfile: Path
    timeout_s: float
    cache_dir: Path
    cache_size_bytes: int | None
    durability: Durability
    spool_size_bytes: int | None
    memory_bytes: int
    ttl_s: float
    access: Access
    is_shared: bool
    uid: int | None
    gid: int | None
    umask: int
    has_xattrs: bool
    moves_atime: bool
    log_file: Path | None
    log_level: int
    stay: Stay

    @property
    def source(self) -> str:
        """What is mounted, as it was written."""
        return f"{self.bucket}/{self.prefix}".rstrip("/")


def gather(
    command: Command, given: Mapping[str, str], words: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, Value]:
    """The values of a command's options, by name; options that nobody gave are missing.

    Args:
        command: whose options.
        given: texts from the command line.
        words: texts from ``-o``.
        environment: of the process.

    Raises:
        ConfigError: a file that cannot be read, an unknown name, a value that makes no sense.
    """
    texts: dict[str, str] = {}
    if command.option("config") is not None:
        explicit = given.get("config") or words.get("config")
        for path in [Path(explicit).expanduser()] if explicit else _usual_files(environment):
            texts |= _read_file(path, command)
    for option in command.options:
        variable = "SSECFS_" + option.name.upper().replace("-", "_")
        if variable in environment:
            texts[option.name] = environment[variable]
    texts |= words
    texts |= given
    return {option.name: parse_value(option, texts[option.name]) for option in command.options if option.name in texts}


def mount_options(source: str, mountpoint: str, values: Mapping[str, Value]) -> MountOptions:
    """Check the values of a mount and put them together. Every rule about them is here.

    Raises:
        ConfigError: they do not fit together.
    """
    bucket, _, prefix = source.partition("/")
    if not bucket:
        message = "say which bucket to mount: ssecfs mount BUCKET[/PREFIX] MOUNTPOINT"
        raise ConfigError(message)
    endpoint_url = _text(values, "endpoint-url")
    is_http_allowed = bool(values.get("allow-http", False))
    if endpoint_url is not None:
        check_endpoint(endpoint_url, is_http_allowed=is_http_allowed)
    keyfile = _path(values, "keyfile")
    if keyfile is None:
        message = "say which customer key to use: --keyfile FILE (ssecfs keygen FILE makes one)"
        raise ConfigError(message)
    ca_bundle = _path(values, "ca-bundle")
    if ca_bundle is not None and not ca_bundle.is_file():
        message = f"--ca-bundle {ca_bundle}: there is no such file"
        raise ConfigError(message)
    stay = Stay.FOREGROUND if values.get("foreground", False) else Stay.BACKGROUND
    cache_dir = (_path(values, "cache-dir") or default_cache_dir(os.environ)).absolute()
    log_file = _path(values, "log-file")
    if log_file is None and stay is Stay.BACKGROUND:
        log_file = cache_dir / "ssecfs.log"
    size = values.get("cache-size")
    return MountOptions(
        bucket=bucket,
        prefix=prefix.strip("/") + "/" if prefix.strip("/") else "",
        mountpoint=Path(mountpoint).absolute(),
        endpoint_url=endpoint_url,
        region=_text(values, "region"),
        profile_name=_text(values, "profile-name"),
        ca_bundle=ca_bundle.absolute() if ca_bundle is not None else None,
        is_http_allowed=is_http_allowed,
        keyfile=keyfile.absolute(),
        timeout_s=_seconds(values, "timeout", 60.0),
        cache_dir=cache_dir,
        cache_size_bytes=int(size) if isinstance(size, int) else None,
        durability=Durability.JOURNAL if values.get("writeback", False) else Durability.SERVER,
        spool_size_bytes=_number(values, "spool-size"),
        memory_bytes=_memory(values),
        ttl_s=_seconds(values, "ttl", 5.0),
        access=Access.READ_ONLY if values.get("read-only", False) else Access.READ_WRITE,
        is_shared=bool(values.get("allow-other", False)),
        uid=_number(values, "uid"),
        gid=_number(values, "gid"),
        umask=_number(values, "umask") or 0,
        has_xattrs=not values.get("no-xattr", False),
        moves_atime=not values.get("noatime", False),
        log_file=log_file.absolute() if log_file is not None else None,
        log_level=logging.getLevelNamesMapping()[(_text(values, "log-level") or "warning").upper()],
        stay=stay,
    )


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """Where sealed blocks are kept if nobody says."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssecfs"


def _usual_files(environment: Mapping[str, str]) -> list[Path]:
    base = environment.get("XDG_CONFIG_HOME")
    own = (Path(base) if base else Path.home() / ".config") / "ssecfs" / "config.toml"
    return [path for path in (Path("/etc/ssecfs.toml"), own) if path.exists()]


def _read_file(path: Path, command: Command) -> dict[str, str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"configuration file {path} cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"configuration file {path} is no TOML: {error}"
        raise ConfigError(message) from error
    texts = {}
    for name, value in content.items():
        option = next((found for other in (command, *COMMANDS) if (found := other.option(name))), None)
        if option is None or option.name == "config":
            message = f"configuration file {path}: there is no option {name!r}; see ssecfs {command.name} --help"
            raise ConfigError(message)
        is_fit = isinstance(value, bool) == (option.kind is Kind.SWITCH) and not isinstance(value, dict | list)
        if not is_fit or (option.kind is Kind.BITS and not isinstance(value, str)):
            # TOML's numbers are decimal: 22 is not 022.
            wanted = {Kind.SWITCH: "true or false", Kind.BITS: 'a text, such as "022"'}.get(option.kind, "a text or a number")
            message = f"configuration file {path}: {name} takes {wanted}"
            raise ConfigError(message)
        if command.option(name) is None:
            continue  # one file serves all commands
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _text(values: Mapping[str, Value], name: str) -> str | None:
    value = values.get(name)
    return str(value) if value is not None else None


def _path(values: Mapping[str, Value], name: str) -> Path | None:
    value = values.get(name)
    return value if isinstance(value, Path) else None


LONGEST_WAIT_S: Final = 2_000_000.0
"""Sockets cannot wait for much longer, 23 days."""


def _seconds(values: Mapping[str, Value], name: str, default: float) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else default


def _number(values: Mapping[str, Value], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _memory(values: Mapping[str, Value]) -> int:
    value = values.get("memory", 256 * MIB)
    if not isinstance(value, int) or value < MIN_MEMORY_BYTES:
        message = f"--memory must be at least {MIN_MEMORY_BYTES // MIB}M"
        raise ConfigError(message)
    return value


def seconds_of(command_name: str, given: Mapping[str, str], name: str, default: float) -> float:
    """How long a command without ``-o`` is to wait, in seconds.

    Raises:
        ConfigError: not at all.
    """
    options = {option.name for option in find_command(command_name).options}
    values = values_of(command_name, {found: text for found, text in given.items() if found in options})
    wanted_s = _seconds(values, name, default)
    if wanted_s <= 0:
        message = f"--{name} must be more than 0 seconds"
        raise ConfigError(message)
    return min(wanted_s, LONGEST_WAIT_S)


def values_of(command_name: str, given: Mapping[str, str]) -> dict[str, Value]:
    """The values of a command without ``-o``."""
    return gather(find_command(command_name), given, {}, os.environ)
