"""The door of `python -m pipeline.video`."""

from __future__ import annotations

import sys

from pipeline.video.translate import main

if __name__ == "__main__":
    sys.exit(main())
