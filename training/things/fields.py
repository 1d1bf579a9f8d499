"""Small fields that drawings are made of: grids, ramps and smooth noise."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np


@cache
def canvas_grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel, float32 `[S, S]` each. Shared: not to be written into."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return x, y


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """A smooth step from 0 at `low` to 1 at `high`; `low` may be the larger one."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def smooth_noise(rng: np.random.Generator, side: int, cell: float) -> np.ndarray:
    """Noise of about unit deviation, smooth over `cell` px of a canvas of 256, `[S, S]` float32."""
    cells = max(2, round(256 / cell) + 2)
    return cv2.resize(rng.normal(size=(cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)


def fine(noise: np.ndarray, side: int) -> np.ndarray:
    """The noise of latents `[16, h, w]` as unit white noise of a quarter of a latent, `[S, S]`: its channels side by
    side. What a picture takes from here, a model that sees this noise at its first step can know."""
    _, height, width = noise.shape
    grains = noise.reshape(4, 4, height, width).transpose(2, 0, 3, 1).reshape(4 * height, 4 * width)
    return cv2.resize(np.ascontiguousarray(grains), (side, side), interpolation=cv2.INTER_LINEAR)


def coarse(noise: np.ndarray, side: int, first: int = 0, spread: float = 1.0) -> np.ndarray:
    """A smooth field of unit deviation, `[S, S]`: four channels of the noise of latents from `first`, blurred over
    `spread` cells of a grid of 32."""
    spread = spread * noise.shape[1] / 32
    field = cv2.GaussianBlur(np.ascontiguousarray(noise[first : first + 4].mean(0)), (0, 0), max(spread, 0.3))
    field = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
    return field / (field.std() + 1e-6)


def mixed(one: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> np.ndarray:
    """From picture `one [S, S, 3]` to `other`, a picture or a colour, by `share [S, S]` in 0..1."""
    return one + (np.asarray(other, np.float32) - one) * share[..., None]


def over(picture: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A premultiplied RGBA layer `[S, S, 4]` on a picture `[S, S, 3]`."""
    return picture * (1 - layer[..., 3:]) + layer[..., :3]
