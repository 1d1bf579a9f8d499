"""Draw the example sketches: of every `sketches/NAME.json`, a list of lines and areas, `NAME.rearview` beside it, the
recording of a hand that draws it, and `NAME.png`, what that hand has drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.page.presets import EXAMPLES, Example
from pipeline.recording.archive import SUFFIX
from pipeline.recording.drawing import Drawing
from pipeline.recording.operations import CANVAS_SIDE, Fill, Operation, Paper, Point, Stroke
from pipeline.recording.recording import Drawn, Recording, packed
from pipeline.recording.strokes import area_around

HERE = Path(__file__).resolve().parent
SKETCHES = HERE / "sketches"

SPEED = 1.1
"""Units of a hand's way in a millisecond."""
PAUSE_MS = 110.0
"""Between two operations."""
LONGEST_MS = 20_000.0
"""A drawing that would take longer is drawn faster."""
MARGIN = 24
"""Units around the canvas: areas reach beyond its edge."""
OUTLINE = 5
"""Width of the line around an area, in units, before it is filled."""
TIDY = 1.0
"""How far a line may lie beside the one that it stands for, in units."""
SHARP_DEGREES = 40.0
CORNER = 2.0
"""Before and behind a sharp corner a hand is this near to it, in units, or the corner would become round."""
LEAST_DEPTH = 1.5
"""Pixels: what is thinner may stay unfilled."""
MOST_FRINGE = 600
"""Pixels of an area that may lie on the other side of the line around it."""
MOST_FILLS = 12

WIDEST_SCRIBBLE = 26
CANVAS = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))

Places = NDArray[np.float64]
Mask = NDArray[np.uint8]


class Hand:
    """Who draws: what was drawn so far, on a canvas that can be looked at, and when."""

    def __init__(self) -> None:
        self.drawing = Drawing(CANVAS_SIDE)
        self.events: list[tuple[float, Operation]] = []
        self._ms = 0.0

    def do(self, operation: Operation) -> None:
        """Draw the next thing."""
        self.events.append((self._ms, operation))
        self.drawing.do(operation)
        self._ms += operation.ms + PAUSE_MS

    def line(self, places: Places, width: float, colour: tuple[int, int, int]) -> None:
        """Draw a line through places `[N, 2]`."""
        placed = with_corners(places)
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(placed, axis=0).T))])
        points = [
            Point(round(x, 1), round(y, 1), width, float(round(at / SPEED)))
            for (x, y), at in zip(placed.tolist(), way.tolist(), strict=True)
        ]
        self.do(Stroke("ink", "brush", colour, tuple(points)))

    def area(self, corners: Places, colour: tuple[int, int, int]) -> None:
        """Draw an area: its border first, then fill by fill what shows another colour inside."""
        inside = mask_of(corners)
        width = min(OUTLINE, max(2, int(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max())))
        for border in borders(inside, width / 2):
            self.line(border, width, colour)
        for _ in range(MOST_FILLS):
            left = self._unfilled(inside[CANVAS], colour)
            place, depth = deepest(left)
            if depth < LEAST_DEPTH:
                return
            if self._leaks(place, inside[CANVAS]):
                self.scribble(inside, left, 2 * depth, colour)
            else:
                self.do(Fill("ink", colour, place))
        raise ValueError(f"an area of {colour} takes more than {MOST_FILLS} fills; needed: a simpler one. Redraw it.")

    def scribble(self, inside: Mask, left: Mask, depth: float, colour: tuple[int, int, int]) -> None:
        """Fill what is left of an area by going to and fro, where a fill would run out of it."""
        width = float(min(WIDEST_SCRIBBLE, max(2, int(depth))))
        reach = (cv2.distanceTransform(inside, cv2.DIST_L2, 5) >= width / 2).astype(np.uint8)[CANVAS]
        wanted = cv2.dilate(left, np.ones((3, 3), np.uint8)) & reach
        for way in ways_to_and_fro(wanted, max(1, int(0.7 * width))):
            self.line(way, width, colour)

    def _unfilled(self, inside: Mask, colour: tuple[int, int, int]) -> Mask:
        """1 where another colour shows inside of an area, but for the corners that a hand draws round."""
        seen = self.drawing.picture()
        left = inside & (np.abs(seen.astype(int) - colour).max(axis=2) > 0)
        while True:
            place, depth = deepest(left)
            area = area_around(seen, place) > 0
            if depth < LEAST_DEPTH or not self._leaks(place, inside) or int(left[area].sum()) > MOST_FRINGE:
                return left
            left[area] = 0

    def _leaks(self, place: tuple[float, float], inside: Mask) -> bool:
        """Whether a fill would run out of an area."""
        around = cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0
        return bool(((area_around(self.drawing.picture(), place) > 0) & around).any())


