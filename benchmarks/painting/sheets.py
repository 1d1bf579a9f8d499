"""Contact sheets, as JPEG files of a modest size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.painting.inputs import resized

MOST_BYTES = 300_000
QUALITIES = (88, 82, 75, 65, 50, 35)


def sheet(rows: Sequence[Sequence[np.ndarray]], cell: int, across: int = 1) -> Image.Image:
    """Rows of square pictures as cells of `cell` px, `across` rows side by side."""
    strips = [np.hstack([resized(each, cell) for each in row]) for row in rows]
    strips += [np.full_like(strips[0], 255)] * (-len(strips) % across)
    lines = [np.hstack(strips[start : start + across]) for start in range(0, len(strips), across)]
    return Image.fromarray(np.vstack(lines))


def save_sheet(picture: Image.Image, file: Path) -> None:
    """Write a JPEG in the best quality that keeps to `MOST_BYTES`; half as large where none does."""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            file.write_bytes(buffer.getvalue())
            return
    save_sheet(picture.reduce(2), file)
