"""The embedded server as most tests of its operations want it: one process for a module, with the profile ``aws``."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.s3server import S3Server, s3_server


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that answers as AWS does, over plain http."""
    with s3_server(tmp_path_factory.mktemp("aws") / "server", "--profile", "aws", tls="off") as running:
        yield running


@pytest.fixture(scope="module")
def s3(aws: S3Server) -> Iterator[Any]:
    """A boto3 client for it, with boto3's defaults."""
    client = aws.client()
    yield client
    client.close()


@pytest.fixture
def bucket(request: pytest.FixtureRequest, s3: Any) -> str:
    """A bucket of the test's own."""
    name = f"b{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"
    s3.create_bucket(Bucket=name)
    return name
