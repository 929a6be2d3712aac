"""The questions asked before anything is mounted: does the key fit, does the server honour SSE-C, what can it check?

Imported by ``app``. The answer to the first is a canary object for each customer key, whose name holds the key MD5, so that a
listing tells which key fits without having it (the metadata of an SSE-C object cannot be read without its key).

A wrong customer key in these checks is a fixed public one: it opens nothing that is worth anything.
"""

import base64
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.errors import (
    AccessDeniedError,
    BucketError,
    BucketMissingError,
    CredentialsError,
    CredentialsRefusedError,
    CustomerKeyNeededError,
    EndpointError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StartupError,
    StoreError,
    StoreProbeError,
    StoreUnreachableError,
    TlsError,
    WrongCustomerKeyError,
    WrongKeyError,
)
from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.guard import StoreFeatures
from ssecfs.s3.store import ObjectStore
from ssecfs.s3.types import Always, ByteRange, ETag, IfAbsent, IfUnchanged, ObjectKey, ObjectVersion, PutCondition
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey
from ssecfs.tasks import open_tasks

CANARY_FOLDER: Final = ".ssecfs/"
CANARY_PREFIX: Final = CANARY_FOLDER + "canary-"
CANARY_BODY: Final = b"ssecfs canary: this object shows which customer key belongs to this prefix.\n"

SAMPLES: Final = 5
"""Existing objects that are tried when there is no canary."""

DECOY: Final = CustomerKey(b"ssecfs decoy".ljust(CUSTOMER_KEY_BYTES, b"."))


class ProbeMode(Enum):
    """Whether the probe may write."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class Views:
    """The same bucket, seen with different keys.

    Attributes:
        keyed: with the mount's keyring.
        decoy: with a key that opens nothing, and then without a key.
    """

    keyed: ObjectStore
    decoy: ObjectStore


def canary_key(prefix: str, customer_key: CustomerKey) -> ObjectKey:
    """Where the canary of a customer key lies."""
    safe = base64.urlsafe_b64encode(base64.b64decode(customer_key.md5)).decode("ascii").rstrip("=")
    return ObjectKey(f"{prefix}{CANARY_PREFIX}{safe}")


def canary_md5(prefix: str, object_key: ObjectKey) -> str:
    """The key MD5 that a canary's name holds, as it stands in the header; empty: this is no canary."""
    text = object_key.removeprefix(prefix + CANARY_PREFIX)
    try:
        return base64.b64encode(base64.urlsafe_b64decode(text + "==")).decode("ascii")
    except ValueError:
        return ""


async def probe(views: Views, bucket: str, prefix: str, keyring: Keyring, mode: ProbeMode) -> StoreFeatures:
    """Check bucket, credentials, customer key and server; find out which conditions the server checks.

    Args:
        views: of the bucket.
        bucket: its name, for messages.
        prefix: what will be mounted; empty, or ends in a slash.
        keyring: of the mount.
        mode: READ_ONLY writes nothing and samples existing objects instead.

    Raises:
        StartupError: a subclass for each kind of trouble, with one sentence about what to do.
    """
    try:
        return await _probe(views, bucket, prefix, keyring, mode)
    except StoreError as error:
        raise _explain(error, bucket) from error


async def _probe(views: Views, bucket: str, prefix: str, keyring: Keyring, mode: ProbeMode) -> StoreFeatures:
    page = await views.keyed.list_page(prefix + CANARY_PREFIX, "", None)
    present = {version.object_key: version for version in page.objects}
    own = [canary_key(prefix, customer_key) for customer_key in keyring]
    fitting = [object_key for object_key in own if object_key in present]
    if present and not fitting:
        fits = " or ".join(sorted(canary_md5(prefix, object_key) for object_key in present))
        message = (
            f"wrong key: {bucket}/{prefix} is used with the key whose MD5 is {fits}; "
            f"the keyfile's first key has {keyring.first.md5}. Mount with the right keyfile"
        )
        raise WrongKeyError(message)
    if not fitting:
        await _sample(views.keyed, bucket, prefix, keyring)
    if mode is ProbeMode.READ_ONLY:
        if fitting:
            await _check_canary(views, bucket, present[fitting[0]])
        return StoreFeatures(has_if_absent=False, has_if_unchanged=False)
    canary = present.get(own[0])
    if canary is None:
        canary = await _write_canary(views.keyed, bucket, own[0])
    return await _check_server(views, bucket, canary)


