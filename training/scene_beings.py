"""Portraits, animals and still lifes: each function adds the parts of one picture to a plan."""

from __future__ import annotations

import numpy as np

from training.scene_shapes import CRAYONS, LEAF_GREENS, SKINS, UNIT, Colour, Plan, blob, box, curve, ellipse
from training.scene_things import FLOWERS, add_flower, one_of, pick

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


def _add_eye(plan: Plan, x: float, y: float, q: float, iris: Colour, simple: bool, width: float = 1.0) -> None:
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
        _add_eye(plan, *face.at([(side * spread, -0.1)])[0], size, iris, simple)
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


def _add_cat_face(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float, fur: Colour) -> None:
    simple, iris = rng.random() < 0.35, ((0.4, 0.75, 0.35), (0.95, 0.75, 0.2), (0.35, 0.6, 0.85))[rng.integers(3)]
    plan.add(ellipse(x, y + q * 0.34, q * 0.36, q * 0.26), "fur", CRAYONS["white"], keep=0.4)
    for side in (-1, 1):
        cx, cy = x + side * q * 0.4, y - q * 0.1
        shown = "rendering" if simple else "both"
        plan.add(ellipse(cx, cy, q * 0.19, q * 0.17, count=22), "eyewhite", iris, shown=shown)
        plan.add(ellipse(cx, cy, q * 0.08, q * 0.15, count=16), "ink", CRAYONS["black"], solid=True)
        plan.add(
            ellipse(cx - q * 0.06, cy - q * 0.06, max(1.4, q * 0.035), max(1.4, q * 0.035), count=10),
            "glint",
            shown="rendering",
        )
    plan.add(
        [[x - q * 0.12, y + q * 0.17], [x + q * 0.12, y + q * 0.17], [x, y + q * 0.3]],
        "petal",
        CRAYONS["pink"],
        solid=True,
    )
    if rng.random() < 0.7:
        for side in (-1, 1):
            plan.add(
                curve((x, y + q * 0.3), (x + side * q * 0.1, y + q * 0.5), (x + side * q * 0.28, y + q * 0.42)),
                "ink",
                CRAYONS["black"],
                width=max(1.5, q * 0.035),
            )
    if rng.random() < 0.7:
        for side in (-1, 1):
            for k in (-1, 0, 1):
                whisker = curve(
                    (x + side * q * 0.3, y + q * (0.32 + 0.05 * k)),
                    (x + side * q * 0.7, y + q * (0.3 + 0.1 * k)),
                    (x + side * q * 1.1, y + q * (0.34 + 0.16 * k)),
                )
                plan.add(whisker, "line", CRAYONS["black"], width=max(1.2, q * 0.022))


def _add_cat_head(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float, fur: Colour) -> None:
    for side in (-1, 1):
        plan.add(
            [[x + side * q * 0.92, y - q * 0.1], [x + side * q * 0.8, y - q * 1.2], [x + side * q * 0.15, y - q * 0.7]],
            "fur",
            fur,
        )
        plan.add(
            [
                [x + side * q * 0.76, y - q * 0.5],
                [x + side * q * 0.72, y - q * 0.98],
                [x + side * q * 0.38, y - q * 0.7],
            ],
            "petal",
            CRAYONS["pink"],
            keep=0.7,
        )
    plan.add(ellipse(x, y, q, q * 0.85), "fur", fur)
    _add_cat_face(plan, rng, x, y, q, fur)


def _add_cat(plan: Plan, rng: np.random.Generator) -> None:
    name, fur = pick(rng, "orange", "gray", "black", "white", "brown", "orange")
    plan.subject = f"a {name} cat"
    if rng.random() < 0.45:
        x, y, q = rng.uniform(100, 156), rng.uniform(115, 150), rng.uniform(45, 88)
        plan.begin()
        if rng.random() < 0.6:
            plan.add(ellipse(x, y + q * 1.5, q * 1.15, q * 0.95), "fur", fur)
        _add_cat_head(plan, rng, x, y, q, fur)
        return
    x, y, h = rng.uniform(90, 166), rng.uniform(205, 246), rng.uniform(110, 200)
    plan.begin(base=y)
    plan.add(
        curve((x + h * 0.2, y - h * 0.05), (x + h * 0.62, y - h * 0.05), (x + h * 0.4, y - h * 0.42)),
        "fur",
        fur,
        width=h * 0.09,
    )
    plan.add(ellipse(x, y - h * 0.28, h * 0.26, h * 0.29), "fur", fur)
    for side in (-1, 1):
        plan.add(ellipse(x + side * h * 0.1, y - h * 0.04, h * 0.09, h * 0.055, count=20), "fur", fur, keep=0.8)
    _add_cat_head(plan, rng, x, y - h * 0.68, h * 0.24, fur)


