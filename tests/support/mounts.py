"""A real mount by a real daemon, for tests."""

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.s3server import S3Server, clean_environment

LIMIT_S = 60


def ssecfs(*arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the ssecfs command to its end."""
    command = [sys.executable, "-m", "ssecfs", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=clean_environment(**extra),
        stdin=subprocess.DEVNULL,
        check=False,
    )


@dataclass
class Mounting:
    """Where something is mounted, and how to do it again."""

    server: S3Server
    path: Path
    cache: Path
    keyfile: Path
    source: str = "bucket"

    def arguments(self, *options: str | Path) -> list[str | Path]:
        connection: list[str | Path] = ["--endpoint-url", self.server.url]
        if self.server.ca_bundle is not None:
            connection += ["--ca-bundle", self.server.ca_bundle]
        else:
            connection += ["--allow-http"]
        return ["mount", self.source, self.path, *connection, "--keyfile", self.keyfile, "--cache-dir", self.cache, *options]

    def mount(self, *options: str | Path, **extra: str) -> None:
        done = ssecfs(*self.arguments(*options), **extra)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert self.path.is_mount()

    def umount(self) -> None:
        """Unmount; the command may say that it uploads something first, and nothing else."""
        done = ssecfs("umount", self.path)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"(ssecfs: uploading .+ …\n)?", done.stderr), done.stderr
        assert not self.path.is_mount()

    def remount(self, *options: str | Path) -> None:
        self.umount()
        self.mount(*options)

    def wipe_and_remount(self, *options: str | Path) -> None:
        self.umount()
        self.wipe_cache()
        self.mount(*options)

    def wipe_cache(self) -> None:
        subprocess.run(["rm", "-rf", self.cache], check=True)

    def daemon_pid(self) -> int:
        """The process that serves the mount: the one whose command line has the mount point as an argument."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if os.fsencode(self.path) in (folder / "cmdline").read_bytes().split(b"\0"):
                        return int(folder.name)
        message = "no daemon"
        raise AssertionError(message)

    @contextmanager
    def daemon_ending(self) -> Iterator[int]:
        """Give the daemon's process; it must be gone soon after the block."""
        pid = self.daemon_pid()
        watched = os.pidfd_open(pid)
        try:
            yield pid
            ready, _, _ = select.select([watched], [], [], LIMIT_S)
            assert ready, "the daemon did not end"
        finally:
            os.close(watched)

    def kill_daemon(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with self.daemon_ending() as pid:
            os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        return (self.cache / "ssecfs.log").read_text(encoding="utf-8")


@contextmanager
def mounting(server: S3Server, folder: Path, keyfile: Path, *options: str | Path, source: str = "bucket") -> Iterator[Mounting]:
    """Mount for the time of the block; the daemon must end without having logged an error."""
    place = Mounting(server, folder / "mnt", folder / "cache", keyfile, source)
    place.path.mkdir(parents=True)
    place.mount(*options)
    try:
        yield place
    finally:
        if place.path.is_mount():
            subprocess.run(["sync", "-f", place.path], check=False, timeout=LIMIT_S)
            done = ssecfs("umount", place.path)
            if done.returncode:
                subprocess.run(["umount", "-l", place.path], check=False)
                raise AssertionError(done.stderr)
    if (place.cache / "ssecfs.log").exists():
        assert "Traceback" not in place.log(), place.log()
