"""ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from ssecfs.server.call import Call
from ssecfs.server.errors import S3Error
from ssecfs.server.response import Response, Tree, document, iso_time

OWNER: list[tuple[str, Tree]] = [("ID", "ssecfs"), ("DisplayName", "ssecfs")]
MAX_DOCUMENT_BYTES = 1 << 20


async def list_buckets(call: Call) -> Response:
    """Name all buckets."""
    buckets: list[tuple[str, Tree]] = [
        ("Bucket", [("Name", name), ("CreationDate", iso_time(ms))]) for name, ms in call.storage.buckets()
    ]
    return document("ListAllMyBucketsResult", [("Owner", list(OWNER)), ("Buckets", buckets)])


async def create_bucket(call: Call) -> Response:
    """Make a bucket."""
    await call.body.read(MAX_DOCUMENT_BYTES)
    if not call.storage.create_bucket(call.bucket):
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise S3Error("BucketAlreadyOwnedByYou", message, BucketName=call.bucket)
    return Response(headers={"location": f"/{call.bucket}"})


async def head_bucket(call: Call) -> Response:
    """Tell whether a bucket is there."""
    call.storage.require_bucket(call.bucket)
    return Response(headers={"x-amz-bucket-region": "us-east-1"})


async def delete_bucket(call: Call) -> Response:
    """Remove an empty bucket."""
    call.storage.require_bucket(call.bucket)
    if not call.storage.delete_bucket(call.bucket):
        raise S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", BucketName=call.bucket)
    return Response(204)


async def bucket_location(call: Call) -> Response:
    """Name the region: the default one, which has no name here."""
    call.storage.require_bucket(call.bucket)
    return document("LocationConstraint", [])


async def bucket_versioning(call: Call) -> Response:
    """Say that versioning was never enabled."""
    call.storage.require_bucket(call.bucket)
    return document("VersioningConfiguration", [])
