"""Awkward object keys: each is shown under a name of its own, and everything done to that name is done to the object."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fsrig import FsRig, errno_name, fs_mount
from support.strangestore import StrangeStore

from ssecfs.errors import SsecfsError
from ssecfs.tree.names import show, show_beside

LONG = "long " * 60

# Object key, and the path that it is shown under.
AWKWARD = {
    "a//b": b"a/%=/b",
    "/top": b"%=/top",
    "a/./b": b"a/.%=/b",
    "a/..": b"a/..%=",
    "..": b"..%=",
    "nul\0": b"nul%00%=",
    "a/\n": b"a/\n",
    "a": b"a%file",
    "body/": b"body/%=",
    f"x/{LONG}": b"x/%b" % show(LONG),
    f"{LONG}/y": b"%b/y" % show(LONG),
    LONG: b"%b" % show_beside(LONG),
    "caf%E9%=": b"caf\xe9",
    "quoted%=": b"quoted%=",
    ".%=": b".%25=%=",
    "b%file": b"b%25file%=",
    "dir_$folder$": b"dir_$folder$",
    ".ssecfs": b".ssecfs%file",
    "sub/.ssecfs/x": b"sub/.ssecfs/x",
    "back\\slash %2F": b"back\\slash %2F",
}


@pytest.fixture
async def store() -> StrangeStore:
    store = StrangeStore()
    for object_key in AWKWARD:
        await store.by_another(object_key, content_of(object_key))
    return store


@pytest.fixture
async def rig(store: StrangeStore, tmp_path: Path) -> AsyncIterator[FsRig]:
    async with fs_mount(store, tmp_path / "cache") as rig:
        yield rig


def content_of(object_key: str) -> bytes:
    return f"content of {object_key}".encode()


async def tree_of(rig: FsRig, path: bytes = b"") -> dict[bytes, bytes]:
    """The contents of all files, by their paths as shown."""
    found = {}
    for name in await names_in(rig, path):
        inside = os.path.join(path, name)  # noqa: PTH118 - bytes
        if (await rig.walk(os.fsdecode(inside))).attrs.is_dir:
            found |= await tree_of(rig, inside)
        else:
            found[inside] = await rig.read(os.fsdecode(inside))
    return found


async def names_in(rig: FsRig, path: bytes) -> list[bytes]:
    return [os.fsencode(name) for name in await rig.listdir(os.fsdecode(path))]


async def failure(rig: FsRig, action: str, *arguments: object) -> str:
    with pytest.raises(SsecfsError) as caught:
        await getattr(rig, action)(*arguments)
    return errno_name(caught.value)


def test_everything_is_a_path() -> None:
    assert len(set(AWKWARD.values())) == len(AWKWARD)


async def test_nothing_vanishes_and_every_content_is_its_own(rig: FsRig) -> None:
    assert await tree_of(rig) == {path: content_of(object_key) for object_key, path in AWKWARD.items()}


async def test_every_name_is_found_without_a_listing(rig: FsRig) -> None:
    for object_key, path in AWKWARD.items():
        assert await rig.read(os.fsdecode(path)) == content_of(object_key)


@pytest.mark.parametrize("object_key", AWKWARD)
async def test_what_is_written_to_a_name_is_in_its_object(rig: FsRig, store: StrangeStore, object_key: str) -> None:
    await rig.write(os.fsdecode(AWKWARD[object_key]), 0, b"CONTENT", 0)
    await rig.chmod(os.fsdecode(AWKWARD[object_key]), 0o600)
    await rig.flush()
    others = {other: content_of(other) for other in AWKWARD}
    assert store.bodies() == others | {object_key: b"CONTENT" + content_of(object_key)[7:]}


@pytest.mark.parametrize("object_key", AWKWARD)
async def test_renaming_and_unlinking_a_name_moves_and_deletes_its_object(
    rig: FsRig, store: StrangeStore, object_key: str
) -> None:
    path = os.fsdecode(AWKWARD[object_key])
    await rig.rename(path, "renamed")
    expected = {other: content_of(other) for other in AWKWARD if other != object_key}
    assert without_markers(store) == expected | {"renamed": content_of(object_key)}
    assert await failure(rig, "stat", path) == "ENOENT"
    await rig.unlink("renamed")
    assert without_markers(store) == expected


def without_markers(store: StrangeStore) -> dict[str, bytes]:
    return {key: body for key, body in store.bodies().items() if body or not key.endswith("/")}


@pytest.mark.parametrize("folder", [b"a", b"%=", show(LONG), b"body", b"a/%="])
async def test_directory_with_an_awkward_name_is_renamed_with_all_that_is_in_it(
    rig: FsRig, store: StrangeStore, tmp_path: Path, folder: bytes
) -> None:
    before = await tree_of(rig, folder)
    await rig.rename(os.fsdecode(folder), "moved")
    moved = {path.replace(folder, b"moved", 1): content for path, content in before.items()}
    assert moved != {}
    assert await tree_of(rig, b"moved") == moved
    await rig.flush()
    async with fs_mount(store, tmp_path / "another") as another:
        assert await tree_of(another, b"moved") == moved
        assert len(await tree_of(another)) == len(AWKWARD)


async def test_emptied_awkward_directories_are_removed(rig: FsRig, store: StrangeStore) -> None:
    await rig.unlink("a/%=/b")
    assert await names_in(rig, b"a/%=") == []
    await rig.rmdir("a/%=")
    await rig.unlink("body/%=")
    await rig.rmdir("body")
    await rig.unlink(f"{show(LONG).decode()}/y")
    await rig.rmdir(show(LONG).decode())
    assert b"body" not in await names_in(rig, b"")
    # With the directory gone, the file beside it has the plain name.
    assert await rig.read(show(LONG).decode()) == content_of(LONG)
    await rig.flush()
    assert not [key for key in store.bodies() if key.startswith(("a//", "body", f"{LONG}/"))]


async def test_directory_keeps_the_file_that_has_the_key_of_its_marker(rig: FsRig, store: StrangeStore) -> None:
    await rig.chmod("body", 0o700)
    await rig.flush()
    assert store.bodies()["body/"] == content_of("body/")
    assert stat.S_ISREG((await rig.walk("body/%=")).attrs.mode)
    assert await failure(rig, "rmdir", "body") == "ENOTEMPTY"
    await rig.mkdir("target")
    await rig.rename("body", "target")
    assert store.bodies("target") == {"/": content_of("body/")}
    assert await rig.read("target/%=") == content_of("body/")


async def test_names_made_by_programs_stay_what_they_are(rig: FsRig, store: StrangeStore, tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"caf\xe9%=", b"x%3D%=", b"new%=", b"%E9%=", b"..%=x", b"100%"]
    for name in names:
        await rig.write(os.fsdecode(b"sub/" + name), 0, name, os.O_CREAT)
    await rig.mkdir(os.fsdecode(b"sub/dir\xe9"))
    async with fs_mount(store, tmp_path / "another") as another:
        shown = await tree_of(another, b"sub")
        assert {path: content for path, content in shown.items() if path != b"sub/.ssecfs/x"} == {
            b"sub/" + name: name for name in names
        }
        assert b"dir\xe9" in await names_in(another, b"sub")
    assert {"sub/%FF%FE%=", "sub/dir%E9%=/"} <= store.bodies().keys()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("new%file", "EINVAL"),  # there is no directory new
        ("sub/%=", "EINVAL"),  # would be the marker of sub
        ("new_$folder$", "EINVAL"),  # would be the marker of new
        (show("y" * 300).decode(), "EINVAL"),  # stands for a name that is not there
        (".ssecfs", "EPERM"),
        (".ssecfs%file%file", None),
        ("x" * 256, "ENAMETOOLONG"),
        ("y" * 255, None),
        ("b/%file", None),
    ],
)
async def test_names_that_stand_for_something_else_cannot_be_made(rig: FsRig, path: str, error: str | None) -> None:
    if error is None:
        if "/" in path:
            await rig.mkdir("b")
        await rig.write(path, 0, b"x", os.O_CREAT)
        assert await rig.read(path) == b"x"
    else:
        assert await failure(rig, "write", path, 0, b"x", os.O_CREAT) == error
        assert await failure(rig, "rename", "sub/.ssecfs/x", path) == error


async def test_directories_cannot_be_made_under_names_of_files_beside_directories(rig: FsRig) -> None:
    assert await failure(rig, "mkdir", "sub%file") == "EINVAL"
    assert await failure(rig, "mkdir", ".ssecfs") == "EPERM"
    assert await failure(rig, "rename", "sub", "x%file") == "EINVAL"
    assert await failure(rig, "stat", "x" * 256) == "ENAMETOOLONG"


async def test_file_beside_a_directory_can_be_made_again(rig: FsRig, store: StrangeStore) -> None:
    await rig.unlink("a%file")
    assert "a" not in store.bodies()
    await rig.write("a%file", 0, b"again", os.O_CREAT)
    assert store.bodies()["a"] == b"again"
    assert await rig.read("a%file") == b"again"


async def test_object_key_over_1024_bytes_is_refused_when_it_is_made(rig: FsRig) -> None:
    parts = ["z" * 200] * 5
    for depth in range(1, 6):
        await rig.mkdir("/".join(parts[:depth]))
    too_long = "/".join([*parts, "z" * 20])
    assert await failure(rig, "write", too_long, 0, b"x", os.O_CREAT) == "ENAMETOOLONG"
    assert await failure(rig, "mkdir", "/".join([*parts, "z" * 19])) == "ENAMETOOLONG"
    assert await failure(rig, "rename", "sub/.ssecfs/x", too_long) == "ENAMETOOLONG"
    await rig.write("/".join([*parts, "z" * 19]), 0, b"fits", os.O_CREAT)


async def test_old_style_markers_are_directories(store: StrangeStore, tmp_path: Path) -> None:
    await store.by_another("hadoop_$folder$", b"")
    await store.by_another("full_$folder$", b"")
    await store.by_another("full/x", b"x")
    async with fs_mount(store, tmp_path / "cache", ttl_s=0.0) as rig:
        assert await names_in(rig, b"hadoop") == []
        assert stat.S_ISDIR((await rig.stat("hadoop"))[0])
        await rig.rename("hadoop", "moved")
        assert await failure(rig, "stat", "hadoop") == "ENOENT"
        await rig.rename("full", "moved")
        assert await rig.listdir("moved") == ["x"]
        await rig.unlink("moved/x")
        await rig.rmdir("moved")
        await rig.flush()
    assert store.bodies().keys() == set(AWKWARD)


async def test_directory_without_a_marker_outlives_its_last_entry(rig: FsRig, store: StrangeStore) -> None:
    await store.by_another("implicit/deep/x", b"x")
    await rig.rename("implicit/deep/x", "free")
    assert await rig.listdir("implicit/deep") == []
    await rig.flush()
    assert "implicit/deep/" in store.bodies()
    await rig.rmdir("implicit/deep")
    assert await rig.listdir("implicit") == []
    await rig.rmdir("implicit")
    await rig.flush()
    assert not [key for key in store.bodies() if key.startswith("implicit")]


async def test_prefix_mount_hides_only_its_own_folder(store: StrangeStore, tmp_path: Path) -> None:
    await store.by_another("sub//x", b"x")
    async with fs_mount(store, tmp_path / "cache", prefix="sub/") as rig:
        assert await tree_of(rig) == {b"%=/x": b"x"}
        await rig.write("%=/x", 0, b"y", 0)
        await rig.rename("%=", "moved")
        await rig.mkdir("%=")
    assert store.bodies("sub/") == {"moved/x": b"y", "/": b""}
    assert store.bodies("sub/.ssecfs/") == {"x": content_of("sub/.ssecfs/x")}


async def test_file_is_renamed_from_one_escaped_name_to_another(rig: FsRig, store: StrangeStore) -> None:
    await rig.rename("b%25file%=", "a%file")
    await rig.rename("nul%00%=", "a/...%00%=")
    assert store.bodies()["a"] == content_of("b%file")
    assert store.bodies()["a/...\0"] == content_of("nul\0")


async def test_awkward_names_are_found_in_directories_too_large_to_be_listed_for_them(
    store: StrangeStore, tmp_path: Path
) -> None:
    for number in range(2100):
        await store.by_another(f"0{number}", b"")
    await store.by_another("!hadoop_$folder$", b"")
    await store.by_another("hadoop_$folder$", b"")
    async with fs_mount(store, tmp_path / "cache", ttl_s=0.0) as rig:
        assert await rig.read("02099") == b""
        store.operations.clear()
        for object_key, path in AWKWARD.items():
            if not show(object_key.partition("/")[0]).is_shortened:
                assert await rig.read(os.fsdecode(path)) == content_of(object_key)
        for name in ("hadoop", "!hadoop", "a", "body", "%="):
            assert stat.S_ISDIR((await rig.stat(name))[0])
        for name in (".ssecfs", "x%file", "02099%file", "missing", "dir", ".%=", "%=%file"):
            assert await failure(rig, "stat", name) == "ENOENT"
        assert store.operations["list_page"] < 200
        # Only a complete listing can tell what a shortened name stands for.
        assert await rig.read(show_beside(LONG).decode()) == content_of(LONG)
