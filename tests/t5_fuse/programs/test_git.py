"""Git with its repository on the mount.

500 files added, committed, packed, cloned from there and to there, changed and merged.
"""
# ruff: noqa: E501 - lines of shell are best read whole

import random
from pathlib import Path

import pytest
from support.clients import Program, plant
from support.mounts import Mounting
from support.programs import ALL_BUT_TIMES, differences, program, same_in, seen_afresh

pytestmark = pytest.mark.mount

IDENTITY = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in [("NAME", "n"), ("EMAIL", "n@x")]}


def git_in(folder: Path, home: Path) -> Program:
    return program("git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", folder=folder, home=home, **IDENTITY)


def sources(count: int) -> dict[str, bytes]:
    numbers = random.Random(5)
    return {
        f"d{number % 8}/f{number}.txt": numbers.randbytes(numbers.randrange(20, 2000)).hex().encode() for number in range(count)
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


def test_repository_of_500_files_is_committed_packed_and_cloned_both_ways(
    folder: Path, shared_mount: Mounting, home: Path, tmp_path: Path
) -> None:
    git = git_in(folder / "repository", home)
    git.folder.mkdir()
    git.text("init", "--quiet")
    plant(git.folder, sources(500))
    git.text("add", ".")
    git.text("commit", "--quiet", "--message", "first")
    git.text("gc", "--quiet", "--prune=now")
    assert git.text("fsck", "--full", "--strict") == ""
    assert git.text("status", "--porcelain") == ""

    git_in(tmp_path, home).text("clone", "--quiet", git.folder, "local")
    git_in(tmp_path, home).text("clone", "--quiet", "local", folder / "clone")
    head = git.text("rev-parse", "HEAD")
    for clone in (tmp_path / "local", folder / "clone"):
        assert git_in(clone, home).text("rev-parse", "HEAD") == head
        assert differences(git.folder, clone, (*ALL_BUT_TIMES, "--exclude=.git")) == []

    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        for repository in (git.folder, folder / "clone"):
            again = git_in(same_in(afresh, shared_mount, repository), home)
            assert again.text("fsck", "--full", "--strict") == ""
            assert again.text("status", "--porcelain") == ""
            assert again.text("rev-parse", "HEAD") == head


WORK = """
set -e
git init --quiet --initial-branch=main; git add .; git commit --quiet -m one
git checkout --quiet -b side; git mv d1 moved; echo side >> d2/f2.txt; git rm --quiet d3/f3.txt; git commit --quiet -am side
git checkout --quiet main; echo main >> d4/f4.txt; git commit --quiet -am main; git tag v1
git merge --quiet side -m merged; echo lost > d5/f5.txt; git stash --quiet; git checkout --quiet -b other HEAD~1
git cherry-pick side >/dev/null; git rebase --quiet main; git reset --quiet --hard v1; git stash pop --quiet; git checkout --quiet -f main
git worktree add --quiet ../worktree v1; git repack -adq; git prune; git reflog expire --expire=now --all; git clean -fdxq
git log --format='%T %s' --all | sort; git status --porcelain; git fsck --full --strict --no-dangling; git -C ../worktree status --porcelain
"""


def test_work_with_branches_leaves_what_it_leaves_on_a_disk(folder: Path, home: Path, tmp_path: Path) -> None:
    said = []
    for place in (tmp_path / "local", folder):
        git = git_in(plant(place / "repository", sources(24)), home)
        said.append(Program(("bash", "-c"), git.folder, git.environment).text(WORK))
    assert said[0] == said[1] != ""
    assert differences(tmp_path / "local", folder, (*ALL_BUT_TIMES, "--exclude=.git")) == []
