"""What everyday programs cost in requests, counted by the server: cp, rsync, tar, find, du, rm, shells."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from support.budgets import FOREVER, most_at_once, put_objects, remount, requests_of
from support.mounts import LIMIT_S, Mounting, mounting
from support.s3server import s3_server

pytestmark = pytest.mark.mount

FOLDERS = ("a", "a/b", "c")
FILES = ("top", "a/one", "a/two", "a/b/three", "c/four", "c/link")


def run(*command: str | Path, within: Path | None = None) -> str:
    return subprocess.run(command, cwd=within, check=True, timeout=LIMIT_S, stdout=subprocess.PIPE, text=True).stdout


def shell(text: str, within: Path) -> str:
    return run("bash", "-c", text, within=within)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three folders in a folder, with five files and a link."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in FOLDERS:
        (root / name).mkdir()
    for name in FILES[:-1]:
        (root / name).write_text(name * 100)
    (root / FILES[-1]).symlink_to("four")
    return root


@pytest.fixture
def copied(own_mount: Mounting, tree: Path) -> Path:
    """The tree on a mount that has forgotten what only its memory held."""
    target = own_mount.path / "tree"
    run("cp", "-a", tree, target)
    remount(own_mount)
    return target


def cost(mounted: Mounting, text: str, within: Path) -> Counter[str]:
    with requests_of(mounted) as counted:
        shell(text, within)
    return counted


# The listings of the tree's folders answer for everything: whether they are there, what is in them, whether it has changed.
LISTS = {"ListObjectsV2": 1 + len(FOLDERS)}


@pytest.mark.parametrize(
    "text", ["find tree -ls", "du -s tree", "ls -lR tree", "find tree -newer tree/top", "find tree -type f"]
)
def test_walk_through_a_known_tree_is_one_list_for_each_folder(own_mount: Mounting, copied: Path, text: str) -> None:
    assert cost(own_mount, text, copied.parent) == LISTS
    assert cost(own_mount, text, copied.parent) == {}


def test_second_rsync_of_an_unchanged_tree_is_lists_only(own_mount: Mounting, copied: Path, tree: Path) -> None:
    with requests_of(own_mount) as counted:
        assert run("rsync", "-a", "--itemize-changes", f"{tree}/", f"{copied}/") == ""
    assert counted == LISTS


def test_copying_a_tree_in_is_one_put_each_and_one_change_more_of_folders_and_links(own_mount: Mounting, tree: Path) -> None:
    """Folders and links are on the server when mkdir and symlink return; owner and times come afterwards."""
    assert not list(own_mount.path.iterdir())
    with requests_of(own_mount) as counted:
        run("cp", "-a", tree, own_mount.path / "tree")
    assert counted == {"PutObject": len(FILES) + 2 * (1 + len(FOLDERS)), "CopyObject": 1}


@pytest.mark.parametrize("text", ["tar -c tree | cat >/dev/null", "cp -a tree $OUT", "rsync -a tree $OUT"], ids=str.split)
def test_copying_a_known_tree_out_is_its_lists_and_one_get_each(
    own_mount: Mounting, copied: Path, tmp_path: Path, text: str
) -> None:
    own_mount.umount()
    shutil.rmtree(own_mount.cache)
    own_mount.mount("--ttl", "forever")
    run("find", copied)
    with requests_of(own_mount) as counted:
        shell(text.replace("$OUT", str(tmp_path / "out")), copied.parent)
    assert counted == {"GetObject": len(FILES)}


def test_removing_a_tree_is_a_delete_each_and_a_look_into_each_folder(own_mount: Mounting, copied: Path) -> None:
    run("find", copied)
    assert cost(own_mount, "rm -r tree", copied.parent) == {
        "DeleteObject": len(FILES) + 1 + len(FOLDERS),
        "ListObjectsV2": 1 + len(FOLDERS),
    }


SHELL = {
    "echo x > new": {"PutObject": 1},
    "echo x >> old": {"PutObject": 1},
    "echo x > old": {"PutObject": 1},
    "cat old > new": {"PutObject": 1},
    "touch new": {"PutObject": 1},
    "touch old": {"CopyObject": 1},
    "touch -c none": {},
    "test -e none || test -e old": {},
    "compgen -f o": {},
    "mkdir -p one/two": {"PutObject": 2},
    "cp old new": {"PutObject": 1},
    "cp -a old new": {"PutObject": 1},
    "install -m 600 old new": {"PutObject": 1},
    "sed -i s/x/y/ old": {"PutObject": 1, "CopyObject": 1, "DeleteObject": 1},
    "printf a > .old.swp && mv .old.swp old": {"PutObject": 1, "CopyObject": 1, "DeleteObject": 1},
    "dd if=/dev/zero of=new bs=4k count=4 status=none": {"PutObject": 1},
    "dd if=/dev/zero of=old bs=1 count=1 conv=notrunc status=none": {"PutObject": 1},
    "tar -cf new old": {"PutObject": 1},
    "rm old": {"DeleteObject": 1},
    "chmod 600 old; chown 5:6 old; touch -d 2001-01-01 old": {"CopyObject": 1},
    "ln -s old new && readlink new": {"PutObject": 1},
}


@pytest.mark.parametrize("text", SHELL)
def test_line_of_a_shell_costs_what_it_must(shared_mount: Mounting, folder: Path, text: str) -> None:
    (folder / "old").write_text("x\n")
    assert cost(shared_mount, text, folder) == SHELL[text]


def test_created_and_closed_empty_file_is_stored_at_once(shared_mount: Mounting, folder: Path) -> None:
    shared_mount.server.operations()
    (folder / "new").open("xb").close()
    assert shared_mount.server.operations() == {"PutObject": 1}


@pytest.mark.parametrize(
    "text", ["tar -cC $IN .", "cat $IN/*", "cp -r $IN $OUT", "rsync -r $IN $OUT", "grep -r none $IN | cat"]
)
def test_directory_of_small_files_is_read_with_many_requests_at_once_and_one_get_each(
    text: str, tmp_path: Path, fuse_device: Path, keyfile: Path
) -> None:
    """However programs go through it: tar and rsync take the files by name, cp by inode number."""
    names = [f"folder/{number:03}" for number in range(140)]
    (tmp_path / "out").mkdir()
    slow = [word for name in ("HeadObject", "GetObject") for word in ("--fault", f"latency=0.3,operation={name}")]
    with (
        s3_server(tmp_path / "server", *slow, tls="off") as server,
        mounting(server, tmp_path, keyfile, *FOREVER) as mounted,
    ):
        put_objects(mounted, names, bytes(10_000))
        server.requests()
        words = text.replace("$IN", str(mounted.path / "folder")).replace("$OUT", str(tmp_path / "out"))
        shell(f"{words} >{tmp_path}/said", tmp_path)
        requests = [request for request in server.requests() if request["object_key"] in names]
    of = {name: [request for request in requests if request["operation"] == name] for name in ("HeadObject", "GetObject")}
    assert {name: len(some) for name, some in of.items()} == {"HeadObject": 140, "GetObject": 140}
    assert min(most_at_once(of["HeadObject"]), most_at_once(of["GetObject"])) >= 24
