"""The door of `python -m training.evaluate`; the work is done in `training.model.evaluate`."""

from __future__ import annotations

from training.model.evaluate import main

if __name__ == "__main__":
    main()
