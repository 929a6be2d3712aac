"""README, fstab example and systemd unit: what they tell people to type exists."""

import re
from pathlib import Path

import pytest

from ssecfs.app.options import COMMANDS, find_command
from ssecfs.s3.probe import UNBLOCK

ROOT = Path(__file__).parents[2]
MOUNT_WORDS = {"_netdev", "nofail", "noauto", "x-systemd.automount"}  # mount(8)'s own


@pytest.mark.parametrize("document", ["README.md", "contrib/systemd/ssecfs@.service"])
def test_commands_and_their_options_exist(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    used = re.findall(r"^(?:    |#   |Exec\w+=)(?:\.venv/bin/)?ssecfs (\w+)(.*)$", text, re.MULTILINE)
    assert used != []
    for name, words in used:
        options = {option.name for option in find_command(name).options}
        assert set(re.findall(r"--([a-z-]+)", words)) <= options, f"ssecfs {name}{words}"


def test_commands_named_in_the_text_exist() -> None:
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"`(?:\.venv/bin/)?ssecfs (\w+)", text)) <= {command.name for command in COMMANDS}


def test_fstab_lines_have_options_that_exist() -> None:
    lines = [line.split() for line in (ROOT / "contrib/fstab.example").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == 2
    for _, mountpoint, kind, words, dump, check in lines:
        assert (mountpoint[0], kind, dump, check) == ("/", "ssecfs", "0", "0")
        names = {word.partition("=")[0] for word in words.split(",")} - MOUNT_WORDS
        assert names <= {option.name for option in find_command("mount").options}


def test_unblocking_command_of_the_readme_is_that_of_the_error_message() -> None:
    (given,) = re.findall(r"'(\{\"Rules\".*\})'", (ROOT / "README.md").read_text())
    assert given == UNBLOCK
