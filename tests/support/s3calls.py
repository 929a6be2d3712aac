"""Calls to S3 as boto3 takes them: key trios as arguments, refusals as values.

Imported by the tests of the server's operations.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ssecfs.ssec import ALGORITHM, CustomerKey

MIN_PART_BYTES = 5 << 20
OTHER_KEY = CustomerKey(b"the other customer key, 32 bytes")


def trio(customer_key: CustomerKey) -> dict[str, str]:
    """The arguments for a customer key."""
    return {
        "SSECustomerAlgorithm": ALGORITHM,
        "SSECustomerKey": customer_key.reveal_base64(),
        "SSECustomerKeyMD5": customer_key.md5,
    }


def source_trio(customer_key: CustomerKey) -> dict[str, str]:
    """The arguments for the customer key of a copy's source."""
    return {f"CopySource{name}": value for name, value in trio(customer_key).items()}


def error_of(call: Callable[..., object], **arguments: Any) -> dict[str, Any]:
    """What a call that is refused is told: the elements of the error, its ``Status`` and its ``Headers``."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    shown = answer["ResponseMetadata"]
    return answer["Error"] | {"Status": shown["HTTPStatusCode"], "Headers": shown["HTTPHeaders"]}


def refusal(call: Callable[..., object], **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that is refused; an answer without a body has its status for a code."""
    error = error_of(call, **arguments)
    return error["Status"], error["Code"]


def seeded_bytes(seed: int, size: int) -> bytes:
    """The same bytes in every run."""
    return random.Random(seed).randbytes(size)


def put_all(client: Any, bucket: str, *object_keys: str) -> None:
    """Store objects, each with its own name for a content."""
    for object_key in object_keys:
        client.put_object(Bucket=bucket, Key=object_key, Body=object_key.encode())


def read(client: Any, bucket: str, object_key: str, **more: Any) -> bytes:
    """The content of an object."""
    content: bytes = client.get_object(Bucket=bucket, Key=object_key, **more)["Body"].read()
    return content


def shown(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The answer to a call; a content is read to its end, so that the connection can be used again."""
    answer: dict[str, Any] = call(**arguments)
    if "Body" in answer:
        answer["Body"].read()
    return answer


def enable_versions(client: Any, bucket: str, status: str = "Enabled") -> None:
    """Turn versioning on, or suspend it."""
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
