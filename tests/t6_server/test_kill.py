"""A kill at each single step of a change leaves the old object or the new one; --fsync syncs before it answers.

The steps are the system calls by which the server changes something; strace shows them, and kills the server at one of them.
"""

import os
import re
import select
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from support.atrest import named_pieces, read_stored, stored_pieces
from support.rawhttp import ask
from support.s3server import S3Server, s3_server

from ssecfs.server.options import Durability
from ssecfs.server.storage import Storage
from ssecfs.ssec import CustomerKey, request_headers

OLD: Final = bytes(range(256)) * 1000
NEW: Final = bytes(reversed(OLD))
PART: Final = b"part" * (5 << 18)
TAIL: Final = b"tail" * 20_000
TRACED: Final = "fsync,fdatasync,rename,unlink,pwrite64,write,writev"
_CALL: Final = re.compile(r"(\d+) +(\w+)\((.*)")
_UPLOAD_FILE: Final = "upload-id"
STRACE: Final = ("strace", "--daemonize", "--follow-forks", "--seccomp-bpf")
CUSTOMER_KEY: Final = CustomerKey(bytes(range(32)))


@dataclass(frozen=True)
class Step:
    """One system call of the server's main thread: the count-th of its name since the start."""

    name: str
    count: int
    line: str

    @property
    def mark(self) -> str:
        """A letter for what it does; empty: nothing to storage or client."""
        marks = {
            r"fsync\(\d+<.*/incoming/\w+>": "f",  # a data file synced
            r"rename\(.*/incoming/\w+\".*/data/": "r",  # published
            r"fsync\(\d+<.*/data/\w\w>": "d",  # its folder synced
            r"pwrite64\(\d+<.*/index.sqlite-wal>": "w",  # the index written
            r"fdatasync\(\d+<.*/index.sqlite-wal>": "s",  # the index synced
            r"unlink\(\".*/data/": "u",  # an old data file removed
            r"write\(\d+<socket:.*HTTP/1.1 20": "a",  # answered
            r"writev\(\d+<.*/incoming/\w+>": "",  # how often depends on how the body arrives
        }
        return next((mark for pattern, mark in marks.items() if re.match(pattern, self.line)), "")


@dataclass(frozen=True)
class Change:
    """Something that is done to the object "a", and what it holds afterwards; None: it is gone."""

    act: Callable[[S3Server, dict[str, str]], None]
    after: bytes | None


def overwrite(body: bytes) -> Change:
    def act(server: S3Server, headers: dict[str, str]) -> None:
        ask(server, "PUT", "/bucket/a", body, headers)

    return Change(act, body)


def complete(server: S3Server, headers: dict[str, str]) -> None:
    upload_id = (server.directory.parent / _UPLOAD_FILE).read_text()
    parts = ET.fromstring(ask(server, "GET", f"/bucket/a?uploadId={upload_id}", headers=headers)[2]).iterfind("{*}Part")
    etags = {part.findtext("{*}PartNumber"): part.findtext("{*}ETag") for part in parts}
    chosen = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number]}</ETag></Part>" for number in ("2", "3"))
    ask(
        server,
        "POST",
        f"/bucket/a?uploadId={upload_id}",
        f"<CompleteMultipartUpload>{chosen}</CompleteMultipartUpload>".encode(),
    )


def delete(server: S3Server, headers: dict[str, str]) -> None:
    ask(server, "DELETE", "/bucket/a")


