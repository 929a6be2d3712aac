"""Objects that our customer key does not open: they are shown, can be removed, and are in nobody's way."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import remount
from support.clients import client_of, ssec_of
from support.mounts import Mounting
from support.syscalls import refused

from ssecfs.ssec import CustomerKey

pytestmark = pytest.mark.mount

OTHER_KEY = CustomerKey(b"of somebody else".ljust(32, b"."))
LARGE = bytes(5000)
"""Too large for a symlink: the listing says that it is a file."""


@pytest.fixture
def place(own_mount: Mounting) -> Iterator[Path]:
    """A file of ours, objects under another key, and one that is not encrypted with any key of a customer."""
    (own_mount.path / "ours").write_bytes(b"ours")
    (own_mount.path / "folder").mkdir()
    prefix = own_mount.source.partition("/")[2]
    with client_of(own_mount.server) as client:
        for name, body in {"small": b"x", "large": LARGE, "folder/": b"", "folder/deep": b"x"}.items():
            client.put_object(Bucket="bucket", Key=f"{prefix}/{name}", Body=body, **ssec_of(OTHER_KEY))
        client.put_object(Bucket="bucket", Key=f"{prefix}/plain", Body=b"plain")
        remount(own_mount)
        yield own_mount.path


def test_object_under_another_key_is_listed_and_has_its_size_and_no_permissions(place: Path) -> None:
    assert sorted(path.name for path in place.iterdir()) == ["folder", "large", "ours", "plain", "small"]
    shown = {name: (place / name).stat() for name in ("small", "large", "folder", "folder/deep")}
    assert {name: (stat.S_IMODE(status.st_mode), status.st_size) for name, status in shown.items()} == {
        "small": (0, 1),
        "large": (0, 5000),
        "folder": (0o755, 4096),
        "folder/deep": (0, 1),
    }
    assert (place / "ours").read_bytes() == b"ours"


def test_object_under_another_key_is_neither_read_nor_changed(own_mount: Mounting, place: Path) -> None:
    for name in ("small", "large", "folder/deep"):
        path = place / name
        for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            assert refused(os.open, path, flags) == "EACCES"
        assert refused(os.truncate, path, 0) == "EACCES"
        assert refused(path.chmod, 0o644) == "EACCES"
        assert refused(os.setxattr, path, "user.a", b"x") == "EACCES"
        assert refused(path.rename, place / "renamed") == "EACCES"
    assert refused((place / "folder").chmod, 0o700) == "EACCES"
    assert refused((place / "folder").rename, place / "renamed") == "EACCES"
    assert {path.name for path in place.iterdir()} == {"folder", "large", "ours", "plain", "small"}


def test_object_under_another_key_can_be_removed_and_replaced(place: Path) -> None:
    (place / "small").unlink()
    (place / "ours").rename(place / "large")
    assert (place / "large").read_bytes() == b"ours"
    (place / "folder" / "deep").unlink()
    (place / "folder").rmdir()
    assert [path.name for path in place.iterdir()] == ["large", "plain"]


def test_object_without_a_key_is_read_and_gets_ours_when_it_is_changed(own_mount: Mounting, place: Path) -> None:
    assert (place / "plain").read_bytes() == b"plain"
    with (place / "plain").open("ab") as file:
        file.write(b", no more")
    remount(own_mount)
    assert (place / "plain").read_bytes() == b"plain, no more"
    assert os.getxattr(place / "plain", "user.ssecfs.key-md5")


def test_every_key_of_the_keyfile_opens_and_the_first_one_encrypts(own_mount: Mounting, place: Path) -> None:
    first = own_mount.keyfile.read_text()
    own_mount.keyfile.write_text(f"{first}old: {OTHER_KEY.reveal_base64()}\n")
    remount(own_mount)
    assert (place / "small").read_bytes() == b"x"
    assert os.getxattr(place / "small", "user.ssecfs.key-md5").decode() == OTHER_KEY.md5
    assert (place / "folder" / "deep").read_bytes() == b"x"
    (place / "small").write_bytes(b"y")
    (place / "large").chmod(0o600)
    own_mount.keyfile.write_text(first)
    remount(own_mount)
    assert ((place / "small").read_bytes(), (place / "large").read_bytes()) == (b"y", LARGE)
