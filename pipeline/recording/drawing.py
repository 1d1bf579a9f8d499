"""A drawing in the making: its sheet of layers, and what each operation makes of it, to be undone and done again."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.recording.operations import (
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
from pipeline.recording.strokes import Layer, area_around, coloured, erased, shape_mask, square_of, stroke_mask

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

WHITE: Colour = (255, 255, 255)
SMALLEST_SIDE, LARGEST_SIDE = 512, 1024
"""Pixels of the square that is drawn on: smaller pictures are shrunk from it, as the page does, and larger ones
stretched."""
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
