"""Looks of lines on paper: brush and ink, graphite, and white on blue."""

from __future__ import annotations

import numpy as np

from training.looks.fields import bristles, calmed, contours, flow, moved
from training.styles.filters import blur, colour, luma, mix, ramp, ruled
from training.things.fields import coarse, fine


def ink(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Sumi-e: wet grey washes with dark rims, a black brush that swells and runs dry, vermilion where it is red."""
    side = image.shape[0]
    bent = moved(image, 1.6 * coarse(noise, side, 0, 1.2), 1.6 * coarse(noise, side, 8, 1.2))
    base = calmed(bent, 3, 9, 0.18)
    light = luma(blur(base, 2))
    angle = flow(image, 6, 0.2 * coarse(noise, side, 0, 3) - 0.5)
    hair = bristles(noise, angle, 40, 2.2)
    tone = 1 - light
    one = ramp(tone + 0.07 * coarse(noise, side, 4, 1.4), 0.30, 0.40)
    two = ramp(tone + 0.07 * coarse(noise, side, 12, 1.4), 0.56, 0.66)
    wet = 0.20 * one + 0.30 * two
    wet = wet * (1 + 0.28 * coarse(noise, side, 8, 2)) + 0.10 * _rim(one)
    paper = colour(0.955, 0.925, 0.85) * (1 + 0.015 * np.tanh(blur(fine(noise, side), 1.2) * 2))[..., None]
    page = paper * (1 - np.clip(wet, 0, 0.62))[..., None]
    red = ramp(base[..., 0] - np.maximum(base[..., 1], base[..., 2]), 0.32, 0.5)
    page = mix(page, colour(0.80, 0.17, 0.11) * (0.75 + 0.3 * light)[..., None], 0.9 * red)
    swell = 1.5 + 0.6 * coarse(noise, side, 4, 1.2)
    fat, thin = contours(bent, 2.4, 0.10, 0.2), contours(bent, 1.5, 0.045, 0.12)
    brush = np.maximum(fat * ramp(swell, 0.7, 2.0), thin * ramp(swell, 2.6, 1.2))
    brush = brush * ramp(hair + 1.4 * ramp(swell, 0.8, 1.8), -0.9, 0.2)  # the dry brush shows its hairs
    return mix(page, colour(0.06, 0.055, 0.06), 0.96 * np.clip(brush, 0, 1))


def _rim(mask: np.ndarray) -> np.ndarray:
    """The pigment that gathers just inside the border of a wash, 0..1."""
    return mask * ramp(blur(mask, 2.2), 1.0, 0.55)


def pencil(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Graphite: broad separate strokes laid along the form, crossed in the shadows, on white paper."""
    side = image.shape[0]
    base = calmed(image, 2)
    light = np.clip(luma(base), 0, 1)
    light = np.clip(light + 0.5 * (light - luma(blur(base, 20))), 0, 1)
    angle = flow(image, 8, 0.2 * coarse(noise, side, 0, 4) - 0.85)
    one = bristles(noise, angle, 44, 2.2)
    two = bristles(noise[::-1], angle + 1.0, 44, 2.2)
    tone = 1 - light
    hatch = ramp(one + 2.6 * (tone - 0.55), -0.6, 1.0) * (0.06 + 0.5 * tone)
    cross = ramp(two + 3.0 * (tone - 0.78), -0.5, 1.0) * 0.30
    smudge = 0.24 * ramp(tone, 0.10, 1.0)
    line = contours(image, 1.5, 0.04, 0.12) * (0.86 + 0.12 * np.tanh(one))
    page = (0.985 - np.clip(smudge + hatch + cross, 0, 0.86)) * (1 - 0.88 * line)
    return np.clip(page, 0.1, 1)[..., None] * colour(1, 0.99, 0.97)


def blueprint(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """White lines on blue ruled paper: firm contours, thin construction lines that overshoot, shadows hatched along
    the form."""
    side = image.shape[0]
    base = calmed(image, 2)
    light = luma(base)
    paper = colour(0.05, 0.22, 0.56) * (0.94 + 0.12 * ramp(light, 0.1, 0.9))[..., None]
    paper = paper * (1 + 0.03 * coarse(noise, side, 0, 3))[..., None]
    rules = 0.05 * ruled(side, image.shape[1], 16, 2) + 0.09 * ruled(side, image.shape[1], 32, 2)
    angle = flow(image, 8, np.full_like(light, 0.785))
    hatch = ramp(bristles(noise, angle, 44, 2.2), 0.2, 1.0) * ramp(light, 0.5, 0.2) * 0.24
    page = paper + (rules + hatch)[..., None] * colour(0.75, 0.9, 1.0)
    chalk = 0.9 + 0.1 * np.tanh(blur(fine(noise, side), 1.0) * 2)
    return mix(page, colour(0.94, 0.975, 1.0), contours(base, 1.6, 0.035, 0.09) * chalk)
