"""A real S3 server with SSE-C for the contract: the project's own Ceph gateway, as a process for the time of a block."""

import configparser
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).parents[2] / "contrib" / "ceph-rgw"
PATIENCE_S: Final = 60


@dataclass(frozen=True)
class CephGateway:
    """A running gateway.

    Attributes:
        plain_url: the same without TLS; refuses customer keys.
    """

    url: str
    plain_url: str
    directory: Path

    @property
    def ca_bundle(self) -> Path:
        return self.directory / "cert.pem"

    @property
    def credentials(self) -> tuple[str, str]:
        """Access key id and secret access key."""
        file = configparser.ConfigParser()
        file.read(self.directory / "credentials")
        return file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"]


@contextmanager
def ceph_gateway(directory: Path) -> Iterator[CephGateway]:
    """Run ``contrib/ceph-rgw`` for the time of the block; it ends with all its daemons."""
    with subprocess.Popen([SCRIPT, directory], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            urls = re.findall(r"https?://[0-9.:]+", process.stdout.readline())
            assert len(urls) == 2, "the Ceph gateway did not start; contrib/test --ceph installs its packages"
            yield CephGateway(*urls, directory)
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(PATIENCE_S)
        assert ended == 0
