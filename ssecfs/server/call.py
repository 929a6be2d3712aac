"""One call of an operation: the request, its body, and the parts of the server that operations use.

What lives here: what all operations do with versions, customer keys, ETags and headers. Imported by the operations and
``service``.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ssecfs.server.body import Body
from ssecfs.server.customer_keys import SOURCE_HEADERS, TARGET_HEADERS, customer_key
from ssecfs.server.errors import S3Error, invalid_version, no_such_key, not_implemented
from ssecfs.server.faults import Faults
from ssecfs.server.profiles import Case, Echo, Encryption, ETags, Profile
from ssecfs.server.records import NULL_VERSION, Kind, StoredObject, Versioning
from ssecfs.server.request import Request
from ssecfs.server.response import http_time
from ssecfs.server.sealed import DamagedError, Seal, WrongKeyError, make_seal, open_seal
from ssecfs.server.storage import Storage
from ssecfs.ssec import ALGORITHM, ALGORITHM_HEADER, KEY_MD5_HEADER, CustomerKey

META_PREFIX: Final = "x-amz-meta-"
MAX_META_BYTES: Final = 2048
OTHER_ENCRYPTION: Final = "x-amz-server-side-encryption"
KEPT_HEADERS: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
_VERSION_ID: Final = re.compile(rf"{NULL_VERSION}|[0-9]{{1,18}}")


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
    faults: Faults
    now_ms: int

    @property
    def bucket(self) -> str:
        """The bucket of the request."""
        return self.request.bucket

    @property
    def object_key(self) -> str:
        """The object key of the request."""
        return self.request.object_key

    @property
    def version_id(self) -> str | None:
        """The version that the request names; None: what the name shows.

        Raises:
            S3Error: InvalidArgument: no version is called so.
        """
        version_id = self.request.parameter("versionId")
        if version_id is not None and not is_version_id(version_id):
            raise invalid_version(version_id)
        return version_id

    def header(self, name: str) -> str | None:
        """A header of the request."""
        return self.request.headers.get(name)

    def customer_key(self, side: Side = Side.TARGET, bad_length: Case = Case.BAD_LENGTH) -> CustomerKey | None:
        """The customer key of the request, checked.

        Raises:
            S3Error: the headers do not fit together.
        """
        return customer_key(self.request.headers, self.profile, side.value, bad_length)

    def new_customer_key(self) -> CustomerKey | None:
        """The customer key of an upload.

        Raises:
            S3Error: the headers do not fit together, or the bucket blocks SSE-C, which is looked at first; or what is asked for
                is neither SSE-C nor the server's own key.
        """
        if any(name in self.request.headers for name in TARGET_HEADERS) and self._is_blocked():
            raise self.profile.error(Case.BLOCKED)
        given = self.customer_key()
        if self.header(OTHER_ENCRYPTION) not in {None, "AES256"}:
            raise not_implemented(OTHER_ENCRYPTION)
        return given

    @property
    def is_ssec_ignored(self) -> bool:
        """SSE-C headers have no effect."""
        return self.profile.encryption is Encryption.IGNORED

    def _is_blocked(self) -> bool:
        bucket = self.storage.buckets.require(self.bucket)
        if bucket.encryption:
            return "SSE-C" in bucket.blocked
        return self.profile.encryption is Encryption.BLOCKED

    def require_object(self, bucket: str, object_key: str, version_id: str | None) -> StoredObject:
        """The object that a name shows, or one version of it.

        Raises:
            S3Error: NoSuchBucket, NoSuchKey; there is no such version, or it is a delete marker.
        """
        has_versions = self.storage.buckets.require(bucket).versioning is not Versioning.OFF
        if version_id is None:
            current = self.storage.objects.current(bucket, object_key)
            if current is None:
                marker = self.storage.objects.hiding_marker(bucket, object_key) if has_versions else None
                raise _hidden(no_such_key(object_key), marker)
            return current
        found = self.storage.objects.version(bucket, object_key, self.stored_version_id(bucket, object_key, version_id))
        if found is None:
            raise self.profile.error(Case.NO_SUCH_VERSION, Key=object_key, VersionId=version_id)
        if found.kind is Kind.MARKER:
            refusal = self.profile.error(Case.READ_MARKER, Method=self.request.method, ResourceType="DeleteMarker")
            refusal.headers = {"allow": "DELETE", "last-modified": http_time(found.modified_ms)}
            raise _hidden(refusal, found)
        return found

    def stored_version_id(self, bucket: str, object_key: str, shown: str) -> str:
        """The version id behind one that a head showed: some profiles show one where there is none."""
        current = self.storage.objects.current(bucket, object_key)
        if current is not None and self.profile.shows_version and shown == str(current.sequence):
            return current.version_id
        return shown

    def open_key(self, stored: StoredObject, side: Side = Side.TARGET) -> bytes:
        """The data key of an object, with the customer key that the request brings.

        Raises:
            S3Error: it brings none, or another, or one for an object that has none.
            DamagedError: the object's row is damaged.
        """
        if not stored.is_sound:
            raise DamagedError
        place = seal_place(stored.bucket, stored.object_key)
        if not stored.seal.is_ssec:
            is_looked_at = self.is_ssec_ignored or Case.NOT_APPLICABLE not in self.profile.accepts
            if is_looked_at and self.customer_key(side, Case.BAD_LENGTH_READ) is not None:
                self.profile.refuse(Case.NOT_APPLICABLE)
            return open_seal(stored.seal, self.storage.server_secret, place)
        given = self.customer_key(side, Case.BAD_LENGTH_READ)
        if given is None:
            raise self.profile.error(Case.KEYLESS)
        try:
            return open_seal(stored.seal, given.reveal_bytes(), place)
        except WrongKeyError:
            raise self.profile.error(Case.WRONG_KEY) from None

    def new_seal(self, given: CustomerKey | None) -> tuple[Seal, bytes]:
        """The seal of a new object at the request's place, and its data key."""
        place = seal_place(self.bucket, self.object_key)
        if given is None or self.is_ssec_ignored:
            return make_seal(self.storage.server_secret, place, is_ssec=False)
        return make_seal(given.reveal_bytes(), place, is_ssec=True)

    def new_etag(self, md5: bytes, given: CustomerKey | None) -> str:
        """The ETag of a new object, with quotes."""
        is_random = given is not None and self.profile.etags is ETags.RANDOM
        return f'"{os.urandom(16).hex() if is_random else md5.hex()}"'

    def echo(self, given: CustomerKey | None) -> dict[str, str]:
        """The headers by which an answer shows which key was used, or that it was the server's own."""
        if given is None:
            return {OTHER_ENCRYPTION: "AES256"} if self.profile.encrypts_by_default else {}
        if self.profile.echo is Echo.NONE:
            return {}
        return {ALGORITHM_HEADER: ALGORITHM, KEY_MD5_HEADER: given.md5}

    def read_echo(self, stored: StoredObject) -> dict[str, str]:
        """The same for a read; a key that had no effect is not shown."""
        return self.echo(self.customer_key() if stored.seal.is_ssec or self.is_ssec_ignored else None)

    def copy_echo(self, given: CustomerKey | None) -> dict[str, str]:
        """The same for a copy."""
        return {} if self.profile.echo is Echo.NOT_COPIES else self.echo(given)

    def copied_etag(self, etag: str) -> str:
        """The ETag of a copy, as the answer's document shows it."""
        return etag if self.profile.quotes_copied else etag.strip('"')

    def new_version(self) -> tuple[str, int]:
        """The version id and the sequence of what is stored now."""
        sequence = self.storage.objects.next_sequence()
        return self.storage.version_id_for(self.storage.buckets.require(self.bucket), sequence), sequence

    def version_headers(self, stored: StoredObject) -> dict[str, str]:
        """The version id, where the bucket has versions or the profile shows one anyway."""
        if self.storage.buckets.require(stored.bucket).versioning is not Versioning.OFF:
            return {"x-amz-version-id": stored.version_id}
        return {"x-amz-version-id": str(stored.sequence)} if self.profile.shows_version else {}

    def new_version_headers(self, stored: StoredObject) -> dict[str, str]:
        """The version id of what was stored just now; there is none to name while versioning is suspended."""
        is_suspended = self.storage.buckets.require(stored.bucket).versioning is Versioning.SUSPENDED
        return {} if is_suspended else self.version_headers(stored)


