"""Extended attributes: setxattr, getxattr, listxattr, removexattr, and those that tell about the object."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from support.budgets import FOREVER, flush, put_objects, remount, requests_of
from support.clients import client_of, ssec_of
from support.errnos import refusal
from support.mounts import Mounting, mounting

from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

# The kernel itself checks the form of those that it knows, before it asks us.
OTHER_NAMESPACES = {
    "trusted.a": b"x",
    "security.a": b"x",
    "security.capability": bytes.fromhex("01000002") + bytes(16),
    "system.posix_acl_access": bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000400ffffffff"),
}


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(b"content")
    return path


def object_key_of(mounted: Mounting, path: Path) -> str:
    return f"{mounted.source.partition('/')[2]}/{path.relative_to(mounted.path)}"


def metadata_of(mounted: Mounting, path: Path) -> dict[str, str]:
    """The object's user metadata as any client sees it."""
    with client_of(mounted.server) as client:
        customer_key = load_keyfile(mounted.keyfile).first
        answer = client.head_object(Bucket="bucket", Key=object_key_of(mounted, path), **ssec_of(customer_key))
        return dict(answer["Metadata"])


def test_values_of_any_bytes_are_set_listed_read_and_removed(file: Path) -> None:
    values = {"user.text": b"v", "user.empty": b"", "user.binary": bytes(range(256)), 'user.größe "{,:': b"\0\xff"}
    for name, value in values.items():
        os.setxattr(file, name, value)
    assert {name: os.getxattr(file, name) for name in os.listxattr(file)} == values
    os.removexattr(file, "user.text")
    assert "user.text" not in os.listxattr(file)
    assert refusal(os.getxattr, file, "user.text") == "ENODATA"
    assert refusal(os.removexattr, file, "user.text") == "ENODATA"


def test_create_and_replace_flags_refuse_what_they_should(file: Path) -> None:
    assert refusal(os.setxattr, file, "user.a", b"1", os.XATTR_REPLACE) == "ENODATA"
    os.setxattr(file, "user.a", b"1", os.XATTR_CREATE)
    assert refusal(os.setxattr, file, "user.a", b"2", os.XATTR_CREATE) == "EEXIST"
    os.setxattr(file, "user.a", b"3", os.XATTR_REPLACE)
    assert os.getxattr(file, "user.a") == b"3"


def test_names_and_values_that_are_too_long_give_the_errors_of_a_local_disk(file: Path) -> None:
    assert refusal(os.setxattr, file, "user." + "n" * 251, b"") == "ERANGE"  # the name has over 255 bytes: the kernel's limit
    assert refusal(os.setxattr, file, "user.a", bytes(65_537)) == "E2BIG"  # likewise, of a value
    assert refusal(os.setxattr, file, "user.a", bytes(2048)) == "ENOSPC"  # an object's metadata has 2 KiB
    os.setxattr(file, "user.a", bytes(1024))
    assert refusal(os.setxattr, file, "user.b", bytes(1024)) == "ENOSPC"
    assert os.listxattr(file) == ["user.a"]
    os.setxattr(file, "user." + "n" * 250, b"")


def test_largest_attribute_that_is_taken_can_be_saved(shared_mount: Mounting, file: Path) -> None:
    """Whatever mode, owner, times and content become afterwards."""
    sizes = range(1024, 2048)
    first_refused = next(size for size in sizes if refusal(os.setxattr, file, "user.a", bytes(size)) == "ENOSPC")
    assert 1100 < first_refused < 1400
    os.chown(file, 2**32 - 2, 2**32 - 2)
    os.utime(file, ns=(-(2**32), 2**34 * 10**9 - 1))
    file.chmod(0o7777)
    with requests_of(shared_mount) as counted:
        file.write_bytes(bytes(100))
    assert counted == {"PutObject": 1}
    total = sum(len(name) + len(value) for name, value in metadata_of(shared_mount, file).items())
    assert 1900 < total <= 2048
    assert os.getxattr(file, "user.a") == bytes(first_refused - 1)


