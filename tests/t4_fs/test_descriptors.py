"""Whether a process has another descriptor of a file, from the kernel's own table."""

import os
import resource
from pathlib import Path

from ssecfs.fs.descriptors import MAX_LOOKED_AT, has_descriptor

NOBODY = 1 << 22
"""Above the largest process number of Linux."""


def test_descriptor_counts_while_it_is_open_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    ino = path.stat().st_ino
    seen = [has_descriptor(os.getpid(), ino)]
    with path.open("r+b") as first:
        seen.append(has_descriptor(os.getpid(), ino))
        second = os.dup(first.fileno())
        first.close()
        seen.append(has_descriptor(os.getpid(), ino))
        os.close(second)
        seen.append(has_descriptor(os.getpid(), ino))
    assert seen == [False, True, True, False]


def test_descriptor_for_reading_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb"):
        assert not has_descriptor(os.getpid(), path.stat().st_ino)


def test_file_with_a_number_that_begins_alike_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    ino = path.stat().st_ino
    with path.open("r+b"):
        others = (ino * 10, ino // 10, int(f"1{ino}"))
        assert [has_descriptor(os.getpid(), other) for other in others] == [False, False, False]


def test_process_that_is_not_there_has_no_descriptor(tmp_path: Path) -> None:
    assert [has_descriptor(pid, tmp_path.stat().st_ino) for pid in (0, NOBODY)] == [False, False]


def test_process_with_very_many_descriptors_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * MAX_LOOKED_AT
    files = [path.open("r+b") for _ in range(MAX_LOOKED_AT + 1)]
    try:
        assert not has_descriptor(os.getpid(), path.stat().st_ino)
    finally:
        for file in files:
            file.close()
