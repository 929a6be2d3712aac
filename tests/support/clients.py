"""The programs that people use with S3, put to work on the embedded server; and how to tell that what they stored is sealed.

Imported by the tests of single programs. Secrets reach a program by its environment or by a private file, never as an argument.
"""

import json
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from support.s3server import S3Server, clean_environment

from ssecfs.ssec import CustomerKey

MIB = 1 << 20
LIMIT_S = 60
_SAMPLE_BYTES = 24


@dataclass(frozen=True)
class Program:
    """A program of other people, with its environment and the folder it runs in.

    Attributes:
        command: its name and the arguments that every call of it has.
    """

    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str]

    def call(self, *arguments: str | Path, entered: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end, whatever that is.

        Args:
            entered: what it reads from its standard input.
        """
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            input=entered,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )

    def output(self, *arguments: str | Path, entered: bytes = b"") -> bytes:
        """What it prints; it must succeed."""
        done = self.call(*arguments, entered=entered)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def text(self, *arguments: str | Path, entered: bytes = b"") -> str:
        """What it prints, as text; it must succeed."""
        return self.output(*arguments, entered=entered).decode()

    def answer(self, *arguments: str | Path) -> Any:
        """What it prints as JSON; it must succeed."""
        return json.loads(self.output(*arguments) or b"null")

    def complaint(self, *arguments: str | Path) -> str:
        """What it says when it fails; it must fail."""
        done = self.call(*arguments)
        assert done.returncode != 0, done.stdout.decode()
        return done.stderr.decode()


def environment_for(server: S3Server, home: Path, *trust: str, **extra: str) -> dict[str, str]:
    """The environment of a program: the test's credentials, a home of its own, and the server's certificate.

    Args:
        trust: the variables by which this program learns whom to trust.
    """
    environment = {
        name: value for name, value in clean_environment().items() if not name.endswith(("_CA_BUNDLE", "_PROXY", "_proxy"))
    }
    environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    if server.ca_bundle is not None:
        environment |= dict.fromkeys(trust, str(server.ca_bundle))
    return environment | extra


def aws_cli(server: S3Server, folder: Path, **extra: str) -> Program:
    """aws-cli, as it is installed beside the interpreter."""
    return Program(("aws",), folder, environment_for(server, folder, "AWS_CA_BUNDLE", AWS_ENDPOINT_URL=server.url, **extra))


def write_private(path: Path, content: bytes) -> Path:
    """A file that nobody else can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def ssec_of(customer_key: CustomerKey) -> dict[str, str]:
    """The arguments of boto3 for a customer key."""
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": customer_key.reveal_base64(),
        "SSECustomerKeyMD5": customer_key.md5,
    }


def raw_keyfile(path: Path, customer_key: CustomerKey) -> Path:
    """The 32 bytes of a customer key, as aws-cli reads them by ``fileb://``."""
    return write_private(path, customer_key.reveal_bytes())


def seeded_bytes(seed: int, size: int) -> bytes:
    """Content that is the same in every run, and found nowhere else."""
    return random.Random(seed).randbytes(size)


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with files in it, by relative name."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """What ``plant`` takes: the files below a folder, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def objects_in(server: S3Server, bucket: str = "bucket") -> dict[str, int]:
    """The size of each object in a bucket."""
    with client_of(server) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}


def assert_sealed(server: S3Server, *contents: bytes, bucket: str = "bucket") -> None:
    """Expect that no object of the bucket opens without a key, and that no file of the server holds a piece of the contents."""
    object_keys = list(objects_in(server, bucket))
    assert object_keys, "nothing was stored"
    with client_of(server) as client:
        keyless = {object_key: _head_status(client, bucket, object_key) for object_key in object_keys}
    assert keyless == dict.fromkeys(object_keys, 400)
    samples = [content[start : start + _SAMPLE_BYTES] for content in contents for start in (0, len(content) // 2)]
    assert all(samples), "an empty sample is found everywhere"
    for path in server.directory.rglob("*"):
        stored = path.read_bytes() if path.is_file() else b""
        assert not any(sample in stored for sample in samples), path


def _head_status(client: Any, bucket: str, object_key: str) -> int:
    try:
        return status_of(client.head_object(Bucket=bucket, Key=object_key))
    except ClientError as error:
        return status_of(error.response)


def status_of(answer: Any) -> int:
    """The HTTP status of an answer as boto3 gives it."""
    status: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status


@contextmanager
def client_of(server: S3Server, **config: Any) -> Iterator[Any]:
    """A boto3 client that is closed at the end."""
    client = server.client(**config)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def foreign_mount(program: Program, mountpoint: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount by a program that stays in the foreground, for the time of the block; it must end well when it is unmounted."""
    mountpoint.mkdir()
    command = [*program.command, *map(str, arguments)]
    with (program.folder / f"{mountpoint.name}-output.txt").open("w+b") as output:
        process = subprocess.Popen(
            command, cwd=program.folder, env=program.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _wait_for_mount(mountpoint, process, Path(output.name))
            yield mountpoint
        finally:
            unmounted = subprocess.run(["fusermount3", "-u", mountpoint], capture_output=True, check=False)
            if unmounted.returncode:
                subprocess.run(["umount", "--lazy", mountpoint], capture_output=True, check=False)
                process.terminate()
            process.wait(LIMIT_S)
            output.seek(0)
            said = output.read().decode(errors="replace")
        assert (unmounted.returncode, process.returncode) == (0, 0), said


def _wait_for_mount(mountpoint: Path, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until the mount is there; the kernel reports each change of its table."""
    ended = os.pidfd_open(process.pid)
    try:
        with Path("/proc/self/mounts").open() as mounts:
            changes = select.poll()
            changes.register(mounts, select.POLLPRI)
            changes.register(ended, select.POLLIN)
            while not mountpoint.is_mount():
                ready = dict(changes.poll(LIMIT_S * 1000))
                assert set(ready) == {mounts.fileno()}, output.read_text(errors="replace")
    finally:
        os.close(ended)
