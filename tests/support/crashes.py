"""What must be on the server after a crash, by the manifest of ``crashwriter``, and what is there."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from support import crashwriter
from support.budgets import flush
from support.clients import ssec_of
from support.crashwriter import DIRECTORY, World
from support.mounts import LIMIT_S, Mounting

from ssecfs.app.control import ControlClient
from ssecfs.keyring.keyfile import load_keyfile


@dataclass(frozen=True)
class Stored:
    """What is on the server below a prefix.

    Attributes:
        world: by path.
        etags: of the files, by path.
    """

    world: World
    etags: dict[str, str]


@dataclass(frozen=True)
class Told:
    """What a program was told.

    Attributes:
        certain: of these paths.
        doubtful: of each group one world must be there.
    """

    certain: World
    doubtful: list[list[World]]

    @property
    def doubtful_paths(self) -> set[str]:
        return {path for group in self.doubtful for world in group for path in world}


def told_by(manifest: Path) -> Told:
    """Read a manifest; its last line may be cut short."""
    certain: World = {}
    begun: dict[int, list[list[World]]] = {}
    for line in manifest.read_text().splitlines():
        entry = json.loads(line)
        if "begin" in entry:
            begun[entry["number"]] = entry["begin"]
        else:
            del begun[entry["number"]]
            certain |= entry["done"]
    doubtful = Told(certain, [group for groups in begun.values() for group in groups])
    return Told({path: state for path, state in certain.items() if path not in doubtful.doubtful_paths}, doubtful.doubtful)


def look(mounted: Mounting, folder: str) -> Stored:
    """What boto3 finds on the server below a folder of the mount."""
    bucket, _, prefix = mounted.source.partition("/")
    root = f"{prefix}/{folder}/"
    customer = ssec_of(load_keyfile(mounted.keyfile).first)
    client = mounted.server.client()
    world: World = {}
    etags = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root):
        for listed in page.get("Contents", ()):
            path = listed["Key"].removeprefix(root)
            world |= {f"{parent}/": DIRECTORY for parent in PurePosixPath(path).parents if parent.name}
            if path.endswith("/"):
                world[path] = DIRECTORY
            elif path:
                answer = client.get_object(Bucket=bucket, Key=listed["Key"], **customer)
                world[path] = hashlib.sha256(answer["Body"].read()).hexdigest()
                etags[path] = answer["ETag"]
    client.close()
    return Stored(world, etags)


def differences(told: Told, found: World) -> dict[str, object]:
    """What is not as it has to be: empty, if all is well."""
    open_paths = told.doubtful_paths
    expected = {path: state for path, state in told.certain.items() if state is not None}
    settled = {path: state for path, state in found.items() if path not in open_paths}
    wrong: dict[str, object] = {
        path: (expected.get(path), settled.get(path))
        for path in expected.keys() | settled.keys()
        if expected.get(path) != settled.get(path)
    }
    for group in told.doubtful:
        if not any(all(found.get(path) == state for path, state in world.items()) for world in group):
            wrong[str(group)] = {path: found.get(path) for world in group for path in world}
    return wrong


@contextmanager
def writing(mounted: Mounting, folder: str, manifest: Path, work: str, *more: str) -> Iterator[None]:
    """A writer that works in a folder of the mount; the daemon must end in the block, and then the writer does."""
    manifest.touch()
    command = [sys.executable, crashwriter.__file__, mounted.path / folder, manifest, work, *more]
    writer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        with mounted.daemon_ending():
            yield
            _, complaint = writer.communicate(timeout=LIMIT_S)
            assert writer.returncode == 0, complaint
    finally:
        writer.kill()
        writer.communicate()


def await_lines(path: Path, count: int, *, old: bool) -> None:
    """Wait until a file has that many lines, or that many new ones."""
    follower = subprocess.Popen(["tail", "-n", "+1" if old else "0", "-f", path], stdout=subprocess.PIPE)
    assert follower.stdout is not None
    try:
        for _ in range(count):
            assert follower.stdout.readline()
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()


def parked_paths(mounted: Mounting, folder: str) -> set[str]:
    """What the mount keeps for ``ssecfs recover``, relative to a folder; it is discarded."""
    with ControlClient(mounted.path) as control:
        parked = control.ask("parked", LIMIT_S)["files"]
        for entry in parked:
            assert control.ask("discard", LIMIT_S, str(entry["number"])) == {}
    return {entry["path"].removeprefix(f"{folder}/") for entry in parked}


def assert_recovered(mounted: Mounting, folder: str, told: Told, before: Stored) -> World:
    """Hold a mount after a crash against what the writer was told.

    Args:
        mounted: mounted again.
        folder: where the writer worked.
        told: see there.
        before: what had got to the server when the daemon was gone.

    Returns:
        What is on the server now.
    """
    flush(mounted)
    after = look(mounted, folder)
    assert differences(told, after.world) == {}
    again = [
        path for path, etag in before.etags.items() if after.world.get(path) == before.world[path] and after.etags[path] != etag
    ]
    assert again == [], "uploaded twice"
    assert parked_paths(mounted, folder) <= told.doubtful_paths
    return after.world
