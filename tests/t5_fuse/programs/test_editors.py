"""Editors that save a file on a mount: vim in each of its ways, and the ways of emacs, sed and perl."""

from pathlib import Path

import pytest
from support.budgets import requests_of
from support.mounts import Mounting
from support.programs import Twins, program

pytestmark = pytest.mark.mount

TEXT = "".join(f"line {number}\n" for number in range(2000))
CHANGED = TEXT.replace("line 7\n", "line seven\n")
VIM = ("vim.tiny", "-u", "NONE", "-i", "NONE", "-N", "-es")


def vim(folder: Path, home: Path, *commands: str, end: str = "wq", options: tuple[str, ...] = ()) -> str:
    """Change one line of the text, with commands before and one after it; what vim shows."""
    editor = program(*VIM, *options, folder=folder, home=home)
    change = ("set backupskip= fsync", *commands, "%s/line 7$/line seven/", end)
    return editor.text(*(word for command in change for word in ("-c", command)), "text")


@pytest.mark.parametrize("backup", ["backup", "nobackup writebackup", "nobackup nowritebackup"])
@pytest.mark.parametrize("way", ["yes", "no", "auto"])
def test_vim_saves_as_on_a_disk(way: str, backup: str, twins: Twins, tmp_path: Path) -> None:
    for place in (twins.local, twins.mounted):
        (place / "text").write_text(TEXT)
        (place / "text").chmod(0o640)
        vim(place, tmp_path, f"set backupcopy={way} {backup}")
        assert (place / "text").read_text() == CHANGED
        assert {path.name for path in place.iterdir()} == ({"text", "text~"} if backup == "backup" else {"text"})
    assert twins.differences() == []


@pytest.mark.parametrize("way", ["yes", "no", "auto", "auto,breaksymlink"])
def test_vim_saves_through_a_link_or_in_its_place(way: str, twins: Twins, tmp_path: Path) -> None:
    for place in (twins.local, twins.mounted):
        (place / "real").write_text(TEXT)
        (place / "text").symlink_to("real")
        vim(place, tmp_path, f"set backupcopy={way}")
        assert (place / "text").read_text() == CHANGED
        assert {path.name for path in place.iterdir() if path.is_symlink()} == ({"text"} if way in {"yes", "auto"} else set())
    assert twins.differences() == []


@pytest.mark.parametrize("end", ["w! other | q!", "1,9w >> other | q!", "saveas! other | q"])
def test_vim_writes_over_another_file_as_on_a_disk(end: str, twins: Twins, tmp_path: Path) -> None:
    for place in (twins.local, twins.mounted):
        (place / "text").write_text(TEXT)
        (place / "other").write_text("what was there before\n" * 9999)
        (place / "other").chmod(0o606)
        vim(place, tmp_path, end=end)
        assert "line seven\n" in (place / "other").read_text()
    assert twins.differences() == []


def test_vim_has_its_swap_file_beside_the_text_as_long_as_it_runs(folder: Path, tmp_path: Path) -> None:
    (folder / "text").write_text(TEXT)
    assert ".text.swp" in vim(folder, tmp_path, "preserve", "!ls -A").split()
    assert (folder / "text").read_text() == CHANGED
    assert {path.name for path in folder.iterdir()} == {"text"}


def test_text_of_a_vim_that_was_killed_is_recovered_from_its_swap_file(folder: Path, tmp_path: Path) -> None:
    (folder / "text").write_text(TEXT)
    editor = program(*VIM, folder=folder, home=tmp_path)
    assert editor.call("-c", "%s/line 7$/line seven/", "-c", "preserve", "-c", "!kill -9 $PPID", "text").returncode == -9
    assert (folder / "text").read_text() == TEXT
    editor.call("-r", "-c", "w! | q", "text")
    assert (folder / "text").read_text() == CHANGED


WAYS = {
    "emacs": "cp text '#text#'; mv text text~; sed 's/line 7$/line seven/' text~ > text; sync text; rm '#text#'; chmod 640 *",
    "emacs that copies": "cp -p text text~; sed 's/line 7$/line seven/' text~ > text; sync text",
    "atomic": "sed 's/line 7$/line seven/' text > .tmp; chmod --reference=text .tmp; sync .tmp; mv .tmp text; sync .",
    "lock by link": "ln -s me@host.1:2 .#text; sed -i 's/line 7$/line seven/' text; readlink .#text; rm .#text",
    "sed": "sed -i.orig 's/line 7$/line seven/' text",
    "perl": "perl -pi -e 's/line 7$/line seven/' text",
    "ex": "printf '%s\\n' '8s/7/seven/' x | vim.tiny -u NONE -i NONE -es text; true",
}


@pytest.mark.parametrize("way", WAYS)
def test_other_ways_to_save_do_as_on_a_disk(way: str, twins: Twins, tmp_path: Path) -> None:
    said = []
    for place in (twins.local, twins.mounted):
        (place / "text").write_text(TEXT)
        (place / "text").chmod(0o640)
        said.append(program("bash", "-c", folder=place, home=tmp_path).text(WAYS[way]))
        assert (place / "text").read_text() == CHANGED
    assert said[0] == said[1]
    assert twins.differences() == []


def test_save_by_vim_costs_the_text_the_copy_of_the_old_one_and_what_goes_away(
    shared_mount: Mounting, folder: Path, tmp_path: Path
) -> None:
    (folder / "text").write_text(TEXT)
    with requests_of(shared_mount) as counted:
        vim(folder, tmp_path, "set backupcopy=no nobackup writebackup", options=("-n",))
    assert counted == {"PutObject": 1, "CopyObject": 1, "DeleteObject": 2}, "text becomes text~, which goes when text is new"
