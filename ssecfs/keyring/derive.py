"""Subkeys of a customer key: HKDF-SHA256 with a label for each use, so that no two uses share a key.

Floor 1. Who needs a secret that only holders of the customer key have (the cache's wrapping key, the seal over attributes)
derives it here; the customer key itself encrypts nothing on this machine.

Source: RFC 5869.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ssecfs.ssec import CustomerKey

SUBKEY_BYTES: Final = 32


def derive_subkey(customer_key: CustomerKey, label: str, salt: bytes = b"") -> bytes:
    """Derive the 32-byte subkey for one use.

    Args:
        customer_key: the secret.
        label: names the use, for example ``attributes``.
        salt: random bytes of the thing that the subkey belongs to; empty where the subkey must be the same everywhere.
    """
    hkdf = HKDF(algorithm=SHA256(), length=SUBKEY_BYTES, salt=salt, info=b"ssecfs/" + label.encode("ascii") + b"/v1")
    return hkdf.derive(customer_key.reveal_bytes())
