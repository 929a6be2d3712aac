"""One mount, put together: every object made, in order, in one nursery, and taken apart in reverse.

Imported by ``app.mount``. This is the only place that starts tasks which live as long as the mount.

Shutdown, read top to bottom in ``_serve``: the kernel's requests end (unmounted, or a signal) - everything unsaved is uploaded -
the cache is closed - the mount point is freed.
"""

import logging
from typing import Final

LOGGER: Final = logging.getLogger(__name__)
