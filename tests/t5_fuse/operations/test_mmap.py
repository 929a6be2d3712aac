"""mmap(2): shared and private, in one process and in two, with msync and without, longer than the handle lives."""

import mmap
import os
import random
from pathlib import Path

import pytest
from support.budgets import flush
from support.clients import client_of, ssec_of
from support.mounts import Mounting
from support.syscalls import another_process, in_another_process, refused

from ssecfs.cache.spans import BLOCK_SIZE
from ssecfs.keyring.keyfile import load_keyfile

pytestmark = pytest.mark.mount

CONTENT = random.Random(1).randbytes(3 * BLOCK_SIZE + 77)


@pytest.fixture
def file(place: Path) -> Path:
    path = place / "file"
    path.write_bytes(CONTENT)
    return path


def test_mapped_file_reads_as_it_is(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:] == CONTENT
        assert mapped[BLOCK_SIZE - 3 : BLOCK_SIZE + 3] == CONTENT[BLOCK_SIZE - 3 : BLOCK_SIZE + 3]


def test_shared_change_is_in_the_file_and_a_private_one_is_not(file: Path) -> None:
    with (
        file.open("r+b") as opened,
        mmap.mmap(opened.fileno(), 0) as shared,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as private,
    ):
        private[:7] = b"private"
        shared[BLOCK_SIZE : BLOCK_SIZE + 6] = b"shared"
        assert private[:7] == b"private"
        assert private[BLOCK_SIZE : BLOCK_SIZE + 6] == b"shared"
        assert os.pread(opened.fileno(), 7, 0) == CONTENT[:7]
    assert file.read_bytes() == CONTENT[:BLOCK_SIZE] + b"shared" + CONTENT[BLOCK_SIZE + 6 :]


def test_mapping_and_handles_show_each_others_changes_at_once(file: Path) -> None:
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        os.pwrite(opened.fileno(), b"written", 10)
        assert mapped[10:17] == b"written"
        mapped[20:26] = b"mapped"
        assert os.pread(opened.fileno(), 6, 20) == b"mapped"
        with file.open("rb") as other:
            assert os.pread(other.fileno(), 16, 10) == b"written" + CONTENT[17:20] + b"mapped"


def stored(mounted: Mounting, path: Path) -> bytes:
    """The body of a file's object, as any client sees it."""
    object_key = f"{mounted.source.partition('/')[2]}/{path.relative_to(mounted.path)}"
    with client_of(mounted.server) as client:
        customer_key = load_keyfile(mounted.keyfile).first
        return bytes(client.get_object(Bucket="bucket", Key=object_key, **ssec_of(customer_key))["Body"].read())


def test_synchronised_mapping_is_on_the_server(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(CONTENT)
    with (folder / "file").open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[:6] = b"mapped"
        mapped.flush()
        assert stored(shared_mount, folder / "file") == b"mapped" + CONTENT[6:]


def test_mapping_lives_on_when_its_handle_is_closed(shared_mount: Mounting, folder: Path) -> None:
    (folder / "file").write_bytes(CONTENT)
    with (folder / "file").open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    mapped[:5] = b"later"
    mapped.close()
    assert (folder / "file").read_bytes() == b"later" + CONTENT[5:]
    flush(shared_mount)
    assert stored(shared_mount, folder / "file") == b"later" + CONTENT[5:]


def test_mapping_of_an_unlinked_file_keeps_its_pages(file: Path) -> None:
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    file.unlink()
    mapped[:4] = b"gone"
    assert mapped[:] == b"gone" + CONTENT[4:]
    mapped.close()
    assert not file.exists()


MAPPING = """
file = os.open(arguments[0], os.O_RDWR)
mapped = mmap.mmap(file, 0)
print(mapped[:5].decode(), flush=True)
sys.stdin.readline()
print(mapped[:5].decode(), flush=True)
mapped[5:10] = b"there"
mapped.flush()
"""


def test_two_processes_share_a_mapping(place: Path) -> None:
    (place / "file").write_bytes(b"first" + bytes(5000))
    with (place / "file").open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        with another_process(MAPPING, place / "file") as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert other.stdout.readline() == "first\n"
            mapped[:5] = b"later"
            other.stdin.write("go on\n")
            other.stdin.close()
            assert other.stdout.readline() == "later\n"
        assert (other.returncode, mapped[:10]) == (0, b"laterthere")
    assert (place / "file").read_bytes() == b"laterthere" + bytes(4995)


def test_mapping_grows_with_its_file(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(5 * BLOCK_SIZE)
        with mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[4 * BLOCK_SIZE : 4 * BLOCK_SIZE + 3] = b"end"
    assert file.read_bytes() == CONTENT + bytes(4 * BLOCK_SIZE - len(CONTENT)) + b"end" + bytes(BLOCK_SIZE - 3)


def test_page_after_the_end_cannot_be_touched(file: Path) -> None:
    """A mapping of a file that was cut raises SIGBUS there, here as on a local disk."""
    script = """
file = os.open(arguments[0], os.O_RDWR)
mapped = mmap.mmap(file, 0)
os.ftruncate(file, 10)
print(len(mapped), mapped[:10] != b"", flush=True)
mapped[200_000]
"""
    with another_process(script, file) as other:
        output, _ = other.communicate(timeout=60)
    assert (output, other.returncode) == (f"{len(CONTENT)} True\n", -7)


def test_mapping_needs_the_rights_of_its_handle(file: Path) -> None:
    reader = os.open(file, os.O_RDONLY)
    assert refused(mmap.mmap, reader, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) == "EACCES"
    with mmap.mmap(reader, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[:5] = b"alone"
    os.close(reader)
    assert file.read_bytes() == CONTENT


def test_program_runs_from_the_mount(folder: Path) -> None:
    """The kernel maps a program's file to run it."""
    (folder / "program").write_bytes(Path("/bin/echo").read_bytes())
    (folder / "program").chmod(0o755)
    assert in_another_process("os.execv(arguments[0], ['echo', 'from the mount'])", folder / "program") == "from the mount\n"