def _add_dog(plan: Plan, rng: np.random.Generator) -> None:
    name, fur = pick(rng, "brown", "gray", "black", "white", "orange", "brown")
    plan.subject = f"a {name} dog"
    x, y, q = rng.uniform(100, 156), rng.uniform(100, 140), rng.uniform(36, 72)
    plan.begin()
    plan.add(ellipse(x, y + q * 1.6, q * 0.95, q * 1.1), "fur", fur, keep=0.85)
    plan.add(ellipse(x, y, q * 0.85, q * 0.9), "fur", fur)
    ear = one_of(rng, ((0.4, 0.25, 0.15), (0.25, 0.2, 0.18), fur))
    for side in (-1, 1):
        plan.add(ellipse(x + side * q * 0.9, y - q * 0.05, q * 0.27, q * 0.62, side * -0.25), "fur", ear)
        _add_eye(plan, x + side * q * 0.34, y - q * 0.2, q * 0.17, EYES[0], rng.random() < 0.5)
    plan.add(ellipse(x, y + q * 0.38, q * 0.42, q * 0.34), "fur", CRAYONS["white"], keep=0.7)
    if rng.random() < 0.5:
        plan.add(
            np.concatenate(
                [
                    box(x - q * 0.12, y + q * 0.55, x + q * 0.12, y + q * 0.75)[:2],
                    ellipse(x, y + q * 0.74, q * 0.12, q * 0.16, start=0, end=np.pi, count=10),
                ]
            ),
            "petal",
            CRAYONS["pink"],
        )
    for side in (-1, 1):
        plan.add(
            curve((x, y + q * 0.3), (x + side * q * 0.08, y + q * 0.58), (x + side * q * 0.3, y + q * 0.5)),
            "ink",
            CRAYONS["black"],
            width=max(1.6, q * 0.04),
        )
    plan.add(ellipse(x, y + q * 0.2, q * 0.17, q * 0.12, count=20), "rubber", CRAYONS["black"], solid=True)


def _add_fish(plan: Plan, rng: np.random.Generator) -> None:
    plan.setting = "underwater"
    name, colour = pick(rng, "orange", "yellow", "red", "blue", "purple", "pink", "green", "orange")
    plan.subject = f"a {name} fish"
    for _ in range(1 if rng.random() < 0.6 else 2):
        plan.begin("water")
        x, y, w, d = rng.uniform(80, 176), rng.uniform(70, 190), rng.uniform(40, 92), float(rng.choice([-1, 1]))
        plan.add(
            [
                [x - d * w * 0.7, y],
                [x - d * w * 1.3, y - w * 0.45],
                [x - d * w * 1.12, y],
                [x - d * w * 1.3, y + w * 0.45],
            ],
            "feather",
            colour,
        )
        plan.add(
            np.concatenate(
                [curve((x - d * w * 0.35, y - w * 0.38), (x, y - w * 0.95), (x + d * w * 0.35, y - w * 0.38))]
            ),
            "feather",
            colour,
            keep=0.8,
        )
        plan.add(ellipse(x, y, w * 0.86, w * 0.5), "scale", colour)
        plan.add(
            ellipse(x - d * w * 0.05, y + w * 0.12, w * 0.22, w * 0.12, 0.4 * d, count=20), "feather", colour, keep=0.6
        )
        _add_eye(plan, x + d * w * 0.5, y - w * 0.1, w * 0.13, EYES[3], rng.random() < 0.4, width=0.8)
        plan.add(
            curve((x + d * w * 0.82, y + w * 0.12), (x + d * w * 0.7, y + w * 0.2), (x + d * w * 0.58, y + w * 0.14)),
            "ink",
            CRAYONS["black"],
            width=2.0,
            keep=0.7,
        )
    for _ in range(rng.integers(0, 6)):
        plan.begin("bubbles")
        r = rng.uniform(3, 9)
        plan.add(ellipse(rng.uniform(10, 246), rng.uniform(10, 200), r, r, count=20), "glaze", (0.75, 0.9, 1.0))


