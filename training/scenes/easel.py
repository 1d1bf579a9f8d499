"""A picture being painted: the window of a part on it, shadows, mirrors, and the light over all."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.scenes.materials import MATERIALS, Material, base_colour
from training.scenes.shapes import UNIT, Part
from training.scenes.textures import textures

MARGIN = 14
"""Pixels around a part that its shadow and glow may reach."""


def softened(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur that works on a reduced picture where `sigma` is large."""
    if sigma < 5 or min(image.shape[:2]) < 16:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)


def part_mask(
    part: Part, size: int, origin: tuple[int, int], shape: tuple[int, int], thicker: float = 0.0
) -> np.ndarray:
    """Coverage uint8 [h, w] of the part in the window whose upper left corner is `origin` (x, y) in pixels."""
    mask = np.zeros(shape, np.uint8)
    pixels = np.round((part.points * size / UNIT - origin) * 16).astype(np.int32)
    if part.width > 0:
        thickness = max(1, round(part.width * size / UNIT + thicker))
        cv2.polylines(mask, [pixels], False, 255, thickness, cv2.LINE_AA, 4)
    else:
        cv2.fillPoly(mask, [pixels], 255, cv2.LINE_AA, 4)
    return mask


@dataclass
class Patch:
    """The window of a part on the canvas: its mask and the measures that shaders need. Arrays are [h, w] in pixels."""

    part: Part
    material: Material
    colour: np.ndarray
    window: tuple[slice, slice]
    mask: np.ndarray
    depth: np.ndarray
    half: float
    light: np.ndarray
    x: np.ndarray
    y: np.ndarray
    left: float
    top: float
    right: float
    bottom: float

    @property
    def across(self) -> np.ndarray:
        """0 at the left edge of the part, 1 at its right edge."""
        return (self.x - self.left) / max(self.right - self.left, 1.0)

    @property
    def down(self) -> np.ndarray:
        """0 at the top of the part, 1 at its bottom."""
        return (self.y - self.top) / max(self.bottom - self.top, 1.0)


def _light_on(mask: np.ndarray, half: float) -> np.ndarray:
    """How much a pillow of this outline faces the light at the upper left, -1..1."""
    sigma = float(np.clip(0.5 * half, 1.2, 26.0))
    blurred = softened(mask, sigma)
    slope = 0.55 * cv2.Sobel(blurred, cv2.CV_32F, 1, 0) + 0.83 * cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    return np.clip(slope * sigma / 3.2, -1, 1)


