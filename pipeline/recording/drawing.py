"""A drawing in the making: its sheet of layers, and what each operation makes of it, to be undone and done again."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
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
    Redo,
    Restack,
    Shape,
    Stroke,
    Undo,
)
from pipeline.recording.strokes import (
    Box,
    Layer,
    StrokeInk,
    area_around,
    coloured,
    erased,
    shape_mask,
    square_of,
)

if TYPE_CHECKING:
    from pipeline.frames.codec import Frame

WHITE: Colour = (255, 255, 255)
SMALLEST_SIDE, LARGEST_SIDE = 512, 1024
"""Pixels of the square that is drawn on: smaller pictures are shrunk from it, as the page does, and larger ones
stretched."""
UNDO_DEPTH = 1000
MOST_UNDO_BYTES = 128 * 2**20
"""What can be taken back is kept packed, and only the part that changed: a stroke takes some kilobytes, a photograph
over a whole layer a few megabytes."""


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

    def __init__(self, side: int, pictures: Callable[[str], Frame] | None = None) -> None:
        """`side` of the pictures in pixels; `pictures` reads one, `[H, W, 4]`, that an operation names."""
        self._out = side
        self._sheet = Sheet(min(max(side, SMALLEST_SIDE), LARGEST_SIDE))
        self._pictures = pictures
        self._ink: tuple[Stroke, StrokeInk] | None = None
        self._done: list[Change] = []
        self._undone: list[Change] = []

    def on_the_way(self, operation: Operation, ms: float) -> Iterator[None]:
        """Draw what of the operation that comes next is drawn within `ms`, and give moments to turn away; `during` and
        `do` have little left to do then."""
        if isinstance(operation, Stroke):
            yield from self._ink_of(operation).drawn_to(_count_within(operation, ms))

    def during(self, operation: Operation, ms: float) -> Frame:
        """What is to be seen `[side, side, 3]` when the operation that comes next has gone on for `ms`."""
        if isinstance(operation, Stroke):
            count = _count_within(operation, ms)
            return self._seen(self._stroked(operation, count)) if count else self.picture()
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
            before, self._sheet = self._sheet, self._after(operation)
            self._done = _kept([*self._done, change_to(before, self._sheet)])
            self._undone, self._ink = [], None

    def picture(self) -> Frame:
        """What is to be seen now, `[side, side, 3]`."""
        return self._seen(self._sheet)

    def _seen(self, sheet: Sheet) -> Frame:
        seen = sheet.shown()
        if sheet.side == self._out:
            return seen
        way = cv2.INTER_AREA if sheet.side > self._out else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(seen, (self._out, self._out), interpolation=way), np.uint8)

    def _step(self, taken_from: list[Change], put_on: list[Change]) -> None:
        """Undo, or redo: looks of layers stay as they are."""
        if taken_from:
            before, self._sheet = self._sheet, changed(self._sheet, taken_from.pop())
            put_on.append(change_to(before, self._sheet))

    def _after(self, operation: Operation) -> Sheet:
        sheet = self._sheet
        if isinstance(operation, Stroke):
            return self._stroked(operation, len(operation.points))
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
        if isinstance(operation, Pasted) and self._pictures is not None:
            return sheet.with_layer(operation.layer, square_of(self._pictures(operation.image), sheet.side))
        return sheet

    def _stroked(self, stroke: Stroke, count: int) -> Sheet:
        before, ink = self._sheet.layer(stroke.layer), self._ink_of(stroke)
        for _ in ink.drawn_to(count):
            pass
        mask, box = ink.covered()
        after = erased(before, mask, box) if stroke.tool == "eraser" else coloured(before, mask, box, stroke.colour)
        return self._sheet.with_layer(stroke.layer, after)

    def _ink_of(self, stroke: Stroke) -> StrokeInk:
        if self._ink is None or self._ink[0] is not stroke:
            self._ink = stroke, StrokeInk(stroke.points, self._sheet.side)
        return self._ink[1]

    def _shaped(self, shape: Shape, share: float) -> Sheet:
        mask, box = shape_mask(shape, share, self._sheet.side)
        return self._sheet.with_layer(shape.layer, coloured(self._sheet.layer(shape.layer), mask, box, shape.colour))


def _count_within(stroke: Stroke, ms: float) -> int:
    """How many points of a stroke are drawn within `ms`."""
    return bisect_right(stroke.points, ms, key=lambda point: point.ms)


@dataclass(frozen=True)
class Patch:
    """What a part of a layer shows, packed."""

    box: Box
    packed: bytes


@dataclass(frozen=True)
class Change:
    """What makes another sheet of one: paper, order, and of the layers that differ, the part that does; `None` for one
    that goes."""

    paper: Colour
    order: tuple[str, ...]
    patches: Mapping[str, Patch | None]

    @property
    def length(self) -> int:
        """How many bytes it takes."""
        return sum(len(each.packed) for each in self.patches.values() if each is not None)


def change_to(sheet: Sheet, other: Sheet) -> Change:
    """What makes `sheet` of `other` again."""
    differ = [name for name in {**sheet.layers, **other.layers} if sheet.layers.get(name) is not other.layers.get(name)]
    return Change(
        sheet.paper,
        sheet.order,
        {name: _patch(sheet.layer(name), other.layer(name)) if name in sheet.layers else None for name in differ},
    )


def _patch(layer: Layer, other: Layer) -> Patch:
    left, top, width, height = cv2.boundingRect((layer != other).any(axis=2).astype(np.uint8))
    part = layer[top : top + height, left : left + width]
    return Patch((top, top + height, left, left + width), zlib.compress(part.tobytes(), 1))


def changed(sheet: Sheet, change: Change) -> Sheet:
    """The sheet after a change, with its own looks."""
    layers = {name: each for name, each in sheet.layers.items() if change.patches.get(name, each) is not None}
    for name, patch in change.patches.items():
        if patch is not None:
            top, bottom, left, right = patch.box
            layers[name] = sheet.layer(name).copy()
            part = np.frombuffer(zlib.decompress(patch.packed), np.uint8).reshape(bottom - top, right - left, 4)
            layers[name][top:bottom, left:right] = part
    return replace(sheet, paper=change.paper, order=change.order, layers=layers)


def _kept(changes: list[Change]) -> list[Change]:
    """The newest of them, as many as are kept."""
    kept, left = changes[-UNDO_DEPTH:], MOST_UNDO_BYTES
    for number, each in enumerate(reversed(kept)):
        left -= each.length
        if left < 0:
            return kept[len(kept) - number :]
    return kept


def restacked(sheet: Sheet, order: tuple[str, ...]) -> Sheet:
    """The same with other layers: new ones are empty and show."""
    layers = {name: each for name, each in sheet.layers.items() if name in order}
    # The look of one that goes stays for an undo that brings it back.
    looks = {name: each for name, each in sheet.looks.items() if name in sheet.order or name not in order}
    return replace(sheet, order=order, layers=layers, looks=looks)
