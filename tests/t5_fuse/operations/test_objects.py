"""What of a mount is in the bucket: which objects, when, and what can be seen of them without the key."""

import hashlib
import os
import random
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from support.budgets import flush, remount
from support.clients import client_of, ssec_of, status_of
from support.mounts import LIMIT_S, Mounting
from support.nameops import keys_below, object_key_of

from ssecfs.keyring.keyfile import load_keyfile
from ssecfs.sizes import MIB

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


def digest_in_metadata(mounted: Mounting, path: Path) -> str | None:
    with client_of(mounted.server) as client:
        ssec = ssec_of(load_keyfile(mounted.keyfile).first)
        answer = client.head_object(Bucket="bucket", Key=object_key_of(mounted, path), **ssec)
        digest: str | None = answer["Metadata"].get("ssecfs-sha256")
        return digest


def test_digest_of_the_content_is_in_the_metadata(shared_mount: Mounting, folder: Path) -> None:
    """Of a large file that was not written from start to end it is unknown: it would have to be read for that alone."""
    content = bytearray(random.Random(1).randbytes(17 * MIB))
    for size in (100_000, len(content)):
        path = folder / f"{size}"
        path.write_bytes(content[:size])
        assert digest_in_metadata(shared_mount, path) == hashlib.sha256(content[:size]).hexdigest()
        with path.open("r+b") as file:
            os.pwrite(file.fileno(), b"changed", 1000)
        content[1000:1007] = b"changed"
        assert digest_in_metadata(shared_mount, path) == (
            hashlib.sha256(content[:size]).hexdigest() if size < 16 * MIB else None
        )
        path.chmod(0o600)
        flush(shared_mount)
        assert digest_in_metadata(shared_mount, path) == (
            hashlib.sha256(content[:size]).hexdigest() if size < 16 * MIB else None
        )


def test_name_size_and_time_are_seen_without_the_key_and_no_content_nor_target(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("target")
    before, prefix = time.time(), object_key_of(shared_mount, folder) + "/"
    with client_of(shared_mount.server) as client:
        listed = client.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]
        assert {entry["Key"].removeprefix(prefix): entry["Size"] for entry in listed} == {"": 0, "file": 7, "link": 6}
        assert all(abs(entry["LastModified"].timestamp() - before) < LIMIT_S for entry in listed)
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
