"""The control socket of a mount: a question on a line of JSON, an answer on a line of JSON.

Imported by ``assembly`` (the daemon side, on trio) and the commands that ask (plain sockets). The daemon keeps each
connection open as long as it lives: the end of a connection is the end of the daemon, so nobody needs to poll for it.
"""

import hashlib
import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import trio

from ssecfs.errors import MountpointError, SsecfsError, StartupError

LOGGER: Final = logging.getLogger(__name__)

Answer = Mapping[str, Any]
"""Values of JSON."""

Handler = Callable[[str], Awaitable[Answer]]
"""Takes the argument of the question, which most have not: it is empty then."""

MAX_LINE_BYTES: Final = 64 << 10


def control_socket_path(mountpoint: Path) -> Path:
    """Where the daemon of a mount point listens; the same for the daemon and whoever asks."""
    # Only the parent is resolved: a look at a mount point may wait for its daemon for ever.
    place = os.fsencode(Path(os.path.realpath(mountpoint.parent), mountpoint.name))
    digest = hashlib.sha256(place).hexdigest()[:24]
    return _runtime_folder() / f"{digest}.sock"


def _runtime_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.geteuid() != 0:
        return Path(base) / "ssecfs"
    return Path("/run/ssecfs") if os.geteuid() == 0 else Path(f"/tmp/ssecfs-{os.geteuid()}")  # noqa: S108 - checked below


def prepare_folder(path: Path) -> None:
    """Make the folder of a socket, for us alone.

    Raises:
        StartupError: somebody else's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        message = f"{path.parent} is not a directory for you alone; remove it, or set XDG_RUNTIME_DIR"
        raise StartupError(message)
    path.unlink(missing_ok=True)


async def serve_control(
    path: Path,
    handlers: Mapping[str, Handler],
    end: ExitStack,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer questions until cancelled; started when connections are accepted.

    Args:
        path: of the socket; its folder is prepared.
        handlers: by question.
        end: closed when the daemon has given up everything else; connections that are open then end with it.
        task_status: for nursery.start.
    """
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(path))  # in a folder for us alone, see prepare_folder
    listener.listen(16)

    async def converse(stream: trio.SocketStream) -> None:
        try:
            await _converse(stream, handlers)
        except trio.Cancelled:
            end.callback(os.close, os.dup(stream.socket.fileno()))
            raise

    await trio.serve_listeners(converse, [trio.SocketListener(listener)], task_status=task_status)


async def _converse(stream: trio.SocketStream, handlers: Mapping[str, Handler]) -> None:
    """Answer the questions of one connection."""
    received = bytearray()
    try:
        async for piece in stream:
            received += piece
            if len(received) > MAX_LINE_BYTES:
                return
            while (end := received.find(b"\n")) >= 0:
                line = bytes(received[:end])
                del received[: end + 1]
                answer = await _answer(line, handlers)
                await stream.send_all(json.dumps(answer).encode() + b"\n")
    except trio.BrokenResourceError:
        return


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> Answer:
    try:
        message = json.loads(line)
        question, argument = message["question"], str(message.get("argument", ""))
        handler = handlers[question]
    except (ValueError, KeyError, TypeError):
        return {"error": "the daemon does not know this question"}
    try:
        return await handler(argument)
    except SsecfsError as error:
        return {"error": str(error)}
    except Exception:
        # The boundary of a background task: a bug must not end the mount.
        LOGGER.exception("the question %r could not be answered", question)
        return {"error": "the daemon failed unexpectedly; see its log"}


class ControlClient:
    """A connection to the daemon of a mount. Owns: the socket."""

    def __init__(self, mountpoint: Path) -> None:
        """Connect.

        Raises:
            MountpointError: no daemon serves the mount point.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(control_socket_path(mountpoint)))
        except OSError as error:
            self._socket.close()
            message = f"no ssecfs daemon of yours serves {mountpoint}"
            raise MountpointError(message) from error

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, question: str, timeout_s: float, argument: str = "") -> Answer:
        """Ask, and wait for the answer.

        Raises:
            TimeoutError: none came in time.
            ConnectionError: the daemon ended.
        """
        self._socket.settimeout(timeout_s)
        self._send(question, argument)
        received = b""
        while not received.endswith(b"\n"):
            piece = self._socket.recv(65536)
            if not piece:
                message = "the daemon ended"
                raise ConnectionResetError(message)
            received += piece
        answer: Answer = json.loads(received)
        return answer

    def end(self, timeout_s: float) -> None:
        """Tell the daemon of what was unmounted to end, and wait until it has.

        Raises:
            TimeoutError: it did not in time.
        """
        self._socket.settimeout(timeout_s)
        try:
            self._send("end")
            while self._socket.recv(65536):
                continue
        except ConnectionError:
            return

    def _send(self, question: str, argument: str = "") -> None:
        self._socket.sendall(json.dumps({"question": question, "argument": argument}).encode() + b"\n")
