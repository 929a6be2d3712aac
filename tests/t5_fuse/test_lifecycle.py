"""The daemon's life: signals, kill -9, the helper of mount(8), the demo."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty import hanging
from support.mounts import LIMIT_S, Mounting, mounting, ssecfs
from support.s3server import S3Server, clean_environment, s3_server

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("lifecycle") / "server") as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_uploads_what_is_open_and_unmounts(
    server: S3Server, tmp_path: Path, keyfile: Path, number: signal.Signals
) -> None:
    with mounting(server, tmp_path, keyfile, source=f"bucket/{number.name}") as mounted:
        file = os.open(mounted.path / "open", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"not closed yet")
        (mounted.path / "closed").write_text("closed")
        (mounted.path / "closed").chmod(0o600)
        with mounted.daemon_ending() as pid:
            os.kill(pid, number)
        assert not mounted.path.is_mount()
        with pytest.raises(OSError, match="not connected"):
            os.close(file)
        mounted.mount()
        assert (mounted.path / "open").read_bytes() == b"not closed yet"
        assert (mounted.path / "closed").stat().st_mode & 0o777 == 0o600


def test_killed_daemon_leaves_a_dead_mount_that_the_next_mount_mends(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/killed") as mounted:
        (mounted.path / "file").write_text("closed, so it is on the server")
        mounted.kill_daemon()
        with pytest.raises(OSError, match="not connected"):
            mounted.path.stat()
        mounted.mount()
        assert (mounted.path / "file").read_text() == "closed, so it is on the server"


def test_plain_umount_returns_at_once_and_the_daemon_uploads_the_rest(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile, "--writeback", source="bucket/plain") as mounted:
        assert list(mounted.path.iterdir()) == []
        with mounted.daemon_ending() as pid, hanging(server):
            (mounted.path / "file").write_bytes(b"closed, but not on the server")
            subprocess.run(["umount", mounted.path], check=True, timeout=LIMIT_S)
            assert not mounted.path.is_mount()
            assert pid == mounted.daemon_pid()
        mounted.wipe_cache()
        mounted.mount()
        assert (mounted.path / "file").read_bytes() == b"closed, but not on the server"


def test_umount_takes_a_dead_mount_away(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/dead") as mounted:
        mounted.kill_daemon()
        mounted.umount()


def test_umount_ends_the_daemon_although_another_mount_namespace_has_a_copy(
    server: S3Server, tmp_path: Path, keyfile: Path
) -> None:
    """As in a container: the kernel does not tell the daemon, because the copy is still mounted there."""
    with mounting(server, tmp_path, keyfile, source="bucket/namespaces") as place:
        holder = subprocess.Popen(["unshare", "--mount", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.write(b"ready\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == b"ready\n"
            place.umount()
        finally:
            holder.communicate()


def test_umount_of_something_else_is_refused(tmp_path: Path) -> None:
    done = ssecfs("umount", tmp_path)
    assert (done.returncode, "nothing of ssecfs" in done.stderr) == (3, True)


def test_umount_of_a_busy_mount_says_how_to_find_out_by_whom(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/busy") as mounted:
        with (mounted.path / "file").open("wb"):
            done = ssecfs("umount", mounted.path)
            assert (done.returncode, "fuser" in done.stderr) == (3, True)
        mounted.umount()


def test_key_and_credentials_are_not_in_the_command_line_or_the_log(
    server: S3Server, tmp_path: Path, keyfile: Path, secrets: object
) -> None:
    with mounting(server, tmp_path, keyfile, "--log-level", "debug", source="bucket/secrets") as mounted:
        (mounted.path / "file-with-a-name").write_text("text")
        assert (mounted.path / "file-with-a-name").read_text() == "text"
        pid = mounted.daemon_pid()
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert not secrets.shown_in(command_line)  # type: ignore[attr-defined]
    assert not secrets.shown_in(mounted.log())  # type: ignore[attr-defined]
    assert "file-with-a-name" not in mounted.log()


@pytest.fixture
def helper_linked() -> Iterator[None]:
    """mount(8) looks for helpers in the system's sbin."""
    link = Path("/sbin/mount.ssecfs")
    assert not link.exists(), "an installed helper would be tested instead of this one"
    link.symlink_to(Path(sys.executable).parent / "mount.ssecfs")
    yield
    link.unlink()


