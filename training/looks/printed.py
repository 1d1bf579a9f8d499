"""Looks of flat colour: anime cel, comic print with a dot screen, pixel art, woodblock print."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from training.looks.fields import calmed, contours, edges, grid, moved, smeared
from training.styles.filters import blur, colour, contrast, in_palette, luma, mix, palette, ramp, saturate, stepped
from training.things.fields import coarse, fine

BLOCK = 8
PIXEL_COLOURS = palette(
    "1a1c2c 5d275d b13e53 ef7d57 ffcd75 a7f070 38b764 257179 29366f 3b5dc9 41a6f6 9be4f7 f4f4f4 94b0c2 566c86 333c57 "
    "78462a be825a ebbea0 f9e0c0 821e28 f5aa28 145a32 7a4aa8 e86aa6 f7b5d0 d9f2ff c8a2e8"
)
PRINT_INKS = palette(
    "1d2538 2b4a73 5f87a6 a9c3c4 efe3c4 d9b36a c4512d 8a3324 6d7f4a 9aa77a 6b4a33 e6bd96 8c8577 f3ead2 "
    "d9492e f2c14e 3f7cac 7fb08a e9a6a0 3a5f3a"
)


def _cel(image: np.ndarray, levels: int, softness: float) -> np.ndarray:
    """Lightness in flat steps; hue stays."""
    light = luma(image)
    return image * ((stepped(light, levels, softness) + 0.03) / (light + 0.03))[..., None]


def anime(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Cel shading: two clean tones, violet shadows, light that blooms and falls in from above, a fine dark line."""
    side = image.shape[0]
    base = np.clip(calmed(image, 3, 9, 0.14), 0, 1)
    light = luma(base)
    flat = mix(_cel(base**0.85, 4, 0.1), base, 0.25)
    flat = saturate(flat, 1.5)
    flat = mix(flat * colour(0.80, 0.72, 1.10), flat, ramp(light, 0.15, 0.5))
    glow = blur(np.clip(flat - 0.55, 0, 1), 9)
    flat = np.clip(flat * 1.06 + 0.55 * glow * (1 - np.clip(flat, 0, 1)) + 0.02, 0, 1)
    x, y = grid(*image.shape[:2])
    shaft = ramp(np.sin((x + 0.6 * y) / side * 9 + 1.5 * coarse(noise, side, 0, 6)), 0.2, 1.0) * ramp(
        y / side, 0.9, 0.1
    )
    flat = flat + (0.10 * shaft)[..., None] * colour(1.0, 0.97, 0.8) * (1 - flat)
    return mix(flat, colour(0.12, 0.06, 0.19), contours(image, 1.6, 0.05, 0.10))


@cache
def _dot_distance(height: int, width: int) -> np.ndarray:
    """Pixels to the nearest dot of a screen at 45 degrees, 11 px apart, which repeats after 16 px."""
    x, y = grid(height, width)
    first = np.hypot((x - 4) % 16 - 8, (y - 4) % 16 - 8)
    second = np.hypot((x - 12) % 16 - 8, (y - 12) % 16 - 8)
    return np.minimum(first, second)


def comic(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Pop print: loud flat inks slightly off register, a dot screen that swells in half-tones, thick black lines."""
    side = image.shape[0]
    base = np.clip(calmed(image, 3, 9, 0.16), 0, 1)
    light = luma(blur(base, 2.5))
    shift = np.full(light.shape, np.float32(1.6))
    flat = _cel(moved(base, shift, -shift) ** 0.8, 3, 0.08)
    flat = np.clip(saturate(flat, 1.9) * 1.05 + 0.03, 0, 1)
    pale = ramp(flat.min(2), 0.72, 0.9)
    flat = mix(flat, colour(1.0, 0.965, 0.82), pale)
    distance = _dot_distance(*image.shape[:2])
    radius = 5.6 * ramp(light, 0.92, 0.25) * ramp(light, 0.05, 0.16)
    dots = np.clip(radius - distance + 0.5, 0, 1)
    screen = np.clip(flat * flat * colour(0.78, 0.62, 0.72), 0, 1)
    flat = mix(flat, screen, 0.95 * dots)
    worn = 1 - 0.03 * ramp(np.tanh(blur(fine(noise, side), 1.4) * 2), 0.2, 0.9)
    line = contours(base, 1.8, 0.055, 0.11)
    return mix(flat * worn[..., None], colour(0.04, 0.03, 0.06), line)


def pixel(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A game of the eighties: blocks of 8 px in few colours, with dark borders."""
    height, width = image.shape[:2]
    size = (width // BLOCK, height // BLOCK)
    blocks = cv2.resize(contrast(saturate(image, 1.3), 0.3), size, interpolation=cv2.INTER_AREA)
    line = cv2.resize(edges(image, 1.2, 0.06, 0.14), size, interpolation=cv2.INTER_AREA)
    blocks = blocks + 0.5 * (blocks - blur(blocks, 1.0))
    blocks = np.clip(blocks * (1 - 0.5 * ramp(line, 0.25, 0.6))[..., None], 0, 1)
    blocks = 0.85 * in_palette(blocks, PIXEL_COLOURS, 900.0) + 0.15 * blocks
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def ukiyoe(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Woodblock print: a few muted inks laid flat, indigo that fades down from the top, a key line, wood grain."""
    height, width = image.shape[:2]
    base = calmed(image, 3, 11, 0.18)
    small = cv2.resize(saturate(base, 1.25), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    inks = blur(cv2.resize(in_palette(small, PRINT_INKS, 260.0), (width, height), interpolation=cv2.INTER_LINEAR), 0.8)
    flat = 0.82 * inks + 0.18 * saturate(base, 1.2) * colour(1.0, 0.94, 0.80)
    _, y = grid(height, width)
    key = contours(base, 1.6, 0.045, 0.11)
    open_above = ramp(np.cumsum(blur(key, 3), axis=0), 7.0, 1.0)
    fading = ramp(y / height + 0.02 * coarse(noise, height, 0, 2), 0.34, 0.0)
    flat = mix(flat, colour(0.10, 0.22, 0.42), 0.9 * fading * open_above)
    grain = smeared(blur(fine(noise, height), 1.8), 0.06 * coarse(noise, height, 4, 4), 44)
    grain = np.tanh(grain / (grain.std() + 1e-6))
    paper = colour(1.0, 0.975, 0.915) * (1 + 0.03 * grain)[..., None]
    return mix(flat * paper, colour(0.08, 0.09, 0.16), 0.93 * key * (0.92 + 0.08 * grain))