def test_buffer_that_is_too_small_gives_erange_and_none_tells_the_size(file: Path) -> None:
    os.setxattr(file, "user.long-name", b"12345")
    program = """
import ctypes, os, sys
libc, path = ctypes.CDLL(None, use_errno=True), os.fsencode(sys.argv[1])
for size in (0, 4, 5):
    into = ctypes.create_string_buffer(99) if size else None
    print(libc.getxattr(path, b"user.long-name", into, size), ctypes.get_errno())
    print(libc.listxattr(path, into, size and size + 10), ctypes.get_errno())
"""
    done = subprocess.run(["python3", "-c", program, file], capture_output=True, text=True, check=True, timeout=20)
    numbers = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    wanted = [(5, 0), (15, 0), (-1, errno.ERANGE), (-1, errno.ERANGE), (5, errno.ERANGE), (15, errno.ERANGE)]
    assert numbers == wanted  # errno stays where a call succeeds


@pytest.mark.parametrize("name", OTHER_NAMESPACES)
def test_other_namespaces_are_not_supported(file: Path, name: str) -> None:
    assert refusal(os.getxattr, file, name) == "ENOTSUP"
    assert refusal(os.setxattr, file, name, OTHER_NAMESPACES[name]) == "ENOTSUP"
    assert refusal(os.removexattr, file, name) == "ENOTSUP"


def test_directories_have_them_too_and_links_have_none(own_mount: Mounting) -> None:
    directory, link = own_mount.path / "directory", own_mount.path / "link"
    directory.mkdir()
    link.symlink_to("directory")
    os.setxattr(directory, "user.a", b"1")
    assert os.getxattr(link, "user.a") == b"1"
    assert refusal(lambda: os.setxattr(link, "user.a", b"1", follow_symlinks=False)) == "EPERM"
    assert os.listxattr(link, follow_symlinks=False) == []
    remount(own_mount)
    assert os.getxattr(directory, "user.a") == b"1"


def test_they_survive_chmod_rename_new_content_and_a_remount(own_mount: Mounting) -> None:
    directory = own_mount.path / "directory"
    directory.mkdir()
    file = directory / "file"
    file.write_bytes(b"content")
    os.setxattr(file, "user.a", b"kept")
    file.chmod(0o600)
    file.write_bytes(b"other content")
    with file.open("ab") as appended:
        appended.write(b", longer")
    file.rename(directory / "renamed")
    directory.rename(own_mount.path / "elsewhere")
    own_mount.umount()
    own_mount.wipe_cache()
    own_mount.mount()
    assert os.getxattr(own_mount.path / "elsewhere" / "renamed", "user.a") == b"kept"


def test_changes_in_a_row_with_other_attributes_cost_one_copy(shared_mount: Mounting, file: Path) -> None:
    with requests_of(shared_mount) as counted:
        os.setxattr(file, "user.a", b"1")
        os.setxattr(file, "user.b", b"2")
        os.removexattr(file, "user.a")
        file.chmod(0o600)
    assert counted == {"CopyObject": 1}


def test_setting_one_on_an_open_new_file_costs_nothing_beside_its_upload(shared_mount: Mounting, folder: Path) -> None:
    with requests_of(shared_mount) as counted, (folder / "new").open("wb") as file:
        file.write(b"content")
        os.setxattr(file.fileno(), "user.a", b"1")
    assert counted == {"PutObject": 1}
    assert os.getxattr(folder / "new", "user.a") == b"1"


def test_setting_and_removing_move_ctime_only(file: Path) -> None:
    before = file.stat()
    os.setxattr(file, "user.a", b"1")
    between = file.stat()
    os.removexattr(file, "user.a")
    after = file.stat()
    assert before.st_ctime_ns < between.st_ctime_ns < after.st_ctime_ns
    assert before.st_mtime_ns == after.st_mtime_ns


def test_writing_a_file_asks_the_server_for_none(shared_mount: Mounting, folder: Path) -> None:
    """The kernel looks for security.capability before each write."""
    with requests_of(shared_mount) as counted, (folder / "new").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"piece")
    assert counted == {"PutObject": 1}


