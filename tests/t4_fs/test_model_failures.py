"""Generated sequences of operations over a store that fails now and then: nothing that was acknowledged is lost.

An operation that fails leaves what was before, or does what it was to do; of a rename both names may remain, never none. What a
close could not save is saved later. Nothing that was not asked about changes, and no failure is taken for an absence.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import Phase as Stage
from hypothesis import given, note, settings
from hypothesis import strategies as st
from support.failing_store import FailingStore, Failure
from support.model_calls import (
    OF_ATTRIBUTES,
    OF_CONTENT,
    OF_NAMES,
    SOMETHING,
    TRUNCATION,
    Call,
    Phase,
    compare,
    examples,
    sequences,
    settled,
    shown,
)
from support.model_floor import FloorCalls, floor_calls
from support.model_kernel import FOREIGN_S, LocalCalls
from support.model_looks import Facts, differences, is_alike
from support.strangestore import StrangeStore

from ssecfs.errors import AccessDeniedError, QuotaError, StoreBusyError, StoreError, StoreUnreachableError

pytestmark = pytest.mark.timeout(3 * 3600)

OPERATIONS = ("head", "get", "put", "copy", "delete", "delete_many", "list_page")
REFUSALS = {"EIO", "ETIMEDOUT", "EACCES", "EDQUOT"}

FAILURE = st.tuples(
    st.sampled_from(OPERATIONS),
    st.sampled_from([StoreBusyError, StoreUnreachableError, AccessDeniedError, QuotaError]),
    st.integers(1, 3),
    st.booleans(),
)
STEP = st.tuples(st.one_of(*OF_CONTENT, *OF_NAMES, *OF_ATTRIBUTES), st.one_of(FAILURE, FAILURE, st.none()))
Steps = Sequence[tuple[Call, tuple[str, type[StoreError], int, bool] | None]]


class Trial:
    """One sequence. Owns: the local directory, a copy of it from before the last operation, the mount."""

    def __init__(self, folder: Path, store: FailingStore, subject: FloorCalls) -> None:
        self._local, self._before = folder / "local", folder / "before"
        self._local.mkdir()
        self.store = store
        self.reference = LocalCalls(self._local)
        self.subject = subject
        self._number = 0

    async def start(self) -> None:
        """Make something to work on."""
        for call in SOMETHING:
            if call[0] != "open":
                self.reference.do(0, call)
                await self.subject.do(0, call)
        await self.subject.flush()

    async def step(self, call: Call, failure: Failure | None) -> bool:
        """Do something while the store fails; tells whether the outcome was one or the other, nothing in between."""
        self._number += 1
        copy_tree(self._local, self._before)
        before = self.reference.look()
        self.store.failure = failure
        wanted, got = self.reference.do(self._number, call), await self.subject.do(self._number, call)
        note(f"{self._number}: {call!r} -> {shown(wanted)}, {shown(got)}; {failure}")
        assert is_alike(wanted, got) or (failure is not None and got in REFUSALS), f"{call!r} gave {got}"
        await self.subject.later(1)  # for what is saved in a moment
        self.store.failure = None
        after = self.reference.look()
        require_one_of(before, after, await self.subject.look())
        assert await self.subject.do(0, ("flush",)) is None
        await self.subject.later(6)
        found = await self.subject.look()
        require_one_of(before, after, found)
        if is_alike(wanted, got) or not differences(after, found):
            assert differences(after, found) == []
            shutil.rmtree(self._before)
            return True
        shutil.rmtree(self._local)
        self._before.rename(self._local)
        return not differences(before, found)


def copy_tree(source: Path, target: Path) -> None:
    """Copy everything, times and all."""
    subprocess.run(["cp", "-aT", source, target], check=True)


def require_one_of(before: Mapping[str, Facts], after: Mapping[str, Facts], found: Mapping[str, Facts]) -> None:
    """Insist on each path being what it was or what it should be, and on every content that is in both being there."""
    for path in before.keys() | after.keys() | found.keys():
        is_old, is_new = is_alike(before.get(path), found.get(path)), is_alike(after.get(path), found.get(path))
        assert is_old or is_new, f"{path!r} was {before.get(path)}, should be {after.get(path)}, is {found.get(path)}"
    lasting = contents(before) & contents(after)
    assert lasting <= contents(found), f"lost: {lasting - contents(found)}"


def contents(look: Mapping[str, Facts]) -> set[tuple[str, str | None]]:
    return {(facts.mode[0], facts.content) for facts in look.values() if facts.content is not None}


async def run(steps: Steps, folder: Path) -> None:
    store = FailingStore(clock=lambda: FOREIGN_S)
    async with floor_calls(store, folder / "cache") as subject:
        trial = Trial(folder, store, subject)
        await trial.start()
        for unsettled, failure in steps:
            call = settled(unsettled, trial.reference.look(), [])
            if call and not await trial.step(call, Failure(*failure) if failure else None):
                break
        found = await subject.look()
        await subject.do(0, ("remount", True, 5.0))
        assert differences(found, await subject.look()) == []


@given(st.lists(STEP, max_size=12))
@settings(max_examples=examples(200, 3000), phases=set(Stage) - {Stage.explain})
def test_failures_of_the_store_lose_nothing(steps: Steps) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(run, steps, Path(folder), clock=trio.testing.MockClock())


async def run_with_crashes(phases: Sequence[Phase], folder: Path) -> None:
    local = folder / "local"
    local.mkdir()
    async with floor_calls(StrangeStore(clock=lambda: FOREIGN_S), folder / "cache") as subject:
        await compare(phases, LocalCalls(local), subject, looking=False)


ACKNOWLEDGED = st.one_of(*(call for call in OF_CONTENT if call is not TRUNCATION), *OF_NAMES)
"""Calls whose effect is on the server when they return. Changes of attributes, and truncation by path, follow in a moment."""


@given(sequences(st.tuples(st.just("kill"), st.booleans()), ACKNOWLEDGED, [()]))
@settings(max_examples=examples(150, 3000), phases=set(Stage) - {Stage.explain})
def test_kill_loses_nothing_that_was_acknowledged(phases: Sequence[Phase]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(run_with_crashes, phases, Path(folder), clock=trio.testing.MockClock())
