"""Who else can read a keyfile, and what happens when nobody can."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssecfs.errors import KeyfileError
from ssecfs.keyring.keyfile import MAX_KEYFILE_BYTES, load_keyfile
from ssecfs.ssec import CustomerKey

NOBODY = 65534


def test_private_keyfile_is_read(keyfile: Path, customer_key: CustomerKey) -> None:
    assert load_keyfile(keyfile).customer_keys == (customer_key,)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_modes_that_keep_others_out_are_accepted(keyfile: Path, mode: int) -> None:
    keyfile.chmod(mode)
    assert len(load_keyfile(keyfile)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o660, 0o666, 0o440])
def test_keyfile_open_to_others_is_refused_with_the_command_that_helps(keyfile: Path, mode: int) -> None:
    keyfile.chmod(mode)
    with pytest.raises(KeyfileError, match="can be used by others") as caught:
        load_keyfile(keyfile)
    run_advice(str(caught.value))
    assert len(load_keyfile(keyfile)) == 1


def test_advice_can_be_run_for_a_name_with_spaces_and_quotes(keyfile: Path) -> None:
    odd = keyfile.rename(keyfile.with_name("my key's file"))
    odd.chmod(0o644)
    with pytest.raises(KeyfileError) as caught:
        load_keyfile(odd)
    run_advice(str(caught.value))
    assert len(load_keyfile(odd)) == 1


def run_advice(message: str) -> None:
    """Run the command that a message ends with."""
    subprocess.run(shlex.split(message.rpartition(": ")[2]), check=True, timeout=10)


def test_link_to_a_keyfile_is_followed_and_the_target_checked(keyfile: Path, customer_key: CustomerKey) -> None:
    link = keyfile.with_name("link")
    link.symlink_to(keyfile)
    assert load_keyfile(link).first == customer_key
    keyfile.chmod(0o644)
    with pytest.raises(KeyfileError, match="can be used by others"):
        load_keyfile(link)


def test_missing_keyfile_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match=r"does not exist.*ssecfs keygen"):
        load_keyfile(tmp_path / "none")


def test_directory_is_no_keyfile(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match="is a directory"):
        load_keyfile(tmp_path)


def test_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(KeyfileError, match="not a regular file"):
        load_keyfile(fifo)


def test_device_is_refused() -> None:
    with pytest.raises(KeyfileError, match="not a regular file"):
        load_keyfile(Path("/dev/zero"))


def test_path_through_a_file_cannot_be_read(keyfile: Path) -> None:
    with pytest.raises(KeyfileError, match="Not a directory"):
        load_keyfile(keyfile / "below")


def test_largest_keyfile_is_read_and_a_larger_one_refused(keyfile: Path, customer_key: CustomerKey) -> None:
    content = keyfile.read_bytes()
    keyfile.write_bytes(content.ljust(MAX_KEYFILE_BYTES, b"\n"))
    assert load_keyfile(keyfile).first == customer_key
    keyfile.write_bytes(content.ljust(MAX_KEYFILE_BYTES + 1, b"\n"))
    with pytest.raises(KeyfileError, match="larger than 64 KiB"):
        load_keyfile(keyfile)


def test_error_in_the_content_names_file_and_line(keyfile: Path) -> None:
    keyfile.write_text("# nothing yet\ntoo short\n")
    with pytest.raises(KeyfileError, match=rf"keyfile {keyfile}: line 2: ") as caught:
        load_keyfile(keyfile)
    assert "short" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_user_cannot_read_our_keyfile(keyfile_in_the_open: Path) -> None:
    with as_nobody(), pytest.raises(KeyfileError, match="no permission"):
        load_keyfile(keyfile_in_the_open)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_keyfile_of_another_user_is_refused_even_where_we_could_read_it(keyfile_in_the_open: Path) -> None:
    os.chown(keyfile_in_the_open, NOBODY, NOBODY)
    with as_nobody():
        assert len(load_keyfile(keyfile_in_the_open)) == 1
    with pytest.raises(KeyfileError, match="belongs to another user") as caught:
        load_keyfile(keyfile_in_the_open)
    run_advice(str(caught.value))
    assert len(load_keyfile(keyfile_in_the_open)) == 1


@pytest.fixture
def keyfile_in_the_open(keyfile: Path) -> Path:
    """A private keyfile in folders that every user can enter."""
    for folder in keyfile.parents:
        if folder.owner() == keyfile.owner() and folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    return keyfile


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be another user for the time of the block."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
