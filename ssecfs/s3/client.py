"""BotoStore: the ObjectStore over boto3. Each call runs in a worker thread; the customer key is added here and nowhere else.

What lives here: parameters in, values out. What does not: the connection (``endpoint``), what a failure means (``faults``),
trying again (``retry``), conditions that the endpoint cannot check (``guard``). Imported by ``app``.

The three SSE-C headers are given to botocore complete, MD5 included: otherwise it would encode the key a second time.

Source: boto3 S3 reference; S3 user guide on SSE-C.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import trio
from botocore.exceptions import ClientError

from ssecfs.errors import (
    CustomerKeyNeededError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreProtocolError,
    StoreUnsupportedError,
    WrongCustomerKeyError,
)
from ssecfs.keyring.keyring import Keyring
from ssecfs.log import digest_name
from ssecfs.s3.faults import FOREIGN_ERRORS, KeyUse, answer_code, answer_status, guarded, translate
from ssecfs.s3.keyfits import KeyFits
from ssecfs.s3.parameters import condition_parameters, content_md5, key_parameters, source_parameters
from ssecfs.s3.store import Sink
from ssecfs.s3.types import (
    ByteRange,
    ETag,
    IfAbsent,
    IfUnchanged,
    ListPage,
    ObjectInfo,
    ObjectKey,
    ObjectVersion,
    PartReceipt,
    PutCondition,
    Upload,
)
from ssecfs.sizes import KIB
from ssecfs.ssec import CustomerKey
from ssecfs.threads import run_idle, run_in, stream_from

R = TypeVar("R")

PIECE_BYTES: Final = 512 * KIB
"""What a streaming GET hands over at once: a hop between threads costs about 0.1 ms, so not much less."""


class BotoStore:
    """ObjectStore of one bucket over boto3.

    Owns: which customer key fitted which object last. Invariant: no request for object data leaves without the key, unless the
    object is known not to be SSE-C.
    """

    def __init__(self, client: Any, bucket: str, keyring: Keyring, limiter: trio.CapacityLimiter) -> None:
        """Take the collaborators; limiter bounds the threads, one for each request under way."""
        self._client = client
        self._bucket = bucket
        self._fits = KeyFits(keyring)
        self._keyring = keyring
        self._limiter = limiter

    async def head(self, object_key: ObjectKey) -> ObjectInfo:
        """See ObjectStore."""

        async def attempt(customer_key: CustomerKey | None) -> ObjectInfo:
            def request() -> ObjectInfo:
                answer = self._head_or_explain(object_key, customer_key)
                return _info(object_key, int(answer["ContentLength"]), answer, customer_key)

            return await run_idle(self._limiter, request)

        return await self._with_fitting_key(object_key, attempt)

    async def get(self, version: ObjectVersion, byte_range: ByteRange, sink: Sink) -> ObjectInfo:
        """See ObjectStore."""
        what = f"GET of object {digest_name(version.object_key)}"
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Key": version.object_key, "IfMatch": version.etag}
        if len(byte_range):
            parameters["Range"] = f"bytes={byte_range.start}-{byte_range.stop - 1}"

        async def attempt(customer_key: CustomerKey | None) -> ObjectInfo:
            def produce(deliver: Callable[[bytes], None]) -> ObjectInfo:
                try:
                    answer = self._client.get_object(**parameters, **key_parameters(customer_key))
                    _read_body(answer["Body"], len(byte_range), what, deliver)
                except FOREIGN_ERRORS as error:
                    raise translate(error, what, _read_use(customer_key)) from error
                return _info(version.object_key, version.size, answer, customer_key)

            return await stream_from(self._limiter, produce, sink)

        try:
            return await self._with_fitting_key(version.object_key, attempt)
        except ObjectMissingError as error:
            message = f"{what}: it was deleted meanwhile"
            raise ObjectChangedError(message) from error

    async def put(
        self, object_key: ObjectKey, body: bytes, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        answer = await self._write(
            f"PUT of object {digest_name(object_key)}",
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=object_key,
                Body=body,
                ContentMD5=content_md5(body),
                Metadata=dict(metadata),
                **condition_parameters(condition),
                **key_parameters(self._keyring.first),
            ),
            condition,
        )
        self._fits.note(object_key, self._keyring.first)
        return _version_now(object_key, len(body), answer)

    async def copy(
        self, source: ObjectVersion, target: ObjectKey, metadata: Mapping[str, str], condition: PutCondition
    ) -> ObjectVersion:
        """See ObjectStore."""
        what = f"copy of object {digest_name(source.object_key)}"

        async def attempt(customer_key: CustomerKey | None) -> Any:
            return await self._write(
                what,
                lambda: self._client.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source.object_key},
                    CopySourceIfMatch=source.etag,
                    Metadata=dict(metadata),
                    MetadataDirective="REPLACE",
                    **condition_parameters(condition),
                    **source_parameters(customer_key),
                    **key_parameters(self._keyring.first),
                ),
                condition,
                _read_use(customer_key),
            )

        answer = await self._with_fitting_key(source.object_key, attempt)
        self._fits.note(target, self._keyring.first)
        result = answer["CopyObjectResult"]
        return ObjectVersion(target, ETag(result["ETag"]), source.size, _seconds(result["LastModified"]))

    async def delete(self, object_key: ObjectKey) -> None:
        """See ObjectStore."""
        await self._call(
            f"DELETE of object {digest_name(object_key)}",
            lambda: self._client.delete_object(Bucket=self._bucket, Key=object_key),
        )
        self._fits.forget(object_key)

    async def delete_many(self, object_keys: Sequence[ObjectKey]) -> None:
        """See ObjectStore."""
        try:
            answer = await self._call(
                f"DELETE of {len(object_keys)} objects",
                lambda: self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": object_key} for object_key in object_keys], "Quiet": True},
                ),
            )
        except (StoreUnsupportedError, StoreProtocolError):
            # Some servers demand a Content-MD5 that boto3 no longer sends, others do not know the request.
            for object_key in object_keys:
                await self.delete(object_key)
            return
        errors = answer.get("Errors", [])
        if errors:
            message = f"{len(errors)} of {len(object_keys)} objects were not deleted: {errors[0].get('Code')}"
            raise StoreProtocolError(message)

    async def list_page(self, prefix: str, delimiter: str, token: str | None, max_keys: int = 1000) -> ListPage:
        """See ObjectStore."""
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix, "MaxKeys": max_keys}
        if delimiter:
            parameters["Delimiter"] = delimiter
        if token is not None:
            parameters["ContinuationToken"] = token
        answer = await run_idle(self._limiter, guarded("LIST", lambda: self._client.list_objects_v2(**parameters), KeyUse.NONE))
        objects = tuple(
            ObjectVersion(ObjectKey(entry["Key"]), ETag(entry["ETag"]), int(entry["Size"]), _seconds(entry["LastModified"]))
            for entry in answer.get("Contents", [])
        )
        prefixes = tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", []))
        return ListPage(objects, prefixes, answer.get("NextContinuationToken") if answer.get("IsTruncated") else None)

    async def create_upload(self, object_key: ObjectKey, metadata: Mapping[str, str]) -> Upload:
        """See ObjectStore."""
        customer_key = self._keyring.first
        answer = await self._write(
            f"start of the upload of object {digest_name(object_key)}",
            lambda: self._client.create_multipart_upload(
                Bucket=self._bucket, Key=object_key, Metadata=dict(metadata), **key_parameters(customer_key)
            ),
        )
        return Upload(object_key, answer["UploadId"], customer_key.md5)

    async def put_part(self, upload: Upload, part_number: int, body: bytes) -> PartReceipt:
        """See ObjectStore."""
        answer = await self._write(
            f"part {part_number} of object {digest_name(upload.object_key)}",
            lambda: self._client.upload_part(
                Bucket=self._bucket,
                Key=upload.object_key,
                UploadId=upload.upload_id,
                PartNumber=part_number,
                Body=body,
                ContentMD5=content_md5(body),
                **key_parameters(self._key_of(upload)),
            ),
        )
        return PartReceipt(part_number, ETag(answer["ETag"]), len(body))

    async def copy_part(self, upload: Upload, part_number: int, source: ObjectVersion, byte_range: ByteRange) -> PartReceipt:
        """See ObjectStore."""

        async def attempt(customer_key: CustomerKey | None) -> Any:
            return await self._write(
                f"copied part {part_number} of object {digest_name(upload.object_key)}",
                lambda: self._client.upload_part_copy(
                    Bucket=self._bucket,
                    Key=upload.object_key,
                    UploadId=upload.upload_id,
                    PartNumber=part_number,
                    CopySource={"Bucket": self._bucket, "Key": source.object_key},
                    CopySourceIfMatch=source.etag,
                    CopySourceRange=f"bytes={byte_range.start}-{byte_range.stop - 1}",
                    **source_parameters(customer_key),
                    **key_parameters(self._key_of(upload)),
                ),
                key_use=_read_use(customer_key),
            )

        answer = await self._with_fitting_key(source.object_key, attempt)
        return PartReceipt(part_number, ETag(answer["CopyPartResult"]["ETag"]), len(byte_range))

    async def complete_upload(self, upload: Upload, parts: Sequence[PartReceipt], condition: PutCondition) -> ObjectVersion:
        """See ObjectStore."""
        answer = await self._write(
            f"end of the upload of object {digest_name(upload.object_key)}",
            lambda: self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=upload.object_key,
                UploadId=upload.upload_id,
                MultipartUpload={"Parts": [{"PartNumber": part.part_number, "ETag": part.etag} for part in parts]},
                **condition_parameters(condition),
                **key_parameters(self._key_of(upload)),
            ),
            condition,
        )
        self._fits.note(upload.object_key, self._key_of(upload))
        # On AWS LastModified is when the upload began, which may be hours ago; and Ceph 16 leaves the ETag empty.
        found = (await self.head(upload.object_key)).version
        if answer.get("ETag", "") in {"", found.etag}:
            return found
        return _version_now(upload.object_key, sum(part.size for part in parts), answer)

    async def abort_upload(self, upload: Upload) -> None:
        """See ObjectStore."""
        what = f"end of the upload of object {digest_name(upload.object_key)}"
        parameters = {"Bucket": self._bucket, "Key": upload.object_key, "UploadId": upload.upload_id}

        def abort() -> None:
            try:
                self._client.abort_multipart_upload(**parameters)
            except ClientError as error:
                if answer_code(error) != "NoSuchUpload":
                    raise

        await run_idle(self._limiter, guarded(what, abort, KeyUse.NONE))

    def _head_or_explain(self, object_key: ObjectKey, customer_key: CustomerKey | None) -> Any:
        """HEAD; its refusals have no body, so a GET of one byte asks again for the reason. Runs in a thread."""
        what = f"HEAD of object {digest_name(object_key)}"
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Key": object_key, **key_parameters(customer_key)}
        try:
            return self._client.head_object(**parameters)
        except ClientError as error:
            if answer_status(error) not in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
                raise translate(error, what, _read_use(customer_key)) from error
        except FOREIGN_ERRORS as error:
            raise translate(error, what, _read_use(customer_key)) from error
        try:
            self._client.get_object(**parameters, Range="bytes=0-0")["Body"].close()
            return self._client.head_object(**parameters)
        except FOREIGN_ERRORS as error:
            raise translate(error, what, _read_use(customer_key)) from error

    async def _with_fitting_key(self, object_key: ObjectKey, attempt: Callable[[CustomerKey | None], Awaitable[R]]) -> R:
        """Make a read with the key that fitted last, then with the others, then without; the first refusal counts."""
        refusal: StoreError | None = None
        for customer_key in self._fits.candidates(object_key):
            try:
                result = await attempt(customer_key)
            except (WrongCustomerKeyError, CustomerKeyNeededError) as error:
                refusal = refusal or error
                continue
            self._fits.note(object_key, customer_key)
            return result
        assert refusal is not None, "there is always a candidate"  # noqa: S101 - KeyFits
        raise refusal

    async def _write(
        self,
        what: str,
        request: Callable[[], Any],
        condition: PutCondition | None = None,
        key_use: KeyUse = KeyUse.WRITE,
    ) -> Any:
        try:
            return await self._call(what, request, key_use)
        except ObjectChangedError as error:
            if isinstance(condition, IfAbsent):
                message = f"{what}: there is one already"
                raise ObjectExistsError(message) from error
            raise
        except ObjectMissingError as error:
            if isinstance(condition, IfUnchanged):
                message = f"{what}: it was deleted meanwhile"
                raise ObjectChangedError(message) from error
            raise

    async def _call(self, what: str, request: Callable[[], Any], key_use: KeyUse = KeyUse.NONE) -> Any:
        return await run_in(self._limiter, guarded(what, request, key_use))

    def _key_of(self, upload: Upload) -> CustomerKey:
        return self._keyring.find(upload.key_md5) or self._keyring.first


def _read_use(customer_key: CustomerKey | None) -> KeyUse:
    return KeyUse.READ_WITHOUT if customer_key is None else KeyUse.READ_WITH


def _read_body(body: Any, length: int, what: str, deliver: Callable[[bytes], None]) -> None:
    """Hand over exactly length bytes of an answer, or fail."""
    try:
        missing = length
        while missing:
            piece = body.read(min(PIECE_BYTES, missing))
            if not piece:
                message = f"{what}: the answer ended {missing} bytes early"
                raise ConnectionResetError(message)
            missing -= len(piece)
            deliver(piece)
        if body.read(1):
            message = f"{what}: the answer is longer than the {length} bytes that were asked for"
            raise StoreProtocolError(message)
    finally:
        body.close()


def _info(object_key: ObjectKey, size: int, answer: Any, customer_key: CustomerKey | None) -> ObjectInfo:
    version = ObjectVersion(object_key, ETag(answer["ETag"]), size, _seconds(answer["LastModified"]))
    return ObjectInfo(
        version=version,
        metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
        key_md5=customer_key.md5 if customer_key is not None else None,
        storage_class=answer.get("StorageClass", "STANDARD"),
        version_id=answer.get("VersionId"),
    )


def _version_now(object_key: ObjectKey, size: int, answer: Any) -> ObjectVersion:
    """The version that an upload made; its time is that of the answer, because nothing else tells it."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        modified_s = int(parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError):
        modified_s = int(time.time())
    return ObjectVersion(object_key, ETag(answer["ETag"]), size, modified_s, is_estimated=True)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
