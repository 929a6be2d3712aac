"""Where the operations are tried: on a mount, and on a local directory, which shows that the tests expect what is usual."""

from pathlib import Path

import pytest


@pytest.fixture(params=["mount", "local"])
def place(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    """An empty directory, on the mount that a module shares, then on a local disk."""
    return folder if request.param == "mount" else tmp_path
