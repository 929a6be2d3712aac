"""The daemon is killed, at moments that a generator chooses and at each point named in the code; nothing acknowledged is lost.

What is compared is what boto3 finds on the server after the next mount, with what a writer was told (``support.crashwriter``).
"""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crashes import assert_recovered, await_lines, look, told_by, writing
from support.crashwriter import World
from support.mounts import Mounting, ssecfs
from support.s3server import S3Server, s3_server

from ssecfs.crash import CRASH_VARIABLE, CrashPoint

pytestmark = pytest.mark.mount

MODES = {"default": (), "writeback": ("--writeback",)}

ROUNDS = [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]

JOURNALLED = {CrashPoint.SPOOLED, CrashPoint.RECORDED, CrashPoint.VOUCHED}
"""What only write-back does."""

IN_RECOVERY = {CrashPoint.TAKEN_UP: "part-sent:2", CrashPoint.FOUND_STORED: "stored:1"}
"""Points that a mount gets to after a crash: which one."""

CASES = [(mode, point) for mode in MODES for point in CrashPoint if mode == "writeback" or point not in JOURNALLED]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("crashes") / "server", "--profile", "aws", tls="off") as running:
        yield running


@pytest.fixture
def place(server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Mounting]:
    """Where to mount; nothing is mounted yet."""
    place = Mounting(server, tmp_path / "mnt", tmp_path / "cache", keyfile, f"bucket/{request.node.name}")
    place.path.mkdir()
    yield place
    if place.path.is_mount():
        place.kill_daemon()
        subprocess.run(["umount", place.path], check=True)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("mode", MODES)
def test_daemon_killed_at_random_moments_loses_nothing_that_was_acknowledged(
    mode: str, rounds: int, place: Mounting, tmp_path: Path
) -> None:
    place.mount(*MODES[mode])
    rng = random.Random(f"{mode} {rounds}")
    found: dict[str, World] = {}
    for number in range(rounds):
        folder, manifest = f"round-{number}", tmp_path / f"manifest-{number}"
        with writing(place, folder, manifest, f"{mode} {number}"):
            if rng.random() < 0.5:
                await_lines(manifest, rng.randrange(1, 150), old=True)
            else:
                await_lines(place.server.request_log, rng.randrange(1, 80), old=False)
            os.kill(place.daemon_pid(), signal.SIGKILL)
        before = look(place, folder)
        place.mount(*MODES[mode])
        found[folder] = assert_recovered(place, folder, told_by(manifest), before)
    place.umount()
    assert {folder: look(place, folder).world for folder in found} == found


@pytest.mark.parametrize(("mode", "point"), CASES, ids=lambda value: value.value if isinstance(value, CrashPoint) else value)
def test_daemon_that_ends_at_a_point_loses_nothing_that_was_acknowledged(
    mode: str, point: CrashPoint, place: Mounting, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest"
    place.mount(*MODES[mode], **{CRASH_VARIABLE: IN_RECOVERY.get(point, point.value)})
    with writing(place, "folder", manifest, "tour"):
        pass
    if point in IN_RECOVERY:
        ended = ssecfs(*place.arguments(*MODES[mode]), **{CRASH_VARIABLE: point.value})
        assert (ended.returncode, "ended before it was ready" in ended.stderr) == (1, True)
    before = look(place, "folder")
    place.mount(*MODES[mode])
    assert_recovered(place, "folder", told_by(manifest), before)