def seal_place(bucket: str, object_key: str) -> str:
    """What a seal is bound to."""
    return f"{bucket}/{object_key}"


def is_version_id(text: str) -> bool:
    """Tell whether a version may be called so."""
    return _VERSION_ID.fullmatch(text) is not None


def shown_version(stored: StoredObject) -> str:
    """The version id as listings show it."""
    return stored.version_id or NULL_VERSION


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Content headers and user metadata of a request, as they are stored.

    Raises:
        S3Error: the metadata is too large.
    """
    kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS or name.startswith(META_PREFIX)}
    meta = sum(len(name) - len(META_PREFIX) + len(value) for name, value in kept.items() if name.startswith(META_PREFIX))
    if meta > MAX_META_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise S3Error("MetadataTooLarge", message, Size=str(meta), MaxSizeAllowed=str(MAX_META_BYTES))
    encodings = [part.strip() for part in kept.get("content-encoding", "").split(",")]
    rest = ",".join(part for part in encodings if part and part != "aws-chunked")
    kept.pop("content-encoding", None)
    return kept | ({"content-encoding": rest} if rest else {})


def _hidden(refusal: S3Error, marker: StoredObject | None) -> S3Error:
    """A refusal that shows the delete marker it is about."""
    if marker is not None:
        refusal.headers |= {"x-amz-delete-marker": "true", "x-amz-version-id": marker.version_id}
    return refusal
