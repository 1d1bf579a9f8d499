"""Still lifes: fruit, cups, vases and bottles on a table, in parts of a plan."""

from __future__ import annotations

import numpy as np

from training.scenes.shapes import CRAYONS, LEAF_GREENS, UNIT, Plan, blob, box, curve, ellipse
from training.scenes.things import FLOWERS, add_flower, one_of, pick


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
