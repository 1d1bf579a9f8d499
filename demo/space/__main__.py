"""The door of `python -m demo.space`."""

from __future__ import annotations

import sys

from demo.space.space import main

if __name__ == "__main__":
    sys.exit(main())
