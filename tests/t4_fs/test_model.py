"""Generated sequences of operations, on the fs floor and on a local directory: same in everything, over remounts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_calls import BY_OTHERS, Phase, compare, examples, sequences
from support.model_floor import floor_calls
from support.model_kernel import FOREIGN_S, LocalCalls
from support.strangestore import StrangeStore

pytestmark = pytest.mark.timeout(3 * 3600)

THEN = st.sampled_from(
    [
        ("flush",),
        ("forget",),
        ("later", 1),
        ("later", 6),
        ("remount", False, 5.0),
        ("remount", True, 0.0),
        ("remount", False, 0.0),
        ("remount", True, float("inf")),
    ]
)


async def run(phases: Sequence[Phase], folder: Path, *, looking: bool) -> None:
    """Make the calls on the floor and on a local directory."""
    local = folder / "local"
    local.mkdir()
    reference = LocalCalls(local)
    try:
        async with floor_calls(StrangeStore(clock=lambda: FOREIGN_S), folder / "cache") as subject:
            await compare(phases, reference, subject, looking=looking)
    finally:
        reference.close_all()


@given(sequences(st.one_of(THEN, BY_OTHERS)), st.booleans())
@settings(max_examples=examples(300, 5000), phases=set(Stage) - {Stage.explain})
def test_any_sequence_of_operations_does_what_a_local_directory_does(phases: Sequence[Phase], looking: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(lambda: run(phases, Path(folder), looking=looking), clock=trio.testing.MockClock())
