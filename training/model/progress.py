"""Progress of a long stage: what is done, how fast, and the time left."""

from __future__ import annotations

import time


class Progress:
    """Prints at most one line in `seconds`, and always the last one."""

    def __init__(self, stage: str, total: int, done: int = 0, seconds: float = 10.0) -> None:
        self.stage, self.total, self.first, self.seconds = stage, total, done, seconds
        self.began = time.monotonic()
        self.printed = self.began

    def show(self, done: int, note: str = "") -> None:
        """Say how far the stage is; `done` counts from the very beginning, also in a resumed run."""
        now = time.monotonic()
        if done < self.total and now - self.printed < self.seconds:
            return
        self.printed = now
        rate = (done - self.first) / max(now - self.began, 1e-6)
        left = (self.total - done) / max(rate, 1e-6)
        print(f"{self.stage}: {done}/{self.total}, {rate:.2f} a second, {left / 60:.1f} min left {note}", flush=True)
