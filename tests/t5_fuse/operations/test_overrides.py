"""--uid, --gid and --umask change what is shown, and never what is stored."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.budgets import FOREVER, flush
from support.clients import client_of, ssec_of
from support.errnos import refusal
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import S3Server

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

OVERRIDES = ("--uid", "1234", "-o", "gid=2345,umask=027")


@pytest.fixture(scope="module")
def overridden(counting_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounting]:
    """What a mount without overrides left, mounted with them."""
    place = tmp_path_factory.mktemp("overridden")
    assert ssecfs("keygen", place / "keyfile").returncode == 0
    with mounting(counting_server, place, place / "keyfile", *FOREVER, source="bucket/overridden") as mounted:
        for name in ("file", "file-to-chown", "file-to-chmod"):
            (mounted.path / name).write_bytes(b"content")
            (mounted.path / name).chmod(0o777)
        (mounted.path / "directory").mkdir()
        (mounted.path / "directory").chmod(0o1777)
        (mounted.path / "link").symlink_to("file")
        for path in mounted.path.iterdir():
            os.lchown(path, 5, 6)
        mounted.remount(*FOREVER, *OVERRIDES)
        yield mounted


def shown(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def stored(mounted: Mounting, name: str) -> tuple[int, int, int]:
    """Mode, owner and group in the object's metadata."""
    flush(mounted)
    with client_of(mounted.server) as client:
        object_key = f"{mounted.source.partition('/')[2]}/{name}"
        answer = client.head_object(Bucket="bucket", Key=object_key, **ssec_of(load_keyfile(mounted.keyfile).first))
        metadata = answer["Metadata"]
        return stat.S_IMODE(int(metadata["mode"])), int(metadata["uid"]), int(metadata["gid"])


def test_everything_is_shown_with_them_and_links_without_the_mask(overridden: Mounting) -> None:
    assert {name: shown(overridden.path / name) for name in ("file", "directory", "link", ".")} == {
        "file": (0o750, 1234, 2345),
        "directory": (0o1750, 1234, 2345),
        "link": (0o777, 1234, 2345),
        ".": (0o750, 1234, 2345),
    }
    assert stored(overridden, "file") == (0o777, 5, 6)


def test_new_entries_are_stored_as_they_are_shown_but_for_the_masked_bits(overridden: Mounting) -> None:
    before = os.umask(0)
    try:
        (overridden.path / "new").touch(0o666)
        (overridden.path / "new-directory").mkdir(0o777)
    finally:
        os.umask(before)
    assert shown(overridden.path / "new") == (0o640, 1234, 2345)
    assert (stored(overridden, "new"), stored(overridden, "new-directory/")) == ((0o666, 1234, 2345), (0o777, 1234, 2345))


def test_chown_to_the_owner_that_is_shown_does_nothing_and_to_another_is_refused(overridden: Mounting) -> None:
    file = overridden.path / "file-to-chown"
    assert refusal(os.chown, file, 5, -1) == "EPERM"
    assert refusal(os.chown, file, -1, 6) == "EPERM"
    os.chown(file, 1234, 2345)
    assert shown(file) == (0o750, 1234, 2345)
    assert stored(overridden, "file-to-chown") == (0o777, 5, 6)


def test_chmod_changes_the_bits_that_are_shown_and_leaves_the_others_as_stored(overridden: Mounting) -> None:
    file = overridden.path / "file-to-chmod"
    file.chmod(0o640)
    assert shown(file)[0] == 0o640
    assert stored(overridden, "file-to-chmod") == (0o667, 5, 6)  # 0640 where the mask is open, 0027 as it was
    file.write_bytes(b"other content")
    assert stored(overridden, "file-to-chmod") == (0o667, 5, 6)
