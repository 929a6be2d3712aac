"""``ssecfs presign METHOD BUCKET/OBJECT``: a URL that allows one thing for a while, and the curl command that uses it.

The key stands neither in the URL nor in the command: curl reads the headers from ``ssecfs headers`` by a pipe.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from ssecfs.app.config import values_of
from ssecfs.app.options import Value
from ssecfs.errors import ConfigError
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.s3.endpoint import S3Options, make_client
from ssecfs.s3.presign import Method, presigned_url
from ssecfs.s3.transport import check_endpoint

MAX_EXPIRES_S: Final = 7 * 24 * 60 * 60


def run(arguments: Mapping[str, str]) -> int:
    """Print the URL on the first line, the command on the second."""
    method = parse_method(arguments["method"])
    bucket, _, object_key = arguments["bucket/object"].partition("/")
    if not bucket or not object_key:
        message = f"{arguments['bucket/object']}: write BUCKET/OBJECT, for example backups/2026/data.tar"
        raise ConfigError(message)
    values = values_of("presign", {name: text for name, text in arguments.items() if name not in {"method", "bucket/object"}})
    keyfile = values.get("keyfile")
    if not isinstance(keyfile, Path):
        message = "say which customer key to use: --keyfile FILE"
        raise ConfigError(message)
    expires_s, connection = _expires(values), _connection(values)
    customer_key = load_keyfile(keyfile).first
    url = presigned_url(make_client(connection), method, (bucket, object_key), customer_key, expires_s)
    sys.stdout.write(f"{url}\n{curl_command(method, object_key, url, keyfile, connection.ca_bundle or _usual_ca_bundle())}\n")
    return 0


def parse_method(text: str) -> Method:
    """What the URL is for.

    Raises:
        ConfigError: it is none of the three.
    """
    try:
        return Method(text.lower())
    except ValueError:
        message = f"presign {text}: the method is one of {', '.join(method.value for method in Method)}"
        raise ConfigError(message) from None


def curl_command(method: Method, object_key: str, url: str, keyfile: Path, ca_bundle: Path | None) -> str:
    """A line for the shell that uses the URL; local files have the last part of the object key as their name."""
    name = _file_name(object_key)
    use = {
        Method.GET: ["--output", name],
        Method.PUT: ["--upload-file", name],
        Method.HEAD: ["--head"],
    }[method]
    trust = ["--cacert", str(ca_bundle)] if ca_bundle is not None else []
    headers = shlex.join([*_own_command(), "headers", "--keyfile", str(keyfile.absolute())])
    # Without --globoff curl would take brackets and braces in the name of the file for patterns.
    return f"{headers} | {shlex.join(['curl', '--fail-with-body', '--globoff', '--header', '@-', *trust, *use, url])}"


def _usual_ca_bundle() -> Path | None:
    """What boto3 trusts where nobody says; curl would not know of it."""
    name = os.environ.get("AWS_CA_BUNDLE")
    return Path(name).absolute() if name else None


def _file_name(object_key: str) -> str:
    name = PurePosixPath(object_key).name
    if name in {"", ".."}:
        return "object"
    return f"./{name}" if name.startswith("-") else name  # "-" alone would be standard input


def _own_command() -> list[str]:
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return [sys.executable, "-m", "ssecfs"]
    return [str(program) if "/" in sys.argv[0] else "ssecfs"]


def _expires(values: Mapping[str, Value]) -> int:
    expires = values.get("expires", 3600.0)
    if not isinstance(expires, float) or not 1 <= expires <= MAX_EXPIRES_S:
        message = f"--expires takes 1 to {MAX_EXPIRES_S} seconds (a week), not {expires:g}"
        raise ConfigError(message)
    return int(expires)


def _connection(values: Mapping[str, Value]) -> S3Options:
    endpoint_url, ca_bundle = values.get("endpoint-url"), values.get("ca-bundle")
    is_http_allowed = bool(values.get("allow-http", False))
    if isinstance(endpoint_url, str):
        check_endpoint(endpoint_url, is_http_allowed=is_http_allowed)
    if isinstance(ca_bundle, Path) and not ca_bundle.is_file():
        message = f"--ca-bundle {ca_bundle}: there is no such file"
        raise ConfigError(message)
    return S3Options(
        endpoint_url=endpoint_url if isinstance(endpoint_url, str) else None,
        region=str(values["region"]) if "region" in values else None,
        profile_name=str(values["profile-name"]) if "profile-name" in values else None,
        ca_bundle=ca_bundle.absolute() if isinstance(ca_bundle, Path) else None,
        is_http_allowed=is_http_allowed,
    )
