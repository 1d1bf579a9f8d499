"""Textures on fixed grids of 16 and 32 px."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np


def _tile_of_dabs(seed: int, radius: tuple[float, float], count: int, slant: float = 0.0) -> np.ndarray:
    """A 32 px tile of overlapping dabs, each lit from the upper left, that repeats without a seam."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:32, 0:32].astype(np.float32)
    tile = np.full((32, 32), -1.0, np.float32)
    for _ in range(count):
        cx, cy = rng.uniform(0, 32, 2)
        dx, dy = (x - cx + 16) % 32 - 16, (y - cy + 16) % 32 - 16
        dx = dx + slant * dy
        distance = np.hypot(dx / radius[0], dy / radius[1])
        light = 0.75 - 0.8 * (0.5 * dx / radius[0] + 0.85 * dy / radius[1]) - 0.5 * distance
        cover = np.clip((1 - distance) * 4, 0, 1)
        tile += (light - tile) * cover
    tile -= tile.mean()
    return tile / (1.6 * tile.std())


def _grid_textures(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The textures that are formulas of pixel coordinates [S, S]; values about -1..1."""
    tau = 2 * np.pi
    row = np.floor(y / 16)
    across = (x + 8 * (row % 2)) % 16
    down = y % 16
    tiles = np.where((across - 8) ** 2 / 64 + (down / 16) ** 4 < 1, 0.7 - down / 14, -0.9)
    brick_row = np.floor(y / 16) % 2
    brick_x = (x + 16 * brick_row) % 32
    tone = np.where((np.floor((x + 16 * brick_row) / 32) + row) % 2 > 0, 0.35, -0.1)
    bricks = np.where((brick_x < 2.5) | (down < 2.5), 0.9, tone) - 0.7 * ((brick_x > 29) | (down > 13.5))
    board = np.floor(x / 16) % 2
    planks = np.where(x % 16 < 2.2, -1.2, 0.3 * np.sin(tau * (x / 8 + 0.15 * np.sin(tau * y / 32))) + 0.4 * board)
    table = np.where(y % 32 < 2.2, -1.2, 0.5 * np.sin(tau * (y / 16 + 0.22 * np.sin(tau * x / 32))))
    tuft = np.abs(((x + 8 * (row % 2)) % 16) / 8 - 1)
    grass = np.clip(1.0 - 1.9 * np.abs((y + 9 * tuft) % 16 / 16), -1, 1)
    crest = np.sin(tau * (y / 16 + 0.16 * np.sin(tau * x / 32 + 1.5 * (row % 2))))
    panes = np.where((x % 16 > 4) & (y % 16 > 5), -0.7 + 0.5 * ((np.floor(x / 16) + row) % 2), 0.25)
    return {
        "tiles": tiles,
        "bricks": bricks,
        "planks": planks,
        "table": table,
        "grass": grass,
        "panes": panes,
        "waves": np.sign(crest) * np.abs(crest) ** 1.5,
        "bark": np.sin(tau * (x / 16 + 0.3 * np.sin(tau * y / 32))),
        "folds": np.sin(tau * (x / 32 + 0.25 * np.sin(tau * y / 64))),
        "strands": np.sin(tau * (x / 16 + 0.25 * np.sin(tau * y / 32))),
    }


@lru_cache(maxsize=4)
def textures(size: int) -> dict[str, np.ndarray]:
    """All textures as float32 [size, size], phase fixed at the canvas origin."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    found = {
        name: cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.7) for name, field in _grid_textures(x, y).items()
    }
    repeats = (size // 32 + 1, size // 32 + 1)
    dabs = {
        "leaves": _tile_of_dabs(3, (6.5, 5.5), 22),
        "needles": _tile_of_dabs(5, (3.6, 9.0), 26),
        "fur": _tile_of_dabs(7, (3.6, 9.5), 24, 0.35),
        "feathers": _tile_of_dabs(9, (6.0, 7.5), 18, 0.3),
        "rock": _tile_of_dabs(11, (11.0, 9.0), 10, -0.5),
        "puffs": _tile_of_dabs(13, (11.0, 9.0), 12),
        "canvas": _tile_of_dabs(15, (10.0, 5.0), 18, 0.5),
        "grain": _tile_of_dabs(17, (8.0, 3.5), 20),
        "plaster": _tile_of_dabs(19, (10.0, 8.0), 14),
    }
    for name, tile in dabs.items():
        found[name] = cv2.GaussianBlur(np.tile(tile, repeats), (0, 0), 0.8)[:size, :size]
    return found
