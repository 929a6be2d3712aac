"""The manual page, --help and the option table say the same."""

import argparse
import re
from pathlib import Path

import pytest

from ssecfs import errors
from ssecfs.app.cli import EXIT_CODES, build_parser
from ssecfs.app.options import COMMANDS, Command, Kind, Option

MANUAL = (Path(__file__).parents[2] / "man" / "ssecfs.1").read_text(encoding="utf-8")
HELPER_MANUAL = (Path(__file__).parents[2] / "man" / "mount.ssecfs.8").read_text(encoding="utf-8")


def roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


def block(option: Option) -> str:
    """How the manual page shows an option."""
    names = ", ".join(([f"\\-{option.short}"] if option.short else []) + [f"\\-\\-{roff(option.name)}"])
    head = f".B {names}" if option.kind is Kind.SWITCH else f'.BI "{names} " {roff(option.metavar)}'
    default = f" Default: {option.default}." if option.default else ""
    choices = f" One of {', '.join(option.choices)}." if option.choices else ""
    return f".TP\n{head}\n{roff(option.help[0].upper() + option.help[1:])}.{roff(choices)}{roff(default)}\n"


def section(command: Command) -> str:
    found = re.search(rf"^\.SS ssecfs {command.name}\n(.*?)(?=^\.S[SH] )", MANUAL, re.MULTILINE | re.DOTALL)
    assert found, f"the manual page has no section on ssecfs {command.name}"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_manual_shows_every_option_of_a_command_and_no_other(command: Command) -> None:
    shown = section(command)
    for option in command.options:
        assert block(option) in shown
    assert shown.count("\n.TP\n") + shown.startswith(".TP\n") == len(command.options) + len(command.arguments)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_every_option_of_a_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    parser = build_parser()
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    text = subparsers.choices[command.name].format_help()
    for option in command.options:
        assert f"--{option.name}" in text
        assert option.help in text
        assert option.default in text
    for argument in command.arguments:
        assert argument.metavar in text


def test_exit_codes_in_manual_and_help_are_those_of_the_errors() -> None:
    startup = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StartupError)]
    documented = re.search(r"^\.SH EXIT STATUS\n(.*?)(?=^\.SH )", MANUAL, re.MULTILINE | re.DOTALL)
    assert documented
    codes = {int(code) for code in re.findall(r"^\.B (\d+)$", documented[1], re.MULTILINE)}
    assert codes == {kind.exit_code for kind in startup} | {0, 130}
    assert codes == {int(code) for code in re.findall(r"(?<!\w)(\d+) ", EXIT_CODES)}


def test_manual_of_the_helper_names_the_command_it_stands_for() -> None:
    assert "mount.ssecfs" in HELPER_MANUAL
    assert "ssecfs(1)" in HELPER_MANUAL.replace("\\fR", "").replace("\\fB", "").replace(" (1)", "(1)")
