"""A drawing's operations as pictures: the same pixels every time, with soft edges, at any size.

Lines are drawn as the page's canvas draws them: curves between the middles of the pen's points, each as wide as its
point, with round ends. A layer is premultiplied colour with opacity, uint8 `[S, S, 4]`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.operations import (
    CANVAS_SIDE,
    LAYERS,
    Clear,
    Colour,
    Fill,
    LayerLook,
    LayerName,
    Operation,
    Paper,
    Pasted,
    Point,
    Redo,
    Shape,
    Stroke,
    Undo,
)

if TYPE_CHECKING:
    from pipeline.codec import Frame

Layer: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.uint8]
"""How much of each pixel is covered, uint8 `[S, S]`."""

WHITE: Colour = (255, 255, 255)
SMALLEST_SIDE, LARGEST_SIDE = 512, 1024
"""Pixels of the square that is drawn on: smaller pictures are shrunk from it, as the page does, and larger ones
stretched."""
OVERSAMPLING = 4
"""Edges are that many times finer than pixels while they are drawn."""
SUBPIXEL_BITS = 4
CURVE_PIECE = 3.0
"""Units: curves are drawn as straight pieces of about this length."""
MOST_PIECES = 32
FILL_TOLERANCE = 40
"""Of 255 in each channel: what a fill takes for the colour that it was set on."""
UNDO_DEPTH = 100


@dataclass(frozen=True, eq=False)
class Sheet:
    """A drawing as it stands: its paper, its layers from the paper up, and how each of them shows. Never changed."""

    side: int
    paper: Colour = WHITE
    layers: Mapping[LayerName, Layer] = field(default_factory=dict)
    looks: Mapping[LayerName, LayerLook] = field(default_factory=dict)

    def layer(self, name: LayerName) -> Layer:
        """A layer, `[S, S, 4]`; empty where nothing was drawn on it."""
        found = self.layers.get(name)
        return np.zeros((self.side, self.side, 4), np.uint8) if found is None else found

    def with_layer(self, name: LayerName, layer: Layer) -> Sheet:
        """The same with another layer."""
        return replace(self, layers={**self.layers, name: layer})

    def shown(self) -> Frame:
        """What is to be seen, `[S, S, 3]`."""
        seen: Frame = np.full((self.side, self.side, 3), self.paper, np.uint8)
        for name in LAYERS:
            look = self.looks.get(name)
            if name in self.layers and (look is None or look.visible):
                seen = _over(self.layers[name], 1.0 if look is None else look.opacity, seen)
        return seen


def _over(layer: Layer, opacity: float, below: Frame) -> Frame:
    """A premultiplied layer over what is below it (Porter and Duff, "Compositing Digital Images", 1984)."""
    above = layer.astype(np.float32) * opacity
    seen = above[..., :3] + below * (1 - above[..., 3:] / 255)
    return np.rint(seen).clip(0, 255).astype(np.uint8)


class Drawing:
    """A drawing in the making: operations are begun, shown while they go on, and done."""

    def __init__(self, side: int, pictures: Mapping[str, Frame] | None = None) -> None:
        """`side` of the pictures in pixels; `pictures` are those that operations name."""
        self._out = side
        self._sheet = Sheet(min(max(side, SMALLEST_SIDE), LARGEST_SIDE))
        self._pictures = pictures or {}
        self._done: list[bytes] = []
        self._undone: list[bytes] = []

    def during(self, operation: Operation, ms: float) -> Frame:
        """What is to be seen `[side, side, 3]` when the operation that comes next has gone on for `ms`."""
        if isinstance(operation, Stroke):
            points = [point for point in operation.points if point.ms <= ms]
            return self._seen(self._stroked(operation, points)) if points else self.picture()
        if isinstance(operation, Shape):
            return self._seen(self._shaped(operation, min(1.0, ms / operation.ms) if operation.ms else 1.0))
        return self.picture()

    def do(self, operation: Operation) -> None:
        """Do an operation to its end."""
        if isinstance(operation, Undo):
            self._step(self._done, self._undone)
        elif isinstance(operation, Redo):
            self._step(self._undone, self._done)
        elif isinstance(operation, LayerLook):
            self._sheet = replace(self._sheet, looks={**self._sheet.looks, operation.layer: operation})
        else:
            self._done = [*self._done, _folded(self._sheet)][-UNDO_DEPTH:]
            self._undone = []
            self._sheet = self._after(operation)

    def picture(self) -> Frame:
        """What is to be seen now, `[side, side, 3]`."""
        return self._seen(self._sheet)

    def _seen(self, sheet: Sheet) -> Frame:
        seen = sheet.shown()
        if sheet.side == self._out:
            return seen
        way = cv2.INTER_AREA if sheet.side > self._out else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(seen, (self._out, self._out), interpolation=way), np.uint8)

    def _step(self, taken_from: list[bytes], put_on: list[bytes]) -> None:
        """Undo, or redo: looks of layers stay as they are."""
        if taken_from:
            put_on.append(_folded(self._sheet))
            self._sheet = _unfolded(taken_from.pop(), self._sheet)

    def _after(self, operation: Operation) -> Sheet:
        sheet = self._sheet
        if isinstance(operation, Stroke):
            return self._stroked(operation, operation.points)
        if isinstance(operation, Shape):
            return self._shaped(operation, 1.0)
        if isinstance(operation, Fill):
            area = area_around(sheet.shown(), operation.at)
            return sheet.with_layer(operation.layer, coloured(sheet.layer(operation.layer), area, operation.colour))
        if isinstance(operation, Clear):
            return replace(
                sheet, layers={name: each for name, each in sheet.layers.items() if name not in operation.layers}
            )
        if isinstance(operation, Paper):
            return replace(sheet, paper=operation.colour)
        if isinstance(operation, Pasted):
            return sheet.with_layer(operation.layer, square_of(self._pictures[operation.image], sheet.side))
        return sheet

    def _stroked(self, stroke: Stroke, points: Sequence[Point]) -> Sheet:
        before = self._sheet.layer(stroke.layer)
        mask = stroke_mask(points, self._sheet.side)
        after = erased(before, mask) if stroke.tool == "eraser" else coloured(before, mask, stroke.colour)
        return self._sheet.with_layer(stroke.layer, after)

    def _shaped(self, shape: Shape, share: float) -> Sheet:
        mask = shape_mask(shape, share, self._sheet.side)
        return self._sheet.with_layer(shape.layer, coloured(self._sheet.layer(shape.layer), mask, shape.colour))


def _folded(sheet: Sheet) -> bytes:
    """The paper and the layers of a sheet in little room: a hundred of them are kept."""
    layers = b"".join(sheet.layer(name).tobytes() for name in LAYERS)
    return bytes(sheet.paper) + zlib.compress(layers, 1)


def _unfolded(folded: bytes, sheet: Sheet) -> Sheet:
    """What `_folded` was made of, with the looks of `sheet`."""
    layers = np.frombuffer(zlib.decompress(folded[3:]), np.uint8).reshape(len(LAYERS), sheet.side, sheet.side, 4)
    red, green, blue = folded[:3]
    return replace(sheet, paper=(red, green, blue), layers=dict(zip(LAYERS, layers, strict=True)))


def coloured(layer: Layer, mask: Mask, colour: Colour) -> Layer:
    """The layer with `colour` where the mask covers it."""
    top, bottom, left, right = _box(mask)
    share = mask[top:bottom, left:right, None].astype(np.float32) / 255
    below = layer[top:bottom, left:right]
    painted = layer.copy()
    painted[top:bottom, left:right] = np.rint(np.array((*colour, 255), np.float32) * share + below * (1 - share))
    return painted


def erased(layer: Layer, mask: Mask) -> Layer:
    """The layer without what the mask covers."""
    share = mask[..., None].astype(np.float32) / 255
    return np.rint(layer * (1 - share)).astype(np.uint8)


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what a mask covers."""
    left, top, width, height = cv2.boundingRect(mask)
    return top, top + height, left, left + width


