"""Very many objects for an embedded server: its index is enough for listings and HEADs, so no request is made for them."""

import time
from collections.abc import Iterable
from pathlib import Path

from ssecfs.server.call import seal_place
from ssecfs.server.options import Durability
from ssecfs.server.records import Kind, Piece, StoredObject
from ssecfs.server.sealed import make_seal
from ssecfs.server.storage import Storage
from ssecfs.ssec import CustomerKey


def fill_bucket(directory: Path, bucket: str, customer_key: CustomerKey, names: Iterable[str], size: int) -> None:
    """Put objects without content into a server's directory; the server must not run.

    Args:
        directory: of the server; made if missing.
        bucket: made here.
        customer_key: opens the objects.
        names: object keys.
        size: bytes that the objects pretend to have.
    """
    storage = Storage(directory, Durability.KILL)
    storage.buckets.create(bucket)
    now_ms = time.time_ns() // 1_000_000
    with storage._database.transaction():
        for number, name in enumerate(names):
            seal, _ = make_seal(customer_key.reveal_bytes(), seal_place(bucket, name), is_ssec=True)
            pieces = (Piece(f"{number:032x}", 0, size, bytes(16)),)
            storage.objects.put_current(
                StoredObject(
                    bucket, name, "null", number, Kind.OBJECT, size, f'"{number:032x}"', now_ms, {}, "", {}, seal, pieces
                )
            )
    storage.close()
