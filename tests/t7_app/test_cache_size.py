"""How large the caches of a mount are when nobody says."""

from pathlib import Path

import pytest

from ssecfs.app.assembly import _cache_options
from ssecfs.app.config import mount_options
from ssecfs.app.options import Value
from ssecfs.cache.containers import Containers
from ssecfs.sizes import GIB, MIB


class FakeDisk(Containers):
    """Containers on a disk with so many free bytes."""

    def __init__(self, folder: Path, free_bytes: int) -> None:
        super().__init__(folder)
        self._free_bytes = free_bytes

    def free_bytes(self) -> int:
        return self._free_bytes


@pytest.mark.parametrize(
    ("given", "free_bytes", "size_bytes"),
    [
        ({}, 5 * GIB, 512 * MIB),
        ({}, 100 * GIB, GIB),
        ({"cache-size": 7 * MIB}, 5 * GIB, 7 * MIB),
        ({"cache-size": 3 * GIB}, 5 * GIB, 3 * GIB),
    ],
    ids=["a tenth of a small disk", "a gibibyte of a large one", "less than that, if said", "more than that, if said"],
)
def test_cache_size_when_the_disk_has_so_much_free(
    tmp_path: Path, given: dict[str, Value], free_bytes: int, size_bytes: int
) -> None:
    options = mount_options("bucket", "/mnt", {"keyfile": Path("key"), **given})
    assert _cache_options(options, FakeDisk(tmp_path, free_bytes)).size_bytes == size_bytes
