"""The door of `python -m pipeline.replay`; the work is done in `pipeline.recording.replay`."""

from __future__ import annotations

import sys

from pipeline.recording.replay import main

if __name__ == "__main__":
    sys.exit(main())
