"""Generated sequences of system calls, on a mount and on a local directory: same results, contents, attributes and errors.

Mounting again, losing the cache, and the kernel's forgetting come in between and must change nothing.
"""

import ctypes
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from support.budgets import flush
from support.model_calls import Call, Phase, compare, examples, sequences
from support.model_kernel import KernelCalls, LocalCalls
from support.model_looks import Facts
from support.mounts import Mounting, mounting
from support.s3server import S3Server, s3_server

pytestmark = [pytest.mark.mount, pytest.mark.timeout(3 * 3600)]

MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32

THEN = st.sampled_from(
    [
        ("flush",),
        ("flush",),
        ("forget",),
        ("forget",),
        *(("remount", wiped, ttl) for wiped, ttl in [(False, "5"), (True, "0.1"), (True, "forever"), (False, "0.1")]),
    ]
)


class MountedCalls(KernelCalls):
    """The calls below a directory of a mount, and what may happen to the mount."""

    def __init__(self, mounting: Mounting, root: Path) -> None:
        super().__init__(root)
        self._mounting = mounting

    async def do(self, number: int, call: Call) -> object:
        return super().do(number, call)

    async def look(self) -> Mapping[str, Facts]:
        return super().look()

    def flush(self) -> object:
        flush(self._mounting)
        return None

    def forget(self) -> object:
        """The kernel drops the names that nobody uses: as root, mounting "again" makes it do so for one mount only."""
        libc = ctypes.CDLL(None, use_errno=True)
        place = os.fsencode(self._mounting.path)
        assert libc.mount(None, place, None, MS_REMOUNT | MS_NOSUID | MS_NODEV, None) == 0, os.strerror(ctypes.get_errno())
        return None

    def remount(self, is_cache_lost: bool, ttl: str) -> object:
        closed = self.close_all()
        self._mounting.umount()
        if is_cache_lost:
            self._mounting.wipe_cache()
        self._mounting.mount("--ttl", ttl)
        return closed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fuse_device: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("model") / "server") as running:
        yield running


@pytest.fixture
def mounted(tmp_path: Path, server: S3Server, keyfile: Path) -> Iterator[Mounting]:
    """One mount for all sequences; each has a directory of its own."""
    with mounting(server, tmp_path, keyfile, source="bucket/model") as mounted:
        yield mounted


@pytest.fixture
def numbers() -> Iterator[int]:
    return itertools.count()


@given(sequences(THEN), st.booleans())
@settings(
    max_examples=examples(60, 3000),
    phases=set(Stage) - {Stage.explain},
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_sequence_of_system_calls_does_what_it_does_on_a_local_directory(
    mounted: Mounting,
    numbers: Iterator[int],
    tmp_path: Path,
    phases: Sequence[Phase],
    looking: bool,
) -> None:
    name = f"sequence-{next(numbers)}"
    local, ours = tmp_path / name, mounted.path / name
    local.mkdir()
    ours.mkdir()
    reference, subject = LocalCalls(local), MountedCalls(mounted, ours)
    try:
        trio.run(lambda: compare(phases, reference, subject, looking=looking))
    except BaseException:
        # Nothing of it may stay in the way of the sequences that look for a shorter way to fail.
        with suppress(AssertionError):  # what failed may be to mount again
            mounted.kill_daemon()
        mounted.mount()
        raise
    finally:
        reference.close_all()
        subject.close_all()
