"""The keys of a cache directory: a random data key, kept wrapped under the customer keys.

Imported by ``cache.directory``. The keyfile of a cache (``keys``)::

    offset  bytes  content
    0       8      magic "SSECFSK1"
    8       76     one entry for each customer key:
                   16 salt, 12 nonce, 48 AES-256-GCM of the data key under HKDF-SHA256(customer key, salt)

So a new customer key is one more entry, and nothing on disk is sealed again. Whoever has none of the customer keys has nothing.
"""

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ssecfs.errors import BrokenSealError
from ssecfs.keyring.derive import derive_subkey
from ssecfs.keyring.keyring import Keyring

MAGIC: Final = b"SSECFSK1"
DATA_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_ENTRY_BYTES: Final = _SALT_BYTES + _NONCE_BYTES + DATA_KEY_BYTES + 16


@dataclass(frozen=True, slots=True, repr=False)
class CacheKeys:
    """The ciphers and secrets of one cache directory.

    Attributes:
        blocks: seals blocks.
        records: seals bindings, attributes and journal records.
        name_key: 32 bytes, for the HMAC that names records.
    """

    blocks: AESGCM
    records: AESGCM
    name_key: bytes


def new_data_key() -> bytes:
    """Make a data key."""
    return os.urandom(DATA_KEY_BYTES)


def wrap(data_key: bytes, keyring: Keyring) -> bytes:
    """The content of a keys file: the data key wrapped under each customer key."""
    entries = []
    for customer_key in keyring:
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        cipher = AESGCM(derive_subkey(customer_key, "cache", salt))
        entries.append(salt + nonce + cipher.encrypt(nonce, data_key, MAGIC))
    return MAGIC + b"".join(entries)


def unwrap(content: bytes, keyring: Keyring) -> bytes:
    """The data key from a keys file.

    Raises:
        BrokenSealError: no customer key of the ring opens an entry.
    """
    entries = content.removeprefix(MAGIC)
    for start in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        entry = entries[start : start + _ENTRY_BYTES]
        salt, nonce = entry[:_SALT_BYTES], entry[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        for customer_key in keyring:
            try:
                cipher = AESGCM(derive_subkey(customer_key, "cache", salt))
                return cipher.decrypt(nonce, entry[_SALT_BYTES + _NONCE_BYTES :], MAGIC)
            except InvalidTag:
                continue
    message = "the cache directory is sealed under another customer key"
    raise BrokenSealError(message)


def is_wrapped_under_all(content: bytes, keyring: Keyring) -> bool:
    """Tell whether every customer key of the ring opens a keys file."""
    for customer_key in keyring:
        try:
            unwrap(content, Keyring((customer_key,)))
        except BrokenSealError:
            return False
    return True


def make_cache_keys(data_key: bytes) -> CacheKeys:
    """Derive one key for each use."""
    return CacheKeys(
        blocks=AESGCM(_subkey(data_key, b"blocks")),
        records=AESGCM(_subkey(data_key, b"records")),
        name_key=_subkey(data_key, b"names"),
    )


def _subkey(data_key: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"", info=b"ssecfs/cache/" + label).derive(data_key)