def stroke_mask(points: Sequence[Point], side: int) -> Mask:
    """What a stroke covers of a square of `side` pixels."""
    scale = side * OVERSAMPLING / CANVAS_SIDE
    fine = np.zeros((side * OVERSAMPLING, side * OVERSAMPLING), np.uint8)
    for width, curve in curves(points):
        _draw(fine, curve, width, scale)
    return _coarse(fine, side)


def curves(points: Sequence[Point]) -> list[tuple[float, NDArray[np.float64]]]:
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


def shape_mask(shape: Shape, share: float, side: int) -> Mask:
    """What a shape covers of a square of `side` pixels when it has been pulled `share` of the way."""
    scale = side * OVERSAMPLING / CANVAS_SIDE
    fine = np.zeros((side * OVERSAMPLING, side * OVERSAMPLING), np.uint8)
    start, end = np.array(shape.start), np.array(shape.end)
    outline = outline_of(shape.kind, start, start + (end - start) * share)
    if shape.filled and shape.kind != "line":
        cv2.fillPoly(fine, [_fixed(outline, scale)], 255, cv2.LINE_8, SUBPIXEL_BITS)
    else:
        _draw(fine, outline, shape.size, scale)
    return _coarse(fine, side)


def outline_of(kind: str, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
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
    """The middle of a picture `[H, W, 3]` as a whole layer."""
    image = ImageOps.fit(Image.fromarray(picture), (side, side), Image.Resampling.BICUBIC)
    return np.dstack([np.asarray(image), np.full((side, side), 255, np.uint8)])


def _draw(fine: Mask, places: NDArray[np.float64], width: float, scale: float) -> None:
    """Draw a line with round ends along places `[N, 2]`, in units, into a mask whose pixels are `1 / scale` units."""
    cv2.polylines(fine, [_fixed(places, scale)], False, 255, max(1, round(width * scale)), cv2.LINE_8, SUBPIXEL_BITS)


def _fixed(places: NDArray[np.float64], scale: float) -> NDArray[np.int32]:
    """Places in OpenCV's fixed point, where a pixel's middle has whole numbers."""
    limit = 2**15
    pixels = (places * scale - 0.5).clip(-limit, limit)
    return np.asarray(np.rint(pixels * 2**SUBPIXEL_BITS), np.int32)


def _coarse(fine: Mask, side: int) -> Mask:
    return np.asarray(cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
