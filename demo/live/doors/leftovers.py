"""What uploads leave on the disk that nobody takes, and Gradio does not delete."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

LEFT_FOR_S = 3600.0
"""How long nobody wrote to what is a leftover; an upload has to be whole long before."""

UNFINISHED = re.compile(r"tmp[a-z0-9_]{8}")
"""How `tempfile` names what Gradio writes an upload to, before it has its place."""

PLACE = re.compile(r"[0-9a-f]{64}")
"""How Gradio names a folder of one file: by the file's SHA-256."""


def sweep(folder: Path, now: float) -> int:
    """Delete the leftovers in Gradio's folder of uploads at `now` (`time.time`); how many there were."""
    swept = 0
    with suppress(FileNotFoundError):
        for each in folder.iterdir():
            # Other threads and other apps delete here too.
            with suppress(OSError):
                if now - each.lstat().st_mtime <= LEFT_FOR_S:
                    continue
                if UNFINISHED.fullmatch(each.name) and each.is_file():
                    each.unlink()
                    swept += 1
                elif PLACE.fullmatch(each.name):
                    # Only an empty one goes.
                    each.rmdir()
                    swept += 1
    return swept
