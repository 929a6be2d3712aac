"""restic, as Debian packages it, with its repository on `ssecfs serve`; it encrypts by itself and knows no SSE-C."""

import json
from pathlib import Path
from typing import Any

from support.clients import MIB, Program, environment_for, files_in, objects_in, plant, seeded_bytes, write_private
from support.s3server import S3Server, s3_server

TREE = {"a.txt": b"first file " * 9, "sub/big.bin": seeded_bytes(10, 9 * MIB), "sub/deep/ü + % &.txt": b"something else " * 3}


def restic(server: S3Server, folder: Path) -> Program:
    """restic with the password and the repository of the test."""
    settings = {
        "RESTIC_REPOSITORY": f"s3:{server.url}/backups/repository",
        "RESTIC_PASSWORD_FILE": str(folder / "password"),
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    return Program(("restic",), folder, environment_for(server, folder, "SSL_CERT_FILE", **settings))


def backup(program: Program) -> dict[str, Any]:
    """Back the tree up; what restic says of it in the end."""
    *_, summary = program.text("backup", "--json", "tree").splitlines()
    said: dict[str, Any] = json.loads(summary)
    return said


def restored(program: Program) -> dict[str, bytes]:
    program.text("restore", "latest", "--target", "restored")
    return files_in(program.folder / "restored" / "tree")


def test_backups_are_made_checked_restored_and_thinned_out(tmp_path: Path) -> None:
    """Begun over https, where bodies are not signed, gone on with over http, where each chunk of a body is."""
    folder = tmp_path / "work"
    plant(folder / "tree", TREE)
    write_private(folder / "password", b"a password of restic's\n")
    with s3_server(tmp_path / "server") as server:
        program = restic(server, folder)
        program.text("init")
        first = backup(program)
        assert (first["files_new"], first["files_unmodified"], first["data_added"] > 9 * MIB) == (3, 0, True)
        again = backup(program)
        assert (again["files_new"], again["files_unmodified"], again["data_added"]) == (0, 3, 0)

    with s3_server(tmp_path / "server", tls="off") as server:
        server.requests()
        program = restic(server, folder)
        changes = {"a.txt": b"changed", "new": b"new"}
        plant(folder / "tree", changes)
        second = backup(program)
        assert (second["files_new"], second["files_changed"], second["files_unmodified"]) == (1, 1, 2)
        assert restored(program) == TREE | changes
        sizes = objects_in(server, "backups")
        puts = [request for request in server.requests() if request["operation"] == "PutObject"]
        still_there = [request for request in puts if request["object_key"] in sizes]
        assert all(request["bytes_in"] > sizes[request["object_key"]] for request in still_there), "the chunks were not signed"
        assert still_there

        program.text("forget", "--keep-last", "1", "--prune")
        assert "no errors were found" in program.text("check", "--read-data")
        assert len(json.loads(program.text("snapshots", "--json"))) == 1
