"""Conditions that an endpoint cannot check: a look just before an upload finds what is there, and nothing that comes later."""

from collections.abc import Mapping

import pytest
from support.strangestore import StrangeStore, once

from ssecfs.errors import ObjectChangedError, ObjectExistsError
from ssecfs.s3.guard import GuardedStore, StoreFeatures
from ssecfs.s3.types import Absence, Always, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion, PutCondition

FILE = ObjectKey("file")


class CarelessStore(StrangeStore):
    """One whose uploads succeed whatever is there, as at a server that does not know conditions."""

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        assert condition == Always(), "the endpoint must not be asked for what it cannot do"
        return await super().put(object_key, body, metadata, condition)


@pytest.fixture
def store() -> CarelessStore:
    return CarelessStore()


@pytest.fixture
def guarded(store: CarelessStore) -> GuardedStore:
    return GuardedStore(store, StoreFeatures(has_if_absent=False, has_if_unchanged=False))


async def test_what_is_there_already_is_found_by_a_look_and_stays(guarded: GuardedStore, store: CarelessStore) -> None:
    base = await guarded.put(FILE, b"base", {}, IfAbsent())
    await store.by_another(FILE, b"theirs")
    with pytest.raises(ObjectChangedError):
        await guarded.put(FILE, b"ours", {}, IfUnchanged(base))
    with pytest.raises(ObjectExistsError):
        await guarded.put(FILE, b"ours", {}, IfAbsent())
    assert store.bodies() == {"file": b"theirs"}


async def test_what_comes_between_the_look_and_the_upload_is_overwritten(guarded: GuardedStore, store: CarelessStore) -> None:
    """ssecfs(7) says so: nothing else can be done at such a server."""
    base = await guarded.put(FILE, b"base", {}, IfAbsent())

    async def write() -> None:
        await store.by_another(FILE, b"theirs")

    store.hooks["put"] = once(FILE, write)
    await guarded.put(FILE, b"ours", {}, IfUnchanged(base))
    assert store.bodies() == {"file": b"ours"}


async def test_name_that_a_listing_showed_to_be_free_is_not_looked_for(guarded: GuardedStore, store: CarelessStore) -> None:
    await guarded.put(FILE, b"ours", {}, IfAbsent(Absence.LISTED))
    assert store.operations == {"put": 1}
