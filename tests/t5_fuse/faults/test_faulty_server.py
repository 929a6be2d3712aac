"""A server of whose requests many fail: 503, 500, reset, cut short, late, answered in vain. Programs notice nothing.

Each kind hits one request in about twenty, all of them at once: every fourth or fifth request fails.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import flush
from support.clients import Program
from support.faulty import clean_log, failures, faults
from support.mounts import Mounting, mounting
from support.programs import ALL_BUT_TIMES, differences, program, seen_afresh
from support.s3server import S3Server, s3_server

from ssecfs.sizes import MIB

pytestmark = pytest.mark.mount

RULES = (
    "latency=0.2,every=19",
    "status=503,every=20",
    "reset,every=21",
    "short,every=23",
    "status=500,every=25",
    "lost-answer,every=29",
    "error-in-200,every=7",
)

KINDS = {"503", "500", "reset", "short", "lost"}

IDENTITY = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in [("NAME", "n"), ("EMAIL", "n@x")]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("faulty") / "server", "--profile", "aws") as running:
        yield running


@pytest.fixture(params=["", "--writeback"], ids=["close waits", "writeback"])
def mounted(server: S3Server, tmp_path: Path, keyfile: Path, request: pytest.FixtureRequest) -> Iterator[Mounting]:
    """A mount whose server is faulty until the end of the test; then all that it has saved is what the test made locally."""
    name = f"{request.node.originalname}-{request.param}"
    with mounting(server, tmp_path, keyfile, *request.param.split(), source=f"bucket/{name}") as place:
        failures(server)
        with faults(server, *RULES):
            yield place
            flush(place)
        assert len(failures(server).keys() & KINDS) >= 2, "the server was faulty"
        with seen_afresh(place, tmp_path / "afresh") as afresh:
            assert differences(tmp_path / "local", afresh.path, ALL_BUT_TIMES) == []
        assert clean_log(place), place.log()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A tree of small files, a link, an empty file and a large one; what is done on the mount is done here, too."""
    numbers = random.Random(7)
    root = tmp_path / "local"
    for folder in range(4):
        path = root / "tree" / f"d{folder}" / "deep"
        path.mkdir(parents=True)
        for number in range(6):
            (path.parent / f"f{number}").write_bytes(numbers.randbytes(numbers.randrange(20_000)))
        (path / "empty").touch()
        (path / "link").symlink_to("../f0")
    (root / "large").write_bytes(numbers.randbytes(40 * MIB))
    return root


def shell(folder: Path, script: str) -> None:
    """Run lines of shell, each of which must succeed."""
    program("sh", "-euc", folder=folder, home=folder).text(script)


CHANGES = """
mv tree/d0/f1 tree/d0/renamed
mv tree/d1 tree/moved
mv tree/d2/f0 tree/d3/f0
chmod 600 tree/d0/f0 tree/moved/f*
chmod 750 tree/moved/deep
rm tree/d2/f1 tree/d3/deep/empty
rm -r tree/d3/deep
mkdir -p tree/new/er/est
rmdir tree/new/er/est
truncate -s 5000 tree/d0/f2
truncate -s 50000 tree/d0/f3
printf more >> tree/d0/f4
printf patch | dd of=large bs=1 seek=21000000 conv=notrunc status=none
truncate -s 41000000 large
ln -s renamed tree/d0/link
"""


def test_tree_and_large_file_are_copied_in_changed_and_read_back(mounted: Mounting, local: Path, tmp_path: Path) -> None:
    shell(tmp_path, f"cp -r local/. {mounted.path}; tar -cf ../archive.tar -C {mounted.path} .")
    for place in (mounted.path, local):
        shell(place, CHANGES)
    assert differences(local, mounted.path, ALL_BUT_TIMES) == []
    mounted.umount()
    mounted.wipe_cache()
    mounted.mount()
    shell(tmp_path, f"cp -r {mounted.path}/. back")
    assert differences(local, tmp_path / "back", ALL_BUT_TIMES) == []


def test_tar_and_rsync_work(mounted: Mounting, local: Path, tmp_path: Path) -> None:
    shell(tmp_path, f"tar -cf - -C local . | tar -xf - -C {mounted.path}")
    shell(mounted.path, "tar -cf - . | tar -df -")
    shell(local, CHANGES)
    shell(tmp_path, f"rsync --archive --delete local/ {mounted.path}/")
    rerun = program("rsync", folder=tmp_path, home=tmp_path).text("-ai", "--delete", "local/", f"{mounted.path}/")
    assert rerun == ""


def git_in(folder: Path, home: Path) -> Program:
    return program("git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", folder=folder, home=home, **IDENTITY)


def test_git_repository_is_committed_and_sound(mounted: Mounting, local: Path, tmp_path: Path) -> None:
    Path(local / "large").unlink()
    shell(tmp_path, f"cp -r local/tree {mounted.path}/tree")
    git = git_in(mounted.path / "tree", tmp_path)
    git.text("init", "--quiet")
    git.text("add", ".")
    git.text("commit", "--quiet", "--message", "first")
    shell(git.folder, "echo more > d0/f0; rm d1/f1; mv d2/f2 d3/f9")
    git.text("add", "--all")
    git.text("commit", "--quiet", "--message", "second")
    assert git.text("fsck", "--full", "--strict") == ""
    shell(local, f"rm -r tree; git clone --quiet {git.folder} tree; rm -rf tree/.git")
    shell(mounted.path, "rm -rf tree/.git")
