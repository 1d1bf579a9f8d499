"""Single brush strokes: one a cell of a lattice, placed, turned and stacked by the content and by the cell's noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.looks.fields import grid


@dataclass(frozen=True)
class Dabs:
    """colour `[H, W, 3]` of the uppermost dab at each pixel; across -1..1 and along -1..1, the place within it; edge
    0..1, 1 inside and 0 at its border; cover bool where there is one."""

    colour: np.ndarray
    across: np.ndarray
    along: np.ndarray
    edge: np.ndarray
    cover: np.ndarray


def dabs(
    image: np.ndarray,
    angle: np.ndarray,
    noise: np.ndarray,
    length: float,
    width: float,
    first: int = 0,
    cell: int = 8,
    chance: np.ndarray | None = None,
) -> Dabs:
    """Lay a dab of `length` by `width` px in each cell of `cell` px, or where `chance [H, W]` is above 0.5.

    Channels of the noise from `first` on say how far from the middle of the cell it lies, how far up in the stack,
    and how it differs in tone.
    """
    height, total = image.shape[:2]
    rows, columns = height // cell, total // cell
    local = _cells(noise, first, rows, columns)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    centre_x = (x + 0.5 + 0.35 * np.tanh(local[0])) * cell
    centre_y = (y + 0.5 + 0.35 * np.tanh(local[1])) * cell
    at_x = np.clip(centre_x, 0, total - 1).astype(np.intp)
    at_y = np.clip(centre_y, 0, height - 1).astype(np.intp)
    colour = image[at_y, at_x] * (1 + 0.05 * np.tanh(local[3]))[..., None]
    turn = angle[at_y, at_x] + 0.12 * np.tanh(local[3])
    priority = local[2].copy()
    if chance is not None:
        priority[chance[at_y, at_x] < 0.5] = -np.inf
    return _stacked(
        height, total, cell, (centre_x, centre_y, np.cos(turn), np.sin(turn)), priority, colour, length, width
    )


def _cells(noise: np.ndarray, first: int, rows: int, columns: int) -> np.ndarray:
    """`[4, rows, columns]`: four channels of the noise, a value a cell."""
    chosen = noise[[(first + number) % len(noise) for number in range(4)]]
    if chosen.shape[1:] == (rows, columns):
        return chosen
    step = chosen.shape[1] // rows
    return chosen[:, ::step, ::step]


def _stacked(
    height: int,
    total: int,
    cell: int,
    places: tuple[np.ndarray, ...],
    priority: np.ndarray,
    colour: np.ndarray,
    length: float,
    width: float,
) -> Dabs:
    """Each pixel looks at the dabs around it and takes the uppermost that covers it."""
    x, y = grid(height, total)
    best = np.full((height, total), -np.inf, np.float32)
    kept = np.zeros((height, total), np.int32)
    across, along = np.zeros((2, height, total), np.float32)
    rows, columns = priority.shape
    numbers = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    reach = int(np.ceil((length / 2 + cell * 0.35) / cell))
    data = np.dstack([*places, priority, numbers.astype(np.float32)]).astype(np.float32)
    padded = cv2.copyMakeBorder(data[..., :4], reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    above = cv2.copyMakeBorder(data[..., 4:], reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=-np.inf)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if np.hypot(max(abs(down) - 1, 0), max(abs(right) - 1, 0)) * cell > length / 2:
                continue
            window = slice(reach + down, reach + down + rows), slice(reach + right, reach + right + columns)
            here = np.dstack([padded[window], above[window]])
            each = cv2.resize(here, (total, height), interpolation=cv2.INTER_NEAREST)
            away_x, away_y = x - each[..., 0], y - each[..., 1]
            u = (away_x * each[..., 2] + away_y * each[..., 3]) * (2 / length)
            v = (away_y * each[..., 2] - away_x * each[..., 3]) * (2 / width)
            wins = (u * u * u * u + v * v < 1) & (each[..., 4] > best)
            best[wins] = each[..., 4][wins]
            kept[wins] = each[..., 5][wins].astype(np.int32)
            along[wins], across[wins] = u[wins], v[wins]
    edge = np.clip(1 - along**4 - across**2, 0, 1)
    return Dabs(colour.reshape(-1, 3)[kept], across, along, edge, np.isfinite(best))
