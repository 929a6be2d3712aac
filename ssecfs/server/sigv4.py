"""Signature version 4: the calculation. No I/O. Who may use what is decided in ``authentication``.

Imported by ``server.authentication``, ``server.chunked`` and ``server.body``.

Source: "Authenticating Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ssecfs.server.request import Request

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMING: Final = "STREAMING-"
_SAFE: Final = "-._~"
_BLANKS: Final = re.compile("[ \t]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for.

    Attributes:
        date: YYYYMMDD.
        region: whatever the client says.
    """

    access_key_id: str
    date: str
    region: str

    @property
    def text(self) -> str:
        """As signatures contain it."""
        return f"{self.date}/{self.region}/s3/aws4_request"


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature holds.

    Attributes:
        payload_hash: x-amz-content-sha256 as sent.
        signature: seed of the signatures of chunks.
        signing_key: for the same.
        moment: ISO 8601, for the same.
        scope: for the same.
    """

    access_key_id: str
    payload_hash: str
    signature: str
    signing_key: bytes
    moment: str
    scope: str


def canonical_request(request: Request, names: list[str], payload_hash: str) -> bytes:
    """The text that a signature covers; names are those of the signed headers, in their order."""
    path = "/".join(_quoted(part) for part in request.raw_path.split("/"))
    encoded = sorted(
        (quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in request.query if name != "X-Amz-Signature"
    )
    query = "&".join(f"{name}={value}" for name, value in encoded)
    headers = "".join(f"{name}:{_BLANKS.sub(' ', request.headers.get(name, ''))}\n" for name in names)
    text = "\n".join((request.method, path, query, headers, ";".join(names), payload_hash))
    return text.encode("latin-1")  # as the bytes of the headers were read


def signature_of(signing_key: bytes, canonical: bytes, moment: str, scope: str) -> str:
    """The signature of a canonical request, in hex."""
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.digest(signing_key, text.encode("latin-1"), "sha256").hex()


@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str) -> bytes:
    """The key for a day and a region."""
    derived = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    return derived


def _quoted(part: str) -> str:
    if part.isascii() and part.replace(".", "").replace("_", "").replace("-", "").isalnum():
        return part  # nothing to quote, which is the usual case
    return quote(unquote_to_bytes(part), safe=_SAFE)
