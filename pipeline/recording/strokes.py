"""What a stroke, a shape or a fill covers of a layer: the same pixels every time, with soft edges, at any size.

Lines are drawn as the page's canvas draws them: curves between the middles of the pen's points, each as wide as its
point, with round ends. A layer is premultiplied colour with opacity, uint8 `[S, S, 4]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.recording.operations import CANVAS_SIDE, Colour, Point, Shape

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

Layer: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.uint8]
"""How much of each pixel is covered, uint8 `[h, w]`."""
Places: TypeAlias = NDArray[np.float64]
"""x and y, `[N, 2]`, or `[2]` of one."""
Box: TypeAlias = tuple[int, int, int, int]
"""Top, bottom, left and right, in pixels."""

OVERSAMPLING = 4
"""Edges are that many times finer than pixels while they are drawn."""
SUBPIXEL_BITS = 4
CURVE_PIECE = 3.0
"""Units: curves are drawn as straight pieces of about this length."""
MOST_PIECES = 32
FILL_TOLERANCE = 40
"""Of 255 in each channel: what a fill takes for the colour that it was set on."""


def coloured(layer: Layer, mask: Mask, box: Box, colour: Colour) -> Layer:
    """The layer with `colour` where the mask, which lies in the box, covers it."""
    return _blended(layer, mask, box, (*colour, 255))


def erased(layer: Layer, mask: Mask, box: Box) -> Layer:
    """The layer without what the mask, which lies in the box, covers."""
    return _blended(layer, mask, box, (0, 0, 0, 0))


def _blended(layer: Layer, mask: Mask, box: Box, target: tuple[int, int, int, int]) -> Layer:
    top, bottom, left, right = box
    share = mask[..., None].astype(np.float32) / 255
    blended = layer.copy()
    below = layer[top:bottom, left:right]
    blended[top:bottom, left:right] = np.rint(np.array(target, np.float32) * share + below * (1 - share))
    return blended


def stroke_mask(points: Sequence[Point], side: int) -> tuple[Mask, Box]:
    """What a stroke covers of a square of `side` pixels, and where."""
    return _drawn(curves(points), side)


def _drawn(pieces: Sequence[tuple[float, Places]], side: int, filled: bool = False) -> tuple[Mask, Box]:
    """What lines of such widths, or the area inside of them, cover of a square of `side` pixels, and where."""
    scale = side / CANVAS_SIDE
    box = _box([(places * scale, width * scale) for width, places in pieces], side)
    top, bottom, left, right = box
    fine = np.zeros(((bottom - top) * OVERSAMPLING, (right - left) * OVERSAMPLING), np.uint8)
    for width, places in pieces:
        fixed = _fixed((places * scale - (left, top)) * OVERSAMPLING)
        if filled:
            cv2.fillPoly(fine, [fixed], 255, cv2.LINE_8, SUBPIXEL_BITS)
        else:
            thickness = max(1, round(width * scale * OVERSAMPLING))
            cv2.polylines(fine, [fixed], False, 255, thickness, cv2.LINE_8, SUBPIXEL_BITS)
    return np.asarray(cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA), np.uint8), box


def _box(pieces: Sequence[tuple[Places, float]], side: int) -> Box:
    """What lines through such places, in pixels, and of such widths can cover of a square; never empty."""
    low = np.min([places.min(axis=0) - width for places, width in pieces], axis=0)
    high = np.max([places.max(axis=0) + width for places, width in pieces], axis=0)
    left, top = (int(each) for each in np.clip(np.floor(low) - 1, 0, side - 1))
    right, bottom = (int(each) for each in np.clip(np.ceil(high) + 1, 1, side))
    return top, max(bottom, top + 1), left, max(right, left + 1)


def curves(points: Sequence[Point]) -> list[tuple[float, Places]]:
    """The width of each piece of a stroke and the places `[N, 2]` along it, in units.

    Quadratic curves from the middle of two points to the middle of the next two, with the point between as the one
    that pulls: a fast hand draws no corners.
    """
    found = []
    last = middle = np.array(points[0][:2])
    for point in (*points, points[-1]):
        here = np.array(point[:2])
        following = (last + here) / 2
        length = np.hypot(*(last - middle)) + np.hypot(*(following - last))
        along = np.linspace(0, 1, 2 + min(MOST_PIECES, int(length / CURVE_PIECE)))[:, None]
        found.append((point.width, (1 - along) ** 2 * middle + 2 * along * (1 - along) * last + along**2 * following))
        last, middle = here, following
    return found


def shape_mask(shape: Shape, share: float, side: int) -> tuple[Mask, Box]:
    """What a shape covers of a square of `side` pixels when it has been pulled `share` of the way, and where."""
    start, end = np.array(shape.start), np.array(shape.end)
    outline = outline_of(shape.kind, start, start + (end - start) * share)
    return _drawn([(shape.size, outline)], side, filled=shape.filled and shape.kind != "line")


def outline_of(kind: str, start: Places, end: Places) -> Places:
    """Places `[N, 2]` along a shape between two corners, in units."""
    if kind == "line":
        return np.stack([start, end])
    if kind == "rectangle":
        return np.array([start, (end[0], start[1]), end, (start[0], end[1]), start])
    angles = np.linspace(0, 2 * np.pi, 97)
    round_the_middle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray((start + end) / 2 + np.abs(end - start) / 2 * round_the_middle)


def area_around(seen: Frame, at: tuple[float, float]) -> Mask:
    """The area around `at`, in units, of nearly one colour: 255 there, grown by a pixel so that no pale seam stays
    along soft edges, else 0."""
    side = seen.shape[0]
    x, y = (min(side - 1, max(0, int(each * side / CANVAS_SIDE))) for each in at)
    mask = np.zeros((side + 2, side + 2), np.uint8)
    tolerance = (FILL_TOLERANCE,) * 3
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
    cv2.floodFill(seen.copy(), mask, (x, y), 0, tolerance, tolerance, flags)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    return np.asarray(cv2.dilate(mask[1:-1, 1:-1], cross), np.uint8)


def square_of(picture: Frame, side: int) -> Layer:
    """The middle of a picture `[H, W, 4]` as a whole layer."""
    # Pillow resizes what has opacity premultiplied.
    image = ImageOps.fit(Image.fromarray(picture), (side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    opacity = pixels[..., 3:].astype(np.float32) / 255
    return np.dstack([np.rint(pixels[..., :3] * opacity).astype(np.uint8), pixels[..., 3]])


def _fixed(pixels: Places) -> NDArray[np.int32]:
    """Places in OpenCV's fixed point, where a pixel's middle has whole numbers."""
    limit = 2.0**15
    return np.asarray(np.rint((pixels - 0.5).clip(-limit, limit) * 2**SUBPIXEL_BITS), np.int32)
