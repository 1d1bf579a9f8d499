"""Directions, streaks and edges: what a picture and a noise tell a brush.

Pictures are float32 `[H, W, 3]` in 0..1, fields float32 `[H, W]`, angles in radians (of x towards y).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from training.styles.filters import blur, outlines, ramp
from training.things.fields import fine


@cache
def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel. Shared: not to be written into."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y


def shrunk(field: np.ndarray, times: int) -> np.ndarray:
    """A picture or field at a fraction of its size."""
    height, width = field.shape[:2]
    return cv2.resize(field, (width // times, height // times), interpolation=cv2.INTER_AREA)


def grown(field: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A picture or field at the size of `like`."""
    height, width = like.shape[:2]
    return cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)


def _derivatives(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return cv2.Scharr(image, cv2.CV_32F, 1, 0) / 16, cv2.Scharr(image, cv2.CV_32F, 0, 1) / 16


def flow(image: np.ndarray, reach: float, fallback: np.ndarray) -> np.ndarray:
    """Angles along the contours, from a structure tensor over `reach` px; where there are none, `fallback` (angles)."""
    small = shrunk(image, 2)
    across, down = _derivatives(small)
    sigma = reach / 2
    xx, yy, xy = (blur((one * other).sum(2), sigma) for one, other in ((across, across), (down, down), (across, down)))
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    sure = ramp(spread / (xx + yy + 1e-4) * np.clip((xx + yy) * 200, 0, 1), 0.05, 0.5)
    double = np.arctan2(2 * xy, xx - yy) + np.pi
    other = 2 * shrunk(fallback, 2)
    x = sure * np.cos(double) + (1 - sure) * 0.6 * np.cos(other)
    y = sure * np.sin(double) + (1 - sure) * 0.6 * np.sin(other)
    return 0.5 * np.arctan2(grown(blur(y, sigma), image), grown(blur(x, sigma), image))


def smeared(field: np.ndarray, angle: np.ndarray, length: float, step: float = 2.0) -> np.ndarray:
    """A field or picture averaged along `angle` over about `length` px (line integral convolution)."""
    height, width = field.shape[:2]
    start_x, start_y = grid(height, width)
    double = np.dstack([np.cos(2 * angle), np.sin(2 * angle)]).astype(np.float32)
    total, count = field.copy(), 1
    for sign in (1.0, -1.0):
        ahead_x, ahead_y = sign * np.cos(angle), sign * np.sin(angle)
        x, y = start_x, start_y
        for _ in range(max(1, int(length / 2 / step))):
            x, y = x + step * ahead_x, y + step * ahead_y
            total += cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            count += 1
            turned = cv2.remap(double, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            half = 0.5 * np.arctan2(turned[..., 1], turned[..., 0])
            next_x, next_y = np.cos(half), np.sin(half)
            back = np.where(next_x * ahead_x + next_y * ahead_y < 0, -1, 1).astype(np.float32)
            ahead_x, ahead_y = next_x * back, next_y * back
    return total / count


def bristles(noise: np.ndarray, angle: np.ndarray, length: float, width: float) -> np.ndarray:
    """Streaks of unit deviation along `angle`, about `3 * width` px wide."""
    field = blur(fine(noise, angle.shape[0]), width)
    streaks = smeared(field, angle, length)
    streaks = streaks - blur(streaks, 7)
    return streaks / (streaks.std() + 1e-6)


def edges(image: np.ndarray, width: float, low: float, high: float) -> np.ndarray:
    """0..1 where colours change, in lines of about `3 * width` px."""
    across, down = _derivatives(blur(image, width))
    return ramp(np.sqrt((across * across + down * down).max(2)) * width * 1.2, low, high)


def contours(image: np.ndarray, width: float, low: float, high: float) -> np.ndarray:
    """Lines along borders as `edges` gives them; where these crowd, as in a small face, thin ones on the dark side."""
    thick = edges(image, width, low, high)
    thin = outlines(image, 0.55 * width, 0.045, 0.11)
    crowded = ramp(blur(thick, 5), 0.46, 0.66)
    return thick + (0.85 * thin - thick) * crowded


def calmed(image: np.ndarray, times: int = 2, reach: int = 7, contrast: float = 0.12) -> np.ndarray:
    """Texture smoothed away and borders kept."""
    for _ in range(times):
        image = cv2.bilateralFilter(image, reach, contrast, reach * 0.6)
    return image


def relief(height: np.ndarray, amount: float) -> np.ndarray:
    """How a height field is lit from the upper left, about -`amount`..`amount`."""
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) + cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return amount * np.tanh(slope / 6)


def moved(image: np.ndarray, by_x: np.ndarray, by_y: np.ndarray) -> np.ndarray:
    """What is seen `by_x` and `by_y` px further, at each pixel."""
    x, y = grid(*image.shape[:2])
    return cv2.remap(image, x + by_x, y + by_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def from_the_rim(height: int, width: int) -> np.ndarray:
    """Pixels to the nearest side of the sheet."""
    x, y = grid(height, width)
    return np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
