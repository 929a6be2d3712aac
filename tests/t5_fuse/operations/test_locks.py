"""flock(2) and fcntl(2) locks: between the processes of this host, released with the handle or its process."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from support.syscalls import another_process, in_another_process, outcome, refused

pytestmark = pytest.mark.mount

TRYING = """
kinds = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX}
file = os.open(arguments[1], os.O_RDWR)
try:
    if arguments[0] == "flock":
        fcntl.flock(file, kinds[arguments[2]] | fcntl.LOCK_NB)
    else:
        fcntl.lockf(file, kinds[arguments[2]] | fcntl.LOCK_NB, int(arguments[4]), int(arguments[3]))
    print("granted")
except BlockingIOError:
    print("refused")
"""


HOLDING = """
file = os.open(arguments[0], os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(place: Path) -> Path:
    (place / "file").write_bytes(bytes(100))
    return place / "file"


def other_gets(how: str, path: Path, kind: str, start: int = 0, length: int = 0) -> str:
    """Whether another process would get a lock now."""
    return in_another_process(TRYING, how, path, kind, start, length).strip()


def test_flock_excludes_another_process_until_it_is_given_back(path: Path) -> None:
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert [other_gets("flock", path, kind) for kind in ("shared", "exclusive")] == ["granted", "refused"]
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [other_gets("flock", path, kind) for kind in ("shared", "exclusive")] == ["refused", "refused"]
        fcntl.flock(file, fcntl.LOCK_UN)
        assert other_gets("flock", path, "exclusive") == "granted"
        fcntl.flock(file, fcntl.LOCK_EX)
    assert other_gets("flock", path, "exclusive") == "granted"


def test_record_locks_exclude_another_process_where_they_overlap(path: Path) -> None:
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 20)
        assert [other_gets("fcntl", path, "exclusive", *part) for part in ((0, 20), (30, 0), (29, 1))] == [
            "granted",
            "granted",
            "refused",
        ]
        fcntl.lockf(file, fcntl.LOCK_UN, 5, 25)
        assert other_gets("fcntl", path, "exclusive", 25, 5) == "granted"
        assert other_gets("fcntl", path, "shared", 20, 5) == "refused"
    assert other_gets("fcntl", path, "exclusive", 0, 0) == "granted"


def test_lock_of_a_process_that_ends_is_free(path: Path) -> None:
    with another_process(HOLDING, path) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        with path.open("r+b") as file:
            assert refused(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB) == errno.errorcode[errno.EWOULDBLOCK]
            other.stdin.close()
            assert outcome(fcntl.flock, file, fcntl.LOCK_EX) is None


def test_locks_of_open_file_descriptions_exclude_each_other_in_one_process(path: Path) -> None:
    one, other = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    fcntl.flock(one, fcntl.LOCK_EX)
    assert refused(fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB) == errno.errorcode[errno.EWOULDBLOCK]
    os.close(one)
    fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(other)
