"""``ssecfs demo``: an embedded server, a keyfile, a bucket and a mount, all under one directory.

    DIRECTORY/server/       what the server stores, its certificate and access keys
    DIRECTORY/keyfile       the customer key
    DIRECTORY/cache/        sealed blocks of the mount, and its log
    DIRECTORY/url           where the server listens
    DIRECTORY/mountpoint    where it was mounted last

What runs is found out from locks and the kernel's table, not from files that may lie.
"""

import fcntl
import logging
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ssecfs.app import mount
from ssecfs.app.config import values_of
from ssecfs.app.daemon import run_detached
from ssecfs.app.keygen import write_new_keyfile
from ssecfs.app.mountpoints import is_our_mount, require_fuse
from ssecfs.app.umount import unmount_and_wait
from ssecfs.errors import MountpointError, StartupError
from ssecfs.log import set_up_logging
from ssecfs.server.options import ServerOptions
from ssecfs.server.run import ServerStartError
from ssecfs.server.run import run as run_server

BUCKET: Final = "demo"
UNMOUNT_S: Final = 600.0

_FOREIGN_CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one demo is."""

    directory: Path

    @property
    def server(self) -> Path:
        """The server's directory."""
        return self.directory / "server"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.server / "tls" / "cert.pem"

    @property
    def credentials(self) -> Path:
        """The server's access keys."""
        return self.server / "credentials"

    @property
    def keyfile(self) -> Path:
        """The customer key."""
        return self.directory / "keyfile"

    @property
    def url(self) -> Path:
        """Holds the server's URL."""
        return self.directory / "url"

    @property
    def mountpoint(self) -> Path:
        """Holds the mount point."""
        return self.directory / "mountpoint"


def run(arguments: Mapping[str, str]) -> int:
    """Start what is not running, or stop all of it."""
    texts = {name: text for name, text in arguments.items() if name != "mountpoint"}
    values = values_of("demo", texts)
    chosen = values.get("directory")
    layout = Layout((chosen if isinstance(chosen, Path) else _default_directory()).absolute())
    if values.get("stop", False):
        return stop(layout)
    place = arguments.get("mountpoint")
    return start(layout, Path(place).expanduser().absolute() if place else None)


def start(layout: Layout, wanted: Path | None) -> int:
    """Start what is not running, and say what lies where; wanted is the mount point, None leaves it to the demo."""
    require_fuse()
    mountpoint = _mountpoint(layout, wanted)
    layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _FOREIGN_CREDENTIALS:
        os.environ.pop(name, None)  # the demo's server knows its own access keys only
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(layout.credentials)
    if not layout.keyfile.exists():
        write_new_keyfile(layout.keyfile)
    if server_pid(layout) is None:
        code = _start_server(layout)
        if code:
            return code
    if is_our_mount(mountpoint) and _is_alive(mountpoint):
        _require_same(layout, mountpoint)
    else:
        code = _mount(layout, mountpoint)
        if code:
            return code
    sys.stdout.write(_description(layout, mountpoint))
    return 0


