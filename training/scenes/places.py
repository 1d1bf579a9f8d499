"""Landscapes, cities and loose drawings: each function adds the parts of one picture to a plan."""

from __future__ import annotations

import numpy as np

from training.scenes.shapes import (
    CRAYONS,
    LEAF_GREENS,
    SKY_COLOURS,
    UNIT,
    Colour,
    Plan,
    blob,
    box,
    curve,
    ellipse,
    ridge,
)
from training.scenes.things import (
    add_boat,
    add_bush,
    add_car,
    add_cloud,
    add_fence,
    add_flowers,
    add_house,
    add_mountains,
    add_sun,
    add_tree,
    one_of,
    pick,
)


def add_sky(plan: Plan, rng: np.random.Generator, chance: float) -> Colour | None:
    """The sky fills the whole canvas; returns its colour where somebody coloured it in."""
    plan.begin()
    colour = one_of(rng, SKY_COLOURS) if rng.random() < chance else None
    plan.add(box(-40, -40, UNIT + 40, UNIT + 40), "sky", colour, shown="both" if colour else "rendering")
    return colour


def add_landscape(plan: Plan, rng: np.random.Generator) -> None:
    """Sky, far things, ground or water, and what stands on it from far to near."""
    plan.setting = "outdoor"
    plan.subject = "a landscape"
    horizon = rng.uniform(0.42, 0.7) * UNIT
    if rng.random() < 0.68:
        add_sun(plan, rng, horizon)
    for _ in range(rng.integers(0, 4)):
        add_cloud(plan, rng, horizon)
    if rng.random() < 0.42:
        add_mountains(plan, rng, horizon)
    if rng.random() < 0.32:
        _add_sea(plan, rng, horizon)
    else:
        _add_meadow(plan, rng, horizon)


