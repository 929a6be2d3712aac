"""Keyring: the customer keys that one mount knows.

Floor 1. Where they come from is the business of ``keyfile``; which of them opens an object that of ``s3``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ssecfs.ssec import CustomerKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """One or more customer keys, all different: the first encrypts, all decrypt."""

    customer_keys: tuple[CustomerKey, ...]

    def __post_init__(self) -> None:
        """Check the invariants."""
        if not self.customer_keys:
            message = "a keyring holds at least one customer key"
            raise ValueError(message)
        if len(set(self.customer_keys)) != len(self.customer_keys):
            message = "a customer key is in the keyring twice"
            raise ValueError(message)

    def __iter__(self) -> Iterator[CustomerKey]:
        """Go through the customer keys, the encrypting one first."""
        return iter(self.customer_keys)

    def __len__(self) -> int:
        """Count the customer keys."""
        return len(self.customer_keys)

    @property
    def first(self) -> CustomerKey:
        """The customer key for everything that is written."""
        return self.customer_keys[0]

    def find(self, key_md5: str) -> CustomerKey | None:
        """The customer key with this MD5, if it is in the ring."""
        return next((customer_key for customer_key in self.customer_keys if customer_key.md5 == key_md5), None)
