"""Deterministic picture filters that the styles are made of: smoothing, line work, tone, and patterns on fixed grids.

Pictures are float32 [H, W, 3] in 0..1, masks float32 [H, W]; H and W are multiples of 32. Every pattern repeats after
32 px and starts at the picture's origin, since the model knows a place only by its phase on that grid.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

PERIOD = 32
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def colour(red: float, green: float, blue: float) -> np.ndarray:
    """A colour as float32 [3]."""
    return np.array([red, green, blue], np.float32)


def palette(codes: str) -> np.ndarray:
    """Hexadecimal colours, parted by spaces, as float32 [K, 3]."""
    return np.array([list(bytes.fromhex(code)) for code in codes.split()], np.float32) / 255


def luma(image: np.ndarray) -> np.ndarray:
    """Perceived lightness [H, W]."""
    return image @ _LUMA


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth step between (`low` > `high` falls instead of rising)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """`first` where `weight` is 0, `second` where it is 1; a weight [H, W] is shared by the channels."""
    if isinstance(weight, np.ndarray) and weight.ndim == 2:
        weight = weight[..., None]
    return first + (second - first) * weight


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones are computed at a quarter of the size, which the eye cannot tell."""
    if sigma < 6:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / 4, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def saturate(image: np.ndarray, factor: float) -> np.ndarray:
    """Colourfulness times `factor`; lightness stays."""
    grey = luma(image)[..., None]
    return np.clip(grey + (image - grey) * factor, 0, 1)


def saturation(image: np.ndarray) -> np.ndarray:
    """Chroma [H, W]: the largest channel less the smallest."""
    return image.max(2) - image.min(2)


def contrast(image: np.ndarray, amount: float) -> np.ndarray:
    """S-curve around middle grey: 0 changes nothing, 1 is a full smooth step."""
    return mix(image, image * image * (3 - 2 * image), amount)


def outlines(image: np.ndarray, width: float = 1.3, low: float = 0.03, high: float = 0.08) -> np.ndarray:
    """Ink lines [H, W], 1 on a line, on the dark side of every edge of any channel; about `2 * width` px thick.

    Measured on the square root of the picture, so that night and shadow keep their contours.
    """
    root = np.sqrt(np.maximum(image, 0))
    darker = (blur(root, 3 * width) - blur(root, width)).max(2)
    return ramp(darker, low, high)


def stepped(values: np.ndarray, levels: int, softness: float = 0.12) -> np.ndarray:
    """Values in 0..1 drawn to `levels` steps, with edges that are soft over `softness` of a step, so nothing bands."""
    scaled = values * levels - 0.5
    floor = np.floor(scaled)
    rest = ramp(scaled - floor, 0.5 - softness, 0.5 + softness)
    return np.clip((floor + rest + 0.5) / levels, 0, 1)


def relief(image: np.ndarray, depth: float, sigma: float = 1.5) -> np.ndarray:
    """Height [H, W] of paint lit from the upper left: the lightness as a bump map, -1..1."""
    height = blur(luma(image), sigma)
    return np.clip((np.roll(height, (-2, -2), (0, 1)) - np.roll(height, (2, 2), (0, 1))) * depth, -1, 1)


def in_palette(image: np.ndarray, palette: np.ndarray, sharpness: float) -> np.ndarray:
    """Every colour drawn to its nearest in `palette` [K, 3], with soft borders: large `sharpness`, hard borders."""
    distance = ((image[..., None, :] - palette) ** 2 * np.array([0.9, 1.3, 0.8], np.float32)).sum(-1)
    weight = np.exp(-sharpness * (distance - distance.min(-1, keepdims=True)))
    return (weight / weight.sum(-1, keepdims=True)) @ palette


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def broad(mask: np.ndarray, radius: int) -> np.ndarray:
    """The parts of a mask [H, W] into which a disc of `radius` px (a multiple of 4) fits; small things go."""
    height, width = mask.shape
    small = cv2.resize(mask, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.morphologyEx(small, cv2.MORPH_OPEN, _disc(radius // 4), borderType=cv2.BORDER_REPLICATE)
    small = cv2.dilate(small, _disc(1), borderType=cv2.BORDER_REPLICATE)
    return np.minimum(mask, cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def openness(image: np.ndarray) -> np.ndarray:
    """How much of an open sky or a blank ground each pixel is, [H, W] in 0..1: bright, and bluish or broadly pale."""
    light = luma(image)
    bluish = ramp(image[..., 2] - image[..., 0], 0.03, 0.2)
    pale = ramp(saturation(image), 0.16, 0.05) * ramp(light, 0.66, 0.84)
    return np.maximum(bluish, broad(pale, 24)) * ramp(light, 0.35, 0.65)


@lru_cache(maxsize=32)
def pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Phases (x, y) [H, W] in radians: one turn in 32 px."""
    turn = np.float32(2 * np.pi / PERIOD)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * turn
    return x, y


@lru_cache(maxsize=128)
def stripes(height: int, width: int, across: int, down: int, wave: float = 0.0) -> np.ndarray:
    """Wavy stripes [H, W] in 0..1, `across` and `down` of them in 32 px; at most (2, 1), or the codec loses them."""
    x, y = pixel_grid(height, width)
    return 0.5 + 0.5 * np.sin(across * x + down * y + wave * np.sin(x - y))


@lru_cache(maxsize=32)
def grain(height: int, width: int) -> np.ndarray:
    """Soft uneven blotches [H, W] in -1..1, like the tooth of paper; repeats after 32 px."""
    x, y = pixel_grid(height, width)
    field = np.sin(x + 1.3) * np.cos(y - 0.4) + 0.8 * np.sin(2 * y + x + 2.1) + 0.8 * np.cos(2 * x - y + 0.7)
    return (field / 2.2).astype(np.float32)


@lru_cache(maxsize=32)
def ruled(height: int, width: int, spacing: int, thickness: int) -> np.ndarray:
    """Ruled paper [H, W]: 1 on the lines of a square grid."""
    y, x = np.mgrid[0:height, 0:width]
    return ((x % spacing < thickness) | (y % spacing < thickness)).astype(np.float32)


@lru_cache(maxsize=32)
def dabs(height: int, width: int) -> np.ndarray:
    """Short diagonal brush strokes [H, W] in -1..1, staggered, 14 px wide and 30 px long."""
    x, y = pixel_grid(height, width)
    return np.sin(2 * x + y + 0.5 * np.sin(y)) * (0.62 + 0.38 * np.sin(y - x + 0.9 * np.sin(x)))


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """float 0..1 to uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
