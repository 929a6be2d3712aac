"""The contract of ObjectStore, on every implementation: in memory, over boto3 to the embedded server, with the wrappers."""

import random
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from support.memory_store import MemoryStore
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError
from ssecfs.keyring.keyring import Keyring
from ssecfs.room import Room
from ssecfs.s3.client import BotoStore
from ssecfs.s3.deferring import DeferringStore
from ssecfs.s3.endpoint import S3Options, make_client
from ssecfs.s3.guard import GuardedStore, StoreFeatures
from ssecfs.s3.multipart import upload_parts
from ssecfs.s3.retry import RetryingStore
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always, ByteRange, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion
from ssecfs.sizes import MIB
from ssecfs.ssec import CustomerKey

KINDS = (
    "memory",
    "boto",
    "boto with wrappers",
    "boto with emulated conditions",
    "memory with deferred deletions",
    "boto with deferred deletions",
)
A = ObjectKey("folder/a")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    """One server that knows conditional uploads of SSE-C objects, and one that refuses them."""
    folder = tmp_path_factory.mktemp("contract")
    with s3_server(folder / "aws", "--profile", "aws") as aws, s3_server(folder / "ovh") as ovh:
        yield {"aws": aws, "ovh": ovh}


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, servers: dict[str, S3Server], customer_key: CustomerKey, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "memory with deferred deletions":
        async with trio.open_nursery() as nursery:
            yield DeferringStore(MemoryStore(), nursery, lambda _: None)
            nursery.cancel_scope.cancel()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    server = servers["ovh" if request.param == "boto with emulated conditions" else "aws"]
    bucket = f"b{abs(hash(request.node.name)):x}"
    server.client().create_bucket(Bucket=bucket)
    client = make_client(S3Options(server.url, "us-east-1", None, server.ca_bundle))
    direct: ObjectStore = BotoStore(client, bucket, Keyring((customer_key,)), trio.CapacityLimiter(16))
    if request.param == "boto with wrappers":
        direct = GuardedStore(RetryingStore(direct, 10), StoreFeatures(has_if_absent=True, has_if_unchanged=True))
    if request.param == "boto with emulated conditions":
        direct = GuardedStore(RetryingStore(direct, 10), StoreFeatures(has_if_absent=False, has_if_unchanged=False))
    async with trio.open_nursery() as nursery:
        if request.param == "boto with deferred deletions":
            direct = DeferringStore(direct, nursery, lambda _: None)
        yield direct
        nursery.cancel_scope.cancel()
    client.close()


async def read(store: ObjectStore, version: ObjectVersion, start: int, stop: int) -> bytes:
    pieces: list[bytes] = []
    await store.get(version, ByteRange(start, stop), pieces.append)
    return b"".join(pieces)


async def test_put_object_is_described_and_read_back(store: ObjectStore) -> None:
    body = random.Random(1).randbytes(1_500_000)
    version = await store.put(A, body, {"mode": "33188", "name": "value"}, Always())
    info = await store.head(A)
    assert info.version.is_same(version)
    assert dict(info.metadata) == {"mode": "33188", "name": "value"}
    assert info.key_md5 is not None
    assert await read(store, version, 0, len(body)) == body
    for start, stop in ((0, 1), (65_535, 65_537), (len(body) - 1, len(body)), (100_000, 1_200_001)):
        assert await read(store, version, start, stop) == body[start:stop]


async def test_empty_object_is_stored_and_read(store: ObjectStore) -> None:
    version = await store.put(A, b"", {}, Always())
    assert (await store.head(A)).version.size == 0
    assert await read(store, version, 0, 0) == b""


async def test_missing_object_is_missing_for_head_and_changed_for_get(store: ObjectStore) -> None:
    version = await store.put(A, b"x", {}, Always())
    await store.delete(A)
    await store.delete(A)
    with pytest.raises(ObjectMissingError):
        await store.head(A)
    with pytest.raises(ObjectChangedError):
        await read(store, version, 0, 1)


async def test_get_of_a_replaced_version_is_refused(store: ObjectStore) -> None:
    old = await store.put(A, b"old", {}, Always())
    new = await store.put(A, b"new", {}, Always())
    with pytest.raises(ObjectChangedError):
        await read(store, old, 0, 3)
    assert await read(store, new, 0, 3) == b"new"


async def test_conditions_of_put_are_kept(store: ObjectStore) -> None:
    first = await store.put(A, b"1", {}, IfAbsent())
    with pytest.raises(ObjectExistsError):
        await store.put(A, b"2", {}, IfAbsent())
    second = await store.put(A, b"2", {}, IfUnchanged(first))
    with pytest.raises(ObjectChangedError):
        await store.put(A, b"3", {}, IfUnchanged(first))
    await store.delete(A)
    with pytest.raises(ObjectChangedError):
        await store.put(A, b"3", {}, IfUnchanged(second))