@pytest.mark.usefixtures("helper_linked")
def test_mount_by_type_works_through_the_helper(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    mounted = Mounting(server, tmp_path / "mnt", tmp_path / "cache", keyfile, "bucket/by-type")
    mounted.path.mkdir()
    words = f"endpoint-url={server.url},keyfile={keyfile},ca-bundle={server.ca_bundle},cache-dir={mounted.cache},_netdev,noauto"
    command = ["mount", "-t", "ssecfs", mounted.source, str(mounted.path), "-o", words]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (mounted.path / "file").write_text("x")
    assert (mounted.path / "file").read_text() == "x"
    mounted.umount()


@pytest.mark.usefixtures("helper_linked")
def test_failed_mount_by_type_has_the_exit_code_of_mount(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    (tmp_path / "mnt").mkdir()
    words = f"endpoint-url={server.url},keyfile={keyfile}-missing,ca-bundle={server.ca_bundle}"
    command = ["mount", "-t", "ssecfs", "bucket", str(tmp_path / "mnt"), "-o", words]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, "keyfile" in done.stderr) == (32, True)


def test_demo_starts_is_reused_and_stops(tmp_path: Path, fuse_device: Path) -> None:
    where = ["--directory", str(tmp_path / "demo")]
    try:
        first = ssecfs("demo", *where)
        assert first.returncode == 0, first.stderr
        mountpoint = tmp_path / "demo" / "mnt"
        assert mountpoint.is_mount()
        (mountpoint / "hello").write_text("hello")
        again = ssecfs("demo", *where)
        assert (again.returncode, again.stdout) == (0, first.stdout)
        assert (mountpoint / "hello").read_text() == "hello"
    finally:
        stopped = ssecfs("demo", "--stop", *where)
    assert stopped.returncode == 0, stopped.stderr
    assert not mountpoint.is_mount()
    try:
        assert ssecfs("demo", *where).returncode == 0
        assert (mountpoint / "hello").read_text() == "hello"
    finally:
        assert ssecfs("demo", "--stop", *where).returncode == 0


def test_demo_asked_for_elsewhere_while_it_is_mounted_stays_where_it_is(tmp_path: Path, fuse_device: Path) -> None:
    where = ["--directory", str(tmp_path / "demo")]
    try:
        assert ssecfs("demo", tmp_path / "first", *where).returncode == 0
        elsewhere = ssecfs("demo", tmp_path / "second", *where)
        assert (elsewhere.returncode, f"mounted on {tmp_path / 'first'}" in elsewhere.stderr) == (3, True)
        again = ssecfs("demo", *where)
        assert (again.returncode, f"mounted on {tmp_path / 'first'}\n" in again.stdout) == (0, True)
    finally:
        assert ssecfs("demo", "--stop", *where).returncode == 0
    assert not (tmp_path / "first").is_mount()
    assert not (tmp_path / "second").exists()


def test_demo_prints_commands_that_work(tmp_path: Path, fuse_device: Path) -> None:
    where = ["--directory", str(tmp_path / "demo")]
    try:
        printed = ssecfs("demo", *where).stdout.split("Try:\n")[1].split("\n\n")[0].splitlines()
        assert len(printed) == 3
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        outputs = [
            subprocess.run(
                ["sh", "-c", line],
                capture_output=True,
                text=True,
                env=clean_environment(PATH=path),
                timeout=LIMIT_S,
                check=False,
            )
            for line in printed
        ]
        assert [done.returncode for done in outputs] == [0, 0, 0], outputs
        assert [outputs[0].stdout, outputs[1].stdout] == ["hello, bucket\n", "sealed\n"]
        assert "hello" in outputs[2].stdout
    finally:
        assert ssecfs("demo", "--stop", *where).returncode == 0
