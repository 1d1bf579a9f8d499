"""Strokes of a pen, and a shaky hand that draws them.

A doodle is a list of strokes, points `[P, 2]` of x and y in a square from 0 to 1, y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.guides.sketches import Ink
from training.things.fields import smooth_noise
from training.things.hands import scribble

Rng = np.random.Generator
Stroke = np.ndarray
Doodle = list[Stroke]

FILLED = 0.2
"""How often what a stroke closes is filled, each by itself."""


def ring(
    x: float, y: float, across: float, along: float | None = None, start: float = -0.25, turn: float = 1.0
) -> Stroke:
    """A part of an ellipse: its radii, where it begins and how much of it there is, in turns; -0.25 is the top."""
    angle = 2 * np.pi * np.linspace(start, start + turn, max(6, round(28 * abs(turn))))
    return np.stack([x + across * np.cos(angle), y + (across if along is None else along) * np.sin(angle)], 1)


def line(*points: tuple[float, float]) -> Stroke:
    """Straight from point to point."""
    return np.array(points, np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Stroke:
    """A rectangle."""
    return line((left, top), (right, top), (right, bottom), (left, bottom), (left, top))


def dot(x: float, y: float, size: float = 0.015) -> Stroke:
    """A small round mark."""
    return ring(x, y, size)


def bend(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> Stroke:
    """A curve from the first point to the last, drawn towards the middle one."""
    share = np.linspace(0, 1, 12)[:, None]
    a, b, c = (np.array(each) for each in (first, middle, last))
    return (1 - share) ** 2 * a + 2 * share * (1 - share) * b + share**2 * c


def waves(left: float, right: float, y: float, count: int, height: float) -> Stroke:
    """A wavy line."""
    x = np.linspace(left, right, 8 * count)
    return np.stack([x, y + height * np.sin(np.linspace(0, 2 * np.pi * count, len(x)))], 1)


def often(rng: Rng, share: float, *strokes: Stroke) -> Doodle:
    """The strokes, or none of them."""
    return list(strokes) if rng.random() < share else []


def bumps(x: float, y: float, across: float, along: float, count: int, depth: float) -> Stroke:
    """A closed line of bulges round a place, as a cloud or the crown of a tree."""
    angle = np.linspace(0, 2 * np.pi, 12 * count)
    far = 1 - depth + depth * np.abs(np.sin(angle * count / 2))
    return np.stack([x + across * far * np.cos(angle), y + along * far * np.sin(angle)], 1)


def inked(rng: Rng, doodle: Doodle, side: int) -> Ink:
    """A doodle in a shaky hand, float32 `[S, S]` in 0..1."""
    strokes = _in_a_hand(rng, doodle)
    ink = np.zeros((side, side), np.float32)
    width = rng.uniform(1.0, 3.4)
    for stroke in strokes:
        closed = len(stroke) > 4 and np.hypot(*(stroke[0] - stroke[-1])) < 0.08
        if closed and rng.random() < FILLED:
            ink = np.maximum(ink, _filled(rng, stroke, side))
        canvas = np.zeros((2 * side, 2 * side), np.uint8)
        cv2.polylines(canvas, [_pixels(stroke, 2 * side)], False, 255, max(1, round(2 * width)), cv2.LINE_AA)
        ink = np.maximum(ink, cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    return ink


def _pixels(stroke: Stroke, side: int) -> np.ndarray:
    return np.round(side * stroke).astype(np.int32)


def _filled(rng: Rng, stroke: Stroke, side: int) -> Ink:
    """The inside of a stroke in a colour of its own, flat or in a scribble."""
    inside = np.zeros((side, side), np.float32)
    cv2.fillPoly(inside, [_pixels(stroke, side)], rng.uniform(0.25, 0.9))
    return inside * scribble(rng, side) if rng.random() < 0.5 else inside


def _in_a_hand(rng: Rng, strokes: Sequence[Stroke]) -> list[Stroke]:
    """Each stroke a little off its place and bent, the whole turned, mirrored or not, and stretched."""
    angle, flip = rng.normal() * 0.1, -1.0 if rng.random() < 0.4 else 1.0
    across, along = 0.8 * np.exp(rng.normal(size=2) * 0.14)
    lean, cosine, sine = rng.normal() * 0.08, np.cos(angle), np.sin(angle)
    matrix = np.array([[flip * cosine * across, lean - sine * along], [flip * sine * across, cosine * along]])
    sloppy, bent = rng.uniform(0, 0.025), rng.uniform(0, 0.04)
    fields = [bent * smooth_noise(rng, 32, rng.uniform(40, 120)) for _ in range(2)]
    placed = []
    for stroke in strokes:
        cells = np.clip(np.round(stroke * 31), 0, 31).astype(int)
        shift = np.stack([field[cells[:, 1], cells[:, 0]] for field in fields], 1)
        dense = stroke + shift + rng.normal(size=2) * sloppy
        placed.append((dense - 0.5) @ matrix.T + 0.5)
    return placed
