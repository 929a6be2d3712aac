"""``ssecfs recover``: list, publish or discard what was being written when an earlier mount ended."""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ssecfs.app.config import values_of
from ssecfs.app.control import ControlClient
from ssecfs.app.status import ANSWER_S
from ssecfs.errors import ConfigError, StartupError
from ssecfs.sizes import format_size

ALL: Final = "all"
UPLOAD_S: Final = 3600.0


def run(arguments: Mapping[str, str]) -> int:
    """List what is parked, or publish or discard some of it.

    Raises:
        ConfigError: the words do not fit together, or nothing has the number.
        StartupError: it could not be uploaded; it stays parked.
    """
    mountpoint = Path(arguments["mountpoint"]).absolute()
    values = values_of("recover", {name: text for name, text in arguments.items() if name != "mountpoint"})
    if "publish" in values and "discard" in values:
        message = "either publish or discard: one at a time"
        raise ConfigError(message)
    with ControlClient(mountpoint) as client:
        parked = client.ask("parked", ANSWER_S)["files"]
        if "publish" in values:
            for entry in _chosen(parked, str(values["publish"])):
                ending = _ask(client, "publish", entry)["ending"]
                sys.stdout.write(f"{entry['path']}{ending}\n")
        elif "discard" in values:
            for entry in _chosen(parked, str(values["discard"])):
                _ask(client, "discard", entry)
                sys.stdout.write(f"discarded: {entry['path']}\n")
        else:
            sys.stdout.write(describe(mountpoint, parked))
    return 0


def describe(mountpoint: Path, parked: list[Mapping[str, Any]]) -> str:
    """The lines for people."""
    if not parked:
        return f"nothing waits to be recovered on {mountpoint}\n"
    lines = ["number  size        last written         path"]
    for entry in parked:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["noted_s"]))
        lines.append(f"{entry['number']:<7} {format_size(entry['size']):<11} {moment}  {entry['path']}")
    lines.append(f"ssecfs recover {mountpoint} --publish NUMBER stores one beside its file; --discard NUMBER forgets it")
    return "\n".join(lines) + "\n"


def _chosen(parked: list[Mapping[str, Any]], number: str) -> Iterable[Mapping[str, Any]]:
    chosen = [entry for entry in parked if number in {ALL, str(entry["number"])}]
    if not chosen and number != ALL:
        message = f"nothing to recover has the number {number}; ssecfs recover MOUNTPOINT lists what there is"
        raise ConfigError(message)
    return chosen


def _ask(client: ControlClient, question: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = client.ask(question, UPLOAD_S, str(entry["number"]))
    if "error" in answer:
        message = f"{entry['path']} stays as it is: {answer['error']}"
        raise StartupError(message)
    return answer
