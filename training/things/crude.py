"""What people draw in their first minute with a mouse, and what it should become: stick figures, hearts, names, a first
line, a blank sheet. A line becomes a round cord of its ink's colour, what is closed becomes a cushion."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.things.fields import over, smooth_noise
from training.things.hands import wobbled
from training.things.places import BACKDROPS, Setting
from training.things.scene import INKS, Placed, Scene
from training.things.shading import inflated

PAPER = (0.96, 0.945, 0.91)
Stroke = np.ndarray
"""Points `[P, 2]` of x and y in a square from 0 to 1."""
LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "A": (((0, 1), (0.5, 0), (1, 1)), ((0.2, 0.62), (0.8, 0.62))),
    "E": (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
    "H": (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.5), (1, 0.5))),
    "I": (((0.5, 0), (0.5, 1)),),
    "K": (((0, 0), (0, 1)), ((1, 0), (0, 0.55), (1, 1))),
    "L": (((0, 0), (0, 1), (0.9, 1)),),
    "M": (((0, 1), (0.1, 0), (0.5, 0.6), (0.9, 0), (1, 1)),),
    "N": (((0, 1), (0, 0), (1, 1), (1, 0)),),
    "O": (((0.5, 0), (0.1, 0.2), (0, 0.5), (0.1, 0.8), (0.5, 1), (0.9, 0.8), (1, 0.5), (0.9, 0.2), (0.5, 0)),),
    "S": (((0.95, 0.1), (0.5, 0), (0.05, 0.2), (0.5, 0.5), (0.95, 0.8), (0.5, 1), (0.05, 0.9)),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "X": (((0, 0), (1, 1)), ((1, 0), (0, 1))),
}


def draw_crude(rng: np.random.Generator, noise: np.ndarray, side: int) -> Scene:
    """A scene that no pack of icons knows; a quarter are blank sheets."""
    kinds: tuple[tuple[Callable[[np.random.Generator], tuple[list[Stroke], bool, str]] | None, float], ...] = (
        (None, 0.25),
        (_first_line, 0.25),
        (_stick_figure, 0.2),
        (_heart, 0.15),
        (_name, 0.15),
    )
    draw = kinds[int(rng.choice(len(kinds), p=[share for _, share in kinds]))][0]
    backdrop = BACKDROPS["studio"](rng, noise, Setting(side, 215.0, paper=PAPER)).rendering
    white = np.ones((side, side, 3), np.float32)
    if draw is None:
        return _scene(white, backdrop, "", rng)
    strokes, closed, name = draw(rng)
    ink = np.float32(INKS[int(rng.integers(len(INKS)))])
    colour = np.float32((0.86, 0.12, 0.18)) if name == "red-heart" else ink * 0.9 + 0.08
    pen = rng.uniform(2.5, 6.5) * side / 256
    placed = _placed(rng, strokes, side)
    lines = _lined(placed, side, pen)
    thick = np.maximum(_lined(placed, side, pen * 2.1), _filled(placed, side) if closed else 0)
    shake = smooth_noise(rng, 4, 256)[0, 0] * 0.4 + 0.6
    lines = wobbled(lines, rng, abs(shake) * 1.4 * side / 256)
    drawing = np.dstack([np.broadcast_to(colour, (side, side, 3)), thick])
    layer = inflated((np.clip(drawing, 0, 1) * 255 + 0.5).astype(np.uint8)).astype(np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    shadow = cv2.GaussianBlur(np.roll(layer[..., 3], (5, 4), (0, 1)), (0, 0), 4)
    rendering = over(backdrop * (1 - 0.35 * shadow)[..., None], layer)
    return _scene(white + (ink - white) * lines[..., None], rendering, name, rng)


def _scene(sketch: np.ndarray, rendering: np.ndarray, name: str, rng: np.random.Generator) -> Scene:
    things = (Placed(name, 0, 128, 128, 120, colour=""),) if name else ()
    pictures = [(np.clip(each, 0, 1) * 255 + 0.5).astype(np.uint8) for each in (sketch, rendering)]
    return Scene(pictures[0], pictures[1], things, "studio", "day", "", "line", bare=True)


def _placed(rng: np.random.Generator, strokes: list[Stroke], side: int) -> list[np.ndarray]:
    """In px, small and in a corner as often as large."""
    size = side * rng.uniform(0.22, 0.75)
    corner = rng.uniform(0.04 * side, 0.96 * side - size, 2)
    return [corner + each * size for each in strokes]


def _lined(strokes: list[np.ndarray], side: int, width: float) -> np.ndarray:
    """Opacity `[S, S]` of the strokes, drawn twice as large and shrunk."""
    canvas = np.zeros((2 * side, 2 * side), np.uint8)
    lines = [np.round(each * 2).astype(np.int32) for each in strokes]
    cv2.polylines(canvas, lines, False, 255, max(1, round(2 * width)), cv2.LINE_AA)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _filled(strokes: list[np.ndarray], side: int) -> np.ndarray:
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [np.round(strokes[0]).astype(np.int32)], 255, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _curve(points: np.ndarray, count: int = 40) -> Stroke:
    """A smooth line through few points `[P, 2]`."""
    along = np.linspace(0, len(points) - 1, count)
    dense = np.stack([np.interp(along, np.arange(len(points)), points[:, each]) for each in range(2)], 1)
    return cv2.GaussianBlur(dense.astype(np.float32), (1, 9), 0, sigmaY=2.5, borderType=cv2.BORDER_REPLICATE)


def _first_line(rng: np.random.Generator) -> tuple[list[Stroke], bool, str]:
    count = int(rng.integers(1, 4))
    return [_curve(rng.random((int(rng.integers(2, 6)), 2)).astype(np.float32)) for _ in range(count)], False, ""


def _stick_figure(rng: np.random.Generator) -> tuple[list[Stroke], bool, str]:
    turn = np.linspace(0, 2 * np.pi * rng.uniform(0.92, 1.05), 24)
    head = np.stack([0.5 + 0.15 * np.cos(turn), 0.17 + 0.15 * np.sin(turn)], 1)
    bent = rng.normal(size=(4, 2)) * 0.05
    hips, neck, arms = np.array([0.5, 0.66]), np.array([0.5, 0.32]), np.array([0.5, 0.43])
    limbs = [[neck, hips], [arms, (0.2, 0.5)], [arms, (0.8, 0.5)], [hips, (0.28, 1.0)], [hips, (0.72, 1.0)]]
    lines = [np.array(each, np.float64) for each in limbs]
    for line, shift in zip(lines[1:], bent, strict=True):
        line[1] += shift
    return [head, *lines], True, "person-standing-medium-light"


def _heart(rng: np.random.Generator) -> tuple[list[Stroke], bool, str]:
    turn = np.linspace(0, 2 * np.pi, 40)
    x = 16 * np.sin(turn) ** 3
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return [np.stack([0.5 + x / 34, 0.46 + y / 34 * rng.uniform(0.9, 1.1)], 1)], True, "red-heart"


def _name(rng: np.random.Generator) -> tuple[list[Stroke], bool, str]:
    letters = [list(LETTERS)[int(each)] for each in rng.integers(0, len(LETTERS), int(rng.integers(2, 5)))]
    width = 1 / len(letters)
    strokes = []
    for number, letter in enumerate(letters):
        for line in LETTERS[letter]:
            points = np.array(line) * (0.72 * width, 0.8 * min(1.0, 1.5 * width)) + (number * width + 0.1 * width, 0.3)
            strokes.append(points + rng.normal(size=points.shape) * 0.012)
    return strokes, False, ""
