"""`python -m khulasa_client.cli` is `khulasa`."""

from __future__ import annotations

import sys

from khulasa_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