async def _check_server(views: Views, bucket: str, canary: ObjectVersion) -> StoreFeatures:
    """Everything that is asked of the canary, at once."""
    found: dict[str, bool] = {}
    other = ObjectVersion(canary.object_key, ETag('"00000000000000000000000000000000"'), 0, 0)

    async def ask(name: str, condition: PutCondition) -> None:
        found[name] = await _is_refused(views.keyed, canary.object_key, condition)

    async with open_tasks() as nursery:
        nursery.start_soon(_check_canary, views, bucket, canary)
        nursery.start_soon(ask, "if absent", IfAbsent())
        nursery.start_soon(ask, "if unchanged", IfUnchanged(other))
    return StoreFeatures(has_if_absent=found["if absent"], has_if_unchanged=found["if unchanged"])


async def _check_canary(views: Views, bucket: str, canary: ObjectVersion) -> None:
    """Make sure that the canary opens with the key, and only with it."""
    has_opened: list[bool] = []

    async def try_others() -> None:
        has_opened.append(await _opens(views.decoy, canary))

    async with open_tasks() as nursery:
        nursery.start_soon(try_others)
        try:
            info = await views.keyed.head(canary.object_key)
        except (WrongCustomerKeyError, CustomerKeyNeededError) as error:
            message = f"wrong key: the canary object of bucket {bucket} does not open with it; mount with the right keyfile"
            raise WrongKeyError(message) from error
    if info.key_md5 is None or has_opened[0]:
        message = (
            f"the server gives out objects of bucket {bucket} without the right key: it does not honour SSE-C. "
            "Nothing was mounted; use a server that does"
        )
        raise StoreProbeError(message)


async def _opens(view: ObjectStore, canary: ObjectVersion) -> bool:
    """Tell whether an object opens. By a GET: its refusal has its reason in it, where that of a HEAD costs another request."""
    try:
        await view.get(canary, ByteRange(0, 1), _ignore)
    except (AccessDeniedError, ObjectMissingError):
        return False
    except ObjectChangedError:
        pass  # the conditions that are tried meanwhile have stored it once more; a HEAD does not ask for a version
    else:
        return True
    try:
        await view.head(canary.object_key)
    except (AccessDeniedError, ObjectMissingError):
        return False
    return True


def _ignore(_piece: bytes) -> None:
    """Want no bytes."""


async def _is_refused(store: ObjectStore, object_key: ObjectKey, condition: PutCondition) -> bool:
    """Tell whether the server keeps a condition that does not hold; one that does not, stores the canary once more."""
    try:
        await store.put(object_key, CANARY_BODY, {}, condition)
    except (ObjectExistsError, ObjectChangedError):
        return True
    except StoreError:
        return False
    return False


async def _write_canary(store: ObjectStore, bucket: str, object_key: ObjectKey) -> ObjectVersion:
    try:
        return await store.put(object_key, CANARY_BODY, {}, Always())
    except AccessDeniedError as error:
        message = (
            f"bucket {bucket} refuses encrypted uploads. Either the credentials may not write, or the bucket blocks SSE-C "
            "(new AWS buckets do since April 2026); this lifts the block: aws s3api put-bucket-encryption "
            f"--bucket {bucket} --server-side-encryption-configuration '{UNBLOCK}'"
        )
        raise StoreProbeError(message) from error


UNBLOCK: Final = (
    '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"},'
    '"BlockedEncryptionTypes":{"EncryptionType":["NONE"]}}]}'
)


async def _sample(store: ObjectStore, bucket: str, prefix: str, keyring: Keyring) -> None:
    """Without a canary: see whether objects that are there open."""
    page = await store.list_page(prefix, "", None, max_keys=SAMPLES * 2)
    samples = [version for version in page.objects if version.size][:SAMPLES]
    refused = 0
    for version in samples:
        try:
            await store.head(version.object_key)
        except (WrongCustomerKeyError, CustomerKeyNeededError):
            refused += 1
        except ObjectMissingError:
            continue
        else:
            return
    if refused:
        message = (
            f"wrong key: none of {refused} objects in bucket {bucket} that were tried opens with the keyfile's "
            f"first key, whose MD5 is {keyring.first.md5}. Mount with the right keyfile, or an empty prefix"
        )
        raise WrongKeyError(message)


def _explain(error: StoreError, bucket: str) -> StartupError:
    """The start-up error for a failed request."""
    if isinstance(error, BucketMissingError):
        return BucketError(f"bucket {bucket} does not exist; make it first, or check its name and the endpoint")
    if isinstance(error, CredentialsRefusedError):
        return CredentialsError(f"the server refuses the credentials: {error}")
    if isinstance(error, TlsError):
        return EndpointError(f"{error}; if the server is yours, name its certificate with --ca-bundle FILE")
    if isinstance(error, StoreUnreachableError):
        return EndpointError(f"the server cannot be reached: {error}; check --endpoint-url and the network")
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"the credentials may not use bucket {bucket}: {error}")
    return StoreProbeError(f"the server does not work as an S3 server should: {error}")
