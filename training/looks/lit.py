"""Looks that shine: neon tubes, and stained glass."""

from __future__ import annotations

import cv2
import numpy as np

from training.looks.fields import calmed, contours, relief
from training.looks.regions import borders, cells, piece_means
from training.styles.filters import blur, colour, contrast, luma, mix, ramp, saturate
from training.things.fields import coarse, fine


def neon(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Glowing tubes along every contour in the colour of the thing, before a wall that is nearly black."""
    side = image.shape[0]
    base = calmed(image, 4, 9, 0.2)
    line = contours(base, 1.7, 0.05, 0.12)
    around = blur(base, 3)
    low, high = around.min(2, keepdims=True), around.max(2, keepdims=True)
    pure = (around - low) / (high - low + 0.02)
    grey = mix(colour(1, 0.2, 0.8), colour(0.15, 0.9, 1.0), ramp(luma(blur(base, 10)), 0.3, 0.7))
    tube = mix(grey, 0.1 + 0.95 * pure, ramp((high - low)[..., 0], 0.06, 0.22))
    flicker = 1 + 0.22 * np.tanh(coarse(noise, side, 0, 1.5))
    lit = tube * (line * flicker)[..., None]
    glow = 0.7 * blur(lit, 2.5) + 0.9 * blur(lit, 7) + 0.9 * blur(lit, 18)
    wall = colour(0.02, 0.01, 0.055) * (1 + 0.3 * coarse(noise, side, 4, 2.5))[..., None]
    fill = saturate(base, 1.5) * colour(0.12, 0.07, 0.20) * (0.35 + luma(base))[..., None]
    return wall + fill + glow + 0.8 * lit + 0.55 * (line**2)[..., None]


def glass(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Stained glass: panes cut along the picture's own borders, each of one deep colour with streaks, set in lead."""
    side = image.shape[0]
    base = blur(calmed(image, 3, 9, 0.2), 1.5)
    labels = cells(base, noise, 32, 0.24)  # a period of the phase channels: else nobody knows where the seeds are
    panes = saturate(contrast(piece_means(base, labels), 0.35), 2.0)
    pale = ramp(panes.min(1), 0.6, 0.9)[:, None]
    panes = panes + (colour(0.90, 0.90, 0.70) - panes) * 0.55 * pale
    tone = piece_means(np.repeat(coarse(noise, side, 8, 0.6)[..., None], 3, 2), labels)
    panes = panes * (1 + 0.16 * np.tanh(tone)) + 0.03 * np.roll(tone, 1, 1) * colour(1, 0.2, -1)
    far = cv2.distanceTransform((~borders(labels)).astype(np.uint8), cv2.DIST_L2, 3)
    streak = np.tanh(blur(fine(noise, side), 2.4) * 4)
    lit = np.clip(panes, 0, 1)[labels] * (0.78 + 0.40 * ramp(far, 1.0, 11.0) + 0.10 * streak)[..., None]
    lit = lit + 0.10 * blur(lit, 8) + 0.03
    lead = ramp(far, 2.2, 1.0)
    metal = colour(0.085, 0.085, 0.10) + relief(np.clip(3 - far, 0, 3) * 2, 0.10)[..., None]
    return mix(lit, metal, lead)
