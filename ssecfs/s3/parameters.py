"""boto3's parameters for customer keys, conditions and checksums. Pure.

Imported by ``s3.client``. The SSE-C trio is complete, MD5 included: with the MD5 left out botocore would encode the key again.
"""

import base64
import hashlib

from ssecfs.s3.types import IfAbsent, IfUnchanged, PutCondition
from ssecfs.ssec import ALGORITHM, CustomerKey


def key_parameters(customer_key: CustomerKey | None) -> dict[str, str]:
    """boto3's parameters for the SSE-C headers. The result holds the key: send it, drop it."""
    if customer_key is None:
        return {}
    return {
        "SSECustomerAlgorithm": ALGORITHM,
        "SSECustomerKey": customer_key.reveal_base64(),
        "SSECustomerKeyMD5": customer_key.md5,
    }


def source_parameters(customer_key: CustomerKey | None) -> dict[str, str]:
    """The same for the source of a copy."""
    return {f"CopySource{name}": value for name, value in key_parameters(customer_key).items()}


def condition_parameters(condition: PutCondition) -> dict[str, str]:
    """boto3's parameters for a condition. The ETag goes without quotes: all take it so, Ceph 16 only so."""
    if isinstance(condition, IfAbsent):
        return {"IfNoneMatch": "*"}
    if isinstance(condition, IfUnchanged):
        return {"IfMatch": condition.base.etag.strip('"')}
    return {}


def content_md5(body: bytes) -> str:
    """The value of Content-MD5, by which the server checks what arrived."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")
