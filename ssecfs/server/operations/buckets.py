"""Buckets: list, create, head, delete, location, versioning, encryption."""

from typing import Final

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error, not_implemented
from ssecfs.server.profiles import Case, Encryption
from ssecfs.server.records import Versioning
from ssecfs.server.request import parse_number
from ssecfs.server.response import Response, Tree, document, iso_time
from ssecfs.server.xml import child_text, children, malformed, parse_document

OWNER: Final[list[tuple[str, Tree]]] = [("ID", "ssecfs"), ("DisplayName", "ssecfs")]
MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_BUCKETS: Final = 10_000
REGION: Final = "us-east-1"
BLOCKABLE: Final = frozenset({"SSE-C", "NONE"})


async def list_buckets(call: Call) -> Response:
    """Name all buckets, or a page of them; the continuation token is the last name of the page before."""
    request = call.request
    prefix, after = request.parameter("prefix") or "", request.parameter("continuation-token") or ""
    limit = _max_buckets(call)
    is_here = request.parameter("bucket-region") in {None, REGION}
    found = [
        bucket for bucket in call.storage.buckets.all() if bucket.name > after and bucket.name.startswith(prefix) and is_here
    ]
    buckets: list[tuple[str, Tree]] = [
        ("Bucket", [("Name", bucket.name), ("CreationDate", iso_time(bucket.created_ms))]) for bucket in found[:limit]
    ]
    tree: list[tuple[str, Tree]] = [("Owner", OWNER), ("Buckets", buckets)]
    if len(found) > limit:
        tree.append(("ContinuationToken", found[limit - 1].name))
    if prefix:
        tree.append(("Prefix", prefix))
    return document("ListAllMyBucketsResult", tree)


def _max_buckets(call: Call) -> int:
    text = call.request.parameter("max-buckets")
    if text is None:
        return MAX_BUCKETS
    number = parse_number(text)
    if number is None or not 1 <= number <= MAX_BUCKETS:
        message = f"Argument max-buckets must be an integer between 1 and {MAX_BUCKETS}"
        raise S3Error("InvalidArgument", message, ArgumentName="max-buckets", ArgumentValue=text)
    return number


async def create_bucket(call: Call) -> Response:
    """Make a bucket."""
    await call.body.read(MAX_DOCUMENT_BYTES)
    if not call.storage.buckets.create(call.bucket):
        call.profile.refuse(Case.BUCKET_IS_YOURS, BucketName=call.bucket)
    return Response(headers={"location": f"/{call.bucket}"})


async def head_bucket(call: Call) -> Response:
    """Tell whether a bucket is there."""
    call.storage.buckets.require(call.bucket)
    return Response(headers={"x-amz-bucket-region": REGION})


async def delete_bucket(call: Call) -> Response:
    """Remove an empty bucket."""
    bucket = call.storage.buckets.require(call.bucket)
    if not call.storage.delete_bucket(call.bucket):
        message = "The bucket you tried to delete is not empty"
        if bucket.versioning is not Versioning.OFF:
            message += ". You must delete all versions in the bucket."
        raise S3Error("BucketNotEmpty", message, BucketName=call.bucket)
    return Response(204)


async def bucket_location(call: Call) -> Response:
    """Name the region: the default one, which has no name here."""
    call.storage.buckets.require(call.bucket)
    return document("LocationConstraint", [])


async def get_versioning(call: Call) -> Response:
    """Tell whether a bucket keeps versions."""
    state = call.storage.buckets.require(call.bucket).versioning
    return document("VersioningConfiguration", [("Status", state.value)] if state is not Versioning.OFF else [])


async def put_versioning(call: Call) -> Response:
    """Turn versioning on, or suspend it."""
    call.storage.buckets.require(call.bucket)
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "VersioningConfiguration")
    status = child_text(root, "Status")
    if status is None:
        raise S3Error("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    if status not in {Versioning.ENABLED.value, Versioning.SUSPENDED.value}:
        raise malformed()
    call.storage.buckets.set_versioning(call.bucket, Versioning(status))
    return Response()


async def get_encryption(call: Call) -> Response:
    """Show the default encryption, with what it blocks."""
    algorithm, blocked = _encryption_of(call)
    rule: list[tuple[str, Tree]] = [("ApplyServerSideEncryptionByDefault", [("SSEAlgorithm", algorithm)])]
    if blocked:
        rule.append(("BlockedEncryptionTypes", [("EncryptionType", name) for name in sorted(blocked)]))
    return document("ServerSideEncryptionConfiguration", [("Rule", rule)])


def _encryption_of(call: Call) -> tuple[str, frozenset[str]]:
    """Algorithm of a bucket's default encryption, and what it blocks: as it was put, else as the profile has it.

    Raises:
        S3Error: there is none.
    """
    bucket = call.storage.buckets.require(call.bucket)
    if bucket.encryption:
        return bucket.encryption, bucket.blocked
    if not call.profile.encrypts_by_default:
        message = "The server side encryption configuration was not found"
        raise S3Error("ServerSideEncryptionConfigurationNotFoundError", message, BucketName=call.bucket)
    return "AES256", frozenset({"SSE-C"} if call.profile.encryption is Encryption.BLOCKED else ())


async def put_encryption(call: Call) -> Response:
    """Set the default encryption; ``BlockedEncryptionTypes`` says whether SSE-C uploads are refused."""
    call.storage.buckets.require(call.bucket)
    root = parse_document(await call.body.read(MAX_DOCUMENT_BYTES), "ServerSideEncryptionConfiguration")
    rules = children(root, "Rule")
    if len(rules) != 1:
        raise malformed()
    by_default = children(rules[0], "ApplyServerSideEncryptionByDefault")
    algorithm = (child_text(by_default[0], "SSEAlgorithm") if by_default else None) or "AES256"
    if algorithm != "AES256":
        raise not_implemented("SSEAlgorithm")
    blocked = {
        (item.text or "").strip()
        for block in children(rules[0], "BlockedEncryptionTypes")
        for item in children(block, "EncryptionType")
    }
    if not blocked <= BLOCKABLE:
        raise malformed()
    call.storage.buckets.set_encryption(call.bucket, algorithm, frozenset(blocked))
    return Response()


async def delete_encryption(call: Call) -> Response:
    """Go back to the profile's own default."""
    call.storage.buckets.require(call.bucket)
    call.storage.buckets.set_encryption(call.bucket, "", frozenset())
    return Response(204)
