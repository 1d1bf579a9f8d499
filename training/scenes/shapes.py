"""Outlines, crayons and the plan of a scene: what both the crude sketch and the rich rendering are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

UNIT = 256.0
"""Scenes are thought in a square of this many units, whatever the size of the picture."""

Colour = tuple[float, float, float]

CRAYONS: dict[str, Colour] = {
    "red": (0.86, 0.14, 0.13),
    "orange": (0.96, 0.53, 0.13),
    "yellow": (0.98, 0.84, 0.2),
    "green": (0.2, 0.62, 0.24),
    "blue": (0.17, 0.38, 0.85),
    "purple": (0.52, 0.22, 0.67),
    "pink": (0.97, 0.56, 0.69),
    "white": (0.96, 0.96, 0.95),
    "black": (0.1, 0.1, 0.11),
    "brown": (0.48, 0.29, 0.16),
    "gray": (0.58, 0.58, 0.6),
    "teal": (0.1, 0.6, 0.6),
}
LEAF_GREENS: tuple[Colour, ...] = (
    (0.13, 0.69, 0.3),
    (0.2, 0.5, 0.15),
    (0.0, 0.5, 0.0),
    (0.45, 0.7, 0.2),
    (0.1, 0.4, 0.2),
)
SKY_COLOURS: tuple[Colour, ...] = (
    (0.6, 0.82, 0.97),
    (0.4, 0.7, 0.95),
    (0.25, 0.5, 0.85),
    (0.98, 0.7, 0.45),
    (0.95, 0.6, 0.65),
    (0.12, 0.15, 0.35),
    (0.7, 0.75, 0.8),
)
SKINS: tuple[Colour, ...] = (
    (0.98, 0.84, 0.73),
    (0.96, 0.77, 0.62),
    (0.88, 0.66, 0.48),
    (0.73, 0.5, 0.35),
    (0.55, 0.36, 0.24),
    (0.4, 0.26, 0.18),
    (1.0, 0.8, 0.65),
)


@dataclass(frozen=True)
class Part:
    """One stroke or one closed outline: `points` [N, 2] in units, and what it is made of.

    `width` 0 is a closed outline, above 0 an open stroke that thick. `colour` is the crayon, `None` the canonical
    colour of the material. `shown` says where it appears: "both", "sketch" or "rendering". A `solid` part is small
    and always filled. `thing` numbers what it belongs to, and `mirror_at` is the waterline that reflects it.
    """

    points: np.ndarray
    material: str
    colour: Colour | None = None
    width: float = 0.0
    shown: str = "both"
    solid: bool = False
    keep: float = 1.0
    thing: int = 0
    mirror_at: float | None = None
    filled: bool = True
    frame: tuple[float, float] | None = None


@dataclass
class Plan:
    """The parts of a scene, far to near, and the words that say what each thing is."""

    subject: str = "a drawing"
    setting: str = "studio"
    parts: list[Part] = field(default_factory=list)
    words: dict[int, str] = field(default_factory=dict)
    bases: dict[int, float] = field(default_factory=dict)
    sun: tuple[float, float, float] | None = None
    thing: int = 0
    mirror_at: float | None = None

    def begin(self, word: str = "", base: float | None = None) -> None:
        """Start a new thing; `base` is the height in units at which it stands."""
        self.thing += 1
        self.mirror_at = None
        if word:
            self.words[self.thing] = word
        if base is not None:
            self.bases[self.thing] = base

    def add(
        self,
        points: Sequence[Sequence[float]] | np.ndarray,
        material: str,
        colour: Colour | None = None,
        **more: object,
    ) -> None:
        """Append a part of the current thing."""
        part = Part(np.asarray(points, np.float64), material, colour, thing=self.thing, mirror_at=self.mirror_at)
        self.parts.append(replace(part, **more))  # type: ignore[arg-type]


def ellipse(
    cx: float,
    cy: float,
    rx: float,
    ry: float,
    tilt: float = 0.0,
    start: float = 0.0,
    end: float = 2 * np.pi,
    count: int = 36,
) -> np.ndarray:
    """Points [N, 2] on an ellipse or, with `start` and `end` in radians, on an arc of it."""
    angles = np.linspace(start, end, count, endpoint=end - start < 6.28)
    x, y = rx * np.cos(angles), ry * np.sin(angles)
    return np.stack([cx + x * np.cos(tilt) - y * np.sin(tilt), cy + x * np.sin(tilt) + y * np.cos(tilt)], 1)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """The four corners [4, 2]."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def curve(start: Sequence[float], middle: Sequence[float], end: Sequence[float], count: int = 14) -> np.ndarray:
    """Points [N, 2] of a quadratic curve from `start` to `end`, pulled towards `middle`."""
    t = np.linspace(0.0, 1.0, count)[:, None]
    return (1 - t) ** 2 * np.asarray(start) + 2 * t * (1 - t) * np.asarray(middle) + t**2 * np.asarray(end)


