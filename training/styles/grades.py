"""The hours and seasons that combine with every style: grades of light and colour, applied before the style.

Each is a pure, local function from a picture to a picture, float32 [H, W, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.styles.filters import blur, broad, colour, contrast, luma, mix, openness, ramp, saturate, saturation


@dataclass(frozen=True)
class Grade:
    """A mood of light: `words` name it in a prompt; `tint` is what styles without colours of their own take of it."""

    name: str
    words: tuple[str, ...]
    apply: Callable[[np.ndarray], np.ndarray]
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def _greenness(image: np.ndarray) -> np.ndarray:
    """How much of a leaf or a meadow each pixel is, [H, W] in 0..1."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    excess = (green - 0.55 * red - 0.45 * blue) / (image.max(2) + 0.1)
    return ramp(excess, 0.03, 0.14) * ramp(green - np.maximum(red, blue), -0.05, 0.03)


def _lamps(image: np.ndarray) -> np.ndarray:
    """What shines by itself after dark, [H, W] in 0..1: bright yellow and small pure white."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    yellow = ramp(np.minimum(red, green) - blue, 0.2, 0.45) * ramp(green, 0.7, 0.92)
    light = luma(image)
    white = ramp(light, 0.82, 0.96) * ramp(saturation(image), 0.14, 0.06)
    small = ramp(white - broad(white, 8), 0.3, 0.8) * ramp(light - luma(blur(image, 16)), 0.12, 0.32)
    return np.maximum(yellow, 0.7 * small)


def unchanged(image: np.ndarray) -> np.ndarray:
    """No mood: the picture as it is."""
    return image


def day(image: np.ndarray) -> np.ndarray:
    """Noon: clear light, blue skies, warm highlights."""
    light = luma(image)[..., None]
    lit = contrast(saturate(image**0.85, 1.25), 0.35) * colour(1.04, 1.01, 0.95)
    sky = colour(0.30, 0.62, 0.97) * (1 - 0.55 * light) + colour(0.62, 0.85, 1.0) * (0.55 * light)
    return np.clip(mix(lit, sky + 0.12 * (light - 0.5), 0.7 * openness(image)), 0, 1)


def sunset(image: np.ndarray) -> np.ndarray:
    """The low sun: orange and rose skies, violet shadows, gold on all that is light."""
    light = luma(image)
    glow = colour(1.0, 0.62, 0.30) * light[..., None] + colour(0.34, 0.10, 0.30) * (1 - light[..., None])
    warm = 0.42 * glow + 0.58 * saturate(image, 1.05) * colour(1.02, 0.70, 0.52)
    sky = mix(colour(0.80, 0.33, 0.42), colour(1.0, 0.68, 0.36), ramp(light, 0.6, 0.92))
    result = mix(warm, sky, 0.75 * openness(image))
    lamps = _lamps(image)
    result = mix(result, colour(1.0, 0.88, 0.52), 0.8 * lamps)
    result = result + blur(lamps, 10)[..., None] * colour(0.35, 0.21, 0.07)
    return contrast(np.clip(result, 0, 1), 0.3)


def night(image: np.ndarray) -> np.ndarray:
    """Moonlight: deep blue, with halos around yellow lights and small white ones."""
    light = luma(image)[..., None]
    dark = saturate(image, 0.75) * colour(0.36, 0.47, 0.82) * (0.26 + 0.85 * light) + colour(0.02, 0.035, 0.11)
    sky = colour(0.06, 0.10, 0.30) + 0.12 * light * colour(0.5, 0.8, 1.2)
    dark = mix(dark, sky, 0.75 * openness(image))
    lamps = _lamps(image)
    shining = mix(dark, np.clip(image * colour(1.05, 1.0, 0.85) + 0.05, 0, 1), 0.92 * lamps)
    return np.clip(shining + blur(lamps, 8)[..., None] * colour(0.45, 0.36, 0.16), 0, 1)


def winter(image: np.ndarray) -> np.ndarray:
    """Snow on whatever was green, cold pale light on the rest."""
    light = luma(image)
    cold = contrast(saturate(image, 0.6), 0.1) ** 0.8 * colour(0.90, 0.98, 1.08) + colour(0.03, 0.05, 0.08)
    snow = mix(colour(0.40, 0.54, 0.76), colour(1.0, 1.0, 1.0), ramp(light, 0.08, 0.62))
    sky = mix(colour(0.66, 0.78, 0.90), colour(0.90, 0.95, 1.0), ramp(light, 0.5, 0.95))
    cold = mix(cold, sky, 0.6 * openness(image))
    return np.clip(mix(cold, snow, 0.92 * _greenness(image)), 0, 1)


def autumn(image: np.ndarray) -> np.ndarray:
    """Leaves and meadows turn orange, red and ochre; the light is mellow."""
    light = luma(image)
    mellow = saturate(image, 1.1) * colour(1.06, 0.96, 0.82)
    leaf = mix(colour(0.45, 0.12, 0.06), colour(0.90, 0.38, 0.08), ramp(light, 0.1, 0.42))
    leaf = mix(leaf, colour(0.98, 0.74, 0.25), ramp(light, 0.45, 0.8))
    mellow = mix(mellow, colour(0.95, 0.86, 0.70) * (0.45 + 0.6 * light[..., None]), 0.55 * openness(image))
    return np.clip(mix(mellow, leaf, 0.92 * _greenness(image)), 0, 1)


def fog(image: np.ndarray) -> np.ndarray:
    """Mist: pale and soft, thicker where it is open, so that distance fades and what is near and dark remains."""
    soft = saturate(0.6 * image + 0.4 * blur(image, 3), 0.45)
    veil = colour(0.80, 0.84, 0.87) + 0.1 * luma(blur(image, 12))[..., None]
    density = 0.38 + 0.42 * ramp(luma(blur(image, 8)), 0.25, 0.85)
    return np.clip(mix(soft, veil, density), 0, 1)


_ALL = (
    Grade("", (), unchanged),
    Grade("day", ("daytime", "sunny day", "bright daylight", "noon", "blue sky", "summer day"), day, (1.0, 1.0, 0.97)),
    Grade(
        "sunset",
        ("sunset", "at sunset", "golden hour", "dusk", "sunrise", "evening light", "warm low sun"),
        sunset,
        (1.0, 0.88, 0.74),
    ),
    Grade("night", ("night", "at night", "moonlight", "midnight", "moonlit", "in the dark"), night, (0.68, 0.76, 0.95)),
    Grade("winter", ("winter", "snow", "snowy", "covered in snow", "frost", "icy"), winter, (0.92, 0.98, 1.0)),
    Grade("autumn", ("autumn", "fall colors", "autumn leaves", "october", "fallen leaves"), autumn, (1.0, 0.88, 0.70)),
    Grade("fog", ("fog", "foggy", "mist", "misty morning", "haze"), fog, (0.93, 0.95, 0.96)),
)
GRADES: dict[str, Grade] = {grade.name: grade for grade in _ALL}
