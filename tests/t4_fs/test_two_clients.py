"""Two clients at one file, in any order: each content that was written is acknowledged or kept, never gone, never mixed."""

import os
import shutil
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fsrig import FsRig, errno_name, fs_mount
from support.memory_store import MemoryStore

from ssecfs.errors import NoEntryError, SsecfsError
from ssecfs.s3.types import ObjectKey

NAME = "file"
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "write", "close", "fsync", "unlink", "chmod", "read", "flush"]), st.integers(0, 1)),
    max_size=20,
)


@dataclass
class Writing:
    """A file that a client has open.

    Attributes:
        base: what was there when it was opened, or saved last.
        holds: what the client has made of it.
        is_saved: since the last write.
    """

    fh: int
    base: bytes | None
    holds: bytes = b""
    is_saved: bool = False


@dataclass
class Play:
    """What the clients do, and what must be true of the store."""

    store: MemoryStore
    rigs: list[FsRig]
    writing: dict[int, Writing] = field(default_factory=dict)
    kept: set[bytes] = field(default_factory=set)
    number: int = 0

    async def step(self, what: str, client: int) -> None:
        rig, is_open = self.rigs[client], client in self.writing
        if what == "write":
            await self.write(client)
        elif what in {"close", "fsync"} and is_open:
            await self.end(what, client)
        elif what == "read":
            assert await self.reads(rig) in {self.stored(), self.writing[client].holds if is_open else None}
        elif what == "unlink" and not is_open:
            await self.allowed(rig.unlink(NAME))
        elif what == "chmod" and not is_open:
            await self.allowed(rig.chmod(NAME, 0o600 + self.number % 8))
        elif what == "flush":
            await self.allowed(rig.flush())

    async def write(self, client: int) -> None:
        rig = self.rigs[client]
        if client not in self.writing:
            base = self.stored()
            self.writing[client] = Writing(await rig.open(NAME, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), base)
        self.number += 1
        content = f"{self.number:03} by {client}".encode() * (1 + self.number % 3)
        writing = self.writing[client]
        if await self.allowed(rig.fs.files.write(writing.fh, 0, content)):
            writing.holds = content + writing.holds[len(content) :]
            writing.is_saved = False

    async def end(self, what: str, client: int) -> None:
        """Close or fsync: afterwards the content is stored, over nothing but what was known, or it is refused and kept."""
        rig, writing, before = self.rigs[client], self.writing[client], self.stored()
        was_stored = await self.allowed((rig.close if what == "close" else rig.fs.files.fsync)(writing.fh))
        if was_stored and not writing.is_saved:
            assert (before, self.stored()) == (writing.base, writing.holds)
        elif not writing.is_saved:
            assert writing.holds in self.copies()
            self.kept.add(writing.holds)
        writing.base, writing.is_saved = self.stored(), True
        if what == "close":
            del self.writing[client]

    async def allowed(self, call: Awaitable[object]) -> bool:
        """Do what another client may have made impossible; tell whether it was possible."""
        try:
            await call
        except SsecfsError as error:
            if errno_name(error) not in {"ESTALE", "ENOENT"}:
                raise
            return False
        return True

    async def reads(self, rig: FsRig) -> bytes | None:
        try:
            return await rig.read(NAME)
        except NoEntryError:
            return None

    def stored(self) -> bytes | None:
        stored = self.store.objects.get(ObjectKey(NAME))
        return stored.body if stored is not None else None

    def copies(self) -> set[bytes]:
        return {stored.body for object_key, stored in self.store.objects.items() if ".conflict-" in object_key}


async def play(steps: list[tuple[str, int]], folder: Path) -> None:
    store = MemoryStore()
    async with fs_mount(store, folder / "0", ttl_s=0) as one, fs_mount(store, folder / "1", ttl_s=0) as other:
        stage = Play(store, [one, other])
        for step in steps:
            await stage.step(*step)
        for client in list(stage.writing):
            await stage.step("close", client)
        assert stage.kept <= stage.copies()
        for rig in stage.rigs:
            await stage.allowed(rig.flush())
            assert await stage.reads(rig) == stage.stored()


@settings(max_examples=60)
@given(STEPS)
def test_every_content_is_acknowledged_or_kept_whatever_two_clients_do(steps: list[tuple[str, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        trio.run(play, steps, folder)
    finally:
        shutil.rmtree(folder)
