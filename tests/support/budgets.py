"""What an action on a mount costs in requests, from the server's log; and objects that no mount has seen."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.mounts import LIMIT_S, Mounting

from ssecfs.app.control import ControlClient
from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.ssec import ALGORITHM

FOREVER = ("--ttl", "forever")

CLIENT_THREADS = 8


def flush(mounted: Mounting) -> None:
    """Have everything saved that waits to be."""
    with ControlClient(mounted.path) as control:
        assert control.ask("flush", LIMIT_S) == {}


def status(mounted: Mounting) -> dict[str, Any]:
    with ControlClient(mounted.path) as control:
        return dict(control.ask("status", LIMIT_S))


@contextmanager
def requests_of(mounted: Mounting) -> Iterator[Counter[str]]:
    """Count the requests that the block leads to, saving included; the counter is filled after the block."""
    flush(mounted)
    mounted.server.operations()
    counted: Counter[str] = Counter()
    yield counted
    flush(mounted)
    counted.update(mounted.server.operations())


def remount(mounted: Mounting) -> None:
    """Mount again: what only the memory of the daemon held is forgotten."""
    mounted.remount(*FOREVER)


def put_objects(mounted: Mounting, names: Iterable[str], body: bytes) -> None:
    """Store objects beside the mount, without any metadata of ours."""
    customer_key = load_keyfile(mounted.keyfile).first
    client = mounted.server.client(max_pool_connections=CLIENT_THREADS)
    bucket, _, prefix = mounted.source.partition("/")
    ssec = {
        "SSECustomerAlgorithm": ALGORITHM,
        "SSECustomerKey": customer_key.reveal_base64(),
        "SSECustomerKeyMD5": customer_key.md5,
    }

    def put(name: str) -> None:
        client.put_object(Bucket=bucket, Key=str(Path(prefix, name)), Body=body, **ssec)

    with ThreadPoolExecutor(CLIENT_THREADS) as pool:
        list(pool.map(put, names))


def most_at_once(requests: Iterable[dict[str, Any]]) -> int:
    """How many of some logged requests were being answered at the same moment."""
    edges: list[tuple[float, int]] = []
    for request in requests:
        edges += [(request["time"] - request["seconds"], 1), (request["time"], -1)]
    running = most = 0
    for _, change in sorted(edges):
        running += change
        most = max(most, running)
    return most
