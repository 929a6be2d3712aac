"""SQLite on the mount, in every journal mode, write-ahead log and its shared memory included.

Alone, several at once, and killed.
"""
# ruff: noqa: E501 - lines of shell are best read whole

import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.clients import Program
from support.mounts import Mounting
from support.programs import Left, program, same_in, seen_afresh

pytestmark = pytest.mark.mount

MODES = ("delete", "truncate", "persist", "wal")
WRITERS = 3


def sqlite(folder: Path, home: Path) -> Program:
    return program("sqlite3", "-batch", "-bail", "database", folder=folder, home=home)


def inserts(transactions: int, rows: int, seed: int = 1) -> str:
    """Transactions that insert so many rows each; some are rolled back."""
    numbers = random.Random(seed)
    lines = [".timeout 60000"]
    for number in range(transactions):
        values = ",".join(f"({seed}, x'{numbers.randbytes(numbers.randrange(300)).hex()}')" for _ in range(rows))
        lines.append(f"BEGIN IMMEDIATE; INSERT INTO blobs(writer, content) VALUES {values}; COMMIT;")
        if number % 10 == 0:
            lines.append("BEGIN IMMEDIATE; UPDATE blobs SET content = zeroblob(500) WHERE id % 7 = 0; ROLLBACK;")
    return "\n".join(lines)


def begin(mode: str) -> str:
    return f"PRAGMA journal_mode={mode}; CREATE TABLE blobs(id INTEGER PRIMARY KEY, writer, content); CREATE INDEX i ON blobs(content);"


@pytest.mark.parametrize("mode", MODES)
def test_thousand_inserts_are_there_and_whole(mode: str, folder: Path, shared_mount: Mounting, tmp_path: Path) -> None:
    script = f"{begin(mode)}\n{inserts(50, 20)}\nPRAGMA integrity_check;".encode()
    wanted = sqlite(tmp_path, tmp_path).text(entered=script)
    assert sqlite(folder, tmp_path).text(entered=script) == wanted == f"{mode}\nok\n"
    dump = sqlite(tmp_path, tmp_path).text(".dump")
    assert dump.count("INSERT") == 1000
    assert sqlite(folder, tmp_path).text(".dump") == dump
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        assert sqlite(same_in(afresh, shared_mount, folder), tmp_path).text(".dump") == dump


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_several_writers_at_once_lose_nothing(mode: str, folder: Path, tmp_path: Path) -> None:
    """With the write-ahead log they share a mapped file."""
    sqlite(folder, tmp_path).text(begin(mode))

    def write(seed: int) -> str:
        script = inserts(20, 5, seed) + "\nPRAGMA integrity_check;"
        return sqlite(folder, tmp_path).text(entered=script.encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        assert list(pool.map(write, range(WRITERS))) == ["ok\n"] * WRITERS
    assert (
        sqlite(folder, tmp_path).text("SELECT writer, count(*) FROM blobs GROUP BY 1; PRAGMA integrity_check;")
        == "0|100\n1|100\n2|100\nok\n"
    )
    assert {path.name for path in folder.iterdir()} == {"database"}


@pytest.mark.parametrize("mode", MODES)
def test_writer_that_was_killed_in_a_transaction_is_rolled_back(
    mode: str, folder: Path, left: Left, shared_mount: Mounting, tmp_path: Path
) -> None:
    """By whoever opens the database next, on another mount: what the killed one left is all on the server."""
    left.folders.remove(folder)
    program_here = sqlite(folder, tmp_path)
    program_here.text(entered=f"{begin(mode)}\n{inserts(2, 200)}".encode())
    before = program_here.text(".dump")
    left_open = "PRAGMA cache_size=5; BEGIN; UPDATE blobs SET content = zeroblob(400);\n.shell kill -9 $PPID"
    killed: subprocess.CompletedProcess[bytes] = program_here.call(entered=left_open.encode())
    assert killed.returncode == -9
    assert len(list(folder.iterdir())) > 1, "there is nothing to roll back"
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        again = sqlite(same_in(afresh, shared_mount, folder), tmp_path)
        assert again.text("PRAGMA integrity_check;") == "ok\n"
        assert again.text(".dump") == before
