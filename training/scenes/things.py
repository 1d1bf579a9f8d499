"""What stands in landscapes, cities and loose drawings: each function adds the parts of one thing to a plan."""

from __future__ import annotations

import numpy as np

from training.scenes.shapes import CRAYONS, LEAF_GREENS, Colour, Plan, blob, box, curve, ellipse, puffs, ridge

FLOWERS = ("red", "yellow", "pink", "purple", "white", "blue", "orange")


def pick(rng: np.random.Generator, *names: str) -> tuple[str, Colour]:
    """One crayon's name and a colour near it, of the named ones or of all."""
    choice = (names or tuple(CRAYONS))[rng.integers(len(names or CRAYONS))]
    return choice, varied(rng, CRAYONS[choice])


def varied(rng: np.random.Generator, colour: Colour) -> Colour:
    """The colour, sometimes a little off, as from another palette."""
    if rng.random() < 0.4:
        return colour
    r, g, b = np.clip(np.array(colour) + rng.normal(0, 0.06, 3), 0, 1)
    return float(r), float(g), float(b)


def one_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return varied(rng, colours[rng.integers(len(colours))])


def add_sun(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    x, y, r = rng.uniform(24, 232), rng.uniform(0.15, 0.6) * horizon, rng.uniform(9, 24)
    moon = rng.random() < 0.12
    plan.begin("the moon" if moon else "the sun")
    colour = varied(rng, (0.95, 0.95, 0.85) if moon else (1.0, 0.85, 0.15))
    if not moon and rng.random() < 0.55:
        count = int(rng.integers(7, 13))
        for angle in np.arange(count) * 2 * np.pi / count + rng.uniform(0, 1):
            ends = [(x + k * r * np.cos(angle), y + k * r * np.sin(angle)) for k in (1.25, 1.55, 1.9)]
            plan.add(ends, "ray", colour, width=float(rng.uniform(1.5, 3.5)))
    plan.add(ellipse(x, y, r, r), "sun", colour)
    plan.sun = (x, y, r)


def add_cloud(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    plan.begin("clouds")
    x, y, w = rng.uniform(10, 246), rng.uniform(0.1, 0.6) * horizon, rng.uniform(18, 44)
    colour = varied(rng, ((1.0, 1.0, 1.0), (0.9, 0.93, 0.97), (0.8, 0.82, 0.86))[rng.integers(3)])
    plan.add(puffs(x, y, w, w * rng.uniform(0.4, 0.62), int(rng.integers(6, 10))), "cloud", colour)


def add_mountains(plan: Plan, rng: np.random.Generator, horizon: float) -> None:
    plan.begin("mountains")
    colour = one_of(rng, ((0.5, 0.5, 0.55), (0.45, 0.38, 0.35), (0.35, 0.45, 0.6), (0.55, 0.45, 0.6)))
    if rng.random() < 0.25:
        plan.add(ridge(rng, horizon - 18, rng.uniform(10, 24)), "mountain", colour)
        return
    for _ in range(rng.integers(1, 4)):
        x, w, h = rng.uniform(10, 246), rng.uniform(50, 110), rng.uniform(36, 0.8 * horizon)
        left, right = rng.uniform(0.4, 0.6, 2)
        plan.add(
            [
                [x - w, horizon + 8],
                [x - w * left, horizon - h * 0.5],
                [x, horizon - h],
                [x + w * right, horizon - h * 0.46],
                [x + w, horizon + 8],
            ],
            "mountain",
            colour,
        )


def add_tree(plan: Plan, rng: np.random.Generator, x: float, y: float, h: float, kind: str) -> None:
    plan.begin({"pine": "pine trees", "palm": "palm trees"}.get(kind, "trees"), y)
    bark = varied(rng, CRAYONS["brown"])
    green = one_of(rng, LEAF_GREENS)
    if kind == "round" and rng.random() < 0.12:
        green = varied(rng, CRAYONS[("orange", "pink", "red")[rng.integers(3)]])
    if rng.random() < 0.4:
        plan.add(curve((x, y), (x + h * 0.03, y - h * 0.3), (x, y - h * 0.5)), "trunk", bark, width=h * 0.09)
    else:
        plan.add(
            [[x - h * 0.07, y], [x - h * 0.045, y - h * 0.5], [x + h * 0.045, y - h * 0.5], [x + h * 0.07, y]],
            "trunk",
            bark,
        )
    if kind == "pine":
        tiers = int(rng.integers(1, 4))
        for i in range(tiers):
            top, w = y - h * (0.5 + 0.5 * (i + 1) / tiers), h * (0.3 - 0.06 * i)
            plan.add(
                [[x - w, y - h * (0.2 + 0.5 * i / tiers)], [x + w, y - h * (0.2 + 0.5 * i / tiers)], [x, top]],
                "needle",
                green,
            )
    elif kind == "palm":
        for angle in np.linspace(-2.9, -0.25, int(rng.integers(4, 7))):
            tip = (x + np.cos(angle) * h * 0.45, y - h * 0.6 + np.sin(angle) * h * 0.25)
            plan.add(
                curve((x, y - h * 0.55), (0.5 * (x + tip[0]), tip[1] - h * 0.16), tip), "needle", green, width=h * 0.08
            )
    elif rng.random() < 0.5:
        plan.add(puffs(x, y - h * 0.68, h * 0.32, h * 0.32, int(rng.integers(6, 10)), 0.1), "leaf", green)
    else:
        for _ in range(rng.integers(1, 4)):
            cx, cy = x + rng.normal(0, h * 0.11), y - h * (0.66 + 0.07 * rng.normal())
            plan.add(blob(rng, cx, cy, h * 0.27, h * 0.25, 0.04), "leaf", green)


def add_bush(plan: Plan, rng: np.random.Generator, x: float, y: float, w: float) -> None:
    plan.begin("bushes", y)
    plan.add(puffs(x, y - w * 0.3, w * 0.6, w * 0.36, 7, 0.1), "leaf", one_of(rng, LEAF_GREENS))


def _add_window(plan: Plan, rng: np.random.Generator, cx: float, cy: float, w: float, h: float, cross: bool) -> None:
    colour = one_of(rng, ((0.6, 0.8, 0.95), (0.95, 0.9, 0.5), (0.4, 0.6, 0.8), (0.85, 0.93, 1.0)))
    plan.add(box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), "glass", colour, keep=0.9)
    if cross:
        plan.add([(cx, cy - h / 2), (cx, cy), (cx, cy + h / 2)], "line", None, width=1.2, shown="sketch", keep=0.9)
        plan.add([(cx - w / 2, cy), (cx, cy), (cx + w / 2, cy)], "line", None, width=1.2, shown="sketch", keep=0.9)


def add_house(plan: Plan, rng: np.random.Generator, x: float, y: float, w: float) -> None:
    name, wall = pick(rng, "red", "white", "yellow", "blue", "brown", "pink", "orange", "gray", "white", "yellow")
    _, roof = pick(rng, "red", "brown", "gray", "blue", "orange", "red", "brown", "black")
    plan.begin(f"a {name} house", y)
    h = w * rng.uniform(0.5, 0.9)
    top = y - h
    if rng.random() < 0.4:
        cx = x + w * rng.uniform(0.15, 0.34)
        plan.add(
            box(cx - w * 0.055, top - w * 0.45, cx + w * 0.055, top - w * 0.02), "brick", CRAYONS["brown"], keep=0.9
        )
        if rng.random() < 0.4:
            smoke = curve((cx, top - w * 0.48), (cx + w * 0.16, top - w * 0.58), (cx + w * 0.06, top - w * 0.75))
            plan.add(smoke, "cloud", (0.75, 0.75, 0.78), width=w * 0.07)
    material = {"red": "brick", "brown": "boards", "orange": "brick", "gray": "stone"}.get(name, "plaster")
    plan.add(box(x - w / 2, top, x + w / 2, y), material, wall)
    pitch = w * rng.uniform(0.34, 0.62)
    if rng.random() < 0.8:
        plan.add([[x - w * 0.58, top], [x + w * 0.58, top], [x, top - pitch]], "roof", roof)
    else:
        plan.add(
            [
                [x - w * 0.58, top],
                [x + w * 0.58, top],
                [x + w * 0.36, top - pitch * 0.8],
                [x - w * 0.36, top - pitch * 0.8],
            ],
            "roof",
            roof,
        )
    side = float(rng.choice([0.0, 0.0, -0.22, 0.22]))
    _, door = pick(rng, "brown", "red", "blue", "green", "brown", "brown")
    dw, dh = w * rng.uniform(0.09, 0.12), h * rng.uniform(0.45, 0.6)
    plan.add(box(x + side * w - dw, y - dh, x + side * w + dw, y), "door", door, keep=0.92)
    plan.add(
        ellipse(x + side * w + dw * 0.55, y - dh * 0.45, max(1.0, w * 0.014), max(1.0, w * 0.014), count=10),
        "sun",
        CRAYONS["yellow"],
        solid=True,
        keep=0.5,
    )
    size, cross = w * rng.uniform(0.15, 0.21), rng.random() < 0.65
    for dx in (-0.3, 0.3) if side == 0 else ((-side / 0.22 * 0.2,)):
        _add_window(plan, rng, x + dx * w, y - h * 0.62, size, size * rng.uniform(0.9, 1.25), cross)


def add_boat(plan: Plan, rng: np.random.Generator, x: float, y: float, w: float) -> None:
    name, hull = pick(rng, "red", "white", "blue", "brown", "yellow", "green", "brown")
    plan.begin(f"a {name} boat")
    plan.mirror_at = y + w * 0.04
    if rng.random() < 0.85:
        plan.add(
            [(x, y - w * 0.12), (x, y - w * 0.5), (x, y - w * 0.86)], "wood", CRAYONS["brown"], width=max(1.6, w * 0.03)
        )
        _, sail = pick(rng, "white", "red", "yellow", "orange", "white")
        plan.add(
            [[x + w * 0.04, y - w * 0.82], [x + w * 0.04, y - w * 0.2], [x + w * 0.42, y - w * 0.22]], "cloth", sail
        )
        if rng.random() < 0.6:
            plan.add(
                [[x - w * 0.04, y - w * 0.7], [x - w * 0.04, y - w * 0.2], [x - w * 0.33, y - w * 0.22]], "cloth", sail
            )
    plan.add(
        [
            [x - w / 2, y - w * 0.14],
            [x + w / 2, y - w * 0.14],
            [x + w * 0.33, y + w * 0.06],
            [x - w * 0.36, y + w * 0.06],
        ],
        "wood",
        hull,
    )


def add_flower(
    plan: Plan, rng: np.random.Generator, x: float, y: float, q: float, petal: Colour, stem: float = 2.4
) -> None:
    plan.add(
        curve((x, y + q * stem), (x + rng.normal(0, q * 0.3), y + q), (x, y)),
        "stem",
        one_of(rng, LEAF_GREENS),
        width=max(1.4, q * 0.22),
    )
    if rng.random() < 0.5:
        plan.add(ellipse(x + q * 0.5, y + q * 1.7, q * 0.5, q * 0.2, -0.6, count=14), "stem", one_of(rng, LEAF_GREENS))
    if q > 6 and rng.random() < 0.6:
        for angle in np.arange(5) * 1.2566:
            plan.add(
                ellipse(x + q * 0.68 * np.cos(angle), y + q * 0.68 * np.sin(angle), q * 0.5, q * 0.46, count=14),
                "petal",
                petal,
            )
    else:
        plan.add(puffs(x, y, q, q, 5, 0.15), "petal", petal)
    plan.add(ellipse(x, y, q * 0.36, q * 0.36, count=12), "sun", CRAYONS["yellow"], keep=0.9)


def add_flowers(plan: Plan, rng: np.random.Generator, top: float) -> None:
    name, petal = pick(rng, *FLOWERS)
    plan.begin(f"{name} flowers")
    for y in np.sort(rng.uniform(top, 240, int(rng.integers(3, 9)))):
        add_flower(plan, rng, rng.uniform(5, 251), float(y), rng.uniform(4, 10), petal)


def add_fence(plan: Plan, rng: np.random.Generator, y: float) -> None:
    name, colour = pick(rng, "white", "brown", "brown")
    plan.begin("a fence", y)
    h, step = rng.uniform(18, 34), rng.uniform(16, 28)
    left, right = np.sort(rng.uniform(-20, 276, 2))
    for level in (0.35, 0.72):
        plan.add(
            [(left, y - h * level), ((left + right) / 2, y - h * level), (right, y - h * level)],
            "wood",
            colour,
            width=h * 0.13,
        )
    for x in np.arange(left, right, step):
        plan.add(
            [[x - h * 0.1, y], [x - h * 0.1, y - h * 0.88], [x, y - h], [x + h * 0.1, y - h * 0.88], [x + h * 0.1, y]],
            "wood",
            colour,
        )


def add_car(plan: Plan, rng: np.random.Generator, x: float, y: float, w: float) -> None:
    name, colour = pick(rng, "red", "blue", "yellow", "green", "white", "orange", "pink")
    plan.begin(f"a {name} car", y)
    plan.add(
        [
            [x - w * 0.3, y - w * 0.26],
            [x - w * 0.18, y - w * 0.46],
            [x + w * 0.16, y - w * 0.46],
            [x + w * 0.3, y - w * 0.26],
        ],
        "metal",
        colour,
    )
    plan.add(
        [
            [x - w / 2, y - w * 0.08],
            [x - w * 0.48, y - w * 0.24],
            [x + w * 0.44, y - w * 0.26],
            [x + w / 2, y - w * 0.08],
        ],
        "metal",
        colour,
    )
    plan.add(
        [
            [x - w * 0.22, y - w * 0.27],
            [x - w * 0.14, y - w * 0.41],
            [x - w * 0.02, y - w * 0.41],
            [x - w * 0.02, y - w * 0.27],
        ],
        "glass",
        (0.7, 0.85, 0.95),
    )
    plan.add(
        [
            [x + w * 0.03, y - w * 0.27],
            [x + w * 0.03, y - w * 0.41],
            [x + w * 0.13, y - w * 0.41],
            [x + w * 0.22, y - w * 0.27],
        ],
        "glass",
        (0.7, 0.85, 0.95),
    )
    for side in (-0.28, 0.28):
        plan.add(ellipse(x + side * w, y - w * 0.08, w * 0.11, w * 0.11, count=24), "rubber", CRAYONS["black"])
        plan.add(ellipse(x + side * w, y - w * 0.08, w * 0.05, w * 0.05, count=14), "glaze", CRAYONS["gray"], keep=0.6)