def blob(rng: np.random.Generator, cx: float, cy: float, rx: float, ry: float, roughness: float) -> np.ndarray:
    """An ellipse [48, 2] whose radius varies by about `roughness` of itself."""
    angles = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones(48)
    for frequency in (2, 3, 5, 7):
        radius += roughness * rng.normal() * np.sin(frequency * angles + rng.uniform(0, 6.28)) / np.sqrt(frequency)
    return np.stack([cx + rx * radius * np.cos(angles), cy + ry * radius * np.sin(angles)], 1)


def puffs(cx: float, cy: float, rx: float, ry: float, count: int, bulge: float = 0.16) -> np.ndarray:
    """A scalloped ellipse [72, 2], as one draws a cloud or the crown of a tree."""
    angles = np.linspace(0.0, 2 * np.pi, 72, endpoint=False)
    radius = 1.0 - bulge + 1.6 * bulge * np.abs(np.sin(angles * count / 2))
    return np.stack([cx + rx * radius * np.cos(angles), cy + ry * radius * np.sin(angles)], 1)


def ridge(rng: np.random.Generator, y: float, height: float) -> np.ndarray:
    """Rolling land [N, 2] whose top line lies around `y`, closed below the picture."""
    x = np.linspace(-12.0, UNIT + 12, 32)
    line = sum(
        rng.normal() / f * np.sin(x / UNIT * 2 * np.pi * f * rng.uniform(0.5, 1.0) + rng.uniform(0, 6.28))
        for f in (1.0, 2.0, 3.0)
    )
    line = line / (np.abs(line).max() + 1e-6)
    return np.concatenate([np.stack([x, y - height * line], 1), [[UNIT + 12, UNIT + 12], [-12, UNIT + 12]]])


def densified(points: np.ndarray, closed: bool, spacing: float = 5.0) -> np.ndarray:
    """The same line with a point at least every `spacing` units, corners kept."""
    ends = np.roll(points, -1, 0) if closed else points[1:]
    pieces = []
    for a, b in zip(points[: len(ends)], ends, strict=True):
        steps = max(1, int(np.hypot(*(b - a)) / spacing))
        pieces.append(a + (b - a) * np.linspace(0, 1, steps, endpoint=False)[:, None])
    if not closed:
        pieces.append(points[-1:])
    return np.concatenate(pieces)


class Hand:
    """A hurried hand: a smooth distortion common to the whole drawing, and a tremor of each line."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.tremor = rng.uniform(0.15, 1.3)
        self.drift = rng.uniform(0.3, 2.2)
        self.waves = rng.uniform(1.0, 3.2, (2, 3, 2)) * rng.choice([-1, 1], (2, 3, 2))
        self.phases = rng.uniform(0, 6.28, (2, 3))

    def distorted(self, points: np.ndarray) -> np.ndarray:
        """The points [N, 2] under the smooth distortion alone."""
        moved = points.copy()
        for axis in (0, 1):
            for wave, phase in zip(self.waves[axis], self.phases[axis], strict=True):
                moved[:, axis] += self.drift * np.sin(points @ wave * 2 * np.pi / UNIT + phase)
        return moved

    def drawn(self, part: Part) -> Part:
        """The part as this hand draws it; sketch and rendering both use the result."""
        points = self.distorted(densified(part.points, closed=part.width == 0))
        if part.shown == "rendering" or len(points) < 3:
            return replace(part, points=points)
        extent = float(np.ptp(points, axis=0).max())
        noise = self.rng.normal(0, min(self.tremor, 0.05 * extent), (len(points) + 8, 2))
        noise = sum(noise[i : i + len(points)] for i in range(5)) / 2.2
        fade = np.minimum(1.0, np.minimum(np.arange(len(points)), np.arange(len(points))[::-1]) / 4)[:, None]
        offset = self.rng.normal(0, min(0.5 * self.tremor, 0.03 * extent), 2)
        return replace(part, points=points + noise * fade + offset)
