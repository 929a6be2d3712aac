"""One mount for the tests of a program, with the options that users have; and a local twin for what is done on it.

At the end of each file a second mount, which knows nothing, must show everything that its tests left.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty import FIVE_PER_CENT, faults
from support.mounts import Mounting, mounting, ssecfs
from support.programs import AFTER_REMOUNT, Left, Twins, differences, same_in, seen_afresh
from support.s3server import S3Server


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory, counting_server: S3Server) -> Iterator[Mounting]:
    place = tmp_path_factory.mktemp("programs")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(counting_server, place, place / "keyfile", source="bucket/programs") as mounted:
        yield mounted


@pytest.fixture(params=[(), pytest.param(FIVE_PER_CENT, marks=pytest.mark.long)], ids=["", "faulty"], autouse=True)
def fault_rules(counting_server: S3Server, request: pytest.FixtureRequest) -> Iterator[None]:
    """With --long, everything once more with a server of whose requests one in twenty fails: programs notice nothing."""
    with faults(counting_server, *request.param):
        yield


@pytest.fixture(scope="module")
def left(shared_mount: Mounting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    found = Left()
    yield found
    with seen_afresh(shared_mount, tmp_path_factory.mktemp("afresh")) as afresh:
        changes = {path.name: differences(path, same_in(afresh, shared_mount, path), AFTER_REMOUNT) for path in found.folders}
    assert changes == {path.name: [] for path in found.folders}


@pytest.fixture
def folder(folder: Path, left: Left) -> Path:
    """A directory on the mount; what is in it after the test must be there when it is mounted again."""
    left.folders.append(folder)
    return folder


@pytest.fixture
def twins(folder: Path, tmp_path: Path) -> Twins:
    local = tmp_path / "local"
    local.mkdir()
    return Twins(folder, local)