CHANGES: Final = {
    "overwrite": overwrite(NEW),
    "overwrite with something small": overwrite(b"new"),
    "complete": Change(complete, PART + TAIL),
    "delete": Change(delete, None),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store in it: the object "a", a small one, and an upload with three parts, the first of no use."""
    place = tmp_path_factory.mktemp("prepared")
    with s3_server(place / "server", tls="off") as server:
        headers = request_headers(CUSTOMER_KEY)
        for name, body in (("a", OLD), ("small", b"small")):
            assert ask(server, "PUT", f"/bucket/{name}", body, headers)[0] == 200
        begun = ET.fromstring(ask(server, "POST", "/bucket/a?uploads", headers=headers)[2])
        upload_id = begun.findtext("{*}UploadId") or ""
        for number, body in enumerate((TAIL, PART, TAIL), 1):
            assert ask(server, "PUT", f"/bucket/a?partNumber={number}&uploadId={upload_id}", body, headers)[0] == 200
        (place / _UPLOAD_FILE).write_text(upload_id)
    return place


def steps_of(place: Path, change: Change, *options: str) -> list[Step]:
    """The steps of a change that is let through, up to its answer."""
    trace = place / "trace"
    strace = (*STRACE, "--decode-fds=path", "--output", str(trace), f"--trace={TRACED}")
    with s3_server(place / "server", *options, tls="off", around=strace) as server:
        pid = server.process.pid
        tracer = re.search(r"^TracerPid:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert tracer
        tracer_ends = os.pidfd_open(int(tracer[1]))
        change.act(server, request_headers(CUSTOMER_KEY))
    poll = select.poll()
    poll.register(tracer_ends, select.POLLIN)
    assert poll.poll(10_000)
    os.close(tracer_ends)
    counts: Counter[tuple[str, str]] = Counter()
    steps = []
    for line in trace.read_text().splitlines():
        call = _CALL.match(line)
        if call:
            counts[call[1], call[2]] += 1  # strace counts for each thread, too
            steps.append(Step(call[2], counts[call[1], call[2]], line.partition(" ")[2].strip()))
    serving = next(place for place, step in enumerate(steps) if "serving " in step.line)
    last = max(place for place, step in enumerate(steps) if step.mark == "a")
    return steps[serving + 1 : last + 1]


def marks(steps: list[Step]) -> str:
    """What the steps do, without how often the index is written, or written and synced, in a row."""
    return re.sub("(ws)+", "ws", re.sub("w+", "w", "".join(step.mark for step in steps)))


def moments(steps: list[Step]) -> list[Step]:
    """The steps at which to kill: of the writes of the index the first and the last, of the data files the first two."""
    index_writes = [step for step in steps if step.mark == "w"]
    data_writes = [step for step in steps if step.name == "writev"]
    return data_writes[:2] + [step for step in steps if step.mark and step not in index_writes[1:-1]]


@pytest.mark.parametrize("name", CHANGES)
def test_kill_at_each_step_of_a_change_leaves_the_old_or_the_new_object(prepared: Path, tmp_path: Path, name: str) -> None:
    change = CHANGES[name]
    shutil.copytree(prepared, tmp_path / "whole")
    found = []
    for number, step in enumerate(moments(steps_of(tmp_path / "whole", change))):
        place = tmp_path / str(number)
        shutil.copytree(prepared, place)
        inject = (*STRACE, "--output=/dev/null", f"--inject={step.name}:signal=SIGKILL:when={step.count}")
        with s3_server(place / "server", tls="off", around=inject) as server:
            with suppress(ConnectionError, IndexError):  # no answer, or half of one
                change.act(server, request_headers(CUSTOMER_KEY))
            assert server.process.wait(10) == -9, step
        Storage(place / "server", Durability.KILL).close()
        assert stored_pieces(place / "server") == named_pieces(place / "server")
        assert list((place / "server" / "incoming").iterdir()) == []
        assert read_stored(place / "server", "small", CUSTOMER_KEY.reveal_bytes()) == b"small"
        found.append(read_stored(place / "server", "a", CUSTOMER_KEY.reveal_bytes()))
    turn = found.index(change.after)
    assert 0 < turn < len(found)
    assert found == [OLD] * turn + [change.after] * (len(found) - turn)


@pytest.mark.parametrize(
    ("name", "lazily", "lastingly"),
    [
        ("overwrite", "rwua", "frdwsua"),
        ("overwrite with something small", "wua", "wsua"),
        ("complete", "wuua", "wsuua"),
        ("delete", "wua", "wsua"),
    ],
)
def test_change_is_synced_in_order_before_the_answer_when_asked_for(
    prepared: Path, tmp_path: Path, name: str, lazily: str, lastingly: str
) -> None:
    """What is new is synced before the index names it, the index before what is old is removed, and before the answer."""
    for folder, wanted, options in (("lazy", lazily, ()), ("lasting", lastingly, ("--fsync",))):
        shutil.copytree(prepared, tmp_path / folder)
        steps = steps_of(tmp_path / folder, CHANGES[name], *options)
        answered = [place for place, step in enumerate(steps) if step.mark == "a"]
        before = answered[-2] + 1 if len(answered) > 1 else 0  # what only asks, before a completion, changes nothing
        assert marks(steps[:before]).strip("a") == ""
        assert marks(steps[before:]) == wanted


def test_new_folders_are_synced_at_the_start_when_asked_for(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = (*STRACE, "--decode-fds=path", "--output", str(trace), "--trace=fsync,write")
    with s3_server(tmp_path / "server", "--fsync", tls="off", around=strace):
        pass
    before = trace.read_text().partition('"serving ')[0]
    synced = re.findall(r" fsync\(\d+<(.*)>", before)
    assert synced[-3:] == [str(tmp_path / "server" / "data"), str(tmp_path / "server"), str(tmp_path)]
