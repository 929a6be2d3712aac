"""The ``ssecfs`` command: argparse from the option table, one file for each command, exit codes.

Imported by nothing but ``__main__`` and the console script.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from ssecfs import __version__
from ssecfs.app.options import COMMANDS, Command, Kind, Option
from ssecfs.errors import ConfigError, StartupError

INTERRUPTED: Final = 130

EXIT_CODES: Final = """exit codes:
  0 done  1 failed  2 wrong usage or options  3 mount point  4 credentials  5 server does not do SSE-C, or blocks it
  6 cache directory  7 FUSE  8 keyfile  9 wrong key  10 bucket missing  11 server unreachable  130 interrupted"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as an error of ours, in one line."""

    def error(self, message: str) -> NoReturn:
        text = f"{message}; see {self.prog} --help"
        raise ConfigError(text)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser from the table."""
    parser = _Parser(
        prog="ssecfs",
        description="Mount an S3 bucket encrypted with customer-provided keys (SSE-C) as a directory.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ssecfs {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for command in COMMANDS:
        _add_command(commands.add_parser(command.name, help=command.help, description=command.help), command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except StartupError as error:
        sys.stderr.write(f"ssecfs: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    if is_fuse_helper_call(arguments):
        # mount -t fuse.ssecfs calls us as: ssecfs SOURCE MOUNTPOINT -o …
        arguments = ["mount", *arguments]
    found, unknown = build_parser().parse_known_args(arguments)
    parsed = vars(found)
    name = parsed.pop("command")
    if unknown:
        message = f"unrecognized arguments: {' '.join(unknown)}; see ssecfs {name} --help"
        raise ConfigError(message)
    # Imported late: the help of one command does not wait for the libraries of another.
    run = importlib.import_module(f"ssecfs.app.{name}").run
    result: int = run({given: value for given, value in parsed.items() if value is not None})
    return result


def is_fuse_helper_call(arguments: list[str]) -> bool:
    """Tell whether mount.fuse(8) called us."""
    known = {command.name for command in COMMANDS}
    return len(arguments) > 3 and arguments[0] not in known and arguments[1].startswith("/") and arguments[2] == "-o"  # noqa: PLR2004


def _add_command(parser: argparse.ArgumentParser, command: Command) -> None:
    for argument in command.arguments:
        parser.add_argument(
            _destination(argument.metavar),
            metavar=argument.metavar,
            help=argument.help,
            nargs="?" if argument.is_optional else None,
        )
    if command.name == "mount":
        parser.add_argument(
            "-o", dest="words", action="append", metavar="OPT[,OPT]", help="options as mount(8) writes them; same names"
        )
    for option in command.options:
        _add_option(parser, option)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    flags = [f"--{option.name}"] + ([f"-{option.short}"] if option.short else [])
    shown = f"{option.help} (default: {option.default})" if option.default else option.help
    if option.kind is Kind.SWITCH:
        parser.add_argument(*flags, dest=option.name, action="store_const", const="true", help=shown)
    elif option.kind is Kind.MANY:
        parser.add_argument(*flags, dest=option.name, action="append", metavar=option.metavar, help=shown)
    else:
        parser.add_argument(*flags, dest=option.name, metavar=option.metavar, help=shown)


def _destination(metavar: str) -> str:
    return metavar.partition("[")[0].lower()
