"""Flat drawings made round: what a drawing that nobody has rendered could look like in three dimensions; and renderings
in the colours of their drawings."""

from __future__ import annotations

import cv2
import numpy as np

LIGHT = np.float32([-0.45, -0.62, 0.64])
"""Towards the light: from the upper left, and from the front."""

TAKEN = np.float32([0.3, 0.75, 0.75])
"""How much of a rendering's lightness and of its chroma becomes the drawing's."""
NEAR = 3.0
"""Deviation in pixels over which they are compared, since a rendering lies over its drawing but roughly."""

INK_CHROMA = 42.0
"""CIELAB chroma from which something violet counts as meant."""


def coloured_like(rendering: np.ndarray, drawing: np.ndarray) -> np.ndarray:
    """A rendering RGBA uint8 `[H, W, 4]`, closer in CIELAB to the drawing that it lies over: coloured light turns red
    things purple and grey ones violet, and nobody who says "a car" means that."""
    ours, theirs = (
        cv2.cvtColor(each[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (rendering, drawing)
    )
    both = ((rendering[..., 3] > 127) & (drawing[..., 3] > 127)).astype(np.float32)
    weights = cv2.GaussianBlur(both, (0, 0), NEAR) + 1e-3
    difference = cv2.GaussianBlur((theirs - ours) * both[..., None], (0, 0), NEAR) / weights[..., None]
    colours = np.clip(cv2.cvtColor(ours + TAKEN * difference, cv2.COLOR_LAB2RGB), 0, 1)
    return np.dstack([(colours * 255 + 0.5).astype(np.uint8), rendering[..., 3]])


def without_violet(picture: np.ndarray) -> np.ndarray:
    """A picture RGBA uint8 `[H, W, 4]` whose ink and shadows are grey: Fluent's are indigo and lilac, and its pandas
    purple. What is violet by itself has more chroma, and stays."""
    lab = cv2.cvtColor(picture[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    violet = np.clip((INK_CHROMA - chroma) / 8, 0, 1) * (np.abs(hue - 305) < 45)
    lab[..., 1:] *= (1 - 0.8 * violet)[..., None]
    colours = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)
    return np.dstack([(colours * 255 + 0.5).astype(np.uint8), picture[..., 3]])


def inflated(drawing: np.ndarray) -> np.ndarray:
    """A drawing RGBA uint8 `[H, W, 4]` as if each of its shapes were a cushion: lit, with a gleam and a darker rim."""
    alpha = drawing[..., 3].astype(np.float32) / 255
    height = _cushion(alpha) + 0.35 * _cushion(alpha * _insides(drawing))
    normal = _normals(height)
    lit = np.clip(normal @ LIGHT, 0, 1)
    shade = 0.70 + 0.42 * lit
    gleam = np.clip(lit, 0, 1) ** 24 * 0.30
    colour = drawing[..., :3].astype(np.float32) / 255
    bounce = (1 - normal[..., 2:]) * np.float32([0.05, 0.01, 0.08])
    rendered = colour * shade[..., None] + gleam[..., None] + bounce * alpha[..., None]
    return np.dstack([(np.clip(rendered, 0, 1) * 255 + 0.5).astype(np.uint8), drawing[..., 3]])


def _cushion(mask: np.ndarray) -> np.ndarray:
    """Heights `[H, W]` in pixels of a cushion over a mask 0..1: steep at the rim, flat in the middle."""
    far = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    round_rim = min(mask.shape) * 0.14
    inside = np.clip(far / round_rim, 0, 1)
    return cv2.GaussianBlur(np.sqrt(1 - (1 - inside) ** 2) * round_rim * 0.8, (0, 0), 2.2)


def _insides(drawing: np.ndarray) -> np.ndarray:
    """1 where the colour is even, 0 at borders of colours, `[H, W]`."""
    kernel = np.ones((3, 3), np.uint8)
    spread = cv2.dilate(drawing[..., :3], kernel).astype(np.int16) - cv2.erode(drawing[..., :3], kernel)
    return (spread.max(2) < 40).astype(np.float32)


def _normals(height: np.ndarray) -> np.ndarray:
    """Unit normals `[H, W, 3]` of a height field in pixels."""
    down, right = np.gradient(height)
    normal = np.dstack([-right, -down, np.ones_like(height)])
    return (normal / np.linalg.norm(normal, axis=2, keepdims=True)).astype(np.float32)
