"""Colours that people name, and things painted in them."""

from __future__ import annotations

import cv2
import numpy as np

COLOURS: dict[str, tuple[int, float, float]] = {
    "red": (2, 0.85, 1.0),
    "orange": (14, 0.9, 1.05),
    "yellow": (25, 0.85, 1.15),
    "green": (58, 0.75, 0.9),
    "turquoise": (88, 0.75, 1.0),
    "blue": (108, 0.8, 1.0),
    "purple": (138, 0.65, 0.95),
    "pink": (168, 0.5, 1.2),
    "brown": (11, 0.6, 0.62),
    "white": (25, 0.05, 1.35),
    "grey": (110, 0.06, 0.8),
    "black": (115, 0.15, 0.32),
}
"""Hue in OpenCV's half degrees, saturation, and a factor of brightness, by name."""
DARK_GREY = 80
"""Of 255: what is darker has the dark of its lines, such as a butterfly's, and takes no colour for being grey."""


def in_colour(pictures: np.ndarray, name: str) -> np.ndarray:
    """Drawing and rendering of a thing, uint8 RGBA `[2, H, W, 4]`, in a named colour.

    What has the thing's main hue takes the colour, or, where more is pale, what is pale: the petals of a daisy, not its
    leaves. Details of other hues and dark lines stay.
    """
    hue, saturation, brightness = COLOURS[name]
    share = np.stack([_share_to_colour(each, _main_hue(pictures[0])) for each in pictures])
    hsv = np.stack([cv2.cvtColor(each[..., :3], cv2.COLOR_RGB2HSV) for each in pictures]).astype(np.float32)
    value = hsv[..., 2] * brightness
    shaded = np.clip(saturation * (0.75 + 0.25 * hsv[..., 1] / 255), 0, 1) * 255
    painted = np.stack([np.full_like(value, hue), shaded, np.clip(value, 0, 255)], axis=-1).astype(np.uint8)
    recoloured = np.stack([cv2.cvtColor(each, cv2.COLOR_HSV2RGB) for each in painted]).astype(np.float32)
    mixed = pictures[..., :3] + (recoloured - pictures[..., :3]) * share[..., None]
    return np.concatenate([np.clip(mixed + 0.5, 0, 255).astype(np.uint8), pictures[..., 3:]], axis=-1)


def _main_hue(picture: np.ndarray) -> float | None:
    """The hue that covers most, in half degrees; None where more is pale."""
    hsv = cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2HSV)
    there = picture[..., 3] > 127
    bright = there & (hsv[..., 2] > 60)
    seen, pale = bright & (hsv[..., 1] > 60), there & (hsv[..., 2] > DARK_GREY) & (hsv[..., 1] < 50)
    if seen.sum() < 0.08 * there.sum():
        return None
    counts = np.bincount(hsv[..., 0][seen], minlength=180).astype(np.float64)
    around = np.convolve(np.concatenate([counts[-12:], counts, counts[:12]]), np.ones(25), "valid")
    return None if around.max() < pale.sum() else float(around.argmax())


def _share_to_colour(picture: np.ndarray, main: float | None) -> np.ndarray:
    """0..1 `[H, W]`: how much of each pixel takes the new colour."""
    hue, saturation, value = cv2.split(cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2HSV).astype(np.float32))
    bright = np.clip((value - 45) / 40, 0, 1)
    pale = np.clip((70 - saturation) / 40, 0, 1)
    if main is None:
        return bright * np.maximum(pale, 0.6 * np.clip((140 - saturation) / 40, 0, 1))
    away = np.abs((hue - main + 90) % 180 - 90)
    return bright * np.clip((32 - away) / 10, 0, 1) * (1 - pale)
