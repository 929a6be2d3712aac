"""What of a mount is in the bucket: which objects, when, and what can be seen of them without the key."""

import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from support.budgets import flush, remount
from support.clients import client_of, ssec_of, status_of
from support.mounts import Mounting
from support.nameops import keys_below, object_key_of

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount


def body_of(mounted: Mounting, path: Path) -> bytes:
    """The body of an object, as any client with the key sees it."""
    with client_of(mounted.server) as client:
        ssec = ssec_of(load_keyfile(mounted.keyfile).first)
        answer = client.get_object(Bucket="bucket", Key=object_key_of(mounted, path), **ssec)
        return bytes(answer["Body"].read())


def test_body_of_an_object_is_the_content_or_the_target_of_a_link(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"content \0\xff")
    (folder / "link").symlink_to("../to/größe")
    assert body_of(shared_mount, folder / "file") == b"content \0\xff"
    assert body_of(shared_mount, folder / "link") == "../to/größe".encode()


def test_name_size_and_time_are_seen_without_the_key_and_no_content_nor_target(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("target")
    assert keys_below(shared_mount, folder) == {"": 0, "file": 7, "link": 6}
    with client_of(shared_mount.server) as client:
        for name in ("file", "link"):
            for read in (client.get_object, client.head_object):
                with pytest.raises(ClientError) as refused:
                    read(Bucket="bucket", Key=object_key_of(shared_mount, folder / name))
                assert status_of(refused.value.response) == 400


def test_each_change_of_names_is_on_the_server_when_its_call_returns(shared_mount: Mounting, folder: Path) -> None:
    def there() -> set[str]:
        return keys_below(shared_mount, folder).keys() - {""}

    (folder / "a").mkdir()
    assert there() == {"a/"}
    (folder / "a" / "link").symlink_to("x")
    assert there() == {"a/", "a/link"}
    os.mkfifo(folder / "a" / "fifo")
    assert there() == {"a/", "a/link", "a/fifo"}
    (folder / "a" / "link").rename(folder / "link")
    assert there() == {"a/", "a/fifo", "link"}
    (folder / "a").rename(folder / "b")
    assert there() == {"b/", "b/fifo", "link"}
    (folder / "link").unlink()
    (folder / "b" / "fifo").unlink()
    assert there() == {"b/"}
    (folder / "b").rmdir()
    assert there() == set()


def test_times_that_entries_moved_are_not_stored(own_mount: Mounting) -> None:
    """It would cost a request for each file; what is set, is stored."""
    directory = own_mount.path / "directory"
    directory.mkdir()
    os.utime(directory, ns=(1, 2))
    flush(own_mount)
    (directory / "file").touch()
    assert directory.stat().st_mtime_ns > 2
    remount(own_mount)
    assert directory.stat().st_mtime_ns == 2
