"""What people draw of the things that they draw first: few strokes, and none of an icon's detail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.sketches.pen import Doodle, Rng, bend, box, bumps, dot, line, often, ring, waves


def face(x: float, y: float, size: float) -> Doodle:
    """Two eyes and a mouth."""
    return [
        dot(x - 0.4 * size, y - 0.2 * size),
        dot(x + 0.4 * size, y - 0.2 * size),
        ring(x, y, 0.5 * size, start=0.08, turn=0.34),
    ]


def legs(rng: Rng, left: float, right: float, top: float, bottom: float) -> Doodle:
    """Four of an animal, each a line or two."""
    at = np.linspace(left, right, 4)
    if rng.random() < 0.7:
        return [line((x, top), (x + rng.normal() * 0.02, bottom)) for x in at]
    return [line((x - 0.02, top), (x - 0.02, bottom), (x + 0.03, bottom), (x + 0.03, top)) for x in at]


def wheels(rng: Rng, *at: float, y: float, size: float) -> Doodle:
    """Round ones, all with a hub or none."""
    inner = rng.random() < 0.5
    return [ring(x, y, radius) for x in at for radius in ((size, 0.4 * size) if inner else (size,))]


def sun(rng: Rng) -> Doodle:
    count, near = int(rng.integers(6, 15)), rng.uniform(0.24, 0.32)
    angles = 2 * np.pi * (np.arange(count) / count + rng.random())
    rays = [line(*((0.5 + far * np.cos(a), 0.5 + far * np.sin(a)) for far in (near, 0.48))) for a in angles]
    return [ring(0.5, 0.5, rng.uniform(0.17, 0.23)), *rays, *(face(0.5, 0.5, 0.17) if rng.random() < 0.3 else [])]


def moon(rng: Rng) -> Doodle:
    inner = rng.uniform(0.24, 0.32)
    outside, inside = ring(0.5, 0.5, 0.42, start=0.15, turn=0.7), ring(0.64, 0.5, inner, 0.34, start=0.8, turn=-0.6)
    stars = [each for _ in range(int(rng.integers(0, 4))) for each in _star(*rng.uniform(0.1, 0.9, 2), 0.06)]
    return [np.concatenate([outside, inside, outside[:1]]), *stars]


def _star(x: float, y: float, size: float, inner: float = 0.42) -> Doodle:
    far = size * np.where(np.arange(11) % 2, inner, 1.0)
    angle = -np.pi / 2 + np.pi / 5 * np.arange(11)
    return [np.stack([x + far * np.cos(angle), y + far * np.sin(angle)], 1)]


def star(rng: Rng) -> Doodle:
    if rng.random() < 0.5:
        return _star(0.5, 0.5, 0.48, rng.uniform(0.35, 0.5))
    angle = -np.pi / 2 + 4 * np.pi / 5 * np.arange(6)
    return [np.stack([0.5 + 0.48 * np.cos(angle), 0.5 + 0.48 * np.sin(angle)], 1)]


def cloud(rng: Rng) -> Doodle:
    return [bumps(0.5, 0.5, 0.47, rng.uniform(0.2, 0.3), int(rng.integers(5, 10)), rng.uniform(0.15, 0.3))]


def rainbow(rng: Rng) -> Doodle:
    return [ring(0.5, 0.75, 0.48 - 0.07 * row, start=0.5, turn=0.5) for row in range(int(rng.integers(3, 6)))]


def heart(rng: Rng) -> Doodle:
    turn = np.linspace(0, 2 * np.pi, 40)
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return [np.stack([0.5 + np.sin(turn) ** 3 * rng.uniform(0.38, 0.5), 0.46 - y / 36 * rng.uniform(0.9, 1.15)], 1)]


def house(rng: Rng) -> Doodle:
    left, right, eaves = 0.15, 0.85, rng.uniform(0.38, 0.5)
    over = rng.uniform(0, 0.07)
    roof = line(
        (left - over, eaves),
        (rng.uniform(0.44, 0.56), rng.uniform(0.04, 0.14)),
        (right + over, eaves),
        (left - over, eaves),
    )
    door = rng.uniform(0.35, 0.6)
    panes = [box(x, eaves + 0.12, x + 0.14, eaves + 0.26) for x in (0.2, 0.66)]
    cross = [line((0.73, eaves + 0.12), (0.73, eaves + 0.26)), line((0.66, eaves + 0.19), (0.8, eaves + 0.19))]
    return [
        box(left, eaves, right, 0.95),
        roof,
        *often(rng, 0.85, line((door, 0.95), (door, 0.68), (door + 0.15, 0.68), (door + 0.15, 0.95))),
        *often(rng, 0.5, panes[0]),
        *often(rng, 0.6, panes[1], *cross),
        *often(rng, 0.35, line((0.68, 0.3), (0.68, 0.1), (0.78, 0.1), (0.78, 0.38))),
    ]


def tree(rng: Rng) -> Doodle:
    wide = rng.uniform(0.03, 0.09)
    top = rng.uniform(0.5, 0.64)
    trunk = [line((0.5 - wide, top), (0.5 - wide * 1.2, 0.97)), line((0.5 + wide, top), (0.5 + wide * 1.2, 0.97))]
    size = rng.uniform(0.28, 0.38)
    crown = (
        bumps(0.5, 0.36, size + 0.06, size - 0.04, int(rng.integers(5, 11)), rng.uniform(0.1, 0.25))
        if rng.random() < 0.7
        else ring(0.5, 0.35, size, size * rng.uniform(0.8, 1.1))
    )
    return [crown, *trunk, *often(rng, 0.2, *(dot(*rng.uniform((0.3, 0.2), (0.7, 0.5)), 0.03) for _ in range(5)))]


def pine_tree(rng: Rng) -> Doodle:
    if rng.random() < 0.35:
        return [line((0.2, 0.82), (0.5, 0.04), (0.8, 0.82), (0.2, 0.82)), box(0.44, 0.82, 0.56, 0.97)]
    tiers = int(rng.integers(2, 5))
    points = [(0.5, 0.03)]
    for tier in range(1, tiers + 1):
        wide, y = 0.12 + 0.28 * tier / tiers, 0.03 + 0.78 * tier / tiers
        points += [(0.5 + wide, y), (0.5 + wide * (0.5 if tier < tiers else 0.2), y)]
    right = line(*points)
    left = right * (-1, 1) + (1, 0)
    return [right, left, box(0.45, 0.81, 0.55, 0.97)]


def palm_tree(rng: Rng) -> Doodle:
    lean = rng.uniform(-0.12, 0.12)
    top = (0.5 + lean, 0.32)
    trunk = [
        bend((0.5 - lean + side, 0.97), (0.5 - lean + side, 0.6), (top[0] + side / 2, top[1])) for side in (-0.04, 0.04)
    ]
    ends = ((0.08, 0.42), (0.2, 0.14), (0.5, 0.04), (0.82, 0.14), (0.94, 0.42))
    leaves = [bend(top, ((top[0] + x) / 2, y - 0.16), (x, y)) for x, y in ends]
    return [*trunk, *leaves, *(bend(top, ((top[0] + x) / 2, y + 0.02), (x, y)) for x, y in ends if rng.random() < 0.6)]


def flower(rng: Rng) -> Doodle:
    count, y = int(rng.integers(5, 9)), 0.28
    angles = 2 * np.pi * (np.arange(count) / count + rng.random())
    petals = [ring(0.5 + 0.15 * np.cos(a), y + 0.15 * np.sin(a), rng.uniform(0.07, 0.1)) for a in angles]
    leaf = np.concatenate([bend((0.5, 0.8), (0.62, 0.66), (0.74, 0.66)), bend((0.74, 0.66), (0.7, 0.8), (0.5, 0.8))])
    stem = bend((0.5, 0.46), (0.5 + rng.normal() * 0.04, 0.7), (0.5, 0.97))
    other = leaf * (-1, 1) + (1, rng.uniform(-0.05, 0.05))
    return [ring(0.5, y, 0.08), *petals, stem, *often(rng, 0.7, leaf), *often(rng, 0.4, other)]


def tulip(rng: Rng) -> Doodle:
    cup = line((0.3, 0.08), (0.42, 0.2), (0.5, 0.06), (0.58, 0.2), (0.7, 0.08))
    bowl = bend((0.7, 0.08), (0.74, 0.44), (0.5, 0.46))
    leaf = bend((0.5, 0.9), (0.72, 0.75), (0.76, 0.52))
    return [
        np.concatenate([cup, bowl, bend((0.5, 0.46), (0.26, 0.44), (0.3, 0.08))]),
        line((0.5, 0.46), (0.5, 0.97)),
        leaf,
        *often(rng, 0.6, leaf * (-1, 1) + (1, 0)),
    ]


def mushroom(rng: Rng) -> Doodle:
    cap = np.concatenate(
        [ring(0.5, 0.52, 0.42, rng.uniform(0.35, 0.45), start=0.5, turn=0.5), line((0.92, 0.52), (0.08, 0.52))]
    )
    stem = np.concatenate(
        [line((0.4, 0.52), (0.37, 0.9)), bend((0.37, 0.9), (0.5, 0.97), (0.63, 0.9)), line((0.6, 0.52))]
    )
    return [cap, stem, *often(rng, 0.6, *(ring(x, y, 0.05) for x, y in ((0.3, 0.38), (0.5, 0.25), (0.7, 0.4))))]


def mountain(rng: Rng) -> Doodle:
    first, second = rng.uniform(0.05, 0.25, 2)
    ridge = line((0.02, 0.85), (0.32, first), (0.5, 0.55), (0.7, second), (0.98, 0.85))
    snow = line(
        (0.22, first + 0.2), (0.28, first + 0.15), (0.32, first + 0.2), (0.37, first + 0.15), (0.42, first + 0.22)
    )
    return [
        ridge,
        *often(rng, 0.5, snow),
        *often(rng, 0.4, line((0.02, 0.85), (0.98, 0.85))),
        *often(rng, 0.3, ring(0.9, 0.1, 0.07)),
    ]


def _whiskers(x: float, y: float, size: float) -> Doodle:
    return [
        line((x + side * 0.35 * size, y + up), (x + side * 1.15 * size, y + 1.8 * up))
        for side in (-1, 1)
        for up in (-0.04, 0.0, 0.04)
    ]


def cat(rng: Rng) -> Doodle:
    if rng.random() < 0.6:
        ears = [line((0.2, 0.42), (0.17, 0.08), (0.4, 0.22)), line((0.6, 0.22), (0.83, 0.08), (0.8, 0.42))]
        nose = line((0.46, 0.57), (0.54, 0.57), (0.5, 0.63), (0.46, 0.57))
        mouth = [bend((0.5, 0.63), (0.46, 0.75), (0.39, 0.68)), bend((0.5, 0.63), (0.54, 0.75), (0.61, 0.68))]
        eyes = (
            [ring(x, 0.47, 0.05, 0.06) for x in (0.36, 0.64)]
            if rng.random() < 0.5
            else [dot(0.36, 0.47), dot(0.64, 0.47)]
        )
        return [
            ring(0.5, 0.55, 0.36, 0.34),
            *ears,
            *eyes,
            nose,
            *often(rng, 0.8, *mouth),
            *often(rng, 0.75, *_whiskers(0.5, 0.6, 0.34)),
        ]
    head = [
        ring(0.8, 0.33, 0.14),
        line((0.69, 0.26), (0.68, 0.1), (0.78, 0.19)),
        line((0.84, 0.19), (0.93, 0.1), (0.92, 0.26)),
    ]
    tail = bend((0.18, 0.5), (0.02, 0.45), (0.08, 0.12))
    return [
        ring(0.45, 0.55, 0.3, 0.14),
        *head,
        *face(0.8, 0.33, 0.11),
        tail,
        *legs(rng, 0.25, 0.65, 0.66, 0.95),
        *often(rng, 0.4, *_whiskers(0.8, 0.36, 0.13)),
    ]


def dog(rng: Rng) -> Doodle:
    if rng.random() < 0.5:
        ears = [ring(x, 0.42, 0.1, 0.24) for x in (0.14, 0.86)]
        snout = [
            ring(0.5, 0.58, 0.06, 0.045),
            line((0.5, 0.62), (0.5, 0.7)),
            ring(0.5, 0.66, 0.13, 0.09, start=0.05, turn=0.4),
        ]
        return [
            ring(0.5, 0.5, 0.35, 0.38),
            *ears,
            dot(0.38, 0.42, 0.025),
            dot(0.62, 0.42, 0.025),
            *snout,
            *often(rng, 0.3, ring(0.5, 0.78, 0.05, 0.07)),
        ]
    head = [ring(0.78, 0.3, 0.15, 0.13), ring(0.7, 0.33, 0.05, 0.11), ring(0.9, 0.35, 0.08, 0.06), dot(0.8, 0.26)]
    return [
        ring(0.43, 0.52, 0.3, 0.14),
        *head,
        bend((0.14, 0.48), (0.05, 0.4), (0.06, 0.25)),
        *legs(rng, 0.22, 0.64, 0.63, 0.95),
    ]


def rabbit(rng: Rng) -> Doodle:
    ears = [ring(x, 0.22, 0.07, 0.2) for x in (0.38, 0.62)]
    inner = [ring(x, 0.24, 0.03, 0.13) for x in (0.38, 0.62)]
    teeth = box(0.46, 0.74, 0.54, 0.82)
    return [
        ring(0.5, 0.65, 0.28, 0.27),
        *ears,
        *often(rng, 0.4, *inner),
        dot(0.4, 0.6, 0.02),
        dot(0.6, 0.6, 0.02),
        dot(0.5, 0.69, 0.025),
        *often(rng, 0.6, *_whiskers(0.5, 0.7, 0.25)),
        *often(rng, 0.4, teeth),
    ]


def bear(rng: Rng) -> Doodle:
    ears = [ring(x, 0.2, 0.13) for x in (0.22, 0.78)]
    snout = [ring(0.5, 0.66, 0.15, 0.11), dot(0.5, 0.62, 0.03)]
    return [
        ring(0.5, 0.55, 0.38),
        *ears,
        *often(rng, 0.4, *(ring(x, 0.2, 0.06) for x in (0.22, 0.78))),
        dot(0.37, 0.47, 0.02),
        dot(0.63, 0.47, 0.02),
        *snout,
    ]


def pig(rng: Rng) -> Doodle:
    ears = [line((0.2, 0.35), (0.18, 0.1), (0.4, 0.2)), line((0.6, 0.2), (0.82, 0.1), (0.8, 0.35))]
    return [
        ring(0.5, 0.55, 0.38),
        *ears,
        ring(0.5, 0.62, 0.14, 0.1),
        dot(0.45, 0.62, 0.02),
        dot(0.55, 0.62, 0.02),
        dot(0.36, 0.45, 0.02),
        dot(0.64, 0.45, 0.02),
        *often(rng, 0.5, ring(0.5, 0.74, 0.1, 0.05, start=0, turn=0.5)),
    ]


def mouse(rng: Rng) -> Doodle:
    return [
        ring(0.5, 0.6, 0.3),
        ring(0.24, 0.26, 0.17),
        ring(0.76, 0.26, 0.17),
        *face(0.5, 0.62, 0.22),
        dot(0.5, 0.64, 0.03),
        *often(rng, 0.6, *_whiskers(0.5, 0.66, 0.28)),
    ]


def bird(rng: Rng) -> Doodle:
    beak = line((0.9, 0.3), (0.99, 0.35), (0.9, 0.4))
    tail = line((0.17, 0.5), (0.02, 0.42), (0.04, 0.6), (0.2, 0.58))
    feet = [line((x, 0.72), (x, 0.92), (x + 0.06, 0.92)) for x in (0.4, 0.52)]
    return [
        ring(0.45, 0.55, 0.3, 0.19),
        ring(0.77, 0.34, 0.14),
        beak,
        dot(0.8, 0.31),
        tail,
        ring(0.42, 0.53, 0.15, 0.09, start=0.0, turn=0.6),
        *often(rng, 0.8, *feet),
    ]


def duck(rng: Rng) -> Doodle:
    body = np.concatenate(
        [
            bend((0.62, 0.45), (0.4, 0.55), (0.04, 0.42)),
            bend((0.04, 0.42), (0.1, 0.9), (0.5, 0.88)),
            bend((0.5, 0.88), (0.86, 0.86), (0.8, 0.42)),
        ]
    )
    return [
        body,
        ring(0.72, 0.27, 0.16),
        line((0.87, 0.24), (0.99, 0.28), (0.87, 0.34)),
        dot(0.75, 0.22, 0.02),
        *often(rng, 0.6, ring(0.42, 0.62, 0.18, 0.1, start=0.0, turn=0.55)),
        *often(rng, 0.5, waves(0.02, 0.98, 0.92, 4, 0.03)),
    ]


def fish(rng: Rng) -> Doodle:
    tall = rng.uniform(0.16, 0.28)
    body = np.concatenate(
        [bend((0.68, 0.5), (0.35, 0.5 - 2 * tall), (0.04, 0.5)), bend((0.04, 0.5), (0.35, 0.5 + 2 * tall), (0.68, 0.5))]
    )
    tail = line((0.68, 0.5), (0.95, 0.5 - tall), (0.92, 0.5), (0.95, 0.5 + tall), (0.68, 0.5))
    gill = bend((0.26, 0.5 - tall / 2), (0.32, 0.5), (0.26, 0.5 + tall / 2))
    fin = bend((0.32, 0.5 - tall), (0.48, 0.5 - 1.9 * tall), (0.54, 0.5 - 0.8 * tall))
    bubbles = [ring(0.02 + 0.03 * at, 0.3 - 0.1 * at, 0.025) for at in range(2)]
    return [
        body,
        tail,
        dot(0.17, 0.46, 0.02),
        *often(rng, 0.5, gill),
        *often(rng, 0.4, fin),
        *often(rng, 0.2, *bubbles),
        *often(rng, 0.2, *(waves(0.0, 1.0, y, 5, 0.02) for y in (0.08, 0.95))),
    ]


def whale(rng: Rng) -> Doodle:
    body = np.concatenate(
        [
            bend((0.05, 0.6), (0.05, 0.3), (0.4, 0.3)),
            bend((0.4, 0.3), (0.75, 0.32), (0.86, 0.5)),
            bend((0.86, 0.5), (0.7, 0.85), (0.35, 0.82)),
            bend((0.35, 0.82), (0.08, 0.82), (0.05, 0.6)),
        ]
    )
    tail = np.concatenate(
        [
            bend((0.84, 0.52), (0.86, 0.34), (0.78, 0.24)),
            bend((0.78, 0.24), (0.9, 0.22), (0.89, 0.36)),
            bend((0.89, 0.36), (0.97, 0.26), (0.98, 0.36)),
            bend((0.98, 0.36), (0.95, 0.46), (0.86, 0.56)),
        ]
    )
    spout = [bend((0.3, 0.28), (0.3, 0.1), (0.18, 0.12)), bend((0.3, 0.28), (0.3, 0.1), (0.42, 0.12))]
    return [
        body,
        tail,
        dot(0.2, 0.55, 0.02),
        *often(rng, 0.7, *spout),
        *often(rng, 0.6, bend((0.06, 0.66), (0.2, 0.76), (0.34, 0.66))),
    ]


def butterfly(rng: Rng) -> Doodle:
    upper = np.concatenate([bend((0.5, 0.48), (0.62, 0.05), (0.9, 0.12)), bend((0.9, 0.12), (0.99, 0.5), (0.5, 0.52))])
    lower = np.concatenate([bend((0.5, 0.52), (0.95, 0.55), (0.8, 0.85)), bend((0.8, 0.85), (0.6, 0.95), (0.5, 0.6))])
    wings = [upper, lower, upper * (-1, 1) + (1, 0), lower * (-1, 1) + (1, 0)]
    feelers = [bend((0.5, 0.3), (0.48, 0.15), (0.38, 0.1)), bend((0.5, 0.3), (0.52, 0.15), (0.62, 0.1))]
    spots = [ring(x, 0.3, 0.06) for x in (0.25, 0.75)]
    return [*wings, ring(0.5, 0.5, 0.03, 0.22), *often(rng, 0.8, *feelers), *often(rng, 0.4, *spots)]


def snail(rng: Rng) -> Doodle:
    angle = np.linspace(0, 2 * np.pi * rng.uniform(2, 3), 60)
    far = np.linspace(0.03, 0.27, 60)
    shell = np.stack([0.42 + far * np.cos(angle), 0.45 + far * np.sin(angle)], 1)
    foot = np.concatenate(
        [
            line((0.08, 0.78), (0.75, 0.78)),
            bend((0.75, 0.78), (0.8, 0.5), (0.84, 0.4)),
            bend((0.84, 0.4), (0.96, 0.4), (0.92, 0.6)),
            bend((0.92, 0.6), (0.92, 0.86), (0.7, 0.88)),
            line((0.08, 0.88), (0.08, 0.78)),
        ]
    )
    return [shell, foot, line((0.85, 0.4), (0.8, 0.25)), line((0.9, 0.4), (0.94, 0.25))]


def spider(rng: Rng) -> Doodle:
    knees = [(0.14, 0.2), (0.08, 0.42), (0.08, 0.62), (0.16, 0.82)]
    limbs = [line((0.36, 0.45 + 0.05 * row), (x, y), (x - 0.06, y + 0.16)) for row, (x, y) in enumerate(knees)]
    thread = line((0.5, 0.3), (0.5, 0.0))
    return [
        ring(0.5, 0.52, 0.17, 0.2),
        *limbs,
        *(each * (-1, 1) + (1, 0) for each in limbs),
        *often(rng, 0.5, *face(0.5, 0.5, 0.12)),
        *often(rng, 0.3, thread),
    ]


def turtle(rng: Rng) -> Doodle:
    shell = np.concatenate([ring(0.45, 0.62, 0.35, 0.34, start=0.5, turn=0.5), line((0.8, 0.62), (0.1, 0.62))])
    plates = [
        line((0.3, 0.62), (0.36, 0.45), (0.54, 0.45), (0.6, 0.62)),
        line((0.36, 0.45), (0.32, 0.34)),
        line((0.54, 0.45), (0.6, 0.34)),
    ]
    feet = [ring(x, 0.68, 0.06, 0.1) for x in (0.22, 0.66)]
    return [
        shell,
        ring(0.87, 0.52, 0.1, 0.09),
        dot(0.9, 0.5),
        *feet,
        *often(rng, 0.6, *plates),
        *often(rng, 0.6, line((0.1, 0.62), (0.02, 0.66))),
    ]


def snake(rng: Rng) -> Doodle:
    body = waves(0.05, 0.8, 0.55, int(rng.integers(2, 4)), rng.uniform(0.1, 0.18))
    under = body + (0.0, 0.09)
    return [
        body,
        under,
        ring(0.87, 0.56, 0.09, 0.07),
        dot(0.88, 0.53),
        line((0.96, 0.57), (1.0, 0.55)),
        line((0.96, 0.57), (1.0, 0.6)),
    ]


def car(rng: Rng) -> Doodle:
    roof = rng.uniform(0.22, 0.32)
    if rng.random() < 0.5:
        body = line(
            (0.03, 0.72),
            (0.03, 0.52),
            (0.22, 0.48),
            (0.34, roof),
            (0.66, roof),
            (0.78, 0.48),
            (0.97, 0.52),
            (0.97, 0.72),
            (0.03, 0.72),
        )
        shape = [body]
    else:
        shape = [box(0.03, 0.5, 0.97, 0.72), line((0.2, 0.5), (0.3, roof), (0.7, roof), (0.8, 0.5))]
    glass = [
        line((0.34, 0.47), (0.39, roof + 0.06), (0.49, roof + 0.06), (0.49, 0.47), (0.34, 0.47)),
        line((0.54, 0.47), (0.54, roof + 0.06), (0.62, roof + 0.06), (0.69, 0.47), (0.54, 0.47)),
    ]
    return [*shape, *wheels(rng, 0.25, 0.75, y=0.73, size=rng.uniform(0.08, 0.13)), *often(rng, 0.65, *glass)]


def bus(rng: Rng) -> Doodle:
    panes = [box(x, 0.3, x + 0.13, 0.45) for x in (0.08, 0.26, 0.44, 0.62)]
    return [
        box(0.03, 0.2, 0.97, 0.72),
        *panes,
        *often(rng, 0.7, box(0.8, 0.3, 0.92, 0.72)),
        *wheels(rng, 0.25, 0.72, y=0.74, size=0.09),
    ]


def truck(rng: Rng) -> Doodle:
    cab = line((0.62, 0.72), (0.62, 0.35), (0.8, 0.35), (0.94, 0.52), (0.96, 0.72), (0.62, 0.72))
    return [
        box(0.03, 0.18, 0.6, 0.72),
        cab,
        *often(rng, 0.7, line((0.68, 0.52), (0.68, 0.42), (0.78, 0.42), (0.86, 0.52), (0.68, 0.52))),
        *wheels(rng, 0.2, 0.8, y=0.74, size=0.1),
    ]


def train(rng: Rng) -> Doodle:
    stack = line((0.76, 0.4), (0.76, 0.18), (0.86, 0.18), (0.86, 0.4))
    smoke = [bumps(0.74 - 0.16 * at, 0.1, 0.08, 0.06, 5, 0.3) for at in range(2)]
    return [
        box(0.05, 0.18, 0.4, 0.7),
        box(0.4, 0.4, 0.95, 0.7),
        box(0.12, 0.28, 0.32, 0.44),
        stack,
        *often(rng, 0.6, *smoke),
        *wheels(rng, 0.18, 0.45, 0.78, y=0.76, size=0.09),
    ]


def bicycle(rng: Rng) -> Doodle:
    frame = line((0.22, 0.68), (0.42, 0.38), (0.68, 0.38), (0.48, 0.68), (0.22, 0.68))
    return [
        ring(0.22, 0.68, 0.2),
        ring(0.78, 0.68, 0.2),
        frame,
        line((0.48, 0.68), (0.4, 0.3)),
        line((0.34, 0.3), (0.47, 0.3)),
        line((0.78, 0.68), (0.66, 0.26), (0.76, 0.22)),
    ]


def plane(rng: Rng) -> Doodle:
    body = ring(0.5, 0.52, 0.45, rng.uniform(0.08, 0.13))
    wings = [
        line((0.56, 0.5), (0.34, 0.16), (0.28, 0.16), (0.4, 0.5)),
        line((0.56, 0.56), (0.36, 0.92), (0.28, 0.92), (0.4, 0.56)),
    ]
    return [
        body,
        *wings,
        line((0.1, 0.48), (0.02, 0.26), (0.1, 0.26), (0.2, 0.46)),
        *often(rng, 0.6, *(dot(x, 0.5) for x in (0.4, 0.52, 0.64, 0.76))),
    ]


def rocket(rng: Rng) -> Doodle:
    side = bend((0.5, 0.02), (0.72, 0.22), (0.66, 0.72))
    hull = np.concatenate([side, line((0.34, 0.72)), (side * (-1, 1) + (1, 0))[::-1]])
    fin = line((0.67, 0.5), (0.86, 0.78), (0.66, 0.72))
    flame = line((0.4, 0.74), (0.44, 0.92), (0.5, 0.8), (0.56, 0.97), (0.6, 0.74))
    return [
        hull,
        fin,
        fin * (-1, 1) + (1, 0),
        *often(rng, 0.8, ring(0.5, 0.36, 0.08)),
        *often(rng, 0.6, flame),
        *often(rng, 0.3, *(each for _ in range(3) for each in _star(*rng.uniform(0, 1, 2), 0.04))),
    ]


def sailboat(rng: Rng) -> Doodle:
    hull = line((0.1, 0.7), (0.9, 0.7), (0.76, 0.9), (0.24, 0.9), (0.1, 0.7))
    right = line((0.54, 0.1), (0.86, 0.62), (0.54, 0.62), (0.54, 0.1))
    left = line((0.48, 0.18), (0.2, 0.62), (0.48, 0.62), (0.48, 0.18))
    sails = [[right], [left], [right, left]][int(rng.integers(3))]
    sea = [waves(-0.08, 1.08, y, int(rng.integers(3, 7)), 0.02) for y in (0.95, 1.02)]
    return [hull, line((0.51, 0.7), (0.51, 0.05)), *sails, *often(rng, 0.4, *sea[: int(rng.integers(1, 3))])]


def ship(rng: Rng) -> Doodle:
    hull = line((0.04, 0.6), (0.96, 0.6), (0.84, 0.85), (0.16, 0.85), (0.04, 0.6))
    stacks = [box(x, 0.16, x + 0.1, 0.38) for x in (0.38, 0.56)]
    holes = [ring(x, 0.7, 0.03) for x in (0.3, 0.45, 0.6, 0.75)]
    return [
        hull,
        box(0.25, 0.38, 0.75, 0.6),
        *stacks[: int(rng.integers(1, 3))],
        *often(rng, 0.6, *holes),
        *often(rng, 0.4, waves(-0.05, 1.05, 0.92, 5, 0.02)),
    ]


def balloon(rng: Rng) -> Doodle:
    return [
        ring(0.5, 0.34, 0.27, 0.32),
        line((0.5, 0.66), (0.46, 0.72), (0.54, 0.72), (0.5, 0.66)),
        bend((0.5, 0.72), (0.5 + rng.normal() * 0.15, 0.85), (0.5, 0.99)),
    ]


def umbrella(rng: Rng) -> Doodle:
    dome = ring(0.5, 0.48, 0.45, 0.42, start=0.5, turn=0.5)
    hem = [ring(x, 0.48, 0.15, 0.07, start=0.5, turn=0.5) for x in (0.2, 0.5, 0.8)]
    return [
        dome,
        *(hem if rng.random() < 0.6 else [line((0.05, 0.48), (0.95, 0.48))]),
        np.concatenate([line((0.5, 0.06), (0.5, 0.86)), ring(0.43, 0.86, 0.07, start=0.0, turn=0.5)]),
    ]


def apple(rng: Rng) -> Doodle:
    half = np.concatenate(
        [
            bend((0.5, 0.3), (0.62, 0.2), (0.8, 0.28)),
            bend((0.8, 0.28), (1.0, 0.5), (0.72, 0.88)),
            bend((0.72, 0.88), (0.62, 0.96), (0.5, 0.9)),
        ]
    )
    leaf = np.concatenate([bend((0.52, 0.16), (0.6, 0.02), (0.76, 0.06)), bend((0.76, 0.06), (0.7, 0.2), (0.52, 0.16))])
    return [
        np.concatenate([half, (half * (-1, 1) + (1, 0))[::-1]]),
        bend((0.5, 0.3), (0.48, 0.2), (0.53, 0.08)),
        *often(rng, 0.6, leaf),
    ]


def pear(rng: Rng) -> Doodle:
    half = np.concatenate(
        [
            bend((0.5, 0.16), (0.64, 0.18), (0.64, 0.36)),
            bend((0.64, 0.36), (0.66, 0.5), (0.78, 0.64)),
            bend((0.78, 0.64), (0.86, 0.95), (0.5, 0.95)),
        ]
    )
    return [
        np.concatenate([half, (half * (-1, 1) + (1, 0))[::-1]]),
        line((0.5, 0.16), (0.54, 0.03)),
        *often(rng, 0.4, ring(0.66, 0.08, 0.1, 0.04)),
    ]


def banana(rng: Rng) -> Doodle:
    return [
        bend((0.1, 0.2), (0.25, 0.85), (0.92, 0.72)),
        bend((0.16, 0.16), (0.4, 0.6), (0.92, 0.62)),
        line((0.1, 0.2), (0.1, 0.08), (0.17, 0.08), (0.16, 0.16)),
        line((0.92, 0.62), (0.97, 0.66), (0.92, 0.72)),
    ]


def cherries(rng: Rng) -> Doodle:
    return [
        ring(0.28, 0.75, 0.18),
        ring(0.72, 0.78, 0.18),
        bend((0.28, 0.57), (0.35, 0.25), (0.6, 0.08)),
        bend((0.72, 0.6), (0.7, 0.3), (0.6, 0.08)),
        *often(rng, 0.5, ring(0.76, 0.1, 0.15, 0.06)),
    ]


def strawberry(rng: Rng) -> Doodle:
    half = np.concatenate([bend((0.5, 0.25), (0.85, 0.15), (0.86, 0.42)), bend((0.86, 0.42), (0.8, 0.75), (0.5, 0.97))])
    leaves = line((0.26, 0.24), (0.38, 0.34), (0.44, 0.22), (0.52, 0.36), (0.58, 0.22), (0.66, 0.32), (0.74, 0.22))
    seeds = [
        dot(x, y, 0.012) for x, y in ((0.35, 0.5), (0.5, 0.5), (0.65, 0.5), (0.42, 0.65), (0.58, 0.65), (0.5, 0.8))
    ]
    return [
        np.concatenate([half, (half * (-1, 1) + (1, 0))[::-1]]),
        leaves,
        *often(rng, 0.8, *seeds),
        *often(rng, 0.6, line((0.5, 0.22), (0.52, 0.06))),
    ]


def ice_cream(rng: Rng) -> Doodle:
    cone = line((0.28, 0.48), (0.5, 0.98), (0.72, 0.48), (0.28, 0.48))
    scoops = (
        [ring(0.5, 0.3, 0.25, 0.22)]
        if rng.random() < 0.6
        else [ring(0.38, 0.36, 0.16), ring(0.62, 0.36, 0.16), ring(0.5, 0.16, 0.16)]
    )
    waffle = [line((0.36, 0.48), (0.58, 0.8)), line((0.64, 0.48), (0.42, 0.8))]
    return [cone, *scoops, *often(rng, 0.5, *waffle)]


def cupcake(rng: Rng) -> Doodle:
    cup = line((0.2, 0.56), (0.8, 0.56), (0.7, 0.95), (0.3, 0.95), (0.2, 0.56))
    folds = [line((x, 0.56), (0.5 + (x - 0.5) * 0.66, 0.95)) for x in (0.35, 0.5, 0.65)]
    return [
        cup,
        bumps(0.5, 0.4, 0.38, 0.22, int(rng.integers(5, 9)), 0.2),
        *often(rng, 0.6, *folds),
        *often(rng, 0.6, ring(0.5, 0.13, 0.06)),
    ]


def pizza(rng: Rng) -> Doodle:
    slices = [
        bend((0.06, 0.16), (0.5, 0.02), (0.94, 0.16)),
        line((0.06, 0.16), (0.5, 0.97), (0.94, 0.16)),
        bend((0.12, 0.28), (0.5, 0.14), (0.88, 0.28)),
    ]
    return [*slices, *(ring(x, y, 0.06) for x, y in ((0.35, 0.35), (0.62, 0.38), (0.48, 0.6)))]


def cup(rng: Rng) -> Doodle:
    left, right, top = 0.12, 0.7, 0.34
    body = line((left, top), (left + 0.04, 0.92), (right - 0.04, 0.92), (right, top))
    rim = (
        ring((left + right) / 2, top, (right - left) / 2, 0.05)
        if rng.random() < 0.5
        else line((left, top), (right, top))
    )
    handle = [ring(right - 0.02, 0.6, 0.2, 0.17, start=-0.24, turn=0.48)] + often(
        rng, 0.5, ring(right - 0.02, 0.6, 0.13, 0.11, start=-0.24, turn=0.48)
    )
    steam = [np.stack([x + 0.03 * np.sin(np.linspace(0, 6, 12)), np.linspace(0.06, 0.26, 12)], 1) for x in (0.3, 0.45)]
    return [body, rim, *handle, *often(rng, 0.6, *steam)]


def candle(rng: Rng) -> Doodle:
    flame = np.concatenate([bend((0.5, 0.04), (0.66, 0.22), (0.5, 0.28)), bend((0.5, 0.28), (0.34, 0.22), (0.5, 0.04))])
    return [
        box(0.38, 0.36, 0.62, 0.92),
        line((0.5, 0.36), (0.5, 0.26)),
        flame,
        *often(rng, 0.4, ring(0.5, 0.93, 0.3, 0.05)),
    ]


def light_bulb(rng: Rng) -> Doodle:
    glass = np.concatenate([line((0.4, 0.7)), ring(0.5, 0.36, 0.3, start=0.35, turn=0.8), line((0.6, 0.7))])
    return [
        glass,
        box(0.4, 0.7, 0.6, 0.88),
        line((0.4, 0.76), (0.6, 0.76)),
        line((0.4, 0.82), (0.6, 0.82)),
        *often(rng, 0.5, line((0.46, 0.7), (0.42, 0.45), (0.5, 0.55), (0.58, 0.45), (0.54, 0.7))),
    ]


def glasses(rng: Rng) -> Doodle:
    frames = (
        [ring(x, 0.55, 0.18) for x in (0.24, 0.76)]
        if rng.random() < 0.7
        else [box(x, 0.4, x + 0.36, 0.68) for x in (0.06, 0.58)]
    )
    return [
        *frames,
        ring(0.5, 0.52, 0.09, 0.06, start=0.5, turn=0.5),
        line((0.06, 0.52), (0.0, 0.42)),
        line((0.94, 0.52), (1.0, 0.42)),
    ]


def key(rng: Rng) -> Doodle:
    return [
        ring(0.2, 0.5, 0.17),
        ring(0.2, 0.5, 0.07),
        line((0.37, 0.5), (0.96, 0.5), (0.96, 0.64)),
        line((0.82, 0.5), (0.82, 0.62)),
    ]


def crown(rng: Rng) -> Doodle:
    points = line(
        (0.1, 0.85), (0.06, 0.25), (0.3, 0.52), (0.5, 0.12), (0.7, 0.52), (0.94, 0.25), (0.9, 0.85), (0.1, 0.85)
    )
    return [
        points,
        *often(rng, 0.5, *(ring(x, y, 0.04) for x, y in ((0.06, 0.2), (0.5, 0.08), (0.94, 0.2)))),
        *often(rng, 0.5, line((0.1, 0.72), (0.9, 0.72))),
    ]


def smiley(rng: Rng) -> Doodle:
    hair = bend((0.12, 0.4), (0.3, 0.05), (0.86, 0.36))
    eyes = (
        [ring(x, 0.4, 0.04, 0.06) for x in (0.35, 0.65)]
        if rng.random() < 0.5
        else [dot(0.35, 0.4, 0.025), dot(0.65, 0.4, 0.025)]
    )
    nose = line((0.5, 0.44), (0.46, 0.58), (0.52, 0.58))
    return [
        ring(0.5, 0.5, 0.44, rng.uniform(0.42, 0.48)),
        *eyes,
        ring(0.5, 0.54, 0.24, 0.22, start=0.04, turn=0.42),
        *often(rng, 0.2, nose),
        *often(rng, 0.15, hair),
    ]


def _body(rng: Rng, head: float) -> Doodle:
    arm, foot = rng.uniform(0.34, 0.6), rng.uniform(0.12, 0.24)
    other = arm if rng.random() < 0.6 else rng.uniform(0.2, 0.6)
    return [
        ring(0.5, head, head - 0.02),
        *often(rng, 0.6, *face(0.5, head, head - 0.03)),
        line((0.5, 0.42), (0.24, arm)),
        line((0.5, 0.42), (0.76, other)),
        line((0.5, 0.66), (0.5 - foot, 0.98)),
        line((0.5, 0.66), (0.5 + foot, 0.98)),
    ]


def person(rng: Rng) -> Doodle:
    head = rng.uniform(0.11, 0.17)
    return [*_body(rng, head), line((0.5, 2 * head - 0.02), (0.5, 0.66))]


def woman(rng: Rng) -> Doodle:
    head = rng.uniform(0.11, 0.16)
    neck = 2 * head - 0.02
    dress = line((0.5 - 0.06, neck), (0.26, 0.72), (0.74, 0.72), (0.56, neck), (0.44, neck))
    hair = [bend((0.5, 0.02), (0.3, 0.04), (0.34, 2.1 * head)), bend((0.5, 0.02), (0.7, 0.04), (0.66, 2.1 * head))]
    return [*_body(rng, head), dress, *often(rng, 0.8, *hair)]


def robot(rng: Rng) -> Doodle:
    return [
        box(0.3, 0.1, 0.7, 0.36),
        box(0.24, 0.4, 0.76, 0.74),
        ring(0.41, 0.22, 0.04),
        ring(0.59, 0.22, 0.04),
        line((0.4, 0.31), (0.6, 0.31)),
        line((0.5, 0.1), (0.5, 0.02)),
        line((0.24, 0.46), (0.1, 0.66)),
        line((0.76, 0.46), (0.9, 0.66)),
        box(0.32, 0.74, 0.44, 0.96),
        box(0.56, 0.74, 0.68, 0.96),
        *often(rng, 0.5, box(0.38, 0.48, 0.62, 0.6)),
    ]


def ghost(rng: Rng) -> Doodle:
    hem = waves(0.82, 0.18, 0.9, int(rng.integers(2, 5)), 0.05)
    body = np.concatenate([ring(0.5, 0.4, 0.32, 0.36, start=0.5, turn=0.5), hem, line((0.18, 0.4))])
    return [
        body,
        ring(0.4, 0.36, 0.04, 0.06),
        ring(0.6, 0.36, 0.04, 0.06),
        *often(rng, 0.6, ring(0.5, 0.54, 0.06, 0.08)),
    ]


def snowman(rng: Rng) -> Doodle:
    balls = (
        [ring(0.5, 0.75, 0.23), ring(0.5, 0.38, 0.16)]
        if rng.random() < 0.5
        else [ring(0.5, 0.78, 0.2), ring(0.5, 0.46, 0.14), ring(0.5, 0.22, 0.1)]
    )
    top = 0.38 if len(balls) == 2 else 0.22
    hat = [line((0.34, top - 0.12), (0.66, top - 0.12)), box(0.41, top - 0.26, 0.59, top - 0.12)]
    arms = [line((0.36, 0.5), (0.1, 0.36)), line((0.64, 0.5), (0.9, 0.36))]
    return [
        *balls,
        *face(0.5, top, 0.1),
        *often(rng, 0.6, *hat),
        *often(rng, 0.6, *arms),
        *often(rng, 0.6, *(dot(0.5, y) for y in (0.64, 0.72, 0.8))),
    ]


def castle(rng: Rng) -> Doodle:
    def teeth(left: float, right: float, top: float) -> list[tuple[float, float]]:
        edges = np.repeat(np.linspace(left, right, 6), 2)[1:-1]
        return [(float(x), top + 0.06 * (at // 2 % 2)) for at, x in enumerate(edges)]

    wall = line(
        (0.06, 0.95),
        (0.06, 0.25),
        *teeth(0.06, 0.3, 0.2),
        (0.3, 0.45),
        *teeth(0.3, 0.7, 0.42),
        (0.7, 0.25),
        *teeth(0.7, 0.94, 0.2),
        (0.94, 0.95),
        (0.06, 0.95),
    )
    gate = np.concatenate([line((0.4, 0.95)), ring(0.5, 0.74, 0.1, 0.12, start=0.5, turn=0.5), line((0.6, 0.95))])
    flag = [line((0.18, 0.2), (0.18, 0.02)), line((0.18, 0.02), (0.32, 0.07), (0.18, 0.12))]
    return [wall, gate, *often(rng, 0.5, *flag), *often(rng, 0.4, *(box(x, 0.4, x + 0.06, 0.52) for x in (0.15, 0.79)))]


def tent(rng: Rng) -> Doodle:
    return [
        line((0.05, 0.9), (0.5, 0.1), (0.95, 0.9), (0.05, 0.9)),
        line((0.38, 0.9), (0.5, 0.45), (0.62, 0.9)),
        *often(rng, 0.3, line((0.5, 0.1), (0.54, 0.02))),
    ]


def chair(rng: Rng) -> Doodle:
    return [
        line((0.28, 0.05), (0.28, 0.95)),
        line((0.28, 0.52), (0.76, 0.52), (0.76, 0.95)),
        *often(rng, 0.5, line((0.4, 0.6), (0.4, 0.9)), line((0.64, 0.6), (0.64, 0.9))),
        *often(rng, 0.5, line((0.28, 0.58), (0.76, 0.58))),
    ]


def eye(rng: Rng) -> Doodle:
    lashes = [
        line((0.5 + 0.4 * x, 0.3 + 0.12 * abs(x)), (0.5 + 0.5 * x, 0.14 + 0.12 * abs(x)))
        for x in (-0.8, -0.4, 0.0, 0.4, 0.8)
    ]
    return [
        np.concatenate([bend((0.03, 0.5), (0.5, 0.08), (0.97, 0.5)), bend((0.97, 0.5), (0.5, 0.92), (0.03, 0.5))]),
        ring(0.5, 0.5, 0.18),
        ring(0.5, 0.5, 0.07),
        *often(rng, 0.5, *lashes),
    ]


DOODLES: dict[str, Callable[[Rng], Doodle]] = {
    each.__name__.replace("_", " "): each
    for each in (
        *(sun, moon, star, cloud, rainbow, heart, house, tree, pine_tree, palm_tree, flower, tulip, mushroom, mountain),
        *(cat, dog, rabbit, bear, pig, mouse, bird, duck, fish, whale, butterfly, snail, spider, turtle, snake),
        *(car, bus, truck, train, bicycle, plane, rocket, sailboat, ship, balloon, umbrella),
        *(apple, pear, banana, cherries, strawberry, ice_cream, cupcake, pizza, cup, candle, light_bulb, glasses, key),
        *(crown, smiley, person, woman, robot, ghost, snowman, castle, tent, chair, eye),
    )
}
"""By what people call them."""
