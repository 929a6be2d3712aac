"""Start the server and serve until SIGTERM or SIGINT.

Imported by ``app.serve``.
"""

import fcntl
import gc
import ipaddress
import os
import signal
import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import uvicorn
import uvloop

from ssecfs.server.certificate import load_or_make_certificate
from ssecfs.server.connections import Protocol
from ssecfs.server.credentials import CredentialsFileError, accepted_credentials
from ssecfs.server.faults import Faults, FaultTextError, parse_fault
from ssecfs.server.http import Application
from ssecfs.server.options import ServerOptions, Tls
from ssecfs.server.profiles import PROFILES
from ssecfs.server.request import is_bucket_name
from ssecfs.server.requestlog import RequestLog
from ssecfs.server.service import Service
from ssecfs.server.storage import DirectoryError, Storage


class ServerStartError(Exception):
    """The server cannot start; the message says why and what to do."""


class BadOptionError(ServerStartError):
    """An option makes no sense."""


def run(options: ServerOptions, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        options: see there.
        on_ready: gets the URL once connections are accepted.

    Raises:
        ServerStartError: nothing was served.
    """
    faults = _checked(options)
    with ExitStack() as stack:
        try:
            options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.callback(os.close, _lock(options.directory))
            secrets = accepted_credentials(options.directory, options.credentials_file, os.environ)
            listener = stack.enter_context(_listen(options.host, options.port))
            storage = stack.enter_context(closing(Storage(options.directory, options.durability)))
            for bucket in options.buckets:
                storage.buckets.create(bucket)
            log = stack.enter_context(RequestLog(options.request_log))
            service = Service(storage, PROFILES[options.profile], secrets, faults, options.http_keys)
            config = _config(Application(service, log, options.idle_s), options)
        except (CredentialsFileError, DirectoryError) as error:
            raise ServerStartError(str(error)) from None
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            message = f"cannot serve {options.directory} on {options.host}:{options.port}: {error.strerror or error}{place}"
            raise ServerStartError(message) from error
        except sqlite3.Error as error:
            message = f"the index of {options.directory} cannot be used: {error}"
            raise ServerStartError(message) from error
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn stops at these, then raises them once more for whoever was there before.
            signal.signal(number, lambda *_: None)
        gc.freeze()  # what is there now stays: without this, a listing in twenty waits 10 ms for the collector to look at it
        uvloop.run(_serve(config, listener, on_ready))


def _checked(options: ServerOptions) -> Faults:
    """The faults that options ask for, after a look at what needs no file.

    Raises:
        BadOptionError: an option makes no sense.
    """
    if options.profile not in PROFILES:
        message = f"there is no profile {options.profile!r}; there are: {', '.join(sorted(PROFILES))}"
        raise BadOptionError(message)
    if options.tls is Tls.OFF and not _is_loopback(options.host):
        message = f"without TLS only loopback is served, not {options.host}: customer keys would travel in the clear"
        raise BadOptionError(message)
    for bucket in options.buckets:
        if not is_bucket_name(bucket):
            message = f"{bucket!r} is no name for a bucket: 3 to 63 of a-z, 0-9, dots and dashes"
            raise BadOptionError(message)
    faults = Faults()
    try:
        faults.replace([parse_fault(text) for text in options.faults])
    except FaultTextError as error:
        raise BadOptionError(str(error)) from None
    return faults


def _config(application: Application, options: ServerOptions) -> uvicorn.Config:
    certificate, private_key = _certificate(options)
    config = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )
    try:
        config.load()
    except ssl.SSLError as error:
        message = f"{certificate} and {private_key} are no certificate and its private key, in PEM: {error.reason}"
        raise BadOptionError(message) from error
    return config


async def _serve(config: uvicorn.Config, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            on_ready(f"{'https' if config.is_ssl else 'http'}://{shown}:{port}")

    await Announcing(config).serve(sockets=[listener])


def _certificate(options: ServerOptions) -> tuple[Path | None, Path | None]:
    if options.tls is Tls.AUTO:
        return load_or_make_certificate(options.directory / "tls", options.host)
    return options.certificate or (None, None)


def _lock(directory: Path) -> int:
    """Keep other servers off the directory for as long as the process lives; the file names the process."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"directory {directory} is served by another process already; stop that one first"
        raise ServerStartError(message) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without it each small answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(1024)
    listener.set_inheritable(False)
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
