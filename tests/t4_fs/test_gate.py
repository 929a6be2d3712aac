"""The gate: changes and renames of directories above them never at the same time, and nothing else waits."""

import stat

import pytest
import trio
import trio.testing

from ssecfs.fs.gate import Gate
from ssecfs.tree.attrs import Attrs
from ssecfs.tree.inodes import Inode, InodeTable
from ssecfs.tree.names import Name

DIR = Attrs(stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, 0)
FILE = Attrs(stat.S_IFREG | 0o644, 0, 0, 0, 0, 0, 0)


class Story:
    """Inodes a, a/b, a/b/file and other, a gate, and what happened in which order."""

    def __init__(self) -> None:
        table = InodeTable(DIR, b"hash")
        self.a = table.add(table.root, Name(b"a"), DIR, None)
        self.b = table.add(self.a, Name(b"b"), DIR, None)
        self.file = table.add(self.b, Name(b"file"), FILE, None)
        self.other = table.add(table.root, Name(b"other"), FILE, None)
        self.gate = Gate()
        self.events: list[str] = []
        self.end_of: dict[str, trio.Event] = {}

    async def change(self, name: str, *inodes: Inode) -> None:
        async with self.gate.changing(*inodes):
            await self._stay(name)

    async def move(self, name: str, directory: Inode) -> None:
        async with self.gate.moving(directory):
            await self._stay(name)

    async def _stay(self, name: str) -> None:
        self.events.append(f"{name} begins")
        event = self.end_of[name] = trio.Event()
        await event.wait()
        self.events.append(f"{name} ends")


@pytest.fixture
def story() -> Story:
    return Story()


async def test_change_below_waits_for_the_end_of_a_move(story: Story, nursery: trio.Nursery) -> None:
    nursery.start_soon(story.move, "move", story.a)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(story.change, "change", story.file)
    await trio.testing.wait_all_tasks_blocked()
    assert story.events == ["move begins"]
    story.end_of["move"].set()
    await trio.testing.wait_all_tasks_blocked()
    assert story.events == ["move begins", "move ends", "change begins"]
    story.end_of["change"].set()


async def test_move_waits_for_the_changes_under_way_below(story: Story, nursery: trio.Nursery) -> None:
    for name, inode in (("one", story.file), ("two", story.b)):
        nursery.start_soon(story.change, name, inode)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(story.move, "move", story.a)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(story.change, "late", story.file)
    for name in ("one", "two"):
        await trio.testing.wait_all_tasks_blocked()
        assert "move begins" not in story.events
        story.end_of[name].set()
    await trio.testing.wait_all_tasks_blocked()
    assert story.events[-1] == "move begins"
    assert "late begins" not in story.events
    story.end_of["move"].set()
    await trio.testing.wait_all_tasks_blocked()
    story.end_of["late"].set()


async def test_changes_elsewhere_and_of_the_parent_do_not_wait(story: Story, nursery: trio.Nursery) -> None:
    nursery.start_soon(story.move, "move", story.b)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(story.change, "change", story.other, story.a)
    await trio.testing.wait_all_tasks_blocked()
    assert story.events == ["move begins", "change begins"]
    for event in story.end_of.values():
        event.set()


async def test_only_one_directory_moves_at_a_time(story: Story, nursery: trio.Nursery) -> None:
    nursery.start_soon(story.move, "one", story.b)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(story.move, "two", story.a)
    await trio.testing.wait_all_tasks_blocked()
    assert story.events == ["one begins"]
    story.end_of["one"].set()
    await trio.testing.wait_all_tasks_blocked()
    assert story.events[-1] == "two begins"
    story.end_of["two"].set()


async def test_cancelled_move_lets_everything_through_again(story: Story, nursery: trio.Nursery) -> None:
    nursery.start_soon(story.change, "before", story.file)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(0):
        await story.move("move", story.a)
    nursery.start_soon(story.change, "after", story.file)
    await trio.testing.wait_all_tasks_blocked()
    assert story.events == ["before begins", "after begins"]
    for event in story.end_of.values():
        event.set()