async def test_copy_replaces_the_metadata_and_keeps_the_bytes(store: ObjectStore) -> None:
    source = await store.put(A, b"content", {"mode": "1"}, Always())
    target = ObjectKey("b c/ü")
    copied = await store.copy(source, target, {"mode": "2"}, Always())
    assert await read(store, copied, 0, 7) == b"content"
    assert dict((await store.head(target)).metadata) == {"mode": "2"}
    same = await store.copy(source, A, {"mode": "3"}, IfUnchanged(source))
    assert (await store.head(A)).version.is_same(same)
    assert dict((await store.head(A)).metadata) == {"mode": "3"}


async def test_copy_of_a_replaced_source_is_refused(store: ObjectStore) -> None:
    old = await store.put(A, b"old", {}, Always())
    await store.put(A, b"new", {}, Always())
    with pytest.raises(ObjectChangedError):
        await store.copy(old, ObjectKey("b"), {}, Always())


async def test_listing_groups_sorts_and_goes_on(store: ObjectStore) -> None:
    names = ["a", "b/1", "b/2", "b-", "c/", "c/d/e", "é", "z"]
    for name in names:
        await store.put(ObjectKey(name), name.encode(), {}, Always())
    everything = await all_pages(store, "", "", 3)
    assert [version.object_key for version in everything[0]] == sorted(names, key=str.encode)
    assert {version.object_key: version.size for version in everything[0]} == {name: len(name.encode()) for name in names}
    objects, prefixes = await all_pages(store, "", "/", 2)
    assert [version.object_key for version in objects] == ["a", "b-", "z", "é"]
    assert prefixes == ["b/", "c/"]
    objects, prefixes = await all_pages(store, "c/", "/", 1)
    assert [version.object_key for version in objects] == ["c/"]
    assert prefixes == ["c/d/"]


async def all_pages(store: ObjectStore, prefix: str, delimiter: str, max_keys: int) -> tuple[list[ObjectVersion], list[str]]:
    objects: list[ObjectVersion] = []
    prefixes: list[str] = []
    token = None
    while True:
        page = await store.list_page(prefix, delimiter, token, max_keys)
        objects += page.objects
        prefixes += page.common_prefixes
        token = page.next_token
        if token is None:
            return objects, prefixes


async def test_delete_many_deletes_what_is_there(store: ObjectStore) -> None:
    for name in ("a", "b", "c"):
        await store.put(ObjectKey(name), b"", {}, Always())
    await store.delete_many([ObjectKey("a"), ObjectKey("c"), ObjectKey("none")])
    page = await store.list_page("", "", None)
    assert [version.object_key for version in page.objects] == ["b"]


async def test_multipart_upload_becomes_one_object(store: ObjectStore) -> None:
    body = random.Random(2).randbytes(20 * MIB + 7)

    async def part(byte_range: ByteRange) -> bytes:
        return body[byte_range.start : byte_range.stop]

    version = await upload_parts(store, A, len(body), part, metadata={"mode": "5"}, condition=IfAbsent(), room=Room(64 * MIB))
    assert (await store.head(A)).version == version, "exactly: its time may be when the upload began"
    assert version.size == len(body)
    assert await read(store, version, 8 * MIB - 5, 8 * MIB + 5) == body[8 * MIB - 5 : 8 * MIB + 5]
    assert dict((await store.head(A)).metadata) == {"mode": "5"}
    with pytest.raises(ObjectExistsError):
        await upload_parts(store, A, len(body), part, metadata={}, condition=IfAbsent(), room=Room(64 * MIB))


async def test_copied_parts_patch_an_object(store: ObjectStore) -> None:
    body = random.Random(3).randbytes(11 * MIB)
    source = await store.put(A, body, {}, Always())
    upload = await store.create_upload(A, {})
    parts = [
        await store.copy_part(upload, 1, source, ByteRange(0, 5 * MIB)),
        await store.put_part(upload, 2, b"x" * 5 * MIB),
        await store.copy_part(upload, 3, source, ByteRange(10 * MIB, 11 * MIB)),
    ]
    version = await store.complete_upload(upload, parts, IfUnchanged(source))
    assert await read(store, version, 0, 11 * MIB) == body[: 5 * MIB] + b"x" * 5 * MIB + body[10 * MIB :]


async def test_aborted_upload_leaves_nothing(store: ObjectStore) -> None:
    upload = await store.create_upload(A, {})
    await store.put_part(upload, 1, b"x")
    await store.abort_upload(upload)
    await store.abort_upload(upload)
    with pytest.raises(ObjectMissingError):
        await store.head(A)


async def test_cancelled_get_stops_soon(store: ObjectStore) -> None:
    version = await store.put(A, bytes(12 * MIB), {}, Always())
    got = 0

    with trio.CancelScope() as scope:

        def sink(piece: bytes) -> None:
            nonlocal got
            got += len(piece)
            scope.cancel()

        await store.get(version, ByteRange(0, 12 * MIB), sink)
    assert scope.cancelled_caught
    assert 0 < got < 12 * MIB
