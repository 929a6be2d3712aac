"""Options: where their values come from, what is refused, and mount(8)'s words."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.app.cli import main
from ssecfs.app.config import Access, gather, mount_options
from ssecfs.app.mount_helper import parse as parse_helper
from ssecfs.app.mount_words import join_words, options_from, split_words
from ssecfs.app.options import find_command
from ssecfs.errors import ConfigError

MOUNT = find_command("mount")
HTTPS = "https://s3.example.com"


@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip("\x00") == text), max_size=6))
def test_words_with_any_commas_and_backslashes_survive_joining_and_splitting(words: list[str]) -> None:
    assert split_words(join_words(words)) == words


def test_words_of_mount_are_sorted_into_ours_and_others() -> None:
    words = ["rw", "noauto", "_netdev", "x-systemd.automount", "ro", "endpoint-url=https://x", "allow_other", "ttl=9"]
    assert options_from(words, MOUNT) == {
        "read-only": "true",
        "endpoint-url": "https://x",
        "allow-other": "true",
        "ttl": "9",
    }


@pytest.mark.parametrize(("word", "hint"), [("ttl", "needs a value"), ("nonsense", "no option"), ("keyfle=x", "no option")])
def test_unknown_or_incomplete_word_is_refused(word: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        options_from([word], MOUNT)


def test_command_line_beats_words_beats_environment_beats_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('ttl = 1\nregion = "file"\ncache-size = "1M"\nmemory = "64M"\nread-only = true\n')
    values = gather(
        MOUNT,
        {"ttl": "4", "config": str(config)},
        {"ttl": "3", "region": "words"},
        {"SSECFS_TTL": "2", "SSECFS_REGION": "environment", "SSECFS_CACHE_SIZE": "2M"},
    )
    wanted = {"ttl": 4.0, "region": "words", "cache-size": 2 << 20, "memory": 64 << 20, "read-only": True}
    assert {name: values[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("keyfle = 1", "no option"),
        ("ttl = true", "text or a number"),
        ("read-only = 1", "true or false"),
        ("= =", "TOML"),
        ("umask = 22", "022"),
    ],
)
def test_configuration_file_with_a_mistake_is_refused(tmp_path: Path, text: str, hint: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(ConfigError, match=hint):
        gather(MOUNT, {"config": str(config)}, {}, {})


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("ttl", "soon", "no number of seconds"),
        ("cache-size", "much", "is no size"),
        ("log-level", "loud", "takes one of"),
        ("read-only", "maybe", "neither true nor false"),
        ("uid", "root", "no user or group number"),
        ("gid", "4294967295", "no user or group number"),
        ("umask", "8", "no mask of permission bits"),
        ("umask", "10000", "no mask of permission bits"),
        ("umask", "-1", "no mask of permission bits"),
    ],
)
def test_value_that_makes_no_sense_names_the_option(name: str, text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        gather(MOUNT, {name: text}, {}, {})


@pytest.mark.parametrize(
    ("endpoint", "allow", "hint"),
    [
        ("http://s3.example.com", True, "https"),
        ("http://127.0.0.1:9000", False, "--allow-http"),
        ("ftp://x", False, "no URL"),
        ("s3.example.com", False, "no URL"),
        ("https://user:secret@example.com", False, "must not hold credentials"),
    ],
)
def test_endpoint_over_which_no_key_may_travel_is_refused(tmp_path: Path, endpoint: str, allow: bool, hint: str) -> None:
    values = {"endpoint-url": endpoint, "keyfile": tmp_path / "key", "allow-http": allow}
    with pytest.raises(ConfigError, match=hint):
        mount_options("bucket", "/mnt", values)


def test_source_is_split_into_bucket_and_prefix(tmp_path: Path) -> None:
    values = {"endpoint-url": HTTPS, "keyfile": tmp_path / "key", "read-only": True, "ttl": float("inf")}
    options = mount_options("bucket/some/prefix/", "mnt", values)
    assert (options.bucket, options.prefix, options.source) == ("bucket", "some/prefix/", "bucket/some/prefix")
    assert (options.access, options.ttl_s) == (Access.READ_ONLY, float("inf"))
    assert mount_options("bucket", "mnt", values).prefix == ""
    assert options.mountpoint == Path.cwd() / "mnt"


def test_overrides_are_numbers_and_an_octal_mask_and_nothing_by_default(tmp_path: Path) -> None:
    required = {"endpoint-url": HTTPS, "keyfile": tmp_path / "key"}
    plain = mount_options("bucket", "mnt", required)
    assert (plain.uid, plain.gid, plain.umask, plain.has_xattrs, plain.moves_atime) == (None, None, 0, True, True)
    words = options_from(["uid=0", "gid=4294967294", "umask=0027", "no-xattr", "noatime"], MOUNT)
    options = mount_options("bucket", "mnt", required | gather(MOUNT, {}, words, {"XDG_CONFIG_HOME": str(tmp_path)}))
    assert (options.uid, options.gid, options.umask, options.has_xattrs, options.moves_atime) == (
        0,
        2**32 - 2,
        0o27,
        False,
        False,
    )


def test_mount_without_keyfile_says_how_to_make_one() -> None:
    with pytest.raises(ConfigError, match="ssecfs keygen"):
        mount_options("bucket", "/mnt", {"endpoint-url": HTTPS})


def test_helper_understands_what_mount_passes() -> None:
    arguments = ["bucket/p", "/mnt", "-s", "-n", "-N", "7", "-t", "ssecfs", "-o", "ro,keyfile=/k", "-v"]
    assert parse_helper(arguments) == ("bucket/p", "/mnt", "ro,keyfile=/k", False)
    assert parse_helper(["b", "/mnt", "-f"])[3]
    with pytest.raises(ConfigError):
        parse_helper(["only-a-source"])


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["mount"], ["mount", "b"], ["mount", "b", "/m", "--no-such"]])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("ssecfs: ")
    assert printed.count("\n") == 1


def test_environment_of_this_run_sets_no_option() -> None:
    """Otherwise the tests of this file would test the machine."""
    assert not [name for name in os.environ if name.startswith("SSECFS_")]
