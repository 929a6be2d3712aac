"""A mount's whole life with content and names that are known: nothing of it lies on the local disk or in the log, in no form.

The kernel's memory and the daemon's are not looked at; nor is the server's disk, which is another machine.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.faulty import hanging
from support.mounts import mounting, ssecfs
from support.s3server import s3_server

from ssecfs.sizes import MIB

CONTENT = b"unmistakable content of a file that nobody else may read. "
LARGE = CONTENT * 40_000
STREAMED_BYTES = 40 * MIB
"""So large a file goes to the server in parts while it is written."""

DIRECTORY, MOVED, INNER = "unmistakable-directory", "unmistakable-moved", "unmistakable-inner"
CLEAN, SAVED, SMALL, OPEN = "unmistakable-clean", "unmistakable-saved", "unmistakable-small", "unmistakable-large"
STREAMED, REMOVED = "unmistakable-streamed", "unmistakable-removed"
NAMES = (DIRECTORY, MOVED, INNER, CLEAN, SAVED, SMALL, OPEN, STREAMED, REMOVED)
LINK, TARGET = "unmistakable-link", "unmistakable-target/of-a-link"
ATTRIBUTE = b"unmistakable attribute"


def needles() -> dict[str, bytes]:
    """What may not be found: each text as it is, in hexadecimal, and in base64 wherever it may begin."""
    texts = [CONTENT, *(os.fsencode(name) for name in (*NAMES, LINK, TARGET)), ATTRIBUTE]
    found = {}
    for text in texts:
        found[f"{text!r}"] = text
        found[f"{text!r} in hexadecimal"] = text[:16].hex().encode()
        for skip in range(3):
            whole = base64.b64encode(text[skip : skip + 15])
            found[f"{text!r} in base64, {skip} bytes on"] = whole
    return found


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def shown(*folders: Path) -> list[str]:
    """Where something is found: in a file or in its name."""
    wanted, finds = needles(), []
    for path in files_below(*folders):
        content = path.read_bytes() + b"\0" + os.fsencode(path.name)
        finds += [f"{what} in {path}" for what, needle in wanted.items() if needle in content]
    return finds


def test_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for number, needle in enumerate(needles().values()):
        (tmp_path / str(number)).write_bytes(b"before" + needle + b"after")
    (tmp_path / DIRECTORY).write_bytes(b"")
    assert {find.split(" in /")[0] for find in shown(tmp_path)} == set(needles())


def stream(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(-(-STREAMED_BYTES // len(LARGE))):
            file.write(LARGE)


def test_nothing_of_a_mounts_life_is_on_the_local_disk_or_in_the_log(
    tmp_path: Path, keyfile: Path, fuse_device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read, written, streamed, moved, removed, closed with write-back, killed while the server hangs and a file is open,
    recovered, parked, published; all at log level debug."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    options = ("--writeback", "--log-level", "debug", "--ttl", "60", "--timeout", "10")
    with (
        s3_server(tmp_path / "server", tls="off") as server,
        mounting(server, tmp_path / "place", keyfile, *options) as place,
    ):
        looked_at = (place.cache, temporary)
        directory = place.path / DIRECTORY
        (directory / INNER).mkdir(parents=True)
        (directory / CLEAN).write_bytes(LARGE)
        (directory / REMOVED).write_bytes(LARGE)
        stream(directory / INNER / STREAMED)
        os.setxattr(directory / CLEAN, "user.unmistakable", ATTRIBUTE)
        (place.path / LINK).symlink_to(TARGET)
        assert shown(*looked_at) == []
        directory = directory.rename(place.path / MOVED)
        (directory / REMOVED).unlink()
        assert shown(*looked_at) == []
        assert ssecfs("flush", place.path).returncode == 0
        place.remount(*options)
        assert (directory / CLEAN).read_bytes() == LARGE
        assert (directory / INNER / STREAMED).stat().st_size >= STREAMED_BYTES
        assert (place.path / LINK).readlink() == Path(TARGET)
        assert shown(*looked_at) == []
        (directory / REMOVED).write_bytes(LARGE)
        directory = directory.rename(place.path / DIRECTORY)
        stream(directory / STREAMED)
        file = os.open(directory / OPEN, os.O_CREAT | os.O_WRONLY)
        os.write(file, LARGE * 2)
        assert {path.name for path in directory.iterdir()} == {CLEAN, INNER, OPEN, REMOVED, STREAMED}
        with hanging(server):
            (directory / REMOVED).unlink()
            (directory / SAVED).write_bytes(LARGE)
            (directory / SMALL).write_bytes(CONTENT)
            assert shown(*looked_at) == []
            place.kill_daemon()
            assert shown(*looked_at) == []
        with suppress(OSError):
            os.close(file)
        place.mount(*options)
        assert (directory / SAVED).read_bytes() == LARGE
        assert (directory / SMALL).read_bytes() == CONTENT
        assert not (directory / REMOVED).exists()
        assert (directory / STREAMED).stat().st_size == (directory / INNER / STREAMED).stat().st_size
        assert ssecfs("flush", place.path).returncode == 0
        assert OPEN in ssecfs("recover", place.path).stdout
        assert ssecfs("recover", place.path, "--publish", "all").returncode == 0
        assert ssecfs("status", place.path).returncode == 0
        assert shown(*looked_at) == []
        place.umount()
        assert shown(*looked_at) == []
        assert len(list(files_below(*looked_at))) > 5
