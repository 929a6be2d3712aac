"""Access keys that the server accepts. Imported by ``server.run``.

They come from the environment, from a file in the format of the AWS shared credentials file (each section one pair, so that a
client uses the same file), or are made and kept in the server's directory.
"""

import configparser
import os
import secrets
from collections.abc import Mapping
from pathlib import Path


class CredentialsFileError(Exception):
    """The credentials file cannot be used; the message says why, without showing anything of it."""


def accepted_credentials(directory: Path, credentials_file: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Secret access keys by access key id.

    Raises:
        CredentialsFileError: the file is missing or makes no sense.
    """
    given = credentials_from(environment)
    if given is not None and credentials_file is None:
        return given
    path = credentials_file or directory / "credentials"
    if credentials_file is None and not path.exists():
        _make(path)
    return _load(path)


def credentials_from(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The pair in the environment; None: there is none, or only half of one."""
    access_key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    return {access_key_id: secret} if access_key_id and secret else None


def _load(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        found = {
            parser[section]["aws_access_key_id"]: parser[section]["aws_secret_access_key"] for section in parser.sections()
        }
    except OSError as error:
        message = f"credentials file {path} cannot be read: {error.strerror}"
        raise CredentialsFileError(message) from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        message = (
            f"credentials file {path} is not in the format of the AWS shared credentials file: "
            "sections with aws_access_key_id and aws_secret_access_key"
        )
        raise CredentialsFileError(message) from None
    if not found:
        message = f"credentials file {path} holds no access key"
        raise CredentialsFileError(message)
    return found


def _make(path: Path) -> None:
    text = (
        "[default]\n"
        f"aws_access_key_id = SSECFS{secrets.token_hex(7).upper()}\n"
        f"aws_secret_access_key = {secrets.token_urlsafe(30)}\n"
    )
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.rename(path)
