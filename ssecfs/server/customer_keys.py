"""The SSE-C headers of a request: parsed, and checked in the order of the profile. No I/O.

Imported by the operations.

Source: recorded answers of AWS; OVHcloud's guide of 2022 for its own MD5 recipe.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ssecfs import ssec
from ssecfs.server.profiles import Case, Md5Rule, Profile
from ssecfs.ssec import CUSTOMER_KEY_BYTES, CustomerKey

_ARGUMENT: Final = {"ArgumentName": "x-amz-server-side-encryption"}
_MD5_BYTES: Final = 16

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
        profile.refuse(Case.TWO_KINDS, **_ARGUMENT, ArgumentValue=headers["x-amz-server-side-encryption"])
    secret = _decoded(encoded or "")
    wrong = _wrong_algorithm(algorithm) | _wrong_key(encoded, secret) | _wrong_md5(secret, encoded or "", md5, profile)
    case = next((case for case in profile.trio_order if case in wrong), None) if wrong else None
    if case is Case.BAD_ALGORITHM:
        raise profile.error(case, **_ARGUMENT, ArgumentValue=algorithm or "")
    if case is not None:
        raise profile.error(bad_length if case is Case.BAD_LENGTH else case, **_ARGUMENT)
    return CustomerKey(secret)


def _wrong_algorithm(algorithm: str | None) -> set[Case]:
    if algorithm is None:
        return {Case.NO_ALGORITHM}
    return {Case.BAD_ALGORITHM} if algorithm != ssec.ALGORITHM else set()


def _wrong_key(encoded: str | None, secret: bytes) -> set[Case]:
    if encoded is None:
        return {Case.NO_KEY}
    if encoded and not secret:
        return {Case.NOT_BASE64}
    return {Case.BAD_LENGTH} if len(secret) != CUSTOMER_KEY_BYTES else set()


def _wrong_md5(secret: bytes, encoded: str, md5: str | None, profile: Profile) -> set[Case]:
    if md5 is None:
        return {Case.NO_MD5} if profile.md5_rule is Md5Rule.REQUIRED else set()
    if _md5_fits(secret, encoded, md5, profile):
        return set()
    return {Case.BAD_MD5 if len(_decoded(md5)) == _MD5_BYTES else Case.MALFORMED_MD5}


def _decoded(text: str) -> bytes:
    """What a header holds in base64; nothing, if that is none."""
    try:
        return ssec.parse_customer_key(text)
    except ValueError:
        return b""


def _md5_fits(secret: bytes, encoded: str, md5: str, profile: Profile) -> bool:
    allowed = [ssec.format_key_md5(secret)]
    if profile.md5_rule is Md5Rule.OPTIONAL:
        allowed.append(_guide_md5(encoded))
    return any(hmac.compare_digest(md5.encode(), value.encode()) for value in allowed)


def _guide_md5(encoded: str) -> str:
    """What ``echo $encKey | md5sum | awk '{print $1}' | base64 -w0`` prints."""
    digest = hashlib.md5(f"{encoded}\n".encode(), usedforsecurity=False).hexdigest()
    return base64.b64encode(f"{digest}\n".encode()).decode("ascii")
