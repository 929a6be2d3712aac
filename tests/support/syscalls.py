"""System calls as tests make them: refusals by the name of their errno, and calls that another process makes."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 60


def refused(call: Callable[..., object], *arguments: object) -> str:
    """The name of the errno with which a call fails."""
    result = outcome(call, *arguments)
    assert isinstance(result, str), f"not refused: {result!r}"
    return result


def outcome(call: Callable[..., object], *arguments: object) -> object:
    """What a call gives (which must not be a text), or the name of the errno with which it fails."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def another_process(script: str, *arguments: str | Path | int) -> subprocess.Popen[str]:
    """Start a Python script that has ``arguments``, and some modules imported; its input and output are pipes."""
    preamble = "import fcntl, mmap, os, sys\narguments = sys.argv[1:]\n"
    command = [sys.executable, "-c", preamble + script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def in_another_process(script: str, *arguments: str | Path | int) -> str:
    """Run such a script to its end; gives what it prints."""
    with another_process(script, *arguments) as process:
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    return output
