"""``python -m ssecfs``: the same as the ``ssecfs`` command."""

import sys

from ssecfs.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
