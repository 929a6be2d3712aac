"""The power is cut while programs write to a mount with --writeback: what close acknowledged is there after the next mount.

The cache directory is made what a disk may have kept of it (``support.powercut``); the server is another machine.
"""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import flush
from support.crashes import await_lines, differences, look, told_by, writing
from support.mounts import Mounting
from support.powercut import Disk, Luck, build_shim
from support.s3server import S3Server, s3_server

from ssecfs.crash import CRASH_VARIABLE

pytestmark = pytest.mark.mount

CUTS = [9, pytest.param(90, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]

POINTS = ("vouched:4", "sending:4", "stored:4", "settled:4", "deleted", "tree-switched")
"""Where what the journal says and what the server has must fit together, whatever the disk kept."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("cuts") / "server", "--profile", "aws", tls="off") as running:
        yield running


class Machine:
    """A mount whose power can be cut."""

    def __init__(self, place: Mounting, folder: Path) -> None:
        self.place = place
        self._log = folder / "disk-log"
        self._shim = build_shim(folder)
        self._disk = Disk(place.cache)

    def mount(self, **extra: str) -> None:
        self._log.unlink(missing_ok=True)
        self._disk = Disk(self.place.cache)
        shim = {"LD_PRELOAD": str(self._shim), "DISK_FOLDER": str(self.place.cache), "DISK_LOG": str(self._log)}
        self.place.mount("--writeback", **shim, **extra)

    def cut(self, luck: Luck, rng: random.Random) -> None:
        """The daemon is gone already; so is now what the disk did not keep."""
        self._disk.replay(self._log)
        self._disk.cut(luck, rng)

    def assert_kept(self, folder: str, manifest: Path) -> None:
        flush(self.place)
        assert differences(told_by(manifest), look(self.place, folder).world) == {}


@pytest.fixture
def machine(server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    place = Mounting(server, tmp_path / "mnt", tmp_path / "cache", keyfile, f"bucket/{request.node.name}")
    place.path.mkdir()
    yield Machine(place, tmp_path)
    if place.path.is_mount():
        place.kill_daemon()
        subprocess.run(["umount", place.path], check=True)


@pytest.mark.parametrize("cuts", CUTS)
def test_power_cut_at_random_moments_loses_nothing_that_close_acknowledged(cuts: int, machine: Machine, tmp_path: Path) -> None:
    rng = random.Random(cuts)
    manifests = {f"cut-{number}": tmp_path / f"manifest-{number}" for number in range(cuts)}
    machine.mount()
    for number, (folder, manifest) in enumerate(manifests.items()):
        with writing(machine.place, folder, manifest, f"{cuts} {number}", "sync-names"):
            await_lines(manifest, rng.randrange(1, 150), old=True)
            os.kill(machine.place.daemon_pid(), signal.SIGKILL)
        machine.cut(list(Luck)[number % len(Luck)], rng)
        machine.mount()
        machine.assert_kept(folder, manifest)


@pytest.mark.parametrize("point", POINTS)
def test_power_cut_at_a_point_loses_nothing_that_close_acknowledged(point: str, machine: Machine, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    machine.mount(**{CRASH_VARIABLE: point})
    with writing(machine.place, "folder", manifest, "tour", "sync-names"):
        pass
    machine.cut(Luck.NONE, random.Random(point))
    machine.mount()
    machine.assert_kept("folder", manifest)
