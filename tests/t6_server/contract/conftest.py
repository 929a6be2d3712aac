"""Who the contract is held with: the embedded server in each profile, and, with ``--ceph``, a Ceph gateway.

A test that asks for ``endpoint`` runs on each of them and derives what it expects from the profile's fields. Each has a bucket
``contract`` that takes SSE-C uploads; ``target`` is a place of the test's own in it, ``stored`` and ``plain`` are there.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest
from support.ceph import CephGateway, ceph_gateway
from support.endpoint import BODY, BUCKET, Endpoint
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_server
from support.trios import Trio, right_trio

from ssecfs.server.profiles import PROFILES
from ssecfs.ssec import CustomerKey

GATEWAY: Final = "gateway"
_WITHOUT_GATEWAY: Final = pytest.StashKey[int]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    gateways = [GATEWAY] if metafunc.config.getoption("--ceph") else []
    if "endpoint" in metafunc.fixturenames:
        metafunc.parametrize("endpoint", [*PROFILES, *gateways], indirect=True, scope="session")
    if "plain_endpoint" in metafunc.fixturenames:
        metafunc.parametrize("plain_endpoint", ["ovh", *gateways], indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    parameters = [item.callspec.params for item in items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    # One of each test: every test runs with some profile.
    first = next(iter(PROFILES))
    config.stash[_WITHOUT_GATEWAY] = sum(first in {found.get("endpoint"), found.get("plain_endpoint")} for found in parameters)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    count = config.stash.get(_WITHOUT_GATEWAY, 0)
    if count and not config.getoption("--ceph"):
        terminalreporter.line(f"{count} tests were not run against a Ceph gateway; run them with --ceph")


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephGateway]:
    with ceph_gateway(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server with the bucket of the contract."""
    directory = tmp_path_factory.mktemp("contract") / "server"
    if request.param == GATEWAY:
        gateway: CephGateway = request.getfixturevalue("gateway")
        yield from _ready(Endpoint(gateway.url, gateway.ca_bundle, gateway.credentials, PROFILES["ceph"]))
        return
    with s3_server(directory, "--profile", request.param, buckets=()) as server:
        profile = PROFILES[request.param]
        yield from _ready(Endpoint(server.url, server.ca_bundle, (ACCESS_KEY_ID, SECRET_ACCESS_KEY), profile))


def _ready(endpoint: Endpoint) -> Iterator[Endpoint]:
    endpoint.make_bucket(BUCKET)
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="session")
def plain_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server without TLS that refuses customer keys; what it does then is no matter of profiles."""
    if request.param == GATEWAY:
        gateway: CephGateway = request.getfixturevalue("gateway")
        with closing(Endpoint(gateway.plain_url, None, gateway.credentials, PROFILES["ceph"])) as plain:
            yield plain
        return
    directory = tmp_path_factory.mktemp("contract") / "server"
    with s3_server(directory, "--http-keys", "refuse", tls="off", buckets=()) as server:
        profile = PROFILES[request.param]
        with closing(Endpoint(server.url, None, (ACCESS_KEY_ID, SECRET_ACCESS_KEY), profile)) as plain:
            yield plain


@pytest.fixture(scope="session")
def s3(endpoint: Endpoint) -> Any:
    """The boto3 client of the server."""
    return endpoint.s3


@pytest.fixture
def object_key(request: pytest.FixtureRequest) -> str:
    """The object key of the test."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]


@pytest.fixture
def target(object_key: str) -> str:
    """The path of the test's object."""
    return f"/{BUCKET}/{object_key}"


@pytest.fixture
def trio(customer_key: CustomerKey) -> Trio:
    return right_trio(customer_key.reveal_bytes())


@pytest.fixture
def stored(endpoint: Endpoint, target: str, trio: Trio) -> str:
    """The path of an SSE-C object."""
    assert endpoint.ask("PUT", target, trio.headers(), BODY).status == 200
    return target


@pytest.fixture
def plain(endpoint: Endpoint, target: str) -> str:
    """The path of an object without a customer key."""
    assert endpoint.ask("PUT", f"{target}-plain", {}, BODY).status == 200
    return f"{target}-plain"


@pytest.fixture
def own_bucket(endpoint: Endpoint, object_key: str) -> str:
    """A bucket of the test's own."""
    name = f"b{object_key}"
    endpoint.make_bucket(name)
    return name