def test_those_about_the_object_can_be_read_are_not_listed_and_cannot_be_set(shared_mount: Mounting, file: Path) -> None:
    with client_of(shared_mount.server) as client:
        customer_key = load_keyfile(shared_mount.keyfile).first
        told = client.head_object(Bucket="bucket", Key=object_key_of(shared_mount, file), **ssec_of(customer_key))
    read = {name: os.getxattr(file, f"user.ssecfs.{name}").decode() for name in ("etag", "key-md5", "storage-class", "seal")}
    assert read == {
        "etag": told["ETag"].strip('"'),
        "key-md5": customer_key.md5,
        "storage-class": "STANDARD",
        "seal": "good",
    }
    assert os.getxattr(file, "user.ssecfs.cached-bytes") == str(len(b"content")).encode()
    assert os.listxattr(file) == []
    for name in ("version-id", "no-such"):
        assert refusal(os.getxattr, file, f"user.ssecfs.{name}") == "ENODATA"
    for name in ("etag", "seal", "no-such"):
        assert refusal(os.setxattr, file, f"user.ssecfs.{name}", b"x") == "EPERM"
        assert refusal(os.removexattr, file, f"user.ssecfs.{name}") == "EPERM"


def test_asking_about_the_object_costs_nothing_or_one_head(shared_mount: Mounting, file: Path) -> None:
    for name, cost in {"etag": {}, "cached-bytes": {}, "seal": {}, "key-md5": {"HeadObject": 1}}.items():
        with requests_of(shared_mount) as counted:
            os.getxattr(file, f"user.ssecfs.{name}")
        assert counted == cost


def test_nothing_is_told_about_an_object_that_is_not_there_yet(folder: Path) -> None:
    with (folder / "new").open("wb") as file:
        for name in ("etag", "key-md5", "cached-bytes", "seal"):
            assert refusal(os.getxattr, file.fileno(), f"user.ssecfs.{name}") == "ENODATA"


def test_version_id_is_told_in_a_bucket_with_versions(shared_mount: Mounting, tmp_path: Path, keyfile: Path) -> None:
    with client_of(shared_mount.server) as client:
        client.create_bucket(Bucket="versions")
        client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
        with mounting(shared_mount.server, tmp_path, keyfile, source="versions") as mounted:
            (mounted.path / "file").write_bytes(b"1")
            (mounted.path / "file").write_bytes(b"2")
            listed = client.list_object_versions(Bucket="versions", Prefix="file")["Versions"]
            (latest,) = [entry["VersionId"] for entry in listed if entry["IsLatest"]]
            assert os.getxattr(mounted.path / "file", "user.ssecfs.version-id").decode() == latest


def test_seal_tells_whether_attributes_are_ours_foreign_or_were_changed(own_mount: Mounting) -> None:
    path = own_mount.path / "file"
    path.write_bytes(b"content")
    os.setxattr(path, "user.a", b"ours")
    flush(own_mount)
    customer_key = load_keyfile(own_mount.keyfile).first
    object_key = object_key_of(own_mount, path)
    forged = metadata_of(own_mount, path) | {"mode": str(0o104755), "uid": "0"}
    with client_of(own_mount.server) as client:
        client.put_object(Bucket="bucket", Key=object_key, Body=b"content", Metadata=forged, **ssec_of(customer_key))
    put_objects(own_mount, ["foreign"], b"foreign")
    remount(own_mount)
    assert os.getxattr(path, "user.ssecfs.seal") == b"bad"
    assert os.getxattr(own_mount.path / "foreign", "user.ssecfs.seal") == b"missing"
    assert (os.getxattr(path, "user.a"), path.stat().st_mode) == (b"ours", 0o104755)  # reported, and shown all the same
    assert "were changed by another program or by the provider" in own_mount.log()
    path.chmod(0o640)
    flush(own_mount)
    assert os.getxattr(path, "user.ssecfs.seal") == b"good"


def test_mount_without_them_keeps_none(shared_mount: Mounting, tmp_path: Path, keyfile: Path) -> None:
    with mounting(shared_mount.server, tmp_path, keyfile, *FOREVER, "--no-xattr", source="bucket/no-xattr") as mounted:
        path = mounted.path / "file"
        path.write_bytes(b"content")
        assert refusal(os.getxattr, path, "user.a") == "ENOTSUP"
        assert refusal(os.setxattr, path, "user.a", b"1") == "ENOTSUP"
        assert refusal(os.listxattr, path) == "ENOTSUP"
        assert path.read_bytes() == b"content"