def _add_sea(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    plan.begin(("the sea", "a lake")[rng.integers(2)])
    plan.add(
        box(-12, horizon, UNIT + 12, UNIT + 12),
        "water",
        one_of(rng, ((0.15, 0.45, 0.8), (0.2, 0.6, 0.8), (0.3, 0.5, 0.9))),
    )
    for y in np.sort(rng.uniform(horizon + 6, horizon + 60, int(rng.integers(0, 3)))):
        add_boat(plan, rng, rng.uniform(30, 226), float(y), rng.uniform(40, 60) + (y - horizon))
    if rng.random() < 0.5:
        plan.begin("a beach")
        shore = rng.uniform(0.8, 0.92) * UNIT
        plan.add(ridge(rng, shore, rng.uniform(3, 9)), "sand", one_of(rng, ((0.95, 0.85, 0.55), (0.9, 0.75, 0.5))))
        if rng.random() < 0.5:
            add_tree(plan, rng, rng.uniform(10, 246), shore + rng.uniform(10, 26), rng.uniform(80, 150), "palm")


def _add_meadow(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    plan.begin()
    sandy = rng.random() < 0.12
    for i in range(rng.integers(1, 3)):
        colour = one_of(
            rng,
            ((0.93, 0.83, 0.5),)
            if sandy
            else ((0.4, 0.75, 0.3), (0.3, 0.6, 0.2), (0.55, 0.75, 0.3), (0.2, 0.55, 0.25)),
        )
        plan.add(
            ridge(rng, horizon + (UNIT - horizon) * 0.3 * i, rng.uniform(2, 14)),
            "sand" if sandy else "ground",
            colour,
            keep=0.9,
        )
    if rng.random() < 0.3:
        plan.begin("a road")
        x, bend = rng.uniform(80, 176), rng.uniform(-50, 50)
        left = curve((x - 4, horizon + 10), (x + bend - 8, 0.55 * (horizon + UNIT)), (x - 34, UNIT + 10))
        right = curve((x + 34, UNIT + 10), (x + bend + 14, 0.55 * (horizon + UNIT)), (x + 4, horizon + 10))
        plan.add(
            np.concatenate([left, right]),
            "road",
            one_of(rng, ((0.75, 0.65, 0.5), (0.6, 0.6, 0.62), (0.85, 0.75, 0.55))),
        )
    if rng.random() < 0.12:
        plan.begin("a pond")
        plan.add(
            blob(rng, rng.uniform(60, 196), rng.uniform(215, 235), rng.uniform(35, 70), rng.uniform(9, 16), 0.03),
            "water",
            (0.3, 0.6, 0.9),
        )
    _add_standing(plan, rng, horizon)
    if rng.random() < 0.3:
        add_flowers(plan, rng, horizon + 25)


def _add_standing(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    lower = min(horizon + 70, 244.0)
    standing: list[tuple[float, str]] = []
    for kind, most in (("house", 3), ("tree", 5), ("bush", 3)):
        least = 1 if kind == "house" and rng.random() < 0.6 else 0
        count = max(least, int(rng.integers(0, most)))
        standing += [(float(y), kind) for y in rng.uniform(horizon + 6, lower, count)]
    if rng.random() < 0.2:
        standing.append((rng.uniform(horizon + 25, lower), "fence"))
    if standing and any(kind == "house" for _, kind in standing):
        plan.subject = "a house" if rng.random() < 0.6 else "a village"
    species = ("round", "round", "round", "pine", "palm")[rng.integers(5)]
    for y, kind in sorted(standing):
        near = (y - horizon) / 70
        x = rng.uniform(15, 241)
        if kind == "house":
            add_house(plan, rng, rng.uniform(45, 211), y, rng.uniform(48, 100) + 70 * near * rng.random())
        elif kind == "tree":
            add_tree(plan, rng, x, y, rng.uniform(40, 80) + 60 * near, species)
        elif kind == "bush":
            add_bush(plan, rng, x, y, rng.uniform(16, 32) + 14 * near)
        else:
            add_fence(plan, rng, y)


def add_city(plan: Plan, rng: np.random.Generator) -> None:
    """A street with towers, or a castle on its hill; sometimes a car."""
    plan.setting = "outdoor"
    if rng.random() < 0.6:
        add_sun(plan, rng, 120)
    for _ in range(rng.integers(0, 3)):
        add_cloud(plan, rng, 120)
    base = rng.uniform(190, 220)
    plan.begin()
    castle = rng.random() < 0.4
    if castle:
        plan.subject = "a castle"
        plan.add(ridge(rng, base - 6, 8), "ground", one_of(rng, LEAF_GREENS), keep=0.9)
        _add_castle(plan, rng, rng.uniform(90, 166), base, rng.uniform(90, 170))
    else:
        plan.subject = "a city street"
        plan.add(box(-12, base, UNIT + 12, UNIT + 12), "road", (0.45, 0.45, 0.5), keep=0.95)
        x = rng.uniform(-20, 30)
        while x < 240:
            w = rng.uniform(34, 70)
            _add_tower(plan, rng, x, base, w, rng.uniform(50, 175))
            x += w + rng.uniform(-3, 22)
    if rng.random() < (0.1 if castle else 0.65):
        add_car(plan, rng, rng.uniform(50, 206), rng.uniform(base + 8, 244), rng.uniform(50, 110))


def _add_tower(plan: Plan, rng: np.random.Generator, x: float, base: float, w: float, h: float) -> None:
    plan.begin("tall buildings", None)
    _, colour = pick(rng, "gray", "brown", "blue", "white", "orange", "pink", "yellow", "gray", "purple")
    drawn_windows = rng.random() < 0.5
    plan.add(box(x, base - h, x + w, base + 1), "plaster" if drawn_windows else "tower", colour)
    if drawn_windows:
        columns, rows = max(1, int(w / 20)), max(1, int(h / 26))
        q = min(w / columns, h / rows) * 0.5
        for i in range(columns):
            for j in range(rows):
                cx, cy = x + w * (i + 0.5) / columns, base - h + h * (j + 0.5) / rows
                plan.add(
                    box(cx - q / 2, cy - q / 2, cx + q / 2, cy + q / 2),
                    "glass",
                    (0.95, 0.9, 0.5) if rng.random() < 0.3 else (0.6, 0.8, 0.95),
                    keep=0.97,
                )


def _add_castle(plan: Plan, rng: np.random.Generator, x: float, y: float, w: float) -> None:
    plan.begin("a castle", y)
    _, wall = pick(rng, "gray", "gray", "white", "brown", "yellow", "pink")
    _, roof = pick(rng, "red", "blue", "purple", "brown", "teal")
    h = w * rng.uniform(0.4, 0.6)
    teeth = np.linspace(x - w * 0.36, x + w * 0.36, 9)
    top = [(t, y - h * (1.0 if i % 2 else 0.86)) for i in range(8) for t in teeth[i : i + 2]]
    plan.add(np.array([*top, (x + w * 0.36, y), (x - w * 0.36, y)]), "stone", wall)
    for side in (-1, 1, 0) if rng.random() < 0.6 else (-1, 1):
        cx, tall, wide = x + side * w * 0.4, h * (1.35 if side else 1.7), w * (0.1 if side else 0.09)
        plan.add(box(cx - wide, y - tall, cx + wide, y if side else y - h * 0.86), "stone", wall)
        plan.add([[cx - wide * 1.35, y - tall], [cx + wide * 1.35, y - tall], [cx, y - tall - w * 0.26]], "roof", roof)
        if rng.random() < 0.5:
            flag = y - tall - w * 0.26
            plan.add(
                [[cx, flag - w * 0.1], [cx + w * 0.12, flag - w * 0.06], [cx, flag - w * 0.02]], "cloth", CRAYONS["red"]
            )
        plan.add(ellipse(cx, y - tall * 0.8, wide * 0.34, wide * 0.6, count=16), "glass", (0.3, 0.35, 0.45), keep=0.8)
    gate = np.concatenate(
        [
            ellipse(x, y - h * 0.36, w * 0.11, w * 0.13, start=np.pi, end=2 * np.pi, count=14),
            [[x + w * 0.11, y], [x - w * 0.11, y]],
        ]
    )
    plan.add(gate, "door", CRAYONS["brown"], keep=0.95)


def add_loose(plan: Plan, rng: np.random.Generator) -> None:
    """Blobs, bars and scribbles without a meaning, as one tries the brushes."""
    plan.subject = "an abstract drawing"
    for _ in range(rng.integers(1, 8)):
        name, colour = pick(rng)
        plan.begin(f"{name} shapes")
        x, y, q = *rng.uniform(20, 236, 2), rng.uniform(14, 70)
        kind = rng.random()
        if kind < 0.3:
            plan.add(blob(rng, x, y, q, q * rng.uniform(0.5, 1), 0.06), "plain", colour)
        elif kind < 0.5:
            plan.add(box(x - q, y - q * rng.uniform(0.3, 1), x + q, y + q * rng.uniform(0.3, 1)), "plain", colour)
        elif kind < 0.6:
            plan.add([[x - q, y + q * 0.7], [x + q, y + q * 0.7], [x + rng.normal(0, q * 0.3), y - q]], "plain", colour)
        else:
            path = np.clip(
                np.cumsum(np.concatenate([[[x, y]], rng.normal(0, q * 0.6, (int(rng.integers(2, 7)), 2))]), 0),
                -10,
                UNIT + 10,
            )
            for a, b, c in zip(path[:-2], path[1:-1], path[2:], strict=True):
                plan.add(curve((a + b) / 2, b, (b + c) / 2), "plain", colour, width=float(rng.uniform(2, 14)))
