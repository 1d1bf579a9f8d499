"""Portraits: a face with its hair, what it wears, and a body, in parts of a plan."""

from __future__ import annotations

import numpy as np

from training.scenes.shapes import CRAYONS, SKINS, UNIT, Colour, Plan, blob, box, curve, ellipse
from training.scenes.things import one_of, pick

HAIR = (
    "black",
    "brown",
    "yellow",
    "red",
    "gray",
    "white",
    "brown",
    "black",
    "orange",
    "blue",
    "pink",
    "green",
    "purple",
)
EYES: tuple[Colour, ...] = ((0.36, 0.24, 0.14), (0.25, 0.45, 0.7), (0.3, 0.5, 0.3), (0.2, 0.14, 0.1))


def add_eye(plan: Plan, x: float, y: float, q: float, iris: Colour, simple: bool, width: float = 1.0) -> None:
    """An eye of half width `q`: a mere dot in a simple sketch, always whole in the rendering."""
    shown = "rendering" if simple else "both"
    plan.add(ellipse(x, y, q * width, q * 0.66, count=24), "eyewhite", CRAYONS["white"], shown=shown)
    plan.add(ellipse(x, y, q * 0.5, q * 0.55, count=20), "iris", iris, shown=shown, solid=True)
    plan.add(ellipse(x, y, q * 0.26, q * 0.28, count=14), "ink", CRAYONS["black"], shown=shown, solid=True)
    if simple:
        plan.add(ellipse(x, y, q * 0.45, q * 0.5, count=16), "ink", CRAYONS["black"], shown="sketch", solid=True)
    plan.add(
        ellipse(x - q * 0.2, y - q * 0.24, max(1.5, q * 0.17), max(1.5, q * 0.17), count=12), "glint", shown="rendering"
    )
    lid = ellipse(x, y, q * width * 1.03, q * 0.7, start=np.pi * 1.02, end=np.pi * 1.98, count=14)
    plan.add(lid, "ink", shown="rendering", width=max(1.6, q * 0.16))


