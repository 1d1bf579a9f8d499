"""Animals: each function adds the parts of one to a plan."""

from __future__ import annotations

import numpy as np

from training.scenes.portraits import EYES, add_eye
from training.scenes.shapes import CRAYONS, UNIT, Colour, Plan, box, curve, ellipse
from training.scenes.things import one_of, pick


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
        add_eye(plan, x + side * q * 0.34, y - q * 0.2, q * 0.17, EYES[0], rng.random() < 0.5)
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
        add_eye(plan, x + d * w * 0.5, y - w * 0.1, w * 0.13, EYES[3], rng.random() < 0.4, width=0.8)
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
    add_eye(plan, x + d * w * 0.74, y - w * 0.56, max(4.0, w * 0.11), EYES[3], rng.random() < 0.6, width=0.8)


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
        add_eye(plan, x + side * q * 0.4, y - q * 0.1, q * 0.19, EYES[3], rng.random() < 0.5, width=0.85)
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
    add_eye(plan, x + d * w * 0.96, y - w * 0.82, max(3.4, w * 0.07), EYES[3], True)


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