def _add_bird(plan: Plan, rng: np.random.Generator) -> None:
    name, colour = pick(rng, "red", "blue", "yellow", "green", "brown", "gray", "teal")
    plan.subject = f"a {name} bird"
    x, y, w, d = rng.uniform(96, 160), rng.uniform(105, 155), rng.uniform(40, 78), float(rng.choice([-1, 1]))
    plan.begin("a branch")
    plan.add(
        curve((-20, y + w * 0.8), (128, y + w * 0.7), (276, y + w * 0.86)),
        "trunk",
        CRAYONS["brown"],
        width=rng.uniform(7, 14),
        keep=0.8,
    )
    plan.begin()
    plan.add(
        [
            [x - d * w * 0.55, y - w * 0.05],
            [x - d * w * 1.55, y + w * 0.4],
            [x - d * w * 1.35, y + w * 0.68],
            [x - d * w * 0.3, y + w * 0.42],
        ],
        "feather",
        colour,
    )
    for side in (-0.12, 0.16):
        plan.add(
            [(x + side * w, y + w * 0.55), (x + side * w, y + w * 0.68), (x + side * w, y + w * 0.8)],
            "wood",
            CRAYONS["orange"],
            width=max(2.0, w * 0.05),
        )
    plan.add(
        [[x + d * w * 0.95, y - w * 0.64], [x + d * w * 1.45, y - w * 0.44], [x + d * w * 0.95, y - w * 0.34]],
        "fruit",
        CRAYONS["orange"],
    )
    plan.add(ellipse(x, y + w * 0.1, w * 0.85, w * 0.58, -0.4 * d), "feather", colour)
    plan.add(ellipse(x + d * w * 0.64, y - w * 0.5, w * 0.42, w * 0.4), "feather", colour)
    plan.add(
        ellipse(x + d * w * 0.32, y + w * 0.26, w * 0.36, w * 0.32, -0.4 * d),
        "feather",
        one_of(rng, ((0.98, 0.9, 0.75), (0.95, 0.55, 0.3))),
        keep=0.5,
    )
    plan.add(
        ellipse(x - d * w * 0.22, y + w * 0.1, w * 0.52, w * 0.28, -0.6 * d),
        "feather",
        tuple(0.8 * np.array(colour)),
        keep=0.8,
    )  # type: ignore[arg-type]
    _add_eye(plan, x + d * w * 0.74, y - w * 0.56, max(4.0, w * 0.11), EYES[3], rng.random() < 0.6, width=0.8)


def _add_rabbit(plan: Plan, rng: np.random.Generator) -> None:
    name, fur = pick(rng, "white", "gray", "brown", "white", "black")
    plan.subject = f"a {name} rabbit"
    x, y, q = rng.uniform(100, 156), rng.uniform(125, 150), rng.uniform(34, 58)
    plan.begin()
    plan.add(ellipse(x, y + q * 1.55, q * 1.0, q * 1.05), "fur", fur, keep=0.9)
    for side in (-1, 1):
        plan.add(ellipse(x + side * q * 0.42, y - q * 1.35, q * 0.24, q * 0.78, side * 0.15), "fur", fur)
        plan.add(
            ellipse(x + side * q * 0.42, y - q * 1.3, q * 0.12, q * 0.55, side * 0.15, count=24),
            "petal",
            CRAYONS["pink"],
            keep=0.8,
        )
        plan.add(ellipse(x + side * q * 0.35, y + q * 2.45, q * 0.4, q * 0.2), "fur", fur, keep=0.8)
    plan.add(ellipse(x, y, q * 0.88, q * 0.8), "fur", fur)
    for side in (-1, 1):
        _add_eye(plan, x + side * q * 0.4, y - q * 0.1, q * 0.19, EYES[3], rng.random() < 0.5, width=0.85)
        plan.add(ellipse(x + side * q * 0.55, y + q * 0.28, q * 0.16, q * 0.1, count=16), "blush", shown="rendering")
    plan.add(
        [[x - q * 0.11, y + q * 0.16], [x + q * 0.11, y + q * 0.16], [x, y + q * 0.28]],
        "petal",
        CRAYONS["pink"],
        solid=True,
    )
    for side in (-1, 1):
        plan.add(
            curve((x, y + q * 0.28), (x + side * q * 0.1, y + q * 0.45), (x + side * q * 0.24, y + q * 0.38)),
            "ink",
            CRAYONS["black"],
            width=max(1.6, q * 0.04),
        )


