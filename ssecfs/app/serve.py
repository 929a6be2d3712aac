"""``ssecfs serve DIR``: the embedded S3 server."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ssecfs.app.config import values_of
from ssecfs.app.options import Value
from ssecfs.app.process import keep_memory
from ssecfs.errors import ConfigError, StartupError
from ssecfs.log import set_up_logging
from ssecfs.server.credentials import credentials_from
from ssecfs.server.options import Durability, HttpKeys, ServerOptions, Tls
from ssecfs.server.run import BadOptionError, ServerStartError
from ssecfs.server.run import run as run_server


def run(arguments: Mapping[str, str | list[str]]) -> int:
    """Serve until a signal ends it."""
    options, log_level = server_options(arguments)
    set_up_logging(log_level, None, ())
    keep_memory()
    try:
        run_server(options, lambda url: announce(options, url))
    except BadOptionError as error:
        raise ConfigError(str(error)) from error
    except ServerStartError as error:
        raise StartupError(str(error)) from error
    return 0


def server_options(arguments: Mapping[str, str | list[str]]) -> tuple[ServerOptions, int]:
    """The options of the server from the command line, and the level of its log.

    Raises:
        ConfigError: they make no sense.
    """
    texts = {name: value for name, value in arguments.items() if isinstance(value, str) and name != "dir"}
    values = values_of("serve", texts) | {name: tuple(given) for name, given in arguments.items() if isinstance(given, list)}
    host, port = parse_listen(str(values.get("listen", "127.0.0.1:9000")))
    tls, certificate = _parse_tls(str(values.get("tls", "auto")))
    options = ServerOptions(
        directory=Path(str(arguments["dir"])).expanduser().absolute(),
        host=host,
        port=port,
        tls=tls,
        certificate=certificate,
        buckets=_many(values, "bucket"),
        profile=str(values.get("profile", "ovh")),
        credentials_file=_path(values.get("credentials")),
        durability=Durability.POWER_CUT if values.get("fsync") else Durability.KILL,
        faults=_many(values, "fault"),
        http_keys=HttpKeys(str(values.get("http-keys", "allow"))),
        idle_s=_idle(values),
        request_log=_path(values.get("request-log")),
    )
    return options, logging.getLevelNamesMapping()[str(values.get("log-level", "warning")).upper()]


def announce(options: ServerOptions, url: str) -> None:
    """Say where the server is and how to talk to it."""
    lines = [f"serving {options.directory} at {url}"]
    environment = ""
    if options.tls is Tls.AUTO:
        certificate = options.directory / "tls" / "cert.pem"
        lines.append(f"certificate (what clients must trust): {certificate}")
        environment = f"AWS_CA_BUNDLE={certificate} "
    credentials = options.credentials_file or options.directory / "credentials"
    if options.credentials_file is not None or credentials_from(os.environ) is None:
        lines.append(f"access keys: {credentials}")
        environment += f"AWS_SHARED_CREDENTIALS_FILE={credentials} "
    lines.append(f"try: {environment}aws --endpoint-url {url} --region us-east-1 s3 ls")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; an IPv6 address stands in brackets.

    Raises:
        ConfigError: it is something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:  # noqa: PLR2004 - the last port
        message = f"--listen {text}: write HOST:PORT, for example 127.0.0.1:9000"
        raise ConfigError(message)
    return host.strip("[]"), int(port)


def _parse_tls(text: str) -> tuple[Tls, tuple[Path, Path] | None]:
    if text in {Tls.AUTO.value, Tls.OFF.value}:
        return Tls(text), None
    certificate, comma, private_key = text.partition(",")
    paths = (Path(certificate).expanduser().absolute(), Path(private_key).expanduser().absolute())
    if not comma or not all(path.is_file() for path in paths):
        message = f"--tls {text}: write auto, off, or two PEM files that exist, as CERT,KEY"
        raise ConfigError(message)
    return Tls.FILES, paths


def _many(values: Mapping[str, Value], name: str) -> tuple[str, ...]:
    given = values.get(name, ())
    return given if isinstance(given, tuple) else ()


def _idle(values: Mapping[str, Value]) -> float:
    idle_s = values.get("idle-timeout", 60.0)
    if not isinstance(idle_s, float) or idle_s <= 0:
        message = "--idle-timeout must be more than 0 seconds"
        raise ConfigError(message)
    return min(idle_s, 86400.0)


def _path(value: Value | None) -> Path | None:
    return value.absolute() if isinstance(value, Path) else None
