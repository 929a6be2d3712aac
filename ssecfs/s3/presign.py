"""Presigned URLs: whoever has the URL, and the customer key, may do one thing for a while. No request is made.

Imported by ``app``. The three SSE-C headers are part of the signature, so the URL works with that key only; their values are
not in it.
"""

from enum import Enum
from typing import Any

from botocore.exceptions import BotoCoreError

from ssecfs.errors import ConfigError
from ssecfs.s3.parameters import key_parameters
from ssecfs.ssec import CustomerKey


class Method(Enum):
    """What a presigned URL allows."""

    GET = "get"
    PUT = "put"
    HEAD = "head"


def presigned_url(client: Any, method: Method, place: tuple[str, str], customer_key: CustomerKey, expires_s: int) -> str:
    """Make a presigned URL.

    Args:
        client: of boto3, with signature version 4; others put the key itself into the URL.
        method: what it allows.
        place: bucket and object key.
        customer_key: whose headers must be sent with the request.
        expires_s: 1 to 604 800.

    Raises:
        ConfigError: boto3 cannot sign this.
    """
    bucket, object_key = place
    parameters = {"Bucket": bucket, "Key": object_key, **key_parameters(customer_key)}
    try:
        url: str = client.generate_presigned_url(f"{method.value}_object", Params=parameters, ExpiresIn=expires_s)
    except BotoCoreError as error:
        message = f"no URL can be signed for {bucket}: {type(error).__name__}; check bucket, object and credentials"
        raise ConfigError(message) from None
    return url
