"""What every test gets: guards against shown secrets and leftovers, a customer key of its own, and the options
``--long`` and ``--ceph``.

Helpers that tests import stand in ``support``; fixtures of one floor in the test files of that floor.
"""

import hashlib
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from ssecfs.ssec import CustomerKey

pytest.register_assert_rewrite("support")  # before anything of it is imported: its assertions say what they saw

from support.leftovers import mark_this_run, nothing_left_behind  # noqa: E402
from support.secretwatch import SecretWatch  # noqa: E402

_WATCH: Final = pytest.StashKey[SecretWatch]()
_LEFT_OUT: Final = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")
    parser.addoption("--ceph", action="store_true", help="hold the server's contract with a Ceph gateway, too")


def pytest_configure(config: pytest.Config) -> None:
    """Generated inputs are the same in every run; with ``--long`` there are more, and new ones each time."""
    mark_this_run()
    settings.register_profile("short", deadline=None, derandomize=True, database=None)
    settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True)
    settings.load_profile("long" if config.getoption("--long") else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, visibly, unless they are asked for."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long") is not None]
    config.stash[_LEFT_OUT] = len(left_out)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.line(f"{left_out} long tests were left out; run them with --long")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test when what was captured of its output shows one of its secrets."""
    report = yield
    watch = item.stash.get(_WATCH, None)
    is_complete = report.when == "teardown"  # by then it has the output of all phases
    if watch is not None and is_complete and report.passed and any(watch.shown_in(output) for _, output in report.sections):
        report.outcome = "failed"
        report.longrepr = "the output of this test shows a secret (the watch is in tests/support/secretwatch.py)"
        report.sections.clear()
    return report


@pytest.fixture
def secrets(request: pytest.FixtureRequest) -> SecretWatch:
    """The texts that neither a log record nor the output of this test may show."""
    watch = SecretWatch()
    request.node.stash[_WATCH] = watch
    return watch


@pytest.fixture(autouse=True)
def _no_secret_in_logs(secrets: SecretWatch) -> Iterator[None]:
    with secrets.watching_logs():
        yield
    assert secrets.records_showing() == [], "a log record holds a secret"


@pytest.fixture(autouse=True)
def _nothing_left_by_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nothing_left_behind(tmp_path_factory.getbasetemp()) as left:
        yield
    assert left == [], "the test left something behind"


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_by_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nothing_left_behind(tmp_path_factory.getbasetemp()) as left:
        yield
    assert left == [], "the test run left something behind"


@pytest.fixture
def customer_key(request: pytest.FixtureRequest, secrets: SecretWatch) -> CustomerKey:
    """A customer key of this test's own, the same in every run; watched."""
    customer_key = CustomerKey(hashlib.sha256(request.node.nodeid.encode()).digest())
    secrets.add_customer_key(customer_key)
    return customer_key


@pytest.fixture
def keyfile(tmp_path: Path, customer_key: CustomerKey) -> Path:
    """A keyfile with the test's customer key, as ``openssl rand -base64 32`` would write it, private."""
    path = tmp_path / "keyfile"
    path.touch(mode=0o600)
    path.write_text(customer_key.reveal_base64() + "\n")
    return path


@pytest.fixture(scope="session")
def fuse_device() -> Path:
    """The FUSE device; a test that mounts asks for it. Without it the test fails: a skipped mount test proves nothing."""
    device = Path("/dev/fuse")
    if not device.exists():
        pytest.fail(
            "/dev/fuse is missing: load the fuse module, or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        pytest.fail("/dev/fuse cannot be opened by this user: it needs mode 0666")
    if shutil.which("fusermount3") is None:
        pytest.fail("fusermount3 is missing: install the Debian package fuse3")
    return device
