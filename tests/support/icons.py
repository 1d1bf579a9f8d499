"""A few icons that need no pack: discs, boxes and triangles under the names of real things."""

from __future__ import annotations

import cv2
import numpy as np

from training.things.icons import SIDE, Icons

NAMES = {
    "house": (190, 60, 40),
    "sun": (250, 200, 40),
    "sailboat": (230, 120, 60),
    "fish": (40, 110, 220),
    "rocket": (200, 40, 70),
    "red-apple": (220, 40, 40),
    "cat-face": (240, 160, 50),
    "woman-medium-light": (230, 190, 160),
    "ghost": (235, 235, 240),
}


def simple_icon(colour: tuple[int, int, int], corners: int) -> np.ndarray:
    """Flat drawing and rendering, uint8 `[2, 192, 192, 4]`: a polygon with a dark middle, and the same one shaded."""
    flat = np.zeros((SIDE, SIDE, 4), np.uint8)
    angles = np.arange(corners) * 2 * np.pi / corners
    points = (SIDE / 2 + 80 * np.stack([np.sin(angles), -np.cos(angles)], 1)).astype(np.int32)
    cv2.fillPoly(flat, [points], (*colour, 255))
    cv2.circle(flat, (SIDE // 2, SIDE // 2), 14, (20, 20, 24, 255), -1)
    shade = np.linspace(1.0, 0.7, SIDE)[:, None, None]
    shaded = np.concatenate([(flat[..., :3] * shade).astype(np.uint8), flat[..., 3:]], axis=2)
    return np.stack([flat, shaded])


def simple_icons() -> Icons:
    """Two drawings of each of `NAMES`."""
    pictures, rows = [], {}
    for number, (name, colour) in enumerate(NAMES.items()):
        rows[name] = [len(pictures), len(pictures) + 1]
        pictures += [simple_icon(colour, 3 + number % 4), simple_icon(colour, 40)]
    return Icons(np.stack(pictures), rows)
