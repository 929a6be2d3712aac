"""Logging in a process of its own: where it goes, and what never gets there."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ssecfs.log import RedactingFormatter, digest_name, secret_texts
from ssecfs.ssec import CustomerKey

KEY = CustomerKey(bytes(range(32)))

PROGRAM = """
import logging, pathlib, sys
from ssecfs.log import secret_texts, set_up_logging
from ssecfs.ssec import CustomerKey

customer_key = CustomerKey(bytes(range(32)))
log_file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
for _ in range(2):
    set_up_logging(logging.DEBUG, log_file, secret_texts([customer_key]))
logging.getLogger("ssecfs.s3").debug("header %s", customer_key.reveal_base64())
logging.getLogger("botocore.endpoint").debug("not to be seen")
logging.getLogger("botocore.endpoint").info("seen")
logging.getLogger("other").info("not to be seen")
try:
    raise ValueError(customer_key.reveal_bytes().hex())
except ValueError:
    logging.getLogger("ssecfs.fuse").exception("failed")
"""


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stderr


def test_secrets_are_replaced_in_messages_and_tracebacks() -> None:
    output = run()
    assert "DEBUG ssecfs.s3: header <redacted>" in output
    assert "ValueError: <redacted>" in output
    assert not any(secret in output for secret in secret_texts([KEY]))


def test_libraries_that_print_keys_at_debug_stay_at_info() -> None:
    output = run()
    assert "botocore.endpoint: seen" in output
    assert "not to be seen" not in output


def test_second_set_up_replaces_the_first() -> None:
    assert run().count("header") == 1


def test_log_file_is_private_and_appended_to(tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    assert run(str(log_file)) == ""
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600
    run(str(log_file))
    assert log_file.read_text().count("header <redacted>") == 2


def test_empty_secret_redacts_nothing() -> None:
    formatter = RedactingFormatter([""])
    assert formatter._secrets == ()


@pytest.mark.parametrize("name", ["a/b", "été", "\udcff"])
def test_digest_stands_for_a_name_without_telling_it(name: str) -> None:
    assert digest_name(name) == digest_name(name)
    assert len(digest_name(name)) == 8
    assert digest_name(name) != digest_name(name + "x")
