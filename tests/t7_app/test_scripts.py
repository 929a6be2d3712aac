"""contrib/try and contrib/install, as a newcomer runs them."""

import os
import subprocess
from pathlib import Path

import pytest
from support.s3server import clean_environment

ROOT = Path(__file__).parents[2]
LIMIT_S = 170

pytestmark = pytest.mark.mount


def run(*command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env=clean_environment(**extra),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_try_mounts_a_demo_and_again_reuses_it(tmp_path: Path, fuse_device: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    mountpoint = tmp_path / "ssecfs-demo"
    try:
        first = run(ROOT / "contrib" / "try", **home)
        assert first.returncode == 0, first.stderr
        assert mountpoint.is_mount()
        (mountpoint / "file").write_text("x")
        again = run(ROOT / "contrib" / "try", **home)
        assert (again.returncode, again.stdout) == (0, first.stdout)
    finally:
        stopped = run(ROOT / ".venv" / "bin" / "ssecfs", "demo", "--stop", **home)
    assert stopped.returncode == 0, stopped.stderr
    assert not mountpoint.is_mount()


def test_install_links_commands_helper_and_manual_and_uninstall_removes_them(tmp_path: Path) -> None:
    prefix, sbin = tmp_path / "prefix", tmp_path / "sbin"
    sbin.mkdir()
    where = {"PREFIX": str(prefix), "SBINDIR": str(sbin)}
    installed = run(ROOT / "contrib" / "install", **where)
    assert installed.returncode == 0, installed.stderr
    version = run(prefix / "bin" / "ssecfs", "--version")
    assert version.stdout.startswith("ssecfs ")
    usage = run(sbin / "mount.ssecfs")
    assert (usage.returncode, "usage" in usage.stderr) == (1, True)
    for page in ("ssecfs.1", "ssecfs-server.1"):
        assert os.path.lexists(prefix / "share" / "man" / "man1" / page)
    removed = run(ROOT / "contrib" / "install", "--uninstall", **where)
    assert removed.returncode == 0, removed.stderr
    assert [path for path in (*prefix.rglob("*"), *sbin.rglob("*")) if not path.is_dir()] == []