def _add_horse(plan: Plan, rng: np.random.Generator) -> None:
    name, fur = pick(rng, "brown", "black", "white", "gray", "orange")
    plan.subject = f"a {name} horse"
    x, y, w, d = 128 - rng.uniform(-15, 15), rng.uniform(130, 160), rng.uniform(55, 80), float(rng.choice([-1, 1]))
    plan.begin(base=y + w * 1.05)
    mane = one_of(rng, ((0.3, 0.2, 0.12), (0.12, 0.1, 0.1), (0.95, 0.85, 0.6)))
    plan.add(
        curve((x - d * w * 0.78, y - w * 0.15), (x - d * w * 1.15, y), (x - d * w * 1.02, y + w * 0.6)),
        "hair",
        mane,
        width=w * 0.16,
    )
    for leg in (-0.62, -0.36, 0.36, 0.62):
        plan.add(
            [
                [x + w * (leg - 0.1), y + w * 0.1],
                [x + w * (leg + 0.1), y + w * 0.1],
                [x + w * (leg + 0.07), y + w * 1.05],
                [x + w * (leg - 0.07), y + w * 1.05],
            ],
            "fur",
            fur,
        )
    plan.add(ellipse(x, y, w * 0.85, w * 0.4), "fur", fur)
    plan.add(
        [
            [x + d * w * 0.4, y - w * 0.1],
            [x + d * w * 0.72, y - w * 0.85],
            [x + d * w * 1.0, y - w * 0.8],
            [x + d * w * 0.84, y + w * 0.1],
        ],
        "fur",
        fur,
    )
    plan.add(
        [[x + d * w * 0.84, y - w * 0.92], [x + d * w * 0.9, y - w * 1.2], [x + d * w * 0.98, y - w * 0.9]], "fur", fur
    )
    plan.add(ellipse(x + d * w * 1.04, y - w * 0.74, w * 0.36, w * 0.18, 0.55 * d), "fur", fur)
    plan.add(
        curve((x + d * w * 0.82, y - w * 1.0), (x + d * w * 0.52, y - w * 0.7), (x + d * w * 0.46, y - w * 0.2)),
        "hair",
        mane,
        width=w * 0.16,
        keep=0.9,
    )
    _add_eye(plan, x + d * w * 0.96, y - w * 0.82, max(3.4, w * 0.07), EYES[3], True)


def add_animal(plan: Plan, rng: np.random.Generator) -> None:
    """One animal, or two fish."""
    kinds = (_add_cat, _add_dog, _add_fish, _add_bird, _add_rabbit, _add_horse)
    kind = kinds[rng.choice(6, p=[0.36, 0.16, 0.18, 0.14, 0.1, 0.06])]
    if kind in (_add_cat, _add_dog, _add_horse, _add_rabbit) and rng.random() < 0.4:
        plan.begin()
        _, floor = pick(rng, "green", "brown", "gray", "green", "orange")
        green = floor[1] > max(floor[0], floor[2])
        plan.add(box(-12, rng.uniform(175, 215), UNIT + 12, UNIT + 12), "ground" if green else "table", floor)
    kind(plan, rng)


def add_still_life(plan: Plan, rng: np.random.Generator) -> None:
    """Fruit, cups, bottles and vases on a table."""
    plan.subject = "a still life"
    edge = rng.uniform(140, 196)
    plan.begin("a table")
    plan.add(
        box(-12, edge, UNIT + 12, UNIT + 12),
        "table",
        one_of(rng, ((0.6, 0.4, 0.25), (0.75, 0.55, 0.35), (0.5, 0.5, 0.55), (0.85, 0.8, 0.7))),
        keep=0.8,
    )
    for y in np.sort(rng.uniform(edge + 14, 240, int(rng.integers(1, 5)))):
        thing = (_add_fruit, _add_fruit, _add_cup, _add_vase, _add_bottle)[rng.integers(5)]
        thing(plan, rng, rng.uniform(40, 216), float(y), rng.uniform(22, 46) + (14 if rng.random() < 0.2 else 0))


