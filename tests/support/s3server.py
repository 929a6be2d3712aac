"""The embedded server as a real process, for tests. No polling: its first lines say that it is ready."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ACCESS_KEY_ID = "TESTACCESSKEY"
SECRET_ACCESS_KEY = "test-secret-access-key-0123456789"
REGION = "us-east-1"

FOREIGN = ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of a child, with the test's credentials and none of the machine's."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return environment | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **extra,
    }


@cache
def _session() -> boto3.Session:
    """One for all clients: each new one reads boto3's descriptions again, which takes 0.1 s."""
    return boto3.Session(aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=REGION)


@dataclass
class S3Server:
    """A running server."""

    url: str
    directory: Path
    request_log: Path
    process: subprocess.Popen[str]
    _read_to: int = field(default=0)

    @property
    def ca_bundle(self) -> Path | None:
        return self.directory / "tls" / "cert.pem" if self.url.startswith("https") else None

    def client(self, **config: Any) -> Any:
        """A boto3 client for this server."""
        return _session().client(
            "s3",
            endpoint_url=self.url,
            verify=str(self.ca_bundle) if self.ca_bundle else None,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def requests(self) -> list[dict[str, Any]]:
        """The requests since the last call."""
        with self.request_log.open(encoding="utf-8") as log:
            log.seek(self._read_to)
            lines = log.read()
            self._read_to = log.tell()
        return [json.loads(line) for line in lines.splitlines()]

    def operations(self) -> Counter[str]:
        """How many requests of each operation since the last call."""
        return Counter(request["operation"] for request in self.requests())

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server(
    directory: Path,
    *options: str,
    tls: str = "auto",
    buckets: tuple[str, ...] = ("bucket",),
    around: tuple[str, ...] = (),
    listen: str = "127.0.0.1:0",
) -> Iterator[S3Server]:
    """Run `ssecfs serve` over a directory for the time of the block; it must end cleanly and log no traceback.

    Args:
        directory: of the server; its logs lie beside it.
        options: further words of the command.
        tls: value of ``--tls``.
        buckets: made at the start.
        around: a command that runs another one, strace for example, and becomes its process.
        listen: host and port; 0: a free one.
    """
    request_log = directory.parent / f"{directory.name}-requests.jsonl"
    command = [*around, sys.executable, "-m", "ssecfs", "serve", str(directory), "--listen", listen, "--tls", tls]
    for bucket in buckets:
        command += ["--bucket", bucket]
    command += ["--request-log", str(request_log), *options]
    with (directory.parent / f"{directory.name}-errors.txt").open("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=clean_environment())
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert " at http" in first, f"the server did not start: {first}{Path(errors.name).read_text()}"
            yield S3Server(first.rsplit(" ", 1)[1].strip(), directory, request_log, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
            process.stdout.close()
        errors.seek(0)
        assert "Traceback" not in errors.read()
