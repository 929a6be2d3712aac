"""What is stored: whole after a kill at any moment, and no key material anywhere near it."""

import asyncio
import random
import re
import shutil
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from support.rawhttp import ask, connected, head, stored_keys
from support.s3server import SECRET_ACCESS_KEY, S3Server, s3_server
from support.secretwatch import SecretWatch

from ssecfs.server.options import Durability
from ssecfs.server.pieces import SEND_CHUNKS, read_pieces, store_piece
from ssecfs.server.sealed import CHUNK_BYTES
from ssecfs.server.storage import Storage
from ssecfs.ssec import CustomerKey, copy_source_headers, request_headers

ROUNDS: Final = 10
CLIENTS: Final = 3
LARGE_PART: Final = random.Random(0).randbytes(5 << 20)
LONG: Final = [pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 20)]


class KilledError(Exception):
    """There was no answer."""


@dataclass
class Moment:
    """When the server is killed: after so many events at its clients, of all of them together."""

    server: S3Server
    events_left: int
    _lock: Lock = field(default_factory=Lock)

    def pass_by(self) -> None:
        with self._lock:
            self.events_left -= 1
            if self.events_left == 0:
                self.server.kill()


@dataclass
class Client:
    """Changes its own few objects at random, and knows what each may hold: after a kill the old or the new content."""

    server: S3Server
    moment: Moment
    chance: random.Random
    prefix: str
    allowed: dict[str, set[bytes | None]]
    headers: dict[str, str]

    def run(self) -> None:
        try:
            while True:
                name = f"{self.prefix}{self.chance.randrange(4)}"
                action: Callable[[str], None] = self.chance.choice((self.put, self.put, self.put, self.delete, self.upload))
                action(name)
        except KilledError:
            return

    def put(self, name: str) -> None:
        body = self.chance.randbytes(self.chance.choice((0, 10, 65_536, 65_537, 300_000)))
        self.change(name, body, lambda: self.send("PUT", f"/bucket/{name}", body))

    def delete(self, name: str) -> None:
        self.change(name, None, lambda: self.send("DELETE", f"/bucket/{name}"))

    def upload(self, name: str) -> None:
        begun = self.send("POST", f"/bucket/{name}?uploads")
        upload_id = ET.fromstring(begun.partition(b"\r\n\r\n")[2]).findtext("{*}UploadId")
        end = self.chance.randbytes(1000)
        parts = []
        for number, part in enumerate((end, LARGE_PART, end), 1):  # the first one is not used
            answer = self.send("PUT", f"/bucket/{name}?partNumber={number}&uploadId={upload_id}", part)
            etag = next(line[6:] for line in answer.split(b"\r\n") if line.startswith(b"etag: ")).decode()
            parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        document = f"<CompleteMultipartUpload>{''.join(parts[1:])}</CompleteMultipartUpload>".encode()
        self.change(name, LARGE_PART + end, lambda: self.send("POST", f"/bucket/{name}?uploadId={upload_id}", document))

    def change(self, name: str, content: bytes | None, send: Callable[[], bytes]) -> None:
        self.allowed[name] = self.allowed.get(name, {None}) | {content}
        send()
        self.allowed[name] = {content}

    def send(self, method: str, target: str, body: bytes = b"") -> bytes:
        """Send a request in a few pieces; gives its answer, which is a good one."""
        more = {"content-length": str(len(body)), "connection": "close"}
        more |= {} if method == "DELETE" else self.headers
        step = len(body) // 3 + 1
        pieces = [head(method, target, more), *(body[begin : begin + step] for begin in range(0, len(body), step))]
        answer = b""
        try:
            with connected(self.server) as connection:
                for piece in pieces:
                    self.moment.pass_by()
                    connection.sendall(piece)
                self.moment.pass_by()
                while received := connection.recv(1 << 16):
                    answer += received
        except ConnectionError:
            raise KilledError from None
        length = re.search(rb"\r\ncontent-length: (\d+)\r\n", answer)
        if len(answer.partition(b"\r\n\r\n")[2]) < int(length[1] if length else 0) or b"\r\n\r\n" not in answer:
            raise KilledError
        assert answer.startswith(b"HTTP/1.1 20"), answer
        self.moment.pass_by()
        return answer


def check_contents(server: S3Server, allowed: dict[str, set[bytes | None]], headers: dict[str, str]) -> None:
    """Compare each object with what it may hold; from now on it may hold that only."""
    for name, contents in allowed.items():
        status, code, body = ask(server, "GET", f"/bucket/{name}", headers=headers)
        found = body if status == 200 else None
        assert status == 200 or code == "NoSuchKey"
        assert found in contents, name
        contents.intersection_update({found})
    assert stored_keys(server) == {name for name, contents in allowed.items() if None not in contents}


