"""Mounts on which requests are counted. They believe for ever what they know, so that only a remount makes them ask again."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import FOREVER, flush
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import S3Server, s3_server

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def counting_server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    """A server that checks conditions itself."""
    with s3_server(tmp_path_factory.mktemp("counting") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory, counting_server: S3Server) -> Iterator[Mounting]:
    """One mount for the tests of a file that leave it mounted."""
    place = tmp_path_factory.mktemp("shared")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(counting_server, place, place / "keyfile", *FOREVER, source="bucket/shared") as mounted:
        yield mounted


@pytest.fixture
def folder(shared_mount: Mounting, request: pytest.FixtureRequest) -> Path:
    """A directory of this test's own in the shared mount, just made."""
    path = shared_mount.path / f"{next(NUMBERS)}-{re.sub(r'[^A-Za-z0-9]+', '-', request.node.name)}"
    path.mkdir()
    flush(shared_mount)
    return path


@pytest.fixture(scope="module")
def doubting_mount(tmp_path_factory: pytest.TempPathFactory, counting_server: S3Server) -> Iterator[Mounting]:
    """One mount for the tests of a file that believes nothing without asking: it sees at once what others store."""
    place = tmp_path_factory.mktemp("doubting")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(counting_server, place, place / "keyfile", "--ttl", "0", source="bucket/doubting") as mounted:
        yield mounted


@pytest.fixture
def doubted(doubting_mount: Mounting, request: pytest.FixtureRequest) -> Path:
    """A directory of this test's own in the doubting mount."""
    path = doubting_mount.path / f"{next(NUMBERS)}-{re.sub(r'[^A-Za-z0-9]+', '-', request.node.name)}"
    path.mkdir()
    return path


@pytest.fixture
def own_mount(counting_server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Mounting]:
    """A mount of this test's own, which it may mount again."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)
    with mounting(counting_server, tmp_path, keyfile, *FOREVER, source=f"bucket/{name}") as mounted:
        yield mounted
