"""Mounts that must not happen: each says in one sentence what is wrong, with an exit code of its own, and mounts nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mounts import Mounting, mounting, ssecfs
from support.s3server import S3Server, s3_server

from ssecfs import errors

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("refusals") / "server") as running:
        yield running


@pytest.fixture
def place(server: S3Server, tmp_path: Path, keyfile: Path) -> Mounting:
    (tmp_path / "mnt").mkdir()
    return Mounting(server, tmp_path / "mnt", tmp_path / "cache", keyfile)


def refused(place: Mounting, wanted: type[errors.StartupError], *words: str, **environment: str) -> None:
    """Mount, and expect a refusal of a kind with some words in its one sentence."""
    done = ssecfs(*place.arguments(), **environment)
    assert done.returncode == wanted.exit_code, done.stderr
    assert done.stderr.startswith("ssecfs: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not place.path.is_mount()


def other_keyfile(folder: Path) -> Path:
    path = folder / "other-key"
    assert ssecfs("keygen", path).returncode == 0
    return path


def test_wrong_key_is_refused_and_the_fitting_md5_is_named(
    server: S3Server, tmp_path: Path, keyfile: Path, customer_key: object
) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/wrong-key"):
        pass
    place = Mounting(server, tmp_path / "mnt", tmp_path / "cache2", other_keyfile(tmp_path), "bucket/wrong-key")
    refused(place, errors.WrongKeyError, "wrong key", customer_key.md5)  # type: ignore[attr-defined]


def test_wrong_key_for_objects_of_another_client_is_refused_before_a_canary_is_written(
    place: Mounting, server: S3Server
) -> None:
    client = server.client()
    client.put_object(Bucket="bucket", Key="foreign/x", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
    place.source = "bucket/foreign"
    refused(place, errors.WrongKeyError, "wrong key")
    listed = client.list_objects_v2(Bucket="bucket", Prefix="foreign/")["Contents"]
    assert [entry["Key"] for entry in listed] == ["foreign/x"]


def test_missing_bucket_is_refused(place: Mounting) -> None:
    place.source = "there-is-none"
    refused(place, errors.BucketError, "there-is-none", "does not exist")


def test_unreachable_endpoint_is_refused(place: Mounting, tmp_path: Path) -> None:
    with s3_server(tmp_path / "gone") as gone:
        pass
    place.server = gone
    refused(place, errors.EndpointError, "cannot be reached")


def test_unknown_access_key_is_refused(place: Mounting) -> None:
    refused(place, errors.CredentialsError, "access key", AWS_ACCESS_KEY_ID="NOSUCHKEY")


def test_wrong_secret_is_refused(place: Mounting) -> None:
    refused(place, errors.CredentialsError, "secret", AWS_SECRET_ACCESS_KEY="wrong")


def test_missing_credentials_are_refused(place: Mounting, tmp_path: Path) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    refused(place, errors.CredentialsError, "no credentials", **none)


def test_certificate_that_does_not_verify_is_refused(place: Mounting) -> None:
    connection = ["--endpoint-url", place.server.url, "--keyfile", str(place.keyfile), "--cache-dir", str(place.cache)]
    done = ssecfs("mount", "bucket", place.path, *connection)
    assert done.returncode == errors.EndpointError.exit_code
    assert "certificate does not verify" in done.stderr
    assert "--ca-bundle" in done.stderr


def test_missing_mount_point_is_refused(place: Mounting) -> None:
    place.path.rmdir()
    done = ssecfs(*place.arguments())
    assert done.returncode == errors.MountpointError.exit_code
    assert "does not exist" in done.stderr


def test_mount_point_that_is_a_file_is_refused(place: Mounting) -> None:
    place.path.rmdir()
    place.path.touch()
    done = ssecfs(*place.arguments())
    assert (done.returncode, "not a directory" in done.stderr) == (errors.MountpointError.exit_code, True)


def test_mount_point_that_is_not_empty_is_refused(place: Mounting) -> None:
    (place.path / "file").touch()
    refused(place, errors.MountpointError, "not empty")


def test_cache_directory_that_is_a_file_is_refused(place: Mounting) -> None:
    place.cache.touch()
    refused(place, errors.CacheDirError, "cache directory")


def test_cache_directory_open_to_others_is_refused(place: Mounting) -> None:
    place.cache.mkdir()
    (place.cache / "of somebody else").touch()
    place.cache.chmod(0o755)
    refused(place, errors.CacheDirError, "chmod 700")


def test_empty_cache_directory_is_closed_to_others(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o755)
    with mounting(server, tmp_path, keyfile, source="bucket/closed") as place:
        assert place.cache.stat().st_mode & 0o777 == 0o700


def test_cache_directory_on_a_read_only_disk_is_refused(place: Mounting) -> None:
    place.cache = Path("/proc/no-cache-here")
    refused(place, errors.CacheDirError, "cache directory")


def test_keyfile_open_to_others_is_refused(place: Mounting) -> None:
    place.keyfile.chmod(0o644)
    refused(place, errors.KeyfileError, "chmod 600")


def test_key_over_plain_http_is_refused_but_to_loopback_on_request(place: Mounting, tmp_path: Path, keyfile: Path) -> None:
    arguments = ["--keyfile", str(keyfile), "--cache-dir", str(place.cache)]
    far = ssecfs("mount", "bucket", place.path, "--endpoint-url", "http://s3.example.com", "--allow-http", *arguments)
    assert (far.returncode, "https" in far.stderr) == (errors.ConfigError.exit_code, True)
    with s3_server(tmp_path / "plain", tls="off") as plain:
        near = ssecfs("mount", "bucket", place.path, "--endpoint-url", plain.url, *arguments)
        assert (near.returncode, "--allow-http" in near.stderr) == (errors.ConfigError.exit_code, True)
        with mounting(plain, tmp_path / "allowed", keyfile) as allowed:
            (allowed.path / "file").write_text("over loopback")
            assert (allowed.path / "file").read_text() == "over loopback"


def test_second_mount_of_the_same_with_the_same_cache_is_refused(server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    with mounting(server, tmp_path, keyfile, source="bucket/twice") as first:
        (tmp_path / "mnt2").mkdir()
        place = Mounting(server, tmp_path / "mnt2", first.cache, keyfile, "bucket/twice")
        refused(place, errors.CacheDirError, "in use")


def test_journal_that_cannot_be_opened_is_refused(place: Mounting, server: S3Server, tmp_path: Path, keyfile: Path) -> None:
    place.source = "bucket/no-journal"
    place.mount()
    place.umount()
    (journal,) = place.cache.rglob("journal.sqlite")
    journal.unlink()
    journal.mkdir()
    refused(place, errors.CacheDirError, "journal", "nothing was mounted")
