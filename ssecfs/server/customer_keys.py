"""The SSE-C headers of a request: parsed and checked, in the order in which AWS checks them. No I/O.

Imported by the operations.

Source: recorded answers of AWS; OVHcloud's guide of 2022 for its own MD5 recipe.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ssecfs import ssec
from ssecfs.server.errors import S3Error
from ssecfs.server.profiles import Case, Md5Rule, Profile
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey

_ARGUMENT: Final = {"ArgumentName": "x-amz-server-side-encryption"}

TARGET_HEADERS: Final = (ssec.ALGORITHM_HEADER, ssec.CUSTOMER_KEY_HEADER, ssec.KEY_MD5_HEADER)
SOURCE_HEADERS: Final = (
    ssec.COPY_SOURCE_ALGORITHM_HEADER,
    ssec.COPY_SOURCE_CUSTOMER_KEY_HEADER,
    ssec.COPY_SOURCE_KEY_MD5_HEADER,
)


def customer_key(
    headers: Mapping[str, str], profile: Profile, names: tuple[str, str, str], bad_length: Case
) -> CustomerKey | None:
    """The customer key of a request; None: it has none of the three headers.

    Args:
        headers: by lower-case name.
        profile: which rules hold.
        names: TARGET_HEADERS or SOURCE_HEADERS.
        bad_length: the case of a key that is not of 32 bytes: uploads and reads differ.

    Raises:
        S3Error: the three headers do not fit together.
    """
    algorithm, encoded, md5 = (headers.get(name) for name in names)
    if algorithm is None and encoded is None and md5 is None:
        return None
    if names is TARGET_HEADERS and "x-amz-server-side-encryption" in headers:
        message = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
        raise S3Error("InvalidArgument", message, **_ARGUMENT, ArgumentValue=headers["x-amz-server-side-encryption"])
    if algorithm is None:
        raise profile.error(Case.NO_ALGORITHM, **_ARGUMENT)
    if algorithm != ssec.ALGORITHM:
        raise profile.error(Case.BAD_ALGORITHM, **_ARGUMENT, ArgumentValue=algorithm)
    if encoded is None:
        raise profile.error(Case.NO_KEY, **_ARGUMENT)
    if md5 is None and profile.md5_rule is Md5Rule.REQUIRED:
        raise profile.error(Case.NO_MD5, **_ARGUMENT)
    try:
        secret = ssec.parse_customer_key(encoded)
    except ValueError:
        secret = b""
    if len(secret) != CUSTOMER_KEY_BYTES:
        raise profile.error(bad_length, **_ARGUMENT)
    if md5 is not None and not _md5_fits(secret, encoded, md5, profile):
        raise profile.error(Case.BAD_MD5, **_ARGUMENT)
    return CustomerKey(secret)


def _md5_fits(secret: bytes, encoded: str, md5: str, profile: Profile) -> bool:
    allowed = [ssec.format_key_md5(secret)]
    if profile.md5_rule is Md5Rule.OPTIONAL:
        allowed.append(_guide_md5(encoded))
    return any(hmac.compare_digest(md5.encode(), value.encode()) for value in allowed)


def _guide_md5(encoded: str) -> str:
    """What ``echo $encKey | md5sum | awk '{print $1}' | base64 -w0`` prints."""
    digest = hashlib.md5(f"{encoded}\n".encode(), usedforsecurity=False).hexdigest()
    return base64.b64encode(f"{digest}\n".encode()).decode("ascii")
