"""The bucket of a mount: connected, and everything about it checked before anything is mounted.

Imported by ``app.assembly``.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio

from ssecfs.app.config import Access, MountOptions
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.client import BotoStore
from ssecfs.s3.endpoint import S3Options, make_client
from ssecfs.s3.guard import GuardedStore
from ssecfs.s3.probe import DECOY, ProbeMode, Views, probe
from ssecfs.s3.retry import RetryingStore
from ssecfs.s3.store import ObjectStore

CONNECTIONS: Final = 64

PROBE_S: Final = 5.0
"""How long a check may go on failing: a wrong address should not take a minute to be called wrong."""

AWS_ENDPOINT: Final = "https://s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Connection:
    """The store of a bucket, and where it is.

    Attributes:
        endpoint: as the local disk names it; see endpoint_name.
    """

    store: ObjectStore
    endpoint: str


async def connect(options: MountOptions, keyring: Keyring) -> Connection:
    """Connect to the bucket, and check it.

    Raises:
        StartupError: a subclass for each kind of trouble.
    """
    client = make_client(
        S3Options(
            endpoint_url=options.endpoint_url,
            region=options.region,
            profile_name=options.profile_name,
            ca_bundle=options.ca_bundle,
            is_http_allowed=options.is_http_allowed,
            connections=CONNECTIONS,
            timeout_s=options.timeout_s,
        )
    )
    limiter = trio.CapacityLimiter(CONNECTIONS)
    direct = BotoStore(client, options.bucket, keyring, limiter)
    decoy = BotoStore(client, options.bucket, Keyring((DECOY,)), limiter)
    mode = ProbeMode.READ_ONLY if options.access is Access.READ_ONLY else ProbeMode.READ_WRITE
    probe_s = min(PROBE_S, options.timeout_s)
    views = Views(RetryingStore(direct, probe_s), RetryingStore(decoy, probe_s))
    features = await probe(views, options.bucket, options.prefix, keyring, mode)
    return Connection(GuardedStore(RetryingStore(direct, options.timeout_s), features), endpoint_name(client.meta.endpoint_url))


def endpoint_name(url: str) -> str:
    """The name of an endpoint, however it was found; one for all of AWS, where a bucket is the same in each region."""
    host = urlsplit(url).hostname or ""
    return AWS_ENDPOINT if host.endswith(".amazonaws.com") else url.rstrip("/")
