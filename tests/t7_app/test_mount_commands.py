"""status, flush and cache: what they say of a real mount, and what they do to it."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.mounts import LIMIT_S, Mounting, mounting, ssecfs
from support.s3server import S3Server, s3_server

from ssecfs.app import flush
from ssecfs.app.control import ControlClient

BODY = bytes(range(256)) * 2048


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("commands") / "server", tls="off") as running:
        yield running


@pytest.fixture
def place(
    server: S3Server, tmp_path: Path, keyfile: Path, fuse_device: Path, request: pytest.FixtureRequest
) -> Iterator[Mounting]:
    with mounting(server, tmp_path, keyfile, source=f"bucket/{request.node.name}") as found:
        yield found


def status(place: Mounting) -> dict[str, str | int]:
    done = ssecfs("status", place.path, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, str | int] = json.loads(done.stdout)
    return found


def ask(place: Mounting, question: str) -> Mapping[str, str | int]:
    """Ask without a child process: one that inherits an open file closes it, and each close uploads."""
    with ControlClient(place.path) as client:
        return client.ask(question, LIMIT_S)


def test_status_counts_what_is_unsaved_until_it_is_flushed(place: Mounting, capsys: pytest.CaptureFixture[str]) -> None:
    with (place.path / "open").open("wb", buffering=0) as file:
        file.write(BODY)
        before = ask(place, "status")
        assert before["dirty_bytes"] == len(BODY)
        assert flush.run({"mountpoint": str(place.path)}) == 0
        after = ask(place, "status")
    assert capsys.readouterr().err == "ssecfs: uploading 512.0 KiB …\n"
    assert (after["dirty_bytes"], after["failed"], after["last_error"], after["failing"]) == (0, 0, "", 0)
    assert 0 <= time.time() - float(after["last_success_s"]) < 60
    assert int(after["saved"]) > int(before["saved"])
    assert place.server.operations()["PutObject"] >= 1
    assert after["source"] == place.source
    assert after["pid"] == place.daemon_pid()


def test_status_is_readable_by_people(place: Mounting) -> None:
    shown = ssecfs("status", place.path).stdout
    assert shown.startswith(f"{place.path} shows {place.source} of {place.server.url} (process ")
    assert "unsaved     0 files, 0 B" in shown


def test_cache_counts_hits_and_forgets_when_told(place: Mounting) -> None:
    (place.path / "file").write_bytes(BODY)
    place.remount()
    assert (place.path / "file").read_bytes() == BODY
    assert status(place)["cache_misses"] == 0
    assert int(status(place)["cache_hits"]) > 0
    assert "found 100 % of" in ssecfs("cache", place.path).stdout
    dropped = ssecfs("cache", place.path, "--drop")
    assert (dropped.returncode, status(place)["cache_bytes"]) == (0, 0)
    place.remount()
    assert (place.path / "file").read_bytes() == BODY
    assert int(status(place)["cache_misses"]) > 0


def test_verify_finds_a_damaged_block_and_only_that(place: Mounting) -> None:
    for name in ("one", "two"):
        (place.path / name).write_bytes(BODY)
    in_use = ssecfs("cache", "verify", place.cache, "--keyfile", place.keyfile)
    assert (in_use.returncode, "is in use by a mount; unmount it first" in in_use.stderr) == (6, True)
    place.umount()
    good = ssecfs("cache", "verify", place.cache, "--keyfile", place.keyfile)
    assert good.returncode == 0
    assert good.stdout.endswith(" 8 blocks, 1.0 MiB; 0 damaged\n")
    container = next(path for path in sorted(place.cache.rglob("blocks/*")))
    damaged = bytearray(container.read_bytes())
    damaged[1000] ^= 1
    container.write_bytes(damaged)
    bad = ssecfs("cache", "verify", place.cache, "--keyfile", place.keyfile)
    assert bad.returncode == 1
    assert f"block 0 of {container.name} does not open; it is fetched again\n" in bad.stdout
    assert " 8 blocks, 896.0 KiB; 1 damaged\n" in bad.stdout
    place.mount()
    assert (place.path / "one").read_bytes() == (place.path / "two").read_bytes() == BODY
    assert status(place)["cache_broken"] == 1
    (place.cache / "ssecfs.log").write_text("")  # it rightly holds the damage


def test_verify_with_another_key_looks_at_nothing(place: Mounting, tmp_path: Path) -> None:
    (place.path / "file").write_bytes(BODY)
    place.umount()
    ssecfs("keygen", tmp_path / "other")
    done = ssecfs("cache", "verify", place.cache, "--keyfile", tmp_path / "other")
    assert (done.returncode, "sealed under another key, not looked at" in done.stdout) == (9, True)
    assert "it was sealed under another customer key" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("status", "/tmp"), "no ssecfs daemon of yours serves /tmp"),
        (("flush", "/tmp"), "no ssecfs daemon of yours serves /tmp"),
        (("cache", "/tmp"), "no ssecfs daemon of yours serves /tmp"),
        (("flush", "/tmp", "--timeout", "0"), "--timeout must be more than 0 seconds"),
        (("umount", "/tmp", "--timeout", "0"), "--timeout must be more than 0 seconds"),
        (("cache", "check", "/tmp"), "write either ssecfs cache MOUNTPOINT [--drop], or ssecfs cache verify DIR"),
        (("mount", "bucket", "/tmp", "--writebak"), "unrecognized arguments: --writebak; see ssecfs mount --help"),
        (("recover", "/tmp", "--publish", "1", "--discard", "1"), "either publish or discard: one at a time"),
        (("cache", "verify", "/tmp"), "say which customer key opens the cache: --keyfile FILE"),
    ],
)
def test_wrong_words_are_explained(arguments: tuple[str, ...], wanted: str) -> None:
    done = ssecfs(*arguments)
    assert done.returncode in {2, 3}
    assert wanted in done.stderr
