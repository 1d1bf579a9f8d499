"""Looks of things made by hand: glossy toys, layers of cut paper, kneaded clay."""

from __future__ import annotations

import cv2
import numpy as np

from training.looks.fields import calmed, moved, relief
from training.looks.regions import borders, flat_pieces, heights
from training.styles.filters import blur, colour, contrast, luma, mix, ramp, saturate
from training.things.fields import coarse, fine


def toy(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Smooth coloured plastic under soft lamps: clear colours, round shadows, gleams."""
    smooth = mix(image, calmed(image, 1), 0.6)
    light = luma(smooth)
    vivid = contrast(saturate(smooth, 1.16), 0.18)
    height = blur(light, 3)
    gleam = np.clip(relief(40 * height, 1.0), 0, 1) * ramp(light, 0.25, 0.8)
    shade = np.clip(luma(blur(smooth, 6)) - light, 0, 0.3)
    vivid = vivid * (1 - 0.5 * shade)[..., None] + 0.05 * gleam[..., None]
    bloom = blur(np.clip(vivid - 0.75, 0, 1), 8)
    return vivid + 0.35 * bloom * colour(1.0, 0.97, 0.9)


def papercut(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Coloured paper, cut out round and laid over each other, the small on the large: each throws a shadow."""
    side = image.shape[0]
    base = calmed(image, 2, 9, 0.16)
    bent = moved(base, 1.2 * coarse(noise, side, 0, 1.2), 1.2 * coarse(noise, side, 8, 1.2))
    labels, colours = flat_pieces(bent, 10, 2.6)
    levels = heights(labels)
    colours = np.clip(contrast(saturate(colours, 1.3), 0.15) * 0.95 + 0.035, 0, 1)[labels]
    level = levels[labels]
    picture = colours
    for above in range(1, int(levels.max()) + 1):
        sheet = (level >= above).astype(np.float32)
        shadow = cv2.warpAffine(
            sheet, np.float32([[1, 0, 3.5], [0, 1, 5]]), (side, side), borderMode=cv2.BORDER_REPLICATE
        )
        picture = picture * (1 - 0.45 * blur(shadow, 2.8) * (1 - sheet))[..., None]
    cut = relief(4 * blur(level.astype(np.float32), 0.9), 1.0)
    fibre = np.tanh(blur(fine(noise, side), 1.4) * 2.4)
    picture = blur(picture, 0.7) + 0.14 * np.clip(cut, -0.6, 1)[..., None]
    return picture * (1 + 0.04 * fibre + 0.03 * coarse(noise, side, 4, 2))[..., None] * colour(1.0, 0.985, 0.96)


def clay(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Plasticine: every piece of colour a soft matte cushion, pressed on, with dents and the marks of thumbs."""
    side = image.shape[0]
    base = calmed(image, 3, 9, 0.16)
    labels, colours = flat_pieces(base, 10, 2.6)
    colours = np.clip(saturate(colours, 1.1) * 0.86 + 0.07, 0, 1)
    levels = heights(labels)
    far = cv2.distanceTransform((~borders(labels)).astype(np.uint8), cv2.DIST_L2, 5)
    inside = np.clip(far / 15, 0, 1)
    cushion = 24 * np.sqrt(np.clip(1 - (1 - inside) ** 2, 0, 1)) + 5 * levels[labels]
    thumbs = 5 * np.tanh(blur(coarse(noise, side, 0, 2.0), 4))
    height = blur(cushion.astype(np.float32), 2.4) + thumbs
    lit = relief(height, 0.34)
    flat = mix(blur(colours[labels], 1.0), base, 0.3)
    flat = flat * (1 + 0.05 * np.tanh(coarse(noise, side, 12, 1.6)))[..., None]
    crease = blur(ramp(far, 3.4, 0.5), 0.9)
    shine = np.clip(lit - 0.16, 0, 1)
    return flat * (0.97 + lit - 0.38 * crease)[..., None] * colour(1.03, 0.99, 0.94) + 0.35 * shine[..., None]
