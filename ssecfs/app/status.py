"""``ssecfs status``: what a mount is doing, for people or as JSON."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ssecfs.app.config import values_of
from ssecfs.app.control import Answer, ControlClient
from ssecfs.sizes import format_size

ANSWER_S: Final = 10.0


def run(arguments: Mapping[str, str]) -> int:
    """Print the answers of the daemon; 1 if something waits because it failed."""
    texts = {name: text for name, text in arguments.items() if name != "mountpoint"}
    mountpoint = Path(arguments["mountpoint"]).absolute()
    with ControlClient(mountpoint) as client:
        answer = client.ask("status", ANSWER_S)
    sys.stdout.write(json.dumps(answer) + "\n" if values_of("status", texts).get("json") else describe(mountpoint, answer))
    return 1 if answer["failing"] else 0


def describe(mountpoint: Path, answer: Answer) -> str:
    """The lines for people."""
    damaged: list[str] = answer["damaged_files"]
    lines = [
        f"{mountpoint} shows {answer['source']} of {answer['endpoint']} (process {answer['pid']})",
        f"  unsaved     {answer['unsaved']} files, {format_size(int(answer['dirty_bytes']))}{_safe(answer)}",
        f"  saved       {answer['saved']} times{_last(answer['last_success_s'])}, failed {answer['failed']} times",
        f"  cache       {cache_line(answer)}",
    ]
    if answer["to_delete"]:
        lines.insert(2, f"  to delete   {answer['to_delete']} objects, whose files are removed already")
    if answer["refused"]:
        lines.insert(3, f"  refused     {answer['refused']} files, which the server does not take; they are tried again")
    lines += [
        f"  damaged     {path}: not all of it can be read from this disk; copy what can, then remove it" for path in damaged
    ]
    if answer["journal_unreadable"]:
        lines.append(f"  damaged     {answer['journal_unreadable']} parts of the journal of unsaved files; see the log")
    if answer["parked"]:
        lines.append(f"  to recover  {answer['parked']} files of an earlier mount; see ssecfs recover {mountpoint}")
    if answer["not_deleted"]:
        lines.append(
            f"  not deleted {answer['not_deleted']} objects: the server keeps them, and their files are back; see the log"
        )
    if answer["last_error"]:
        lines.insert(3, f"  last error  {answer['last_error']}{_last(answer['last_error_s'])}")
    return "\n".join(lines) + "\n"


def show_path(path: bytes) -> str:
    """A path for people: what is no text is escaped."""
    return path.removeprefix(b"/").decode("utf-8", "backslashreplace")


def _last(moment_s: float) -> str:
    return f", last at {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(moment_s))}" if moment_s else ""


def _safe(answer: Answer) -> str:
    """How much of what is unsaved would survive a crash: with write-back, what was closed."""
    if not answer["safe_files"]:
        return ""
    return f"; of that closed, and safe on this machine: {answer['safe_files']} files, {format_size(answer['safe_bytes'])}"


def cache_line(answer: Answer) -> str:
    """What the cache holds and how it does."""
    hits, misses = int(answer["cache_hits"]), int(answer["cache_misses"])
    share = f"{100 * hits // (hits + misses)} % of {hits + misses} blocks" if hits + misses else "no block asked for yet"
    broken = f", {answer['cache_broken']} damaged and fetched again" if answer["cache_broken"] else ""
    return f"{format_size(int(answer['cache_bytes']))} of {format_size(int(answer['cache_limit']))}, found {share}{broken}"
