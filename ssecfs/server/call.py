"""One call of an operation: the request, its body, and the parts of the server that operations use.

What lives here: what all operations do with customer keys, ETags and headers. Imported by the operations and ``service``.
"""

import os
from dataclasses import dataclass
from enum import Enum

from ssecfs.server.body import Body
from ssecfs.server.customer_keys import SOURCE_HEADERS, TARGET_HEADERS, customer_key
from ssecfs.server.errors import S3Error, no_such_key
from ssecfs.server.profiles import ETags, Profile
from ssecfs.server.records import StoredObject
from ssecfs.server.request import Request
from ssecfs.server.sealed import Seal, WrongKeyError, make_seal, open_seal
from ssecfs.server.storage import Storage
from ssecfs.ssec import ALGORITHM, ALGORITHM_HEADER, KEY_MD5_HEADER, CustomerKey

META_PREFIX = "x-amz-meta-"
MAX_META_BYTES = 2048
KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)


class Side(Enum):
    """Which of the two key trios of a request."""

    TARGET = TARGET_HEADERS
    SOURCE = SOURCE_HEADERS


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation gets.

    Attributes:
        now_ms: one time for everything that the call stores.
    """

    request: Request
    body: Body
    storage: Storage
    profile: Profile
    now_ms: int

    @property
    def bucket(self) -> str:
        """The bucket of the request."""
        return self.request.bucket

    @property
    def object_key(self) -> str:
        """The object key of the request."""
        return self.request.object_key

    def header(self, name: str) -> str | None:
        """A header of the request."""
        return self.request.headers.get(name)

    def customer_key(self, side: Side = Side.TARGET) -> CustomerKey | None:
        """The customer key of the request, checked.

        Raises:
            S3Error: the headers do not fit together, or came over plain http from afar.
        """
        return customer_key(self.request.headers, self.profile, side.value)

    def require_object(self, bucket: str, object_key: str) -> StoredObject:
        """The object that a name shows.

        Raises:
            S3Error: NoSuchBucket, NoSuchKey.
        """
        self.storage.require_bucket(bucket)
        found = self.storage.find(bucket, object_key)
        if found is None:
            raise no_such_key(object_key)
        return found

    def open_key(self, stored: StoredObject, side: Side = Side.TARGET) -> bytes:
        """The data key of an object, with the customer key that the request brings.

        Raises:
            S3Error: it brings none, or another, or one for an object that has none.
        """
        given = self.customer_key(side)
        place = seal_place(stored.bucket, stored.object_key)
        if not stored.seal.is_ssec:
            if given is not None:
                raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
            return open_seal(stored.seal, self.storage.server_secret, place)
        if given is None:
            raise self.profile.keyless_error()
        try:
            return open_seal(stored.seal, given.reveal_bytes(), place)
        except WrongKeyError:
            raise self.profile.wrong_key_error() from None

    def new_seal(self, given: CustomerKey | None) -> tuple[Seal, bytes]:
        """The seal of a new object at the request's place, and its data key."""
        secret = given.reveal_bytes() if given is not None else self.storage.server_secret
        return make_seal(secret, seal_place(self.bucket, self.object_key), is_ssec=given is not None)

    def new_etag(self, md5: bytes, given: CustomerKey | None) -> str:
        """The ETag of a new object, with quotes."""
        is_random = given is not None and self.profile.etags is ETags.RANDOM
        return f'"{os.urandom(16).hex() if is_random else md5.hex()}"'

    def echo(self, given: CustomerKey | None) -> dict[str, str]:
        """The headers by which an answer shows which key was used."""
        if given is None or not self.profile.echoes_key:
            return {}
        return {ALGORITHM_HEADER: ALGORITHM, KEY_MD5_HEADER: given.md5}

    def new_version_id(self) -> str:
        """The version id of an object that is stored now: microseconds, as OVHcloud shows them."""
        return str(self.now_ms * 1000)

    def version_headers(self, version_id: str) -> dict[str, str]:
        """The version id, where the profile shows it."""
        return {"x-amz-version-id": version_id} if self.profile.shows_version else {}


def seal_place(bucket: str, object_key: str) -> str:
    """What a seal is bound to."""
    return f"{bucket}/{object_key}"


def kept_headers(headers: dict[str, str]) -> dict[str, str]:
    """Content headers and user metadata of a request, as they are stored.

    Raises:
        S3Error: the metadata is too large.
    """
    kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS or name.startswith(META_PREFIX)}
    meta = sum(len(name) - len(META_PREFIX) + len(value) for name, value in kept.items() if name.startswith(META_PREFIX))
    if meta > MAX_META_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise S3Error("InvalidRequest", message, Size=str(meta), MaxSizeAllowed=str(MAX_META_BYTES))
    encodings = [part.strip() for part in kept.get("content-encoding", "").split(",")]
    rest = ",".join(part for part in encodings if part and part != "aws-chunked")
    kept.pop("content-encoding", None)
    return kept | ({"content-encoding": rest} if rest else {})
