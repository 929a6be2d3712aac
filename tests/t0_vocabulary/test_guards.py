"""The guards of ``conftest`` catch what they are there for: each is shown a test that misbehaves."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.leftovers import list_processes, nothing_left_behind
from support.secretwatch import SecretWatch

from ssecfs.ssec import CustomerKey

TESTS = Path(__file__).parents[1]
KEY = CustomerKey(bytes(range(32)))

MISBEHAVING = """
import logging
import pytest

def test_that_prints_its_key(customer_key):
    print(customer_key.reveal_base64())

def test_that_logs_its_key(customer_key):
    logging.getLogger("ssecfs.some").debug("%s", customer_key.reveal_bytes().hex())

def test_that_behaves(customer_key):
    print(customer_key)
    logging.getLogger("ssecfs.some").warning("%r", customer_key)

@pytest.mark.long
def test_that_is_long():
    print("so long")
"""


def run_misbehaving(folder: Path, *options: str) -> str:
    (folder / "test_misbehaving.py").write_text(MISBEHAVING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(TESTS.parent / "pyproject.toml"),
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
    ]
    command += ["--rootdir", str(folder), *options, str(folder)]
    return subprocess.run(
        command, env={**os.environ, "COLUMNS": "200"}, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    ).stdout


def test_shown_secrets_fail_their_tests_and_long_ones_are_left_out_visibly(tmp_path: Path) -> None:
    output = run_misbehaving(tmp_path)
    assert "ERROR test_misbehaving.py::test_that_prints_its_key - the output of this test shows a secret" in output
    assert "ERROR test_misbehaving.py::test_that_logs_its_key - AssertionError: a log record holds a secret" in output
    assert "3 passed, 1 deselected, 2 errors" in output
    assert "1 long tests were left out; run them with --long" in output


def test_long_tests_run_when_asked_for(tmp_path: Path) -> None:
    output = run_misbehaving(tmp_path, "--long", "-k", "behaves or is_long")
    assert "2 passed, 2 deselected" in output


@pytest.mark.parametrize("form", [KEY.reveal_base64(), KEY.reveal_bytes().hex(), f"{KEY.reveal_bytes()!r}"])
def test_watch_sees_every_form_of_a_customer_key(form: str) -> None:
    watch = SecretWatch()
    watch.add_customer_key(KEY)
    assert watch.shown_in(f"key: {form}.")
    assert watch.shown_in(b"\0" + KEY.reveal_bytes())
    assert not watch.shown_in(repr(KEY))


def test_watch_sees_a_secret_in_a_traceback() -> None:
    watch = SecretWatch()
    watch.add("hunter2")
    with watch.watching_logs():
        try:
            raise ValueError("hunter2")  # noqa: EM101, TRY301 - shows up in the traceback's text
        except ValueError:
            logging.getLogger("ssecfs").debug("it failed", exc_info=True)
    assert len(watch.records_showing()) == 1


def test_watch_finds_files_that_hold_a_secret(tmp_path: Path) -> None:
    watch = SecretWatch()
    watch.add_customer_key(KEY)
    (tmp_path / "keyfile").write_bytes(b"key: " + KEY.reveal_base64().encode())
    (tmp_path / "notes").write_text(KEY.md5)
    assert watch.files_showing(tmp_path) == [tmp_path / "keyfile"]


def test_process_left_behind_is_named_and_ended(tmp_path: Path) -> None:
    with nothing_left_behind(tmp_path, patience_s=0) as left:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"started\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"started\n"
    with process:
        assert process.wait(timeout=10) == -9
    assert left == [f"process {process.pid}: cat "]
    assert process.pid not in list_processes()


def test_process_that_ends_is_not_left_behind(tmp_path: Path) -> None:
    with nothing_left_behind(tmp_path) as left:
        process = subprocess.Popen(["true"])
    process.wait(timeout=10)
    assert left == []
