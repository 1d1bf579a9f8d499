"""How a visitor's hand draws a thing: outlines that wobble, gape and double, fills that leave places out.

Layers are float32 RGBA `[S, S, 4]`, premultiplied, in 0..1; lengths are in pixels of the canvas.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.things.fields import canvas_grid, ramp, smooth_noise


def outline(drawing: np.ndarray, rng: np.random.Generator, width: float, inner: bool = True) -> np.ndarray:
    """Opacity `[S, S]` of lines along the borders of a flat drawing's colours, or of its shape alone."""
    side = drawing.shape[0]
    unit = side / 256
    seen = drawing if inner else np.repeat(drawing[..., 3:], 4, 2)
    line = _borders(seen, 0.16 if inner else 0.5)
    far = cv2.distanceTransform(1 - line, cv2.DIST_L2, 3)
    ink = np.clip(width / 2 + 0.3 - far, 0, 1).astype(np.float32)
    ink = wobbled(ink, rng, rng.uniform(0, 1.8) * unit)
    if rng.random() < 0.2:  # drawn over a second time, beside the first line
        ink = np.maximum(ink, wobbled(ink, rng, rng.uniform(1.5, 3.5) * unit, cell=40))
    if rng.random() < 0.35:  # missed here and there
        ink = ink * ramp(smooth_noise(rng, side, 30), -1.7, -1.3)
    return ink


def _borders(picture: np.ndarray, contrast: float) -> np.ndarray:
    kernel = np.ones((3, 3), np.uint8)
    return (np.max(cv2.dilate(picture, kernel) - cv2.erode(picture, kernel), axis=2) > contrast).astype(np.uint8)


def wobbled(layer: np.ndarray, rng: np.random.Generator, reach: float, cell: int = 18) -> np.ndarray:
    """A layer `[S, S]` or `[S, S, C]` as an unsteady hand would put it: bent by up to about `reach` pixels."""
    side = layer.shape[0]
    x, y = canvas_grid(side)
    bent_x, bent_y = (reach * smooth_noise(rng, side, cell) for _ in range(2))
    return cv2.remap(layer, x + bent_x, y + bent_y, cv2.INTER_LINEAR)


def fill(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The flat colours as a hand fills them: exact, bent, scribbled, half done, or all in one colour."""
    side = drawing.shape[0]
    unit = side / 256
    kind = rng.random()
    filled = drawing
    if kind < 0.25:
        filled = wobbled(drawing, rng, 1.8 * unit, cell=24)
    elif kind < 0.40:
        filled = drawing * scribble(rng, side)[..., None]
    elif kind < 0.48:
        x, y = canvas_grid(side)
        angle, middle = rng.uniform(0, 2 * np.pi), _middle(drawing)
        along = (x - middle[0]) * np.cos(angle) + (y - middle[1]) * np.sin(angle)
        filled = drawing * ramp(along + 6 * unit * smooth_noise(rng, side, 30), 0, 3 * unit)[..., None]
    if rng.random() < 0.15:
        alpha = filled[..., 3:]
        colour = filled[..., :3].sum((0, 1)) / max(float(alpha.sum()), 1.0)
        filled = np.concatenate([alpha * colour, alpha], axis=2)
    return filled


def _middle(drawing: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(drawing[..., 3] > 0.5)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else (drawing.shape[1] / 2, drawing.shape[0] / 2)


def scribble(rng: np.random.Generator, side: int) -> np.ndarray:
    """Opacity of a filling made of strokes that leave the paper seen between them, `[S, S]`."""
    unit = side / 256
    x, y = canvas_grid(side)
    angle, period = rng.uniform(0, np.pi), rng.uniform(7, 12) * unit
    across = (x * np.cos(angle) + y * np.sin(angle)) + 4 * unit * smooth_noise(rng, side, 40)
    wave = np.sin(2 * np.pi * across / period)
    return ramp(wave, rng.uniform(-0.9, -0.3), 0.3)
