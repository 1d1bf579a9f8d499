"""What a stroke, a shape or a fill covers of a layer: the same pixels every time, with soft edges, at any size.

Lines are drawn as the page's canvas draws them: curves between the middles of the pen's points, each as wide as its
point, with round ends. A layer is premultiplied colour with opacity, uint8 `[S, S, 4]`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
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
TURN_AWAY_S = 0.1
"""How long a stroke is drawn before whoever waits for it can turn away."""
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
    ink = StrokeInk(points, side)
    for _ in ink.drawn_to(len(points)):
        pass
    return ink.covered()


class StrokeInk:
    """What a stroke covers of a square of `side` pixels while it is drawn: each of its pieces is drawn once."""

    def __init__(self, points: Sequence[Point], side: int) -> None:
        self._points, self._side = points, side
        self._fine = np.zeros((side * OVERSAMPLING,) * 2, np.uint8)
        self._last: Places = np.array(points[0][:2], np.float64)
        self._middle = self._last
        self._count = 0
        self._low: Places = np.full(2, np.inf)
        self._high: Places = np.full(2, -np.inf)

    def drawn_to(self, count: int) -> Iterator[None]:
        """Draw the first `count` points, and give a moment to turn away whenever `TURN_AWAY_S` have gone by."""
        began = time.monotonic()
        while self._count < count:
            self._take(self._points[self._count])
            if time.monotonic() - began >= TURN_AWAY_S:
                yield
                began = time.monotonic()

    def covered(self) -> tuple[Mask, Box]:
        """What the points that were drawn cover, and where: the line ends at the last of them."""
        point = self._points[self._count - 1]
        end = _curve(self._middle, self._last, np.array(point[:2]))
        low, high = self._reach(end, point.width)
        top, bottom, left, right = box = _inside(low, high, self._side)
        fine = self._fine[top * OVERSAMPLING : bottom * OVERSAMPLING, left * OVERSAMPLING : right * OVERSAMPLING].copy()
        _draw(fine, end, point.width, self._side, (left, top))
        return np.asarray(cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA), np.uint8), box

    def _take(self, point: Point) -> None:
        here: Places = np.array(point[:2])
        piece = _curve(self._middle, self._last, here)
        self._low, self._high = self._reach(piece, point.width)
        _draw(self._fine, piece, point.width, self._side, (0, 0))
        self._last, self._middle = here, (self._last + here) / 2
        self._count += 1

    def _reach(self, piece: Places, width: float) -> tuple[Places, Places]:
        """From where to where, in pixels, the stroke goes with another piece."""
        scale = self._side / CANVAS_SIDE
        low, high = (piece.min(axis=0) - width) * scale, (piece.max(axis=0) + width) * scale
        return np.minimum(self._low, low), np.maximum(self._high, high)


def _draw(fine: Mask, places: Places, width: float, side: int, corner: tuple[int, int]) -> None:
    """Draw a line on a finer mask, whose corner lies there."""
    scale = side / CANVAS_SIDE
    thickness = max(1, round(width * scale * OVERSAMPLING))
    fixed = _fixed((places * scale - corner) * OVERSAMPLING)
    cv2.polylines(fine, [fixed], False, 255, thickness, cv2.LINE_8, SUBPIXEL_BITS)


def _drawn(width: float, places: Places, side: int, filled: bool) -> tuple[Mask, Box]:
    """What a line of such a width, or the area inside of it, covers of a square of `side` pixels, and where."""
    scale = side / CANVAS_SIDE
    low, high = (places.min(axis=0) - width) * scale, (places.max(axis=0) + width) * scale
    top, bottom, left, right = box = _inside(low, high, side)
    fine = np.zeros(((bottom - top) * OVERSAMPLING, (right - left) * OVERSAMPLING), np.uint8)
    if filled:
        cv2.fillPoly(fine, [_fixed((places * scale - (left, top)) * OVERSAMPLING)], 255, cv2.LINE_8, SUBPIXEL_BITS)
    else:
        _draw(fine, places, width, side, (left, top))
    return np.asarray(cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA), np.uint8), box


def _inside(low: Places, high: Places, side: int) -> Box:
    """The box from a low corner to a high one, in pixels, with a seam, inside of a square; never empty."""
    left, top = (int(each) for each in np.clip(np.floor(low) - 1, 0, side - 1))
    right, bottom = (int(each) for each in np.clip(np.ceil(high) + 1, 1, side))
    return top, max(bottom, top + 1), left, max(right, left + 1)


def _curve(middle: Places, last: Places, here: Places) -> Places:
    """A quadratic curve from the middle of two points to the middle of the next two, with the point between as the one
    that pulls: a fast hand draws no corners."""
    following = (last + here) / 2
    length = np.hypot(*(last - middle)) + np.hypot(*(following - last))
    along = np.linspace(0, 1, 2 + min(MOST_PIECES, int(length / CURVE_PIECE)))[:, None]
    return np.asarray((1 - along) ** 2 * middle + 2 * along * (1 - along) * last + along**2 * following)


def shape_mask(shape: Shape, share: float, side: int) -> tuple[Mask, Box]:
    """What a shape covers of a square of `side` pixels when it has been pulled `share` of the way, and where."""
    start, end = np.array(shape.start), np.array(shape.end)
    outline = outline_of(shape.kind, start, start + (end - start) * share)
    return _drawn(shape.size, outline, side, filled=shape.filled and shape.kind != "line")


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