def check_files(directory: Path) -> None:
    """Compare the sealed data, in files and in the index, with what the index names."""
    with sqlite3.connect(f"file:{directory}/index.sqlite?mode=ro", uri=True) as index:
        texts = [text for query in ("pieces FROM objects", "piece FROM parts") for (text,) in index.execute(f"SELECT {query}")]
        small = [name for (name,) in index.execute("SELECT name FROM small_pieces")]
    index.close()
    named = Counter(piece.partition(",")[0] for text in texts for piece in text.split())
    assert named == Counter(small + [path.name for path in (directory / "data").rglob("*") if path.is_file()])
    assert list((directory / "incoming").iterdir()) == []


@pytest.mark.parametrize("seed", [0, *LONG])
def test_kill_at_any_moment_leaves_old_or_new_objects_and_no_rubbish(
    tmp_path: Path, customer_key: CustomerKey, seed: int
) -> None:
    directory, chance, headers = tmp_path / "server", random.Random(seed), request_headers(customer_key)
    allowed: list[dict[str, set[bytes | None]]] = [{} for _ in range(CLIENTS)]
    for _ in range(ROUNDS):
        with s3_server(directory, tls="off") as server:
            check_contents(server, {name: contents for part in allowed for name, contents in part.items()}, headers)
            check_files(directory)
            moment = Moment(server, chance.randrange(1, 200))
            clients = [
                Client(server, moment, random.Random(chance.random()), f"client-{number}-", allowed[number], headers)
                for number in range(CLIENTS)
            ]
            with ThreadPoolExecutor(CLIENTS) as pool:
                for done in [pool.submit(client.run) for client in clients]:
                    done.result()
            assert server.process.poll() is not None
    with s3_server(directory, tls="off") as server:
        check_contents(server, {name: contents for part in allowed for name, contents in part.items()}, headers)
        check_files(directory)


def test_key_material_is_nowhere_on_the_disk_of_the_server(
    tmp_path: Path, customer_key: CustomerKey, secrets: SecretWatch
) -> None:
    secrets.add(SECRET_ACCESS_KEY)
    directory, headers = tmp_path / "server", request_headers(customer_key)
    with s3_server(directory, tls="off") as server:
        client = Client(server, Moment(server, 10**9), random.Random(1), "", {}, headers)
        client.put("a")
        client.upload("b")
        client.send("PUT", "/bucket/c", b"some data" * 10_000)
        copy = {"x-amz-copy-source": "bucket/a"}
        assert ask(server, "PUT", "/bucket/d", headers=headers | copy | copy_source_headers(customer_key))[0] == 200
        assert ask(server, "PUT", "/bucket/e", headers=headers | {"x-amz-meta-a": "b"})[0] == 200
        wrong = headers | {"x-amz-server-side-encryption-customer-key-md5": "wrong"}
        assert ask(server, "PUT", "/bucket/f", headers=wrong)[1] == "InvalidArgument"
        for stored in (directory / "data").rglob("?" * 32):
            stored.write_bytes(b"damaged")
        assert ask(server, "GET", "/bucket/c", headers=headers)[1] == "InternalError"
        server.kill()
        errors = tmp_path / "server-errors.txt"
        assert "DamagedError" in errors.read_text()
        assert secrets.files_showing(tmp_path) == []
        assert b"customer-key" not in server.request_log.read_bytes()
        errors.write_text("")  # it rightly holds the damage


def test_start_in_a_folder_with_files_of_somebody_else_removes_rests_of_uploads_only(tmp_path: Path) -> None:
    directory = tmp_path / "project"
    precious = [
        directory / name for name in ("readme", "data/notes", "data/train/picture.png", "data/00/index", "incoming/letter")
    ]
    rests = [directory / "incoming" / ("0" * 32), directory / "data" / "ab" / ("ab" * 16)]
    for path in precious + rests:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    shutil.move(rests[1], tmp_path / "rest")  # data without an index is not touched, see test_server_process
    with s3_server(directory, tls="off") as server:
        assert ask(server, "PUT", "/bucket/a", b"content")[0] == 200
    shutil.move(tmp_path / "rest", rests[1])
    with s3_server(directory, tls="off") as server:
        assert ask(server, "GET", "/bucket/a")[2] == b"content"
    assert [path.read_text() for path in precious] == [path.name for path in precious]
    assert [path for path in rests if path.exists()] == []


def test_reader_that_stops_keeps_one_piece_of_what_it_reads_in_memory(tmp_path: Path) -> None:
    step = SEND_CHUNKS * CHUNK_BYTES
    data_key, object_id, size = bytes(32), bytes(16), 4 * step

    async def arriving() -> AsyncIterator[bytes]:
        yield bytes(size)

    async def held_bytes(storage: Storage) -> int:
        piece = await store_piece(storage.files, 0, data_key, object_id, arriving())
        tracemalloc.start()
        try:
            reading = read_pieces(storage, (piece,), data_key, object_id, 0, size)
            given = [len(await anext(reading)) for _ in range(2)]
            assert given == [step, step]
            held = tracemalloc.get_traced_memory()[0]
            await reading.aclose()
            return held
        finally:
            tracemalloc.stop()

    with closing(Storage(tmp_path / "server", Durability.KILL)) as storage:
        assert step <= asyncio.run(held_bytes(storage)) < 1.5 * step