def stop(layout: Layout) -> int:
    """Unmount, stop the server, and wait until both are gone."""
    if layout.mountpoint.exists():
        mountpoint = Path(layout.mountpoint.read_text(encoding="utf-8"))
        if is_our_mount(mountpoint):
            unmount_and_wait(mountpoint, UNMOUNT_S)
    pid = server_pid(layout)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        with (layout.server / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # granted when the server has ended
    sys.stdout.write(f"The demo has stopped. What was stored stays in {layout.directory}; remove it when you like.\n")
    return 0


def server_pid(layout: Layout) -> int | None:
    """The process that serves the demo's directory; None: there is none."""
    try:
        with (layout.server / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
    except FileNotFoundError:
        pass
    return None


def _start_server(layout: Layout) -> int:
    port = 0
    if layout.url.exists():
        port = urlsplit(layout.url.read_text(encoding="utf-8")).port or 0

    def work(on_ready: Callable[[], None]) -> None:
        set_up_logging(logging.WARNING, layout.directory / "server.log", ())

        def ready(url: str) -> None:
            layout.url.write_text(url, encoding="utf-8")
            on_ready()

        _serve(layout, port, ready)

    return run_detached(work)


def _serve(layout: Layout, port: int, ready: Callable[[str], None]) -> None:
    """Serve on the port of last time, or on any other if somebody else has it by now."""
    try:
        try:
            run_server(ServerOptions(layout.server, port=port, buckets=(BUCKET,)), ready)
        except ServerStartError:
            if not port:
                raise
            run_server(ServerOptions(layout.server, buckets=(BUCKET,)), ready)
    except ServerStartError as error:
        raise StartupError(str(error)) from error


def _mount(layout: Layout, mountpoint: Path) -> int:
    if not is_our_mount(mountpoint):
        try:
            mountpoint.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"mount point {mountpoint} cannot be made: {error.strerror}"
            raise MountpointError(message) from error
    layout.mountpoint.write_text(str(mountpoint), encoding="utf-8")
    return mount.run(
        {
            "bucket": BUCKET,
            "mountpoint": str(mountpoint),
            "endpoint-url": layout.url.read_text(encoding="utf-8"),
            "ca-bundle": str(layout.certificate),
            "keyfile": str(layout.keyfile),
            "cache-dir": str(layout.directory / "cache"),
        }
    )


def _mountpoint(layout: Layout, wanted: Path | None) -> Path:
    """Where the demo is mounted, or is to be.

    Raises:
        MountpointError: it is mounted elsewhere.
    """
    if layout.mountpoint.exists():
        mounted = Path(layout.mountpoint.read_text(encoding="utf-8"))
        if is_our_mount(mounted) and _is_alive(mounted):
            if wanted not in {None, mounted}:
                message = f"the demo is mounted on {mounted}; stop it first with: {_stop_command(layout)}"
                raise MountpointError(message)
            return mounted
    return wanted or layout.directory / "mnt"


def _is_alive(mountpoint: Path) -> bool:
    try:
        os.statvfs(mountpoint)
    except OSError:
        return False
    return True


def _require_same(layout: Layout, mountpoint: Path) -> None:
    if not layout.mountpoint.exists() or layout.mountpoint.read_text(encoding="utf-8") != str(mountpoint):
        message = f"something else of ssecfs is mounted on {mountpoint}; give another mount point"
        raise MountpointError(message)


def _description(layout: Layout, mountpoint: Path) -> str:
    url = layout.url.read_text(encoding="utf-8")
    quoted = shlex.quote(str(mountpoint))
    aws = (
        f"AWS_SHARED_CREDENTIALS_FILE={shlex.quote(str(layout.credentials))} "
        f"AWS_CA_BUNDLE={shlex.quote(str(layout.certificate))} aws --profile default --region us-east-1 --endpoint-url {url}"
    )
    return f"""\
An encrypted bucket is mounted on {mountpoint}

  server       {url}, bucket {BUCKET}; it keeps its data, sealed, in {layout.server}
  customer key {layout.keyfile}; whoever has it can read the bucket, without it nobody can
  cache        {layout.directory / "cache"}, sealed as well

Try:
  echo 'hello, bucket' > {quoted}/hello && cat {quoted}/hello
  grep -r 'hello, bucket' {shlex.quote(str(layout.server))} {shlex.quote(str(layout.directory / "cache"))} || echo sealed
  {aws} s3 ls s3://{BUCKET}

Stop it with: {_stop_command(layout)}
"""


def _stop_command(layout: Layout) -> str:
    return f"{_program()} demo --stop{_directory_option(layout)}"


def _program() -> str:
    """How the user can call ssecfs from anywhere: by name only where the shell finds it."""
    return "ssecfs" if shutil.which("ssecfs") else shlex.quote(str(Path(sys.argv[0]).absolute()))


def _directory_option(layout: Layout) -> str:
    return "" if layout.directory == _default_directory().absolute() else f" --directory {shlex.quote(str(layout.directory))}"


def _default_directory() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "ssecfs-demo"
