"""README, fstab example and systemd unit: what they tell people to type exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.s3server import clean_environment, s3_server

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


def test_example_of_the_readme_stores_with_the_key_refuses_without_and_gets_back(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## A server to test against")[2]
    (example,) = re.findall(r"^    export AWS_.*?(?=^$)", section, re.MULTILINE | re.DOTALL)
    environment = {name: text for name, text in clean_environment().items() if not name.startswith("AWS_")}
    pair = "[default]\naws_access_key_id = id\naws_secret_access_key = secret\n"
    (tmp_path / "credentials").write_text(pair)
    with s3_server(tmp_path / "server", "--credentials", str(tmp_path / "credentials"), buckets=("test",)) as server:
        (server.directory / "credentials").write_text(pair)
        script = example.replace("https://127.0.0.1:9000", server.url).replace("/tmp/s3/", f"{server.directory}/")
        script = script.replace("/tmp/key", str(tmp_path / "key"))
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(Path("/etc/hosts").read_text())
    assert "An error occurred (400) when calling the HeadObject operation" in done.stderr