class Face:
    """A head of half height `q` at (x, y), tilted; turns its own coordinates into units of the canvas."""

    def __init__(self, x: float, y: float, q: float, tilt: float) -> None:
        self.x, self.y, self.q, self.tilt = x, y, q, tilt

    def at(self, points: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
        """Points [N, 2] in half heights from the centre of the head -> units of the canvas."""
        u, v = (self.q * np.asarray(points, np.float64)).T
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return np.stack([self.x + u * cos - v * sin, self.y + u * sin + v * cos], 1)


def add_portrait(plan: Plan, rng: np.random.Generator) -> None:
    """One person from the front, head and shoulders."""
    q = rng.uniform(34, 84) if rng.random() < 0.8 else rng.uniform(20, 36)
    face = Face(
        rng.uniform(100, 156), rng.uniform(92, 142) if q < 66 else rng.uniform(112, 140), q, rng.normal(0, 0.09)
    )
    woman = rng.random() < 0.5
    person = ("woman" if woman else "man") if rng.random() < 0.75 else ("girl" if woman else "boy")
    plan.subject = f"a portrait of a {person}"
    skin = one_of(rng, SKINS)
    hair_name, hair = pick(rng, *HAIR)
    plan.begin({"yellow": "blonde"}.get(hair_name, hair_name) + " hair")
    crown = tuple(face.at([(0.05, -0.95)])[0])
    style = ("long", "bun", "bob")[rng.integers(3)] if woman else ("short", "short", "curly", "bald")[rng.integers(4)]
    _add_back_hair(plan, rng, face, style, hair, crown)
    _add_body(plan, rng, face, skin)
    _add_head(plan, rng, face, skin)
    _add_features(plan, rng, face, hair, skin)
    _add_front_hair(plan, rng, face, style, woman, hair, crown)
    _add_worn(plan, rng, face)


def _add_back_hair(
    plan: Plan, rng: np.random.Generator, face: Face, style: str, hair: Colour, crown: tuple[float, float]
) -> None:
    if style == "long":
        length = rng.uniform(1.2, 1.9)
        plan.add(
            face.at(
                np.concatenate(
                    [
                        ellipse(0, -0.1, 1.0, 1.08, start=np.pi, end=2 * np.pi, count=20),
                        [(1.08, length * 0.6), (1.05, length), (-1.05, length), (-1.08, length * 0.6)],
                    ]
                )
            ),
            "hair",
            hair,
            frame=crown,
        )
    elif style == "bun":
        plan.add(face.at(ellipse(0, -1.22, 0.38, 0.34, count=24)), "hair", hair)
        plan.add(face.at(ellipse(0, -0.22, 0.92, 0.98)), "hair", hair, frame=crown)
    elif style == "bob":
        plan.add(face.at(ellipse(0, 0.0, 1.08, 1.2)), "hair", hair, frame=crown)
    elif style == "curly":
        plan.add(face.at(blob(rng, 0, -0.38, 1.05, 0.9, 0.03)), "hair", hair, frame=crown)


def _add_body(plan: Plan, rng: np.random.Generator, face: Face, skin: Colour) -> None:
    x, y, q = face.x, face.y, face.q
    plan.add(box(x - q * 0.3, y + q * 0.6, x + q * 0.3, y + q * 1.5), "skin", skin)
    name, colour = pick(rng)
    plan.begin(f"a {name} shirt")
    w, top = rng.uniform(1.3, 1.9), y + q * 1.25
    if rng.random() < 0.85:
        body = [
            (x - q * 0.38, top),
            (x - q * w * 0.75, top + q * 0.22),
            (x - q * w, top + q * 0.8),
            (x - q * w * 1.04, UNIT + 30),
            (x + q * w * 1.04, UNIT + 30),
            (x + q * w, top + q * 0.8),
            (x + q * w * 0.75, top + q * 0.22),
            (x + q * 0.38, top),
        ]
        neckline = curve((x + q * 0.36, top), (x, top + q * rng.uniform(0.15, 0.9)), (x - q * 0.36, top), 9)
        plan.add(np.concatenate([np.array(body), neckline]), "cloth", colour, keep=0.9)
    plan.begin()


def _add_head(plan: Plan, rng: np.random.Generator, face: Face, skin: Colour) -> None:
    if rng.random() < 0.75:
        for side in (-1, 1):
            plan.add(face.at(ellipse(side * 0.8, 0.05, 0.15, 0.23, count=20)), "skin", skin)
    angles = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    jaw = rng.uniform(0.0, 0.16)
    width = 0.78 * (1 - jaw * np.clip(np.sin(angles), 0, 1) ** 2)
    plan.add(face.at(np.stack([width * np.cos(angles), 1.0 * np.sin(angles)], 1)), "skin", skin)


def _add_features(plan: Plan, rng: np.random.Generator, face: Face, hair: Colour, skin: Colour) -> None:
    simple, iris = rng.random() < 0.5, EYES[rng.integers(len(EYES))]
    size, spread = face.q * rng.uniform(0.16, 0.23), rng.uniform(0.32, 0.4)
    brows = rng.random() < 0.6
    for side in (-1, 1):
        plan.add(face.at(ellipse(side * 0.44, 0.34, 0.15, 0.11, count=20)), "blush", shown="rendering")
        add_eye(plan, *face.at([(side * spread, -0.1)])[0], size, iris, simple)
        if brows:
            brow = curve((side * (spread - 0.2), -0.33), (side * spread, -0.46), (side * (spread + 0.21), -0.33))
            dark = tuple(0.55 * np.array(hair))
            plan.add(face.at(brow), "ink", dark, width=max(1.8, face.q * 0.055))  # type: ignore[arg-type]
    nose = curve((0.0, 0.02), (0.16, 0.26), (-0.02, 0.28))
    if rng.random() < 0.6:
        plan.add(face.at(nose), "line", CRAYONS["black"], width=1.5, shown="sketch")
    plan.add(
        face.at(curve((0.05, -0.05), (0.17, 0.26), (-0.08, 0.3))),
        "shade",
        width=max(2.5, face.q * 0.09),
        shown="rendering",
    )
    plan.add(face.at(ellipse(-0.03, 0.19, 0.045, 0.06, count=12)), "sheen", shown="rendering")
    _add_mouth(plan, rng, face)


def _add_mouth(plan: Plan, rng: np.random.Generator, face: Face) -> None:
    smile, half = rng.uniform(-0.04, 0.2), rng.uniform(0.22, 0.36)
    _, lip = pick(rng, "red", "pink", "red", "brown")
    y = 0.56
    if rng.random() < 0.35:
        mouth = np.concatenate(
            [
                curve((-half, y - smile * 0.5), (0, y - 0.02), (half, y - smile * 0.5)),
                curve((half, y - smile * 0.5), (0, y + 0.22 + smile), (-half, y - smile * 0.5)),
            ]
        )
        plan.add(face.at(mouth), "lip", lip)
        teeth = np.concatenate(
            [
                curve((-half * 0.7, y - 0.01), (0, y + 0.02), (half * 0.7, y - 0.01)),
                curve((half * 0.7, y - 0.01), (0, y + 0.12 + smile * 0.6), (-half * 0.7, y - 0.01)),
            ]
        )
        plan.add(face.at(teeth), "teeth", CRAYONS["white"], keep=0.9)
        return
    line = curve((-half, y - smile), (0, y + smile), (half, y - smile))
    plan.add(
        face.at(line),
        "ink",
        lip if rng.random() < 0.5 else None,
        shown="sketch",
        width=max(1.6, face.q * rng.uniform(0.03, 0.08)),
    )
    upper = np.concatenate(
        [
            line,
            curve((half, y - smile), (half * 0.3, y + smile * 0.1 - 0.1), (0, y - 0.03)),
            curve((0, y - 0.03), (-half * 0.3, y + smile * 0.1 - 0.1), (-half, y - smile)),
        ]
    )
    lower = np.concatenate([line, curve((half, y - smile), (0, y + smile + 0.19), (-half, y - smile))])
    for points in (lower, upper):
        plan.add(face.at(points), "lip", shown="rendering")
    plan.add(face.at(line), "shade", width=max(1.6, face.q * 0.035), shown="rendering")


def _add_front_hair(
    plan: Plan, rng: np.random.Generator, face: Face, style: str, woman: bool, hair: Colour, crown: tuple[float, float]
) -> None:
    plan.begin()
    if not woman and rng.random() < 0.3:
        plan.begin("a beard")
        beard = np.concatenate(
            [
                ellipse(0, 0.1, 0.79, 0.98, start=0.1, end=np.pi - 0.1, count=22),
                curve((-0.6, 0.2), (-0.5, 0.62), (-0.3, 0.36)),
                curve((-0.3, 0.36), (0, 0.32), (0.3, 0.36)),
                curve((0.3, 0.36), (0.5, 0.62), (0.6, 0.2)),
            ]
        )
        plan.add(face.at(beard), "hair", hair, frame=tuple(face.at([(0, -0.3)])[0]))
        plan.add(face.at(ellipse(0, 0.56, 0.22, 0.07, count=16)), "lip", CRAYONS["red"])
        plan.begin()
    if style == "bald":
        return
    height = rng.uniform(0.3, 0.6)
    outer = ellipse(0, -0.12, 0.86, 1.0, start=np.pi * 1.0, end=np.pi * 2.0, count=22)
    cut = rng.random()
    if cut < 0.35:
        inner = curve((0.78, -0.1), (0, -0.12 - 2 * height), (-0.78, -0.1))
    elif cut < 0.7:
        inner = np.concatenate(
            [curve((0.8, -0.1), (0.62, -0.75), (0.2, -0.85)), curve((0.2, -0.85), (-0.5, -0.62), (-0.8, -0.1))]
        )
    else:
        inner = np.array(
            [
                (0.8, -0.15),
                (0.66, -0.42),
                (0.45, -0.36),
                (0.25, -0.48),
                (0.0, -0.38),
                (-0.25, -0.5),
                (-0.48, -0.38),
                (-0.66, -0.45),
                (-0.8, -0.15),
            ]
        )
    plan.add(face.at(np.concatenate([outer, inner])), "hair", hair, frame=crown)


def _add_worn(plan: Plan, rng: np.random.Generator, face: Face) -> None:
    if rng.random() < 0.25:
        plan.begin("glasses")
        for side in (-1, 1):
            ring = ellipse(side * 0.37, -0.1, 0.29, 0.25, count=32)
            plan.add(face.at(np.concatenate([ring, ring[:1]])), "line", CRAYONS["black"], width=max(2.0, face.q * 0.05))
        plan.add(
            face.at(curve((-0.09, -0.14), (0, -0.19), (0.09, -0.14))),
            "line",
            CRAYONS["black"],
            width=max(2.0, face.q * 0.05),
        )
    if rng.random() < 0.18:
        name, colour = pick(rng)
        plan.begin(f"a {name} hat")
        dome = ellipse(0, -0.55, 0.82, rng.uniform(0.6, 0.95), start=np.pi, end=2 * np.pi, count=24)
        plan.add(face.at(dome), "cloth", colour)
        plan.add(face.at(ellipse(0, -0.55, rng.uniform(0.9, 1.35), 0.13)), "cloth", colour)
