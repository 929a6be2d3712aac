"""Which customer key opens which object: remembered, so that the right one is tried first. No I/O.

Imported by ``s3.client``.
"""

from collections import OrderedDict
from typing import Final

from ssecfs.keyring.keyring import Keyring
from ssecfs.s3.types import ObjectKey
from ssecfs.ssec import CustomerKey

MAX_REMEMBERED_FITS: Final = 50_000
"""Objects that do not fit the first key, about 10 MB."""


class KeyFits:
    """Which customer key opened which object last.

    Owns: the bounded memory of that. Invariant: candidates are never empty and end with no key at all.
    """

    def __init__(self, keyring: Keyring) -> None:
        """Begin with the keyring's own order."""
        self._order: list[CustomerKey | None] = [*keyring, None]
        self._by_object: OrderedDict[ObjectKey, CustomerKey | None] = OrderedDict()

    def candidates(self, object_key: ObjectKey) -> list[CustomerKey | None]:
        """The keys to try, None meaning without a key, the likeliest first."""
        if object_key not in self._by_object:
            return list(self._order)
        likely = self._by_object[object_key]
        return [likely, *(customer_key for customer_key in self._order if customer_key != likely)]

    def note(self, object_key: ObjectKey, customer_key: CustomerKey | None) -> None:
        """Remember a fit, where it is not the first key's anyway."""
        if customer_key == self._order[0]:
            self._by_object.pop(object_key, None)
            return
        self._by_object[object_key] = customer_key
        self._by_object.move_to_end(object_key)
        if len(self._by_object) > MAX_REMEMBERED_FITS:
            self._by_object.popitem(last=False)

    def forget(self, object_key: ObjectKey) -> None:
        """The object is gone."""
        self._by_object.pop(object_key, None)
