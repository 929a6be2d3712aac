"""The client at a service that is as Ceph 16 is: what the probe finds there, and that every condition is kept all the same.

The embedded server answers with the profile ``ceph``; the contract in ``t6_server`` holds that profile to a real gateway.
"""

import random
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from support.s3server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server, s3_server

from ssecfs.errors import ObjectChangedError, ObjectExistsError
from ssecfs.keyring.keyring import Keyring
from ssecfs.room import Room
from ssecfs.s3.client import BotoStore
from ssecfs.s3.endpoint import S3Options, make_client
from ssecfs.s3.guard import GuardedStore, StoreFeatures
from ssecfs.s3.multipart import upload_parts
from ssecfs.s3.probe import DECOY, ProbeMode, Views, probe
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always, ByteRange, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion
from ssecfs.ssec import CustomerKey

A = ObjectKey("a")
LARGE = random.Random(1).randbytes((17 << 20) + 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("ceph") / "server", "--profile", "ceph") as running:
        yield running


@pytest.fixture
async def store(server: S3Server, customer_key: CustomerKey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ObjectStore]:
    """The store as a mount would use it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    client = make_client(S3Options(server.url, "us-east-1", None, server.ca_bundle))
    limiter, keyring, prefix = trio.CapacityLimiter(16), Keyring((customer_key,)), f"{customer_key.md5[:4].encode().hex()}/"
    views = Views(*(BotoStore(client, "bucket", keys, limiter) for keys in (keyring, Keyring((DECOY,)))))
    features = await probe(views, "bucket", prefix, keyring, ProbeMode.READ_WRITE)
    assert features == StoreFeatures(has_if_absent=True, has_if_unchanged=True)
    await views.keyed.delete(A)
    yield GuardedStore(views.keyed, features)
    client.close()


async def put_large(store: ObjectStore, condition: Always | IfAbsent | IfUnchanged) -> ObjectVersion:
    async def part(byte_range: ByteRange) -> bytes:
        return LARGE[byte_range.start : byte_range.stop]

    return await upload_parts(store, A, len(LARGE), part, metadata={}, condition=condition, room=Room(len(LARGE)))


async def read(store: ObjectStore, version: ObjectVersion, stop: int) -> bytes:
    pieces: list[bytes] = []
    await store.get(version, ByteRange(0, stop), pieces.append)
    return b"".join(pieces)


async def test_object_is_replaced_if_it_is_the_one_that_was_read(store: ObjectStore) -> None:
    """Ceph compares an upload's If-Match with the bare ETag: one in quotes fits nothing."""
    first = await store.put(A, b"1", {}, IfAbsent())
    second = await store.put(A, b"2", {}, IfUnchanged(first))
    with pytest.raises(ObjectChangedError):
        await store.put(A, b"3", {}, IfUnchanged(first))
    with pytest.raises(ObjectExistsError):
        await store.put(A, b"3", {}, IfAbsent())
    assert await read(store, second, 1) == b"2"


async def test_large_object_is_known_by_its_etag_when_its_upload_has_ended(store: ObjectStore) -> None:
    """Ceph does not tell it in its answer."""
    version = await put_large(store, Always())
    assert (await store.head(A)).version.is_same(version)
    assert await read(store, version, 9) == LARGE[:9]


async def test_large_upload_keeps_its_condition(store: ObjectStore) -> None:
    """Ceph checks none at the end of an upload in parts."""
    first = await store.put(A, b"1", {}, Always())
    second = await put_large(store, IfUnchanged(first))
    with pytest.raises(ObjectChangedError):
        await put_large(store, IfUnchanged(first))
    with pytest.raises(ObjectExistsError):
        await put_large(store, IfAbsent())
    assert (await store.head(A)).version.is_same(second)
