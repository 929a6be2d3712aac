"""Options of the server, as one record. Imported by ``server.run`` and by whoever starts it."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class Tls(Enum):
    """Where the certificate comes from."""

    AUTO = "auto"
    """Made by the server, kept in its directory."""
    OFF = "off"
    """Plain http, on loopback only."""
    FILES = "files"


class Durability(Enum):
    """What an answered PUT survives."""

    KILL = "kill"
    """The end of the process."""
    POWER_CUT = "power cut"
    """fsync before each answer."""


class HttpKeys(Enum):
    """What happens to customer keys over plain http, which is served on loopback only."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """As AWS does."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything that can be chosen.

    Attributes:
        directory: data, index, certificate and credentials; made if missing.
        port: 0: any free one.
        certificate: PEM certificate and PEM private key, with Tls.FILES.
        buckets: made at the start if missing.
        profile: whose behaviour to show; a name in ``profiles.PROFILES``.
        credentials_file: in the format of the AWS shared credentials file; None: the environment, or a pair made in directory.
        faults: see ``faults``.
        idle_s: seconds after which a client that neither sends nor reads is disconnected.
        request_log: JSON lines, one for each request; None: none.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    tls: Tls = Tls.AUTO
    certificate: tuple[Path, Path] | None = None
    buckets: tuple[str, ...] = field(default=())
    profile: str = "ovh"
    credentials_file: Path | None = None
    durability: Durability = Durability.KILL
    faults: tuple[str, ...] = ()
    http_keys: HttpKeys = HttpKeys.ALLOW
    idle_s: float = 60
    request_log: Path | None = None
