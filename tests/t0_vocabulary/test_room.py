"""Room: tasks never take more together than there is, and none waits for ever."""

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from ssecfs.room import Room


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5)), max_size=12))
async def test_any_tasks_share_the_room_and_all_of_them_end(wanted: list[tuple[int, int]]) -> None:
    room, in_use, ended = Room(10), 0, 0

    async def use(size: int, turns: int) -> None:
        nonlocal in_use, ended
        async with room.taken(size):
            in_use += min(size, 10)
            assert in_use <= 10
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            in_use -= min(size, 10)
        ended += 1

    async with trio.open_nursery() as nursery:
        for size, turns in wanted:
            nursery.start_soon(use, size, turns)
    assert (in_use, ended) == (0, len(wanted))


async def test_who_asked_first_is_served_first_even_if_less_would_fit_at_once() -> None:
    room, order = Room(10), list[str]()

    async def use(name: str, size: int) -> None:
        async with room.taken(size):
            order.append(name)

    async with trio.open_nursery() as nursery, room.taken(6):
        nursery.start_soon(use, "large", 8)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(use, "small", 1)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
    assert order == ["large", "small"]


async def test_room_is_given_back_when_who_has_it_or_waits_for_it_is_cancelled() -> None:
    room = Room(10)
    async with trio.open_nursery() as nursery:

        async def hold() -> None:
            async with room.taken(10):
                await trio.sleep_forever()

        for _ in range(3):
            nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with room.taken(10):
        pass
