"""Looks of paint: storybook gouache, watercolor, oil, and the swirls of a starry night."""

from __future__ import annotations

import numpy as np

from training.looks.fields import bristles, calmed, contours, edges, flow, from_the_rim, grid, moved, relief, smeared
from training.styles.filters import blur, colour, contrast, luma, mix, ramp, saturate
from training.things.fields import coarse, fine


def painting(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Gouache of a picture book: soft broad brushwork, warm lights, plum shadows, a coloured pencil round things."""
    side = image.shape[0]
    angle = flow(image, 8, 0.2 * coarse(noise, side, 0, 3) + 0.3)
    busy = ramp(blur(edges(image, 1.4, 0.05, 0.15), 3), 0.1, 0.4)
    base = mix(smeared(calmed(image, 2), angle, 14), image, 0.6 * busy)
    light = luma(base)
    base = mix(base, base * colour(0.86, 0.76, 0.98), ramp(light, 0.45, 0.1))
    base = contrast(saturate(base, 1.2), 0.2) * colour(1.05, 0.985, 0.84) + 0.025
    brush = bristles(noise, angle, 44, 3.4)
    dry = np.tanh(brush) * (0.05 + 0.05 * ramp(light, 0.5, 0.95))
    base = base * (1 + dry)[..., None] + 0.05 * coarse(noise, side, 4, 2)[..., None] * colour(0.5, 0.3, -0.3)
    crayon = contours(image, 1.6, 0.05, 0.16) * ramp(brush, -1.6, -0.2)
    return mix(base, base * colour(0.42, 0.3, 0.38), 0.7 * crayon)


def watercolor(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Transparent washes with hard wet rims, blooms and granulation, on paper that stays white around them."""
    height, width = image.shape[:2]
    shake = 2.2 * coarse(noise, height, 0, 0.9), 2.2 * coarse(noise, height, 8, 0.9)
    base = calmed(moved(image, *shake), 3, 9, 0.16)
    light = luma(base)
    wash = saturate(base, 1.5)
    wash = 1 - (1 - wash) * (0.95 - 0.3 * light)[..., None]
    bleeding = saturate(blur(base, 7), 1.6)
    wash = mix(wash, 1 - (1 - bleeding) * 0.75, 0.35 * ramp(coarse(noise, height, 4, 1.2), 0.0, 1.2))
    dark_side = np.clip(luma(blur(base, 4)) - light, 0, 0.2)
    wash = wash - (1.8 * dark_side)[..., None] * (1 - wash)
    rim = edges(base, 1.6, 0.03, 0.10)
    wash = mix(wash, wash * wash * 0.8, 0.85 * rim)
    pool = coarse(noise, height, 4, 1.8)
    bloom = ramp(np.abs(pool - 0.55), 0.16, 0.0)  # where a drop has run dry, along a level of the field
    wash = (
        1
        - (1 - wash) * (1 + 0.16 * pool + 0.30 * bloom + 0.07 * np.tanh(blur(fine(noise, height), 1.2) * 2))[..., None]
    )
    ragged = from_the_rim(height, width) + 5 * coarse(noise, height, 12, 1.4)
    wash = mix(wash, wash * wash, 0.7 * ramp(ragged, 5, 9) * ramp(ragged, 15, 9))
    tooth = np.tanh(blur(fine(noise[::-1], height), 1.0) * 2)
    paper = colour(0.985, 0.975, 0.95) * (1 + 0.012 * tooth)[..., None]
    lifted = 1 - 0.14 * ramp(tooth, 0.5, 0.95) * ramp(light, 0.9, 0.5)
    return mix(paper, np.clip(wash, 0, 1) * colour(1, 0.99, 0.965), ramp(ragged, 4, 8) * lifted)


def oil(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Thick paint drawn along the form by a loaded brush, which takes colour over borders and leaves ridges."""
    side = image.shape[0]
    angle = flow(image, 8, 0.2 * coarse(noise, side, 0, 3) - 0.7)
    base = calmed(image, 2)
    base = contrast(saturate(base, 1.3), 0.4) * colour(1.0, 0.95, 0.86)
    ridge = bristles(noise, angle, 44, 3.0)
    load = np.tanh(bristles(noise[::-1], angle, 44, 3.0))
    busy = ramp(blur(edges(image, 1.4, 0.05, 0.15), 3), 0.15, 0.5)
    paint = mix(smeared(base, angle, 14), base, 0.5 * busy)
    paint = paint * (1 + 0.10 * load)[..., None] + 0.05 * load[..., None] * colour(0.7, 0.2, -0.7)
    height = 4.5 * np.tanh(1.3 * ridge) * (1 - 0.5 * busy)
    return paint + relief(blur(height, 0.8), 0.16)[..., None]


def vangogh(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Ropes of cobalt and chrome yellow that run in waves through all that is open and wind round all that is not."""
    side = image.shape[0]
    angle = flow(image, 8, 0.3 * coarse(noise, side, 0, 4.5) + 0.1)
    base = smeared(calmed(image, 2), angle, 16)
    light = luma(base)
    cool = mix(colour(0.03, 0.10, 0.40), colour(0.45, 0.74, 0.95), ramp(light, 0.2, 0.85))
    warm = mix(colour(0.36, 0.16, 0.06), colour(1.0, 0.86, 0.30), ramp(light, 0.15, 0.9))
    bluish = ramp(base[..., 2] - base[..., 0], -0.06, 0.14)
    rich = mix(contrast(saturate(base, 1.6), 0.4), mix(warm, cool, bluish), 0.5)
    busy = ramp(blur(edges(image, 1.4, 0.05, 0.15), 3), 0.15, 0.5)
    rope = np.tanh(1.6 * bristles(noise, angle, 56, 3.0)) * (1 - 0.55 * busy)
    lit = mix(colour(1.0, 0.85, 0.35), colour(0.75, 0.92, 1.0), bluish) * np.clip(rope, 0, 1)[..., None]
    dark = mix(colour(0.2, 0.35, 0.2), colour(0.3, 0.25, -0.05), bluish) * np.clip(-rope, 0, 1)[..., None]
    tone = rich * (1 + 0.16 * rope)[..., None] + 0.13 * (lit - dark)
    tone = mix(tone, colour(0.03, 0.05, 0.20), 0.8 * contours(image, 1.9, 0.06, 0.15))
    return tone + relief(blur(4 * rope, 0.8), 0.12)[..., None]


def photo(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Film: a sober colour, soft shoulders, a bright bloom, warm lights over teal shadows, dark and soft corners."""
    height, width = image.shape[:2]
    x, y = grid(height, width)
    away = np.hypot((x - width / 2) / width, (y - height / 2) / height) * 2
    soft = mix(calmed(image, 1), blur(image, 2.6), ramp(away, 0.6, 1.2))
    light = luma(soft)
    film = contrast(saturate(soft, 0.78), 0.6) * 0.93 + 0.02
    film = film + mix(colour(-0.045, 0.0, 0.045), colour(0.05, 0.015, -0.05), ramp(light, 0.15, 0.85))
    bloom = blur(np.clip(film - 0.72, 0, 1), 7)
    film = (film + 0.8 * bloom) * (1 - 0.42 * ramp(away, 0.55, 1.45))[..., None]
    return film + 0.014 * np.tanh(blur(fine(noise, height), 1.0) * 2)[..., None]
