"""Pictures of shards, read through memory maps: crops of sketches and renderings."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from pathlib import Path

import numpy as np


class Pictures:
    """Rows count over all shards of a folder, in the order of `read_latents`."""

    def __init__(self, folder: Path) -> None:
        bases = sorted(file.with_suffix("") for file in folder.glob("*.json"))
        self.sketches, self.renderings = (
            [np.load(base.with_suffix(f".{what}.npy"), mmap_mode="r") for base in bases]
            for what in ("sketches", "renderings")
        )

    def sketch(self, row: int, y: int, x: int, side: int) -> np.ndarray:
        """uint8 `[side, side, 3]` from (y, x) on."""
        return _cut(self.sketches, row, y, x, side)

    def rendering(self, row: int, y: int, x: int, side: int) -> np.ndarray:
        """uint8 `[side, side, 3]` from (y, x) on."""
        return _cut(self.renderings, row, y, x, side)

    def crops(self, rng: np.random.Generator, count: int, side: int) -> np.ndarray:
        """`count` random crops of any picture, uint8 `[B, side, side, 3]`; three in four are renderings."""
        crops = []
        for _ in range(count):
            of = self.renderings if rng.random() < 0.75 else self.sketches
            row = int(rng.integers(sum(len(each) for each in of)))
            y, x = (int(each) for each in rng.integers(0, of[0].shape[1] - side + 1, 2))
            crop = _cut(of, row, y, x, side)
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        return np.stack(crops)


def _cut(parts: list[np.ndarray], row: int, y: int, x: int, side: int) -> np.ndarray:
    ends = list(accumulate(len(each) for each in parts))
    number = bisect(ends, row)
    return np.array(parts[number][row - (ends[number] - len(parts[number])), y : y + side, x : x + side])