def deepest(mask: Mask) -> tuple[tuple[float, float], float]:
    """The place that is farthest inside of a mask, and how far, in pixels; the edge of the picture is no border."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x), float(y)), float(depth[y, x])


def ways_to_and_fro(mask: Mask, step: int) -> Iterator[Places]:
    """Lines `[N, 2]` that go over a mask row by row, `step` apart; where it has several parts, one after another."""
    count, parts = cv2.connectedComponents(mask, connectivity=4)
    for part in range(1, count):
        rows = np.flatnonzero((parts == part).any(axis=1))
        way: list[tuple[float, float]] = []
        for turn, row in enumerate([*rows[::step], rows[-1]]):
            columns = np.flatnonzero(parts[row] == part)
            ends = [(float(columns[0]), float(row)), (float(columns[-1]), float(row))]
            way += ends[::-1] if turn % 2 else ends
        yield np.array(way)


def colour_of(text: str) -> tuple[int, int, int]:
    """Red, green and blue of "#rrggbb"."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mask_of(corners: Places) -> Mask:
    """1 inside of a polygon, on the canvas and a margin around it."""
    side = CANVAS_SIDE + 2 * MARGIN
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners + MARGIN).astype(np.int32)], 1)
    return mask


def borders(inside: Mask, inset: float) -> Iterator[Places]:
    """The lines `[N, 2]` that go round an area, `inset` units inside of it, each back to where it began."""
    core = (cv2.distanceTransform(inside, cv2.DIST_L2, 5) > inset).astype(np.uint8)
    found, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in found:
        places = cv2.approxPolyDP(contour, TIDY, True)[:, 0].astype(float) - MARGIN + 0.5
        yield np.concatenate([places, places[:1]])


def with_corners(places: Places) -> Places:
    """The same line with places close to its sharp corners, where a hand slows down."""
    line = [places[0]]
    for before, here, after in zip(places, places[1:], places[2:], strict=False):
        coming, going = here - before, after - here
        lengths = np.hypot(*coming), np.hypot(*going)
        cosine = float(coming @ going / max(lengths[0] * lengths[1], 1e-9))
        if np.degrees(np.arccos(np.clip(cosine, -1, 1))) > SHARP_DEGREES and min(lengths) > 2 * CORNER:
            line += [here - coming / lengths[0] * CORNER, here, here + going / lengths[1] * CORNER]
        else:
            line.append(here)
    return np.array([*line, places[-1]])


def drawn(sketch: dict[str, Any]) -> Hand:
    """A hand that has drawn a sketch."""
    hand = Hand()
    hand.do(Paper(colour_of(sketch["background"])))
    for mark in sketch["marks"]:
        places, colour = np.array(mark["points"], float), colour_of(mark["colour"])
        if mark["kind"] == "fill":
            hand.area(places, colour)
        else:
            hand.line(places, mark["width"], colour)
    return hand


def recording_of(example: Example, hand: Hand) -> Recording:
    """The recording of what a hand has drawn, with the words of the example."""
    last, operation = hand.events[-1]
    haste = min(1.0, LONGEST_MS / (last + operation.ms))
    return Recording(
        model="embedded",
        title=example.title,
        size=(256, 256),
        seed=7,
        settings={"prompt": example.prompt},
        events=tuple(Drawn(round(ms * haste), hastened(operation, haste)) for ms, operation in hand.events),
    )


def hastened(operation: Operation, haste: float) -> Operation:
    """The same in `haste` times its time."""
    if not isinstance(operation, Stroke):
        return operation
    points = tuple(point._replace(ms=float(round(point.ms * haste))) for point in operation.points)
    return Stroke(operation.layer, operation.tool, operation.colour, points)


def main() -> None:
    """Draw every example."""
    for example in EXAMPLES:
        sketch = json.loads((SKETCHES / f"{example.name}.json").read_text(encoding="utf-8"))
        hand = drawn(sketch)
        (SKETCHES / f"{example.name}{SUFFIX}").write_bytes(packed(recording_of(example, hand)))
        Image.fromarray(hand.drawing.picture()).save(SKETCHES / f"{example.name}.png", optimize=True)


if __name__ == "__main__":
    main()
