"""tar on a mount: what is unpacked compares equal to the archive, on the spot and mounted again; what is packed there, too."""
# ruff: noqa: E501 - lines of shell are best read whole

from pathlib import Path

import pytest
from support.mounts import Mounting
from support.programs import Left, Twins, program, same_in, seen_afresh

pytestmark = pytest.mark.mount

TREE = """
mkdir -p tree/a/b tree/empty; seq 30000 > tree/a/big; seq 9 > tree/a/b/small; : > tree/nothing; mkfifo -m 620 tree/fifo
ln -s a/b tree/link; ln -s /nowhere/at/all tree/broken; truncate -s 2M tree/sparse; echo end >> tree/sparse
touch 'tree/sp ace' tree/ü $'tree/new\\nline' tree/$(printf %0200d 7); chmod 4711 tree/nothing; chmod 1777 tree/empty; chown 12:34 tree/a
touch -d '1999-12-31 23:59:59.123456789' tree/a/b/small tree/empty; touch -h -d '2001-01-01' tree/link; touch -d '2030-01-01' tree/a
tar --sparse -cf archive.tar tree
"""


@pytest.mark.parametrize("option", ["--gzip", "--xz"])
def test_unpacked_tree_compares_equal_to_its_archive(
    twins: Twins, left: Left, shared_mount: Mounting, tmp_path: Path, option: str
) -> None:
    local = program("bash", "-c", folder=twins.local, home=tmp_path)
    local.text(TREE)
    archive = twins.local / "archive.tar"
    tar = program("tar", folder=twins.mounted, home=tmp_path)
    tar.text("--extract", "--preserve-permissions", "--file", archive)
    assert tar.text("--compare", "--file", archive) == ""
    tar.text("--create", option, "--file", "packed", "tree")
    assert tar.text("--compare", "--file", "packed") == ""
    (twins.local / "again").mkdir()
    again = program("tar", folder=twins.local / "again", home=tmp_path)
    again.text("--extract", "--preserve-permissions", "--file", twins.mounted / "packed")
    assert again.text("--compare", "--file", archive) == ""
    with seen_afresh(shared_mount, tmp_path / "afresh") as afresh:
        tar = program("tar", folder=same_in(afresh, shared_mount, twins.mounted), home=tmp_path)
        assert tar.text("--compare", "--file", archive) == ""
        assert tar.text("--compare", "--file", "packed") == ""


def test_unpacking_over_what_is_there_replaces_it(folder: Path, tmp_path: Path) -> None:
    program("bash", "-c", folder=tmp_path, home=tmp_path).text(TREE)
    shell = program("bash", "-c", folder=folder, home=tmp_path)
    shell.text("mkdir tree; echo old > tree/nothing; ln -s nothing tree/ü; mkdir tree/link; chmod 500 tree")
    for _ in range(2):
        shell.text(f"tar -xpf {tmp_path}/archive.tar && tar --compare -f {tmp_path}/archive.tar")
    shell.text(f"tar -xpf {tmp_path}/archive.tar --unlink-first --recursive-unlink && tar --compare -f {tmp_path}/archive.tar")