def _add_fruit(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float) -> None:
    name, colour = pick(rng, "red", "green", "yellow", "orange", "red")
    plan.begin(f"a {name} apple" if name != "orange" else "an orange", y)
    plan.add(blob(rng, x, y - q * 0.9, q, q * 0.9, 0.012), "fruit", colour)
    plan.add(
        curve((x, y - q * 1.68), (x + q * 0.02, y - q * 1.9), (x + q * 0.12, y - q * 2.05)),
        "wood",
        CRAYONS["brown"],
        width=max(2.0, q * 0.1),
        keep=0.85,
    )
    plan.add(
        ellipse(x + q * 0.36, y - q * 1.92, q * 0.3, q * 0.13, -0.4, count=20),
        "stem",
        LEAF_GREENS[rng.integers(4)],
        keep=0.6,
    )


def _add_cup(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float) -> None:
    name, colour = pick(rng)
    plan.begin(f"a {name} cup", y)
    handle = ellipse(x + q * 0.78, y - q * 0.78, q * 0.36, q * 0.4, start=-np.pi * 0.6, end=np.pi * 0.6, count=20)
    plan.add(handle, "glaze", colour, width=q * 0.17)
    body = np.concatenate(
        [
            [(x - q * 0.78, y - q * 1.5), (x + q * 0.78, y - q * 1.5)],
            curve((x + q * 0.78, y - q * 1.5), (x + q * 0.74, y), (x + q * 0.5, y)),
            curve((x - q * 0.5, y), (x - q * 0.74, y), (x - q * 0.78, y - q * 1.5)),
        ]
    )
    plan.add(body, "glaze", colour)
    plan.add(ellipse(x, y - q * 1.5, q * 0.78, q * 0.2), "glaze", colour, keep=0.85)
    plan.add(ellipse(x, y - q * 1.47, q * 0.64, q * 0.14), "wood", CRAYONS["brown"], keep=0.5)


def _add_vase(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float) -> None:
    name, colour = pick(rng)
    plan.begin(f"a {name} vase with flowers", y)
    _, petal = pick(rng, *FLOWERS)
    for _ in range(rng.integers(2, 6)):
        fx, fy = x + rng.normal(0, q * 0.55), y - q * rng.uniform(2.5, 3.4)
        add_flower(
            plan, rng, fx, fy, q * rng.uniform(0.28, 0.42), petal, stem=max(1.0, (y - q * 1.7 - fy) / (q * 0.35))
        )
    right = np.concatenate(
        [
            curve((x + q * 0.36, y - q * 1.8), (x + q * 0.2, y - q * 1.4), (x + q * 0.6, y - q * 1.05)),
            curve((x + q * 0.6, y - q * 1.05), (x + q * 0.95, y - q * 0.3), (x + q * 0.4, y)),
        ]
    )
    left = right[::-1] * (-1, 1) + (2 * x, 0)
    plan.add(np.concatenate([right, left]), "glaze", colour)


def _add_bottle(plan: Plan, rng: np.random.Generator, x: float, y: float, q: float) -> None:
    name, colour = pick(rng, "green", "brown", "blue", "teal", "red")
    plan.begin(f"a {name} bottle", y)
    w = q * 0.42
    right = np.concatenate(
        [
            [(x + w * 0.36, y - q * 3.0), (x + w * 0.36, y - q * 2.3)],
            curve((x + w * 0.36, y - q * 2.3), (x + w, y - q * 2.0), (x + w, y - q * 1.6)),
            [(x + w, y)],
        ]
    )
    plan.add(np.concatenate([right, right[::-1] * (-1, 1) + (2 * x, 0)]), "glaze", colour)
    plan.add(box(x - w, y - q * 1.2, x + w, y - q * 0.5), "plaster", CRAYONS["white"], keep=0.5)
