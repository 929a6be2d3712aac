"""Generated sequences of operations, on the fs floor and on a local directory: same contents, same errors, over remounts."""

import os
import shutil
import tempfile
from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st
from support.fsrig import FsRig, errno_name, fs_mount
from support.memory_store import MemoryStore

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.errors import SsecfsError

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"])
SIZES = st.sampled_from([0, 1, 100, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE + 7])
STEP = st.one_of(
    st.tuples(st.just("write"), NAMES, SIZES, SIZES),
    st.tuples(st.just("create"), NAMES, SIZES, st.just(0)),
    st.tuples(st.just("read"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("truncate"), NAMES, SIZES, st.just(0)),
    st.tuples(st.just("mkdir"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("rmdir"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("unlink"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("rename"), NAMES, NAMES, st.just(0)),
    st.tuples(st.just("listdir"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("stat"), NAMES, st.just(0), st.just(0)),
    st.tuples(st.just("remount"), st.just(""), st.sampled_from([0, 1]), st.just(0)),
)


def pattern(seed: int, size: int) -> bytes:
    return bytes((seed * 7 + place) % 251 for place in range(251)) * (size // 251 + 1)


def local(root: Path, step: tuple[str, str, object, int], number: int) -> object:  # noqa: C901 - one case for each operation
    """Do one step on the local directory; the result, or the name of an errno."""
    what, name, first, second = step
    path = root / name
    try:
        match what:
            case "write":
                with os.fdopen(os.open(path, os.O_WRONLY), "r+b", buffering=0) as file:
                    os.pwrite(file.fileno(), pattern(number, int(str(second)))[:second], int(str(first)))
            case "create":
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb", buffering=0) as file:
                    os.write(file.fileno(), pattern(number, int(str(first)))[: int(str(first))])
            case "read":
                return path.read_bytes()
            case "truncate":
                os.truncate(path, int(str(first)))
            case "mkdir":
                path.mkdir()
            case "rmdir":
                path.rmdir()
            case "unlink":
                path.unlink()
            case "rename":
                path.rename(root / str(first))
            case "listdir":
                return sorted(entry.name for entry in path.iterdir())
            case "stat":
                return path.is_dir(), 0 if path.is_dir() else path.stat().st_size
    except OSError as error:
        return errno_name(error)
    return None


async def ours(rig: FsRig, step: tuple[str, str, object, int], number: int) -> object:  # noqa: C901 - likewise
    what, name, first, second = step
    try:
        match what:
            case "write":
                await rig.write(name, int(str(first)), pattern(number, second)[:second], 0)
            case "create":
                size = int(str(first))
                await rig.write(name, 0, pattern(number, size)[:size], os.O_CREAT | os.O_TRUNC)
            case "read":
                return await rig.read(name)
            case "truncate":
                await rig.truncate(name, int(str(first)))
            case "mkdir":
                await rig.mkdir(name)
            case "rmdir":
                await rig.rmdir(name)
            case "unlink":
                await rig.unlink(name)
            case "rename":
                await rig.rename(name, str(first))
            case "listdir":
                return await rig.listdir(name)
            case "stat":
                mode, size = await rig.stat(name)
                return bool(mode & 0o040000), size
    except SsecfsError as error:
        return errno_name(error)
    return None


async def compare(steps: list[tuple[str, str, object, int]], root: Path, cache: Path) -> None:
    store = MemoryStore()
    place = 0
    while place < len(steps):
        async with fs_mount(store, cache) as rig:
            while place < len(steps):
                step = steps[place]
                place += 1
                if step[0] == "remount":
                    if step[2]:
                        break
                    await rig.flush()
                    rig.forget()
                    continue
                wanted = local(root, step, place)
                assert await ours(rig, step, place) == wanted, f"step {place}: {step}"
        if place and steps[place - 1][2] == 1:
            shutil.rmtree(cache)


@given(st.lists(STEP, max_size=30))
def test_any_sequence_of_operations_does_what_a_local_directory_does(steps: list[tuple[str, str, object, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "local"
        root.mkdir()
        cache = Path(folder) / "cache"
        trio.run(compare, steps, root, cache)
