"""A server that misbehaves while a mount is at work, and what a mount has to show for itself then."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from support.mounts import Mounting, ssecfs
from support.rawhttp import ask
from support.s3server import S3Server

FIVE_PER_CENT = ("latency=0.2,every=79", "status=503,every=80", "reset,every=81", "short,every=83")
"""Each kind hits one request in about eighty."""


def set_faults(server: S3Server, *rules: str) -> None:
    """Put these rules in force, instead of all others."""
    assert ask(server, "PUT", "/?ssecfs-faults", "\n".join(rules).encode())[0] == 200


@contextmanager
def faults(server: S3Server, *rules: str) -> Iterator[None]:
    """Rules for the time of the block."""
    set_faults(server, *rules)
    try:
        yield
    finally:
        set_faults(server)


@contextmanager
def hanging(server: S3Server) -> Iterator[None]:
    """The server answers nothing for the time of the block: it is stopped, its connections stay."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def failures(server: S3Server) -> Counter[str]:
    """How often requests failed since the last look at the server's log, by how: a status, or how the answer ended."""
    return Counter(
        str(request["status"]) if request["ending"] == "whole" else request["ending"]
        for request in server.requests()
        if request["ending"] != "whole" or request["status"] >= 500
    )


def clean_log(mounted: Mounting) -> bool:
    """Tell whether the daemon logged nothing worse than a warning."""
    return not any(word in mounted.log() for word in ("ERROR", "CRITICAL", "Traceback"))


def complaint(mounted: Mounting) -> tuple[int, str]:
    """What ``ssecfs status`` exits with and prints."""
    done = ssecfs("status", mounted.path)
    return done.returncode, done.stdout
