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

from pipeline.recording.operations import (
    CANVAS_SIDE,
    FIRST_LAYERS,
    Clear,
    Colour,
    Fill,
    LayerLook,
    Operation,
    Paper,
    Pasted,
    Point,
    Redo,
    Restack,
    Shape,
    Stroke,
    Undo,
)

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

Layer: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.uint8]
"""How much of each pixel is covered, uint8 `[h, w]`."""
Places: TypeAlias = NDArray[np.float64]
"""x and y, `[N, 2]`, or `[2]` of one."""
Box: TypeAlias = tuple[int, int, int, int]
"""Top, bottom, left and right, in pixels."""

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
UNDO_DEPTH = 1000


@dataclass(frozen=True, eq=False)
class Sheet:
    """A drawing as it stands: its paper, the order of its layers from the paper up, what is on those that are not
    empty, and how they show. Never changed."""

    side: int
    paper: Colour = WHITE
    order: tuple[str, ...] = FIRST_LAYERS
    layers: Mapping[str, Layer] = field(default_factory=dict)
    looks: Mapping[str, LayerLook] = field(default_factory=dict)

    def layer(self, name: str) -> Layer:
        """A layer, `[S, S, 4]`; empty where nothing was drawn on it."""
        found = self.layers.get(name)
        return np.zeros((self.side, self.side, 4), np.uint8) if found is None else found

    def with_layer(self, name: str, layer: Layer) -> Sheet:
        """The same with another layer."""
        return replace(self, layers={**self.layers, name: layer})

    def shown(self) -> Frame:
        """What is to be seen, `[S, S, 3]`."""
        seen: Frame = np.full((self.side, self.side, 3), self.paper, np.uint8)
        for name in self.order:
            look = self.looks.get(name)
            if name in self.layers and (look is None or look.visible):
                seen = _over(self.layers[name], 1.0 if look is None else look.opacity, seen)
        return seen


def _over(layer: Layer, opacity: float, below: Frame) -> Frame:
    """A premultiplied layer over what is below it (Porter and Duff, "Compositing Digital Images", 1984)."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(layer[..., 3]))
    inside = slice(top, top + height), slice(left, left + width)
    above = layer[inside].astype(np.float32) * opacity
    seen = below.copy()
    seen[inside] = np.rint(above[..., :3] + below[inside] * (1 - above[..., 3:] / 255)).clip(0, 255)
    return seen


class Drawing:
    """A drawing in the making: operations are begun, shown while they go on, and done."""

    def __init__(self, side: int, pictures: Mapping[str, Frame] | None = None) -> None:
        """`side` of the pictures in pixels; `pictures` `[H, W, 4]` are those that operations name."""
        self._out = side
        self._sheet = Sheet(min(max(side, SMALLEST_SIDE), LARGEST_SIDE))
        self._pictures = pictures or {}
        self._done: list[Folded] = []
        self._undone: list[Folded] = []

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

    def _step(self, taken_from: list[Folded], put_on: list[Folded]) -> None:
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
            area, whole = area_around(sheet.shown(), operation.at), (0, sheet.side, 0, sheet.side)
            filled = coloured(sheet.layer(operation.layer), area, whole, operation.colour)
            return sheet.with_layer(operation.layer, filled)
        if isinstance(operation, Clear):
            kept = {name: each for name, each in sheet.layers.items() if operation.layer not in (None, name)}
            return replace(sheet, layers=kept)
        if isinstance(operation, Restack):
            return restacked(sheet, operation.order)
        if isinstance(operation, Paper):
            return replace(sheet, paper=operation.colour)
        if isinstance(operation, Pasted):
            return sheet.with_layer(operation.layer, square_of(self._pictures[operation.image], sheet.side))
        return sheet

    def _stroked(self, stroke: Stroke, points: Sequence[Point]) -> Sheet:
        before = self._sheet.layer(stroke.layer)
        mask, box = stroke_mask(points, self._sheet.side)
        after = erased(before, mask, box) if stroke.tool == "eraser" else coloured(before, mask, box, stroke.colour)
        return self._sheet.with_layer(stroke.layer, after)

    def _shaped(self, shape: Shape, share: float) -> Sheet:
        mask, box = shape_mask(shape, share, self._sheet.side)
        return self._sheet.with_layer(shape.layer, coloured(self._sheet.layer(shape.layer), mask, box, shape.colour))


@dataclass(frozen=True)
class Folded:
    """The paper and the layers of a sheet in little room: many of them are kept."""

    paper: Colour
    order: tuple[str, ...]
    layers: Mapping[str, bytes]


def _folded(sheet: Sheet) -> Folded:
    return Folded(
        sheet.paper, sheet.order, {name: zlib.compress(layer.tobytes(), 1) for name, layer in sheet.layers.items()}
    )


def _unfolded(folded: Folded, sheet: Sheet) -> Sheet:
    """What `_folded` was made of, with the looks of `sheet`."""
    shape = sheet.side, sheet.side, 4
    layers = {
        name: np.frombuffer(zlib.decompress(each), np.uint8).reshape(shape) for name, each in folded.layers.items()
    }
    return replace(sheet, paper=folded.paper, order=folded.order, layers=layers)


def restacked(sheet: Sheet, order: tuple[str, ...]) -> Sheet:
    """The same with other layers: new ones are empty and show."""
    layers = {name: each for name, each in sheet.layers.items() if name in order}
    # The look of one that goes stays for an undo that brings it back.
    looks = {name: each for name, each in sheet.looks.items() if name in sheet.order or name not in order}
    return replace(sheet, order=order, layers=layers, looks=looks)


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
