"""pg_dump and pg_restore on a mount, in each format that they have; the database server itself works on the local disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.clients import Program
from support.mounts import Mounting
from support.programs import program, same_in, seen_afresh

pytestmark = pytest.mark.mount

SETTINGS = """
listen_addresses = ''
fsync = off
autovacuum = off
max_logical_replication_workers = 0
"""
"""Reached by its socket alone; nothing goes on in it that a test would have to wait for."""

CONTENT = r"""
CREATE TABLE writers(id serial PRIMARY KEY, name text UNIQUE NOT NULL);
CREATE TABLE texts(id serial PRIMARY KEY, writer int REFERENCES writers, words text, bytes bytea, at timestamptz);
CREATE INDEX ON texts(writer, at);
CREATE VIEW counted AS SELECT name, count(*) FROM texts JOIN writers ON writer = writers.id GROUP BY name;
INSERT INTO writers(name) SELECT E'wr\u00eft\u00e9r\t\\. ' || n FROM generate_series(1, 50) n;
INSERT INTO texts(writer, words, bytes, at)
    SELECT 1 + n % 50, repeat(md5(n::text), n % 40), decode(md5((-n)::text), 'hex'), to_timestamp(n * 1e5)
    FROM generate_series(1, 20000) n;
SELECT lo_from_bytea(4711, decode(repeat('00ff0a5c', 200000), 'hex'));
"""


@dataclass(frozen=True)
class Postgres:
    """A server, and how its programs are called.

    Attributes:
        place: where its data and its socket are.
    """

    place: Path

    def program(self, name: str, *arguments: str) -> Program:
        """One of its client programs, with somebody who may do everything."""
        return program(
            str(_binaries() / name), *arguments, folder=self.place, home=self.place, PGHOST=str(self.place), PGUSER="dba"
        )

    def served(self, name: str, *arguments: str) -> Program:
        """One of those that refuse to be run by root."""
        drop = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
        return program(*drop, str(_binaries() / name), *arguments, folder=self.place, home=self.place)

    def everything_in(self, database: str) -> list[str]:
        """Schema and rows of a database, as lines that are the same for the same content."""
        lines = self.program("pg_dump").text(database).splitlines()
        return [line for line in lines if not line.startswith((r"\restrict", r"\unrestrict"))]  # random in each dump


def _binaries() -> Path:
    """Where Debian has the programs of the newest server that is installed."""
    return max(Path("/usr/lib/postgresql").iterdir(), key=lambda folder: int(folder.name)) / "bin"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server with a database ``original``; not in a directory of pytest's, to which only root has access."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        running = Postgres(Path(name))
        if os.geteuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        data = running.place / "data"
        running.served("initdb", "--no-sync", "--auth=trust", "--username=dba", "--encoding=UTF8", "--locale=C").text(data)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"{SETTINGS}unix_socket_directories = '{name}'\n")
        control = running.served("pg_ctl", "--wait", f"--pgdata={data}", f"--log={name}/log")
        control.text("start")
        try:
            running.program("createdb").text("original")
            running.program("psql", "--quiet", "--set=ON_ERROR_STOP=1", "original").text(entered=CONTENT.encode())
            yield running
        finally:
            control.text("stop", "--mode=fast")


@pytest.mark.parametrize(
    ("dump", "restore"),
    [
        pytest.param(("--format=plain",), ("psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file"), id="plain"),
        pytest.param(("--format=custom",), ("pg_restore", "--exit-on-error", "--dbname"), id="custom"),
        pytest.param(
            ("--format=directory", "--jobs=2"), ("pg_restore", "--exit-on-error", "--jobs=2", "--dbname"), id="directory"
        ),
        pytest.param(("--format=tar",), ("pg_restore", "--exit-on-error", "--dbname"), id="tar"),
    ],
)
def test_dump_on_a_mount_gives_the_same_database_on_another(
    dump: tuple[str, ...], restore: tuple[str, ...], postgres: Postgres, folder: Path, shared_mount: Mounting, tmp_path: Path
) -> None:
    original = postgres.everything_in("original")
    assert sum(line.endswith("+00") for line in original) == 20000
    database = f"restored_{folder.name.split('-')[0]}"
    postgres.program("pg_dump", *dump, "--file", str(folder / "dump")).text("original")
    postgres.program("createdb").text(database)
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        stored = same_in(afresh, shared_mount, folder) / "dump"
        is_psql = restore[0] == "psql"
        postgres.program(*restore).text(*([stored, database] if is_psql else [database, stored]))
    assert postgres.everything_in(database) == original
