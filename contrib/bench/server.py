#!/usr/bin/env python3
"""How fast `ssecfs serve` is: small and large objects with SSE-C, listings, memory. Plain http on loopback, one machine.

    python contrib/bench/server.py [--profile NAME] [--requests N] [--large MIB] [--directory DIR]

The client signs every request beforehand and speaks HTTP by itself, so that what is measured is the server. It is a process of
its own, and needs a processor of its own.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvloop

from ssecfs.server.options import Durability
from ssecfs.server.records import Kind, StoredObject
from ssecfs.server.sealed import Seal
from ssecfs.server.storage import Storage

CONNECTIONS = 16
SMALL = 4096
LISTED = 100_000
MIB = 1 << 20
IDENTITY = ("BENCHMARKKEY", base64.b64encode(os.urandom(24)).decode())
REGION = "us-east-1"
SECRET = os.urandom(32)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def peak_mib(self) -> float:
        """The most memory that it has used."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@contextmanager
def running(directory: Path, profile: str) -> Iterator[Server]:
    """Run the server for the time of the block."""
    environment = os.environ | {"AWS_ACCESS_KEY_ID": IDENTITY[0], "AWS_SECRET_ACCESS_KEY": IDENTITY[1]}
    command = [sys.executable, "-m", "ssecfs", "serve", str(directory), "--listen", "127.0.0.1:0", "--tls", "off"]
    process = subprocess.Popen([*command, "--profile", profile], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])  # type: ignore[union-attr]
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


class Signer:
    """Makes signed requests, whole but for the body."""

    def __init__(self, port: int) -> None:
        """Prepare what all requests have in common."""
        self._host = f"127.0.0.1:{port}"
        self._moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._scope = f"{self._moment[:8]}/{REGION}/s3/aws4_request"
        derived = f"AWS4{IDENTITY[1]}".encode()
        for part in self._scope.split("/"):
            derived = hmac.digest(derived, part.encode(), "sha256")
        self._signing_key = derived
        name = "x-amz-server-side-encryption-customer-"
        md5 = hashlib.md5(SECRET, usedforsecurity=False).digest()
        self._trio = {
            f"{name}algorithm": "AES256",
            f"{name}key": base64.b64encode(SECRET).decode(),
            f"{name}key-md5": base64.b64encode(md5).decode(),
        }

    def request(
        self, method: str, path: str, query: str = "", payload_hash: str = "UNSIGNED-PAYLOAD", length: int = 0
    ) -> bytes:
        """Request line and headers; query in canonical form."""
        trio = {} if query else self._trio
        headers = {"host": self._host, "x-amz-content-sha256": payload_hash, "x-amz-date": self._moment, **trio}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join((method, quote(path), query, lines, names, payload_hash))
        text = f"AWS4-HMAC-SHA256\n{self._moment}\n{self._scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._signing_key, text.encode(), "sha256").hex()
        credential = f"Credential={IDENTITY[0]}/{self._scope}, SignedHeaders={names}, Signature={signature}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}"
        if method == "PUT":
            headers["content-length"] = str(length)
        shown = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = quote(path) + (f"?{query}" if query else "")
        return f"{method} {target} HTTP/1.1\r\n{shown}\r\n".encode()


