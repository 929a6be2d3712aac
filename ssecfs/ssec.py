"""SSE-C vocabulary: the header names, the customer key and its MD5.

What lives here: everything that the client and the embedded server both say about a customer key on the wire.
What does not: keyfiles (``keyring``), sealing at rest (``cache.seal``, ``server.sealed``).
Floor 0: standard library only, no I/O. Anyone may import it; it is the only module that ``server`` shares with the rest.

Source: S3 API reference, "Server-side encryption with customer-provided keys"; RFC 1321 for the MD5.
"""

import base64
import binascii
import hashlib
from typing import Final, NoReturn

ALGORITHM: Final = "AES256"
CUSTOMER_KEY_BYTES: Final = 32

ALGORITHM_HEADER: Final = "x-amz-server-side-encryption-customer-algorithm"
CUSTOMER_KEY_HEADER: Final = "x-amz-server-side-encryption-customer-key"
KEY_MD5_HEADER: Final = "x-amz-server-side-encryption-customer-key-md5"

_COPY_SOURCE_PREFIX: Final = "x-amz-copy-source-server-side-encryption-customer-"
COPY_SOURCE_ALGORITHM_HEADER: Final = _COPY_SOURCE_PREFIX + "algorithm"
COPY_SOURCE_CUSTOMER_KEY_HEADER: Final = _COPY_SOURCE_PREFIX + "key"
COPY_SOURCE_KEY_MD5_HEADER: Final = _COPY_SOURCE_PREFIX + "key-md5"


class CustomerKey:
    """The 32-byte SSE-C secret.

    Invariants: ``str``, ``repr`` and formatting show the key MD5 only; it cannot be pickled or copied to disk by accident.
    Two customer keys are equal when their bytes are.
    """

    __slots__ = ("_md5", "_secret")

    def __init__(self, secret: bytes) -> None:
        """Take the raw secret.

        Args:
            secret: exactly 32 bytes.

        Raises:
            ValueError: another length (the message gives the length, never the bytes).
        """
        if len(secret) != CUSTOMER_KEY_BYTES:
            message = f"a customer key has {CUSTOMER_KEY_BYTES} bytes, not {len(secret)}"
            raise ValueError(message)
        self._secret = bytes(secret)
        self._md5 = format_key_md5(self._secret)

    @property
    def md5(self) -> str:
        """The key MD5 that goes beside the key on the wire: base64 of 16 bytes, 24 characters. May be logged."""
        return self._md5

    def reveal_bytes(self) -> bytes:
        """The 32 raw bytes. Only for key derivation; never log, format or store the result."""
        return self._secret

    def reveal_base64(self) -> str:
        """The 44 characters that travel in the header. Only for a request that is about to be sent."""
        return base64.b64encode(self._secret).decode("ascii")

    def __repr__(self) -> str:
        """Show the key MD5, never the key."""
        return f"<CustomerKey md5={self._md5}>"

    def __eq__(self, other: object) -> bool:
        """Compare the secrets."""
        return isinstance(other, CustomerKey) and self._secret == other._secret

    def __hash__(self) -> int:
        """Hash by the key MD5."""
        return hash(self._md5)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "a customer key is never pickled"
        raise TypeError(message)


def format_key_md5(secret: bytes) -> str:
    """The value of the key-MD5 header: base64 of the MD5 of the raw key bytes (RFC 1321), 24 characters."""
    return base64.b64encode(hashlib.md5(secret, usedforsecurity=False).digest()).decode("ascii")


def parse_customer_key(text: str) -> bytes:
    """Decode the value of a customer-key header.

    Returns:
        The decoded bytes, of whatever length they have: what a wrong length means is the caller's business.

    Raises:
        ValueError: not base64 (the message does not repeat the text).
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        message = "the customer key is not valid base64"
        raise ValueError(message) from None


def request_headers(customer_key: CustomerKey) -> dict[str, str]:
    """The three headers that a request for an SSE-C object carries. The result holds the key: send it, drop it."""
    return {
        ALGORITHM_HEADER: ALGORITHM,
        CUSTOMER_KEY_HEADER: customer_key.reveal_base64(),
        KEY_MD5_HEADER: customer_key.md5,
    }


def copy_source_headers(customer_key: CustomerKey) -> dict[str, str]:
    """The three headers that name the key of a copy's source. The result holds the key: send it, drop it."""
    return {
        COPY_SOURCE_ALGORITHM_HEADER: ALGORITHM,
        COPY_SOURCE_CUSTOMER_KEY_HEADER: customer_key.reveal_base64(),
        COPY_SOURCE_KEY_MD5_HEADER: customer_key.md5,
    }