class Easel:
    """A picture being painted: `image` float32 [S, S, 3] in 0..1."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.scale = size / UNIT
        self.image = np.zeros((size, size, 3), np.float32)
        self.textures = textures(size)
        self.sun: tuple[float, float, float] | None = None
        self.mirrors: dict[int, tuple[float, np.ndarray]] = {}

    def patch(self, part: Part) -> Patch | None:
        """The part's window, or `None` where it lies outside the canvas."""
        points = part.points * self.scale
        reach = MARGIN + part.width * self.scale / 2
        low = np.clip(np.floor(points.min(0) - reach), 0, self.size).astype(int)
        high = np.clip(np.ceil(points.max(0) + reach), 0, self.size).astype(int)
        if np.any(high - low < 2):
            return None
        coverage = part_mask(
            part, self.size, (int(low[0]), int(low[1])), (int(high[1] - low[1]), int(high[0] - low[0]))
        )
        if not coverage.any():
            return None
        mask = coverage.astype(np.float32) / 255
        depth = cv2.distanceTransform((coverage > 127).astype(np.uint8), cv2.DIST_L2, 3)
        half = float(min(depth.max(), 80.0))
        material = MATERIALS[part.material]
        light = _light_on(mask, half) if material.roundness else np.zeros_like(mask)
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
        (left, top), (right, bottom) = points.min(0), points.max(0)
        return Patch(
            part,
            material,
            base_colour(part),
            (slice(low[1], high[1]), slice(low[0], high[0])),
            mask,
            depth,
            half,
            light,
            x,
            y,
            float(left),
            float(top),
            float(right),
            float(bottom),
        )

    def cast_shadow(self, patch: Patch) -> None:
        """Darken what lies under the part and to the lower right of it."""
        reach = float(np.clip(0.18 * patch.half, 1.0, 4.0))
        shifted = np.float32([[1, 0, 1.3 * reach], [0, 1, 1.5 * reach]])
        shadow = cv2.warpAffine(patch.mask, shifted, patch.mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        shadow = cv2.GaussianBlur(shadow, (0, 0), 1.2 * reach) * patch.material.shadow
        self.image[patch.window] *= 1 - shadow[..., None] * np.array([1.0, 0.95, 0.75], np.float32)

    def keep_for_mirror(self, patch: Patch) -> None:
        """Remember where a part of a thing that floats stands, until `mirror` reflects that thing."""
        if patch.part.mirror_at is not None:
            empty = np.zeros(self.image.shape[:2], np.float32)
            stood = self.mirrors.setdefault(patch.part.thing, (patch.part.mirror_at, empty))[1]
            np.maximum(stood[patch.window], patch.mask, out=stood[patch.window])

    def lay_ground_shadow(self, x: float, y: float, width: float) -> None:
        """The soft shadow at the right foot of something `width` units wide that stands at (x, y) in units."""
        points = np.array([x + 0.16 * width, y + 0.02 * width]) * self.scale
        axes = np.array([0.62 * width, max(0.11 * width, 2.0)]) * self.scale
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.ellipse(
            mask, (int(points[0]), int(points[1])), (max(int(axes[0]), 2), max(int(axes[1]), 2)), 0, 0, 360, 255, -1
        )
        soft = softened(mask.astype(np.float32) / 255, max(2.0, 0.4 * float(axes[1])))
        self.image *= 1 - 0.42 * soft[..., None] * np.array([1.0, 0.95, 0.72], np.float32)

    def mirror(self, thing: int) -> None:
        """Reflect a thing that floats at its waterline, broken by the waves."""
        if thing not in self.mirrors:
            return
        waterline, stood = self.mirrors.pop(thing)
        line = np.float32(waterline * self.scale)
        y, x = np.mgrid[0 : self.size, 0 : self.size].astype(np.float32)
        wave = self.textures["waves"]
        from_y, from_x = np.clip(2 * line - y - 2 * wave, 0, self.size - 1), np.clip(x + 2.5 * wave, 0, self.size - 1)
        image = cv2.remap(self.image, from_x, from_y, cv2.INTER_LINEAR)
        cover = cv2.remap(stood, from_x, from_y, cv2.INTER_LINEAR)
        fade = np.clip(1 - (y - line) / np.float32(0.6 * self.size), 0.15, 1) * (y > line)
        alpha = np.clip(cover * fade * 0.5 * (0.85 + 0.3 * wave), 0, 1)[..., None]
        self.image += (image * np.array([0.86, 0.92, 0.95], np.float32) - self.image) * alpha

    def glow(self) -> None:
        """The light that the sun spreads over everything near it."""
        if self.sun is None:
            return
        y, x = np.mgrid[0 : self.size, 0 : self.size].astype(np.float32)
        distance = np.hypot(x - self.sun[0] * self.scale, y - self.sun[1] * self.scale)
        halo = np.exp(-distance / (2.6 * self.sun[2] * self.scale)) * 0.5
        self.image += (np.array([1.0, 0.93, 0.7], np.float32) - self.image) * halo[..., None]

    def finished(self) -> np.ndarray:
        """The picture as uint8 [S, S, 3], with a little more contrast and a soft vignette."""
        y, x = np.mgrid[-1 : 1 : self.size * 1j, -1 : 1 : self.size * 1j].astype(np.float32)
        image = np.clip(self.image, 0, 1)
        image = image * (1 - 0.14 * np.clip(x * x + y * y - 0.5, 0, 2))[..., None]
        image = image + 0.1 * (image - 0.5) * (1 - np.abs(2 * image - 1))
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