class Client(asyncio.Protocol):
    """One connection: sends a request, counts the answer, sends the next."""

    def __init__(self, requests: Iterator[tuple[bytes, bytes]], done: asyncio.Future[None]) -> None:
        """Take the requests, as head and body, and what to set when there are no more."""
        self._requests = requests
        self._done = done
        self._head = b""
        self._missing = 0
        self._began = 0.0
        self.answers = 0
        self.times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Count; send the next request when the answer is complete."""
        if not self._missing:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")):
                self._done.set_exception(RuntimeError(self._head[:400].decode("latin-1")))
                return
            length = int(re.search(rb"content-length: (\d+)", self._head)[1])  # type: ignore[index]
            self._missing = length - (len(self._head) - end - 4)
            self._head = b""
        else:
            self._missing -= len(data)
        if not self._missing:
            self.answers += 1
            self.times.append(time.perf_counter() - self._began)
            self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._began = time.perf_counter()
        head, body = request
        self._transport.write(head)  # type: ignore[attr-defined]
        if body:
            self._transport.write(body)  # type: ignore[attr-defined]


async def run(port: int, requests: list[tuple[bytes, bytes]], connections: int) -> tuple[float, list[float]]:
    """Send all requests over some connections; gives the seconds for all and those of each."""
    loop = asyncio.get_running_loop()
    shared = iter(requests)
    began = time.perf_counter()
    clients = []
    for _ in range(connections):
        done = loop.create_future()
        _, client = await loop.create_connection(lambda done=done: Client(shared, done), "127.0.0.1", port)
        clients.append((client, done))
    await asyncio.gather(*(done for _, done in clients))
    return time.perf_counter() - began, [each for client, _ in clients for each in client.times]


def fill(directory: Path) -> None:
    """Give a bucket its many objects: rows of the index are enough for a listing."""
    storage = Storage(directory, Durability.KILL)
    storage.buckets.create("listed")
    storage.buckets.create("bench")
    seal = Seal(b"", b"", b"", b"", is_ssec=True)
    now_ms = time.time_ns() // 1_000_000
    with storage._database.transaction():  # noqa: SLF001 - a hundred thousand requests would take a minute
        for number in range(LISTED):
            name = f"folder {number // 1000:03}/object {number:06}"
            storage.objects.put_current(
                StoredObject("listed", name, "null", number, Kind.OBJECT, 4096, '"0"', now_ms, {}, "", {}, seal, ())
            )
    storage.close()


def report(what: str, figure: float, unit: str, target: float) -> None:
    """One line of the result."""
    print(f"{what:44} {figure:10.1f} {unit:5} (wanted: {target:g})", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="ovh")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where the server keeps its data meanwhile")
    parser.add_argument("--large", type=int, default=256, help="MiB of a large object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="bench-") as folder:
        directory = Path(folder) / "server"
        fill(directory)
        with running(directory, arguments.profile) as server:
            measure(server, arguments.requests, arguments.large * MIB)


def measure(server: Server, count: int, large: int) -> None:
    """Measure everything on a running server."""
    signer = Signer(server.port)
    body = os.urandom(SMALL)
    digest = hashlib.sha256(body).hexdigest()
    names = [f"/bench/small/{number:06}" for number in range(count)]
    puts = [(signer.request("PUT", name, payload_hash=digest, length=SMALL), body) for name in names]
    seconds, _ = uvloop.run(run(server.port, puts, CONNECTIONS))
    report("PUT of 4 KiB, signed payload, SSE-C", count / seconds, "/s", 2000)
    seconds, _ = uvloop.run(run(server.port, [(signer.request("GET", name), b"") for name in names], CONNECTIONS))
    report("GET of 4 KiB, SSE-C", count / seconds, "/s", 3000)
    content = os.urandom(large)
    big = [(signer.request("PUT", f"/bench/large/{number}", length=large), content) for number in range(4)]
    for connections in (1, 4):
        seconds, _ = uvloop.run(run(server.port, big, connections))
        report(f"PUT of {large // MIB} MiB, {connections} connections", 4 * large / seconds / 1e6, "MB/s", 500)
    gets = [(signer.request("GET", f"/bench/large/{number}"), b"") for number in range(4)]
    for connections in (1, 4):
        seconds, _ = uvloop.run(run(server.port, gets, connections))
        report(f"GET of {large // MIB} MiB, {connections} connections", 4 * large / seconds / 1e6, "MB/s", 1000)
    starts = [quote(f"folder {number:03}/object {number * 1000 + 500:06}", safe="") for number in range(0, 95, 5)]
    lists = [(signer.request("GET", "/listed", f"list-type=2&start-after={start}"), b"") for start in starts]
    _, times = uvloop.run(run(server.port, lists, 1))
    report(f"list of 1000 keys of {LISTED}, slowest", max(times) * 1000, "ms", 20)
    report("memory, peak", server.peak_mib(), "MiB", 150)


if __name__ == "__main__":
    main()
