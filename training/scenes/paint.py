"""Paint the parts of a scene as an illustration: one light, textures on fixed grids of 16 and 32 px."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from training.scenes.shapes import UNIT, Colour, Part

MARGIN = 14
"""Pixels around a part that its shadow and glow may reach."""


@dataclass(frozen=True)
class Material:
    """How a thing looks when painted. Strengths are fractions of full brightness."""

    canonical: Colour
    texture: str = "canvas"
    strength: float = 0.05
    roundness: float = 0.3
    gloss: float = 0.0
    shadow: float = 0.3
    rim: float = 0.25
    softness: float = 0.0


MATERIALS: dict[str, Material] = {
    "sky": Material((0.36, 0.62, 0.9), shadow=0, roundness=0, rim=0),
    "sun": Material((1.0, 0.86, 0.35), strength=0, roundness=0.1, shadow=0, rim=0),
    "ray": Material((1.0, 0.9, 0.55), strength=0, roundness=0, shadow=0, rim=0, softness=1.6),
    "cloud": Material((0.96, 0.97, 1.0), "puffs", 0.05, roundness=0.2, shadow=0, rim=0, softness=1.5),
    "mountain": Material((0.48, 0.5, 0.6), "rock", 0.16, roundness=0.5, shadow=0.1),
    "ground": Material((0.42, 0.6, 0.26), "grass", 0.16, roundness=0.15, shadow=0.12, rim=0.1),
    "sand": Material((0.9, 0.8, 0.56), "grain", 0.08, roundness=0.15, shadow=0.1, rim=0.08),
    "water": Material((0.16, 0.46, 0.66), "waves", 0.12, roundness=0, shadow=0, rim=0.05),
    "road": Material((0.68, 0.6, 0.5), "grain", 0.1, roundness=0.15, shadow=0.08, rim=0.15),
    "plaster": Material((0.94, 0.88, 0.74), "plaster", 0.05, roundness=0.2, rim=0.25),
    "brick": Material((0.75, 0.42, 0.32), "bricks", 0.16, roundness=0.15),
    "boards": Material((0.62, 0.44, 0.28), "planks", 0.16, roundness=0.15),
    "roof": Material((0.72, 0.34, 0.24), "tiles", 0.2, roundness=0.25, shadow=0.45),
    "stone": Material((0.66, 0.64, 0.62), "bricks", 0.12, roundness=0.25),
    "tower": Material((0.6, 0.64, 0.7), "panes", 0.3, roundness=0.15, shadow=0.3),
    "glass": Material((0.6, 0.76, 0.86), strength=0, roundness=0, shadow=0.1, rim=0),
    "door": Material((0.45, 0.28, 0.17), "planks", 0.18, roundness=0.3),
    "trunk": Material((0.42, 0.29, 0.18), "bark", 0.18, roundness=0.7),
    "leaf": Material((0.27, 0.52, 0.2), "leaves", 0.26, roundness=0.6, shadow=0.4),
    "needle": Material((0.16, 0.4, 0.24), "needles", 0.26, roundness=0.4, shadow=0.4),
    "stem": Material((0.3, 0.55, 0.25), roundness=0.4, shadow=0.15),
    "petal": Material((0.93, 0.45, 0.55), strength=0.04, roundness=0.5, shadow=0.25),
    "wood": Material((0.58, 0.4, 0.25), "planks", 0.14, roundness=0.5),
    "table": Material((0.62, 0.43, 0.27), "table", 0.13, roundness=0, shadow=0.15, rim=0.3),
    "cloth": Material((0.42, 0.5, 0.72), "folds", 0.13, roundness=0.5, shadow=0.35),
    "skin": Material((0.95, 0.78, 0.66), strength=0.02, roundness=0.42, shadow=0.3, gloss=0.1),
    "hair": Material((0.42, 0.27, 0.17), "strands", 0.24, roundness=0.5, shadow=0.3, gloss=0.15),
    "fur": Material((0.82, 0.56, 0.32), "fur", 0.1, roundness=0.5, shadow=0.35),
    "feather": Material((0.45, 0.58, 0.8), "feathers", 0.17, roundness=0.5, shadow=0.3),
    "scale": Material((0.95, 0.55, 0.2), "tiles", 0.13, roundness=0.5, gloss=0.25),
    "fruit": Material((0.84, 0.2, 0.17), strength=0.03, roundness=0.6, gloss=0.6, shadow=0.4),
    "glaze": Material((0.55, 0.68, 0.78), strength=0.02, roundness=0.5, gloss=0.5, shadow=0.4),
    "metal": Material((0.8, 0.25, 0.22), strength=0.02, roundness=0.45, gloss=0.5, shadow=0.4),
    "rubber": Material((0.16, 0.16, 0.18), strength=0, roundness=0.6, gloss=0.2),
    "eyewhite": Material((0.97, 0.96, 0.94), strength=0, roundness=0.3, shadow=0.2, rim=0.35),
    "iris": Material((0.36, 0.26, 0.16), strength=0, roundness=0, shadow=0.1, rim=0.6),
    "ink": Material((0.08, 0.07, 0.08), strength=0, roundness=0, shadow=0, rim=0),
    "sheen": Material((1.0, 0.96, 0.9), strength=0, roundness=0, shadow=0, rim=0, softness=2.0),
    "glint": Material((1.0, 1.0, 1.0), strength=0, roundness=0, shadow=0, rim=0),
    "lip": Material((0.8, 0.36, 0.36), strength=0, roundness=0.6, shadow=0.15, gloss=0.3),
    "teeth": Material((0.96, 0.95, 0.92), strength=0, roundness=0.3, shadow=0, rim=0.2),
    "blush": Material((0.93, 0.42, 0.38), strength=0, roundness=0, shadow=0, rim=0, softness=5.0),
    "shade": Material((0.45, 0.22, 0.16), strength=0, roundness=0, shadow=0, rim=0, softness=2.5),
    "plain": Material((0.86, 0.83, 0.77), strength=0.05, roundness=0.5, gloss=0.15, shadow=0.35),
    "line": Material((0.18, 0.16, 0.18), strength=0, roundness=0.4, shadow=0.2, rim=0),
}
OPACITY = {"blush": 0.38, "shade": 0.3, "sheen": 0.5, "ray": 0.7, "cloud": 0.95}


def toned(colour: Colour | np.ndarray) -> np.ndarray:
    """A crayon's colour as a painter would mix it: the hue stays, pure black, white and neon go."""
    rgb = np.asarray(colour, np.float32)
    grey = float(rgb @ (0.3, 0.59, 0.11))
    return np.clip(0.09 + 0.83 * (grey + 0.84 * (rgb - grey)), 0.06, 0.95).astype(np.float32)


def base_colour(part: Part) -> np.ndarray:
    """The colour [3] to paint the part in: the crayon's where it was filled, else the canonical one."""
    if part.filled and part.colour is not None:
        return toned(part.colour)
    return np.asarray(MATERIALS[part.material].canonical, np.float32)


def _tile_of_dabs(seed: int, radius: tuple[float, float], count: int, slant: float = 0.0) -> np.ndarray:
    """A 32 px tile of overlapping dabs, each lit from the upper left, that repeats without a seam."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:32, 0:32].astype(np.float32)
    tile = np.full((32, 32), -1.0, np.float32)
    for _ in range(count):
        cx, cy = rng.uniform(0, 32, 2)
        dx, dy = (x - cx + 16) % 32 - 16, (y - cy + 16) % 32 - 16
        dx = dx + slant * dy
        distance = np.hypot(dx / radius[0], dy / radius[1])
        light = 0.75 - 0.8 * (0.5 * dx / radius[0] + 0.85 * dy / radius[1]) - 0.5 * distance
        cover = np.clip((1 - distance) * 4, 0, 1)
        tile += (light - tile) * cover
    tile -= tile.mean()
    return tile / (1.6 * tile.std())


def _grid_textures(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The textures that are formulas of pixel coordinates [S, S]; values about -1..1."""
    tau = 2 * np.pi
    row = np.floor(y / 16)
    across = (x + 8 * (row % 2)) % 16
    down = y % 16
    tiles = np.where((across - 8) ** 2 / 64 + (down / 16) ** 4 < 1, 0.7 - down / 14, -0.9)
    brick_row = np.floor(y / 16) % 2
    brick_x = (x + 16 * brick_row) % 32
    tone = np.where((np.floor((x + 16 * brick_row) / 32) + row) % 2 > 0, 0.35, -0.1)
    bricks = np.where((brick_x < 2.5) | (down < 2.5), 0.9, tone) - 0.7 * ((brick_x > 29) | (down > 13.5))
    board = np.floor(x / 16) % 2
    planks = np.where(x % 16 < 2.2, -1.2, 0.3 * np.sin(tau * (x / 8 + 0.15 * np.sin(tau * y / 32))) + 0.4 * board)
    table = np.where(y % 32 < 2.2, -1.2, 0.5 * np.sin(tau * (y / 16 + 0.22 * np.sin(tau * x / 32))))
    tuft = np.abs(((x + 8 * (row % 2)) % 16) / 8 - 1)
    grass = np.clip(1.0 - 1.9 * np.abs((y + 9 * tuft) % 16 / 16), -1, 1)
    crest = np.sin(tau * (y / 16 + 0.16 * np.sin(tau * x / 32 + 1.5 * (row % 2))))
    panes = np.where((x % 16 > 4) & (y % 16 > 5), -0.7 + 0.5 * ((np.floor(x / 16) + row) % 2), 0.25)
    return {
        "tiles": tiles,
        "bricks": bricks,
        "planks": planks,
        "table": table,
        "grass": grass,
        "panes": panes,
        "waves": np.sign(crest) * np.abs(crest) ** 1.5,
        "bark": np.sin(tau * (x / 16 + 0.3 * np.sin(tau * y / 32))),
        "folds": np.sin(tau * (x / 32 + 0.25 * np.sin(tau * y / 64))),
        "strands": np.sin(tau * (x / 16 + 0.25 * np.sin(tau * y / 32))),
    }


@lru_cache(maxsize=4)
def textures(size: int) -> dict[str, np.ndarray]:
    """All textures as float32 [size, size], phase fixed at the canvas origin."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    found = {
        name: cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.7) for name, field in _grid_textures(x, y).items()
    }
    repeats = (size // 32 + 1, size // 32 + 1)
    dabs = {
        "leaves": _tile_of_dabs(3, (6.5, 5.5), 22),
        "needles": _tile_of_dabs(5, (3.6, 9.0), 26),
        "fur": _tile_of_dabs(7, (3.6, 9.5), 24, 0.35),
        "feathers": _tile_of_dabs(9, (6.0, 7.5), 18, 0.3),
        "rock": _tile_of_dabs(11, (11.0, 9.0), 10, -0.5),
        "puffs": _tile_of_dabs(13, (11.0, 9.0), 12),
        "canvas": _tile_of_dabs(15, (10.0, 5.0), 18, 0.5),
        "grain": _tile_of_dabs(17, (8.0, 3.5), 20),
        "plaster": _tile_of_dabs(19, (10.0, 8.0), 14),
    }
    for name, tile in dabs.items():
        found[name] = cv2.GaussianBlur(np.tile(tile, repeats), (0, 0), 0.8)[:size, :size]
    return found


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

    def paint(self, part: Part) -> None:
        """Paint the part over what is there: its shadow, then itself."""
        patch = self.patch(part)
        if patch is None:
            return
        view = self.image[patch.window]
        if patch.material.shadow:
            self._cast_shadow(patch, view)
        colour = SHADERS.get(part.material, shade_plain)(self, patch)
        mask = softened(patch.mask, patch.material.softness) if patch.material.softness else patch.mask
        view += (colour - view) * (mask * OPACITY.get(part.material, 1.0))[..., None]
        if part.mirror_at is not None:
            empty = np.zeros(self.image.shape[:2], np.float32)
            stood = self.mirrors.setdefault(part.thing, (part.mirror_at, empty))[1]
            np.maximum(stood[patch.window], patch.mask, out=stood[patch.window])

    def _cast_shadow(self, patch: Patch, view: np.ndarray) -> None:
        reach = float(np.clip(0.18 * patch.half, 1.0, 4.0))
        shifted = np.float32([[1, 0, 1.3 * reach], [0, 1, 1.5 * reach]])
        shadow = cv2.warpAffine(patch.mask, shifted, patch.mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        shadow = cv2.GaussianBlur(shadow, (0, 0), 1.2 * reach) * patch.material.shadow
        view *= 1 - shadow[..., None] * np.array([1.0, 0.95, 0.75], np.float32)

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


def lit(patch: Patch, colour: np.ndarray) -> np.ndarray:
    """The colours [h, w, 3] under the light: cool in shade, warm in light, with a darker rim and a gloss."""
    material = patch.material
    light = patch.light * material.roundness
    dark, bright = np.clip(-light, 0, 1)[..., None], np.clip(light, 0, 1)[..., None]
    colour = colour * (1 - dark * np.array([0.95, 0.85, 0.62], np.float32))
    colour = colour + bright * 0.75 * (np.array([1.0, 0.96, 0.84], np.float32) - colour)
    if material.rim:
        colour = colour * (1 - material.rim * np.clip(1 - patch.depth / 2.2, 0, 1))[..., None]
    if material.gloss and patch.half > 3:
        distance = np.hypot((patch.across - 0.33) / 0.17, (patch.down - 0.27) / 0.14)
        colour = colour + (material.gloss * np.clip(1.3 - distance, 0, 1))[..., None] * (1 - colour)
    return colour


def textured(easel: Easel, patch: Patch, name: str | None = None, strength: float | None = None) -> np.ndarray:
    """The base colour [h, w, 3] times the texture under the part."""
    field = easel.textures[name or patch.material.texture][patch.window]
    amount = patch.material.strength if strength is None else strength
    return patch.colour * (1 + amount * field)[..., None] + 0.12 * amount * field[..., None]


def shade_plain(easel: Easel, patch: Patch) -> np.ndarray:
    """Texture and light, as most things need."""
    return lit(patch, textured(easel, patch))


def shade_sky(easel: Easel, patch: Patch) -> np.ndarray:
    """Deep above, pale and warm at the horizon; thin veils of cloud; stars where it is night."""
    down = np.clip(patch.down, 0, 1)[..., None]
    night = float(patch.colour.mean()) < 0.34
    low = patch.colour * 0.6 + np.array([0.3, 0.2, 0.32] if night else [0.4, 0.37, 0.32], np.float32)
    colour = patch.colour * 0.86 * (1 - down**1.3) + low * down**1.3
    veil = np.sin(patch.y / 21 + 1.4 * np.sin(patch.x / 67)) * np.sin(patch.y / 47 + patch.x / 90 + 1)
    colour = colour + (0.07 * np.clip(veil, 0, 1))[..., None] * (1 - colour)
    if night:
        away = np.hypot(patch.x % 32 - 11 - 8 * (np.floor(patch.y / 32) % 2), patch.y % 32 - 15)
        colour = colour + np.clip(1.9 - 0.75 * away, 0, 0.9)[..., None] * (1 - down)
    return colour


def shade_sun(easel: Easel, patch: Patch) -> np.ndarray:
    """A bright core in the disc's colour."""
    core = np.clip(patch.depth / max(patch.half, 1.0), 0, 1)[..., None]
    return patch.colour + (np.array([1.0, 0.99, 0.9], np.float32) - patch.colour) * 0.75 * core


def shade_cloud(easel: Easel, patch: Patch) -> np.ndarray:
    """White tops, bluish undersides."""
    colour = textured(easel, patch)
    under = np.clip(1.6 * patch.down - 0.55, 0, 1)[..., None]
    colour = colour * (1 - under * np.array([0.24, 0.17, 0.08], np.float32))
    return colour + 0.25 * np.clip(patch.light, 0, 1)[..., None] * (1 - colour)


def shade_mountain(easel: Easel, patch: Patch) -> np.ndarray:
    """Rock with a lit and a shaded face, haze at the foot, snow on a high top."""
    colour = textured(easel, patch)
    peak = patch.x[np.unravel_index(int(np.argmax(patch.mask > 0.5)), patch.mask.shape)]
    zigzag = 7 * np.abs(patch.y % 32 / 16 - 1) - 3.5
    shaded = np.clip((patch.x - peak - 0.12 * (patch.y - patch.top) + zigzag) / 4, 0, 1)[..., None]
    colour = colour * (1.12 - 0.4 * shaded * np.array([1.0, 0.92, 0.75], np.float32))
    if patch.bottom - patch.top > 36 * easel.scale:
        edge = 0.3 * (patch.bottom - patch.top) + 5 * (np.abs(patch.x % 16 / 8 - 1) * 2 - 1)
        snow = np.clip((edge - (patch.y - patch.top)) / 3, 0, 1)[..., None]
        white = np.array([0.97, 0.98, 1.0], np.float32) - shaded * np.array([0.24, 0.18, 0.08], np.float32)
        colour = colour + (white - colour) * snow * 0.95
    haze = np.clip(1.5 * patch.down - 0.6, 0, 0.55)[..., None]
    return lit(patch, colour) * (1 - haze) + haze * np.array([0.78, 0.84, 0.9], np.float32)


def shade_ground(easel: Easel, patch: Patch) -> np.ndarray:
    """Tufts that grow towards the viewer, sunlit far away and deeper near."""
    near = np.clip((patch.y - patch.top) / (0.45 * easel.size), 0, 1)
    field = easel.textures[patch.material.texture][patch.window]
    colour = patch.colour * (1 + patch.material.strength * (0.45 + 0.75 * near) * field)[..., None]
    clumps = np.sin(patch.x / 37 + 1.3 * np.sin(patch.y / 29)) * np.sin(patch.y / 17 + patch.x / 61)
    colour = colour * (1.1 - 0.3 * near + 0.09 * clumps)[..., None]
    colour = colour + (1 - near)[..., None] * np.array([0.08, 0.07, 0.0], np.float32)
    return lit(patch, colour)


def shade_water(easel: Easel, patch: Patch) -> np.ndarray:
    """Waves on a mirror of what stands above the far shore."""
    down = np.clip(patch.down, 0, 1)[..., None]
    field = easel.textures["waves"][patch.window]
    y, x = 2 * patch.top - patch.y - 2 * field, patch.x + 3 * field
    last = easel.size - 1
    mirrored = cv2.remap(easel.image, np.clip(x, 0, last), np.clip(y, 0, last), cv2.INTER_LINEAR)
    colour = patch.colour * (1.12 - 0.45 * down) * (1 + 0.16 * field)[..., None]
    colour = colour + (mirrored - colour) * (0.52 - 0.34 * down)
    crest = np.clip(field - 0.55, 0, 1)[..., None] * (0.15 + 0.4 * down)
    if easel.sun is not None:
        track = np.exp(-(((patch.x - easel.sun[0] * easel.scale) / (1.5 * easel.sun[2] * easel.scale)) ** 2))
        crest = crest + 0.75 * (np.clip(field + 0.1, 0, 1) * track)[..., None] * (1 - 0.5 * down)
    return colour + crest * (np.array([1.0, 0.98, 0.9], np.float32) - colour)


def shade_glass(easel: Easel, patch: Patch) -> np.ndarray:
    """A pane that mirrors the sky, with a white frame and a cross where there is room."""
    diagonal = patch.across + patch.down
    colour = patch.colour * (1.15 - 0.55 * patch.down)[..., None]
    gleam = np.clip(1 - np.abs(diagonal - 0.75) / 0.22, 0, 1)[..., None]
    colour = colour + 0.55 * gleam * (1 - colour)
    frame = np.clip(3.4 - patch.depth, 0, 1)
    if patch.half > 8:
        middle = 0.5 * (patch.left + patch.right), 0.5 * (patch.top + patch.bottom)
        frame = np.maximum(
            frame, np.clip(2.2 - np.minimum(np.abs(patch.x - middle[0]), np.abs(patch.y - middle[1])), 0, 1)
        )
    colour = colour + (np.array([0.97, 0.95, 0.9], np.float32) - colour) * frame[..., None]
    return colour * (1 - 0.4 * np.clip(1 - patch.depth / 1.6, 0, 1))[..., None]


def shade_hair(easel: Easel, patch: Patch) -> np.ndarray:
    """Strands that fall from the crown, with a band of light across them."""
    cx, cy = patch.part.frame or (0.5 * (patch.left + patch.right) / easel.scale, patch.top / easel.scale)
    dx, dy = patch.x - cx * easel.scale, patch.y - cy * easel.scale
    angle, radius = np.arctan2(dx, dy), np.hypot(dx, dy)
    reach = max(patch.right - patch.left, 10.0)
    strands = np.sin(angle * max(6, round(reach / 7)) + 3.0 * radius / reach)
    strands = strands + 0.4 * np.sin(angle * max(10, round(reach / 4)) - 2.0 * radius / reach)
    strands = strands * np.clip(4.5 * radius / reach - 0.35, 0, 1)
    colour = patch.colour * (1 + 0.26 * strands)[..., None] + 0.035 * strands[..., None]
    band = np.exp(-((((radius / reach) - 0.4) / 0.09) ** 2)) * np.clip(0.35 + 0.65 * strands, 0, 1)
    band = band * np.clip(1.1 - 1.2 * patch.across, 0.1, 1)
    return lit(patch, colour + 0.42 * band[..., None] * (1 - colour))


def shade_skin(easel: Easel, patch: Patch) -> np.ndarray:
    """Warm light on the left, a cooler and redder turn on the right."""
    turn = np.clip(1.7 * patch.across - 0.85, 0, 1)[..., None]
    colour = patch.colour * (1.05 - turn * np.array([0.24, 0.34, 0.36], np.float32))
    glow = np.exp(-(((patch.across - 0.36) / 0.24) ** 2 + ((patch.down - 0.28) / 0.2) ** 2))[..., None]
    return lit(patch, colour + 0.2 * glow * (np.array([1.0, 0.94, 0.84], np.float32) - colour))


def shade_iris(easel: Easel, patch: Patch) -> np.ndarray:
    """Dark above, bright below, as light falls through an eye."""
    return lit(patch, patch.colour * (0.55 + 0.95 * np.clip(patch.down, 0, 1))[..., None])


def shade_cloth(easel: Easel, patch: Patch) -> np.ndarray:
    """Folds that run down and outwards from the collar."""
    middle = 0.5 * (patch.left + patch.right)
    spread = (patch.x - middle) / (0.6 + 0.5 * np.clip(patch.down, 0, 1))
    folds = np.sin(spread * 2 * np.pi / 32 + 1.0) * np.clip(0.25 + 1.2 * patch.down, 0, 1)
    turn = np.clip(1.5 * patch.across - 0.8, 0, 1)
    return lit(patch, patch.colour * (1.03 + 0.15 * folds - 0.2 * turn)[..., None])


def shade_round(easel: Easel, patch: Patch) -> np.ndarray:
    """Fruit, glaze and metal: a ball of light, a dark turn, light thrown back by the table."""
    distance = np.hypot(patch.across - 0.36, patch.down - 0.32)
    colour = textured(easel, patch) * (1.22 - 0.95 * np.clip(distance - 0.1, 0, 1) ** 1.2)[..., None]
    bounce = np.exp(-(((patch.across - 0.6) / 0.3) ** 2 + ((patch.down - 0.95) / 0.1) ** 2))[..., None]
    return lit(patch, colour + 0.16 * bounce * np.array([1.0, 0.8, 0.6], np.float32))


SHADERS: dict[str, Callable[[Easel, Patch], np.ndarray]] = {
    "sky": shade_sky,
    "sun": shade_sun,
    "cloud": shade_cloud,
    "mountain": shade_mountain,
    "ground": shade_ground,
    "sand": shade_ground,
    "water": shade_water,
    "glass": shade_glass,
    "hair": shade_hair,
    "skin": shade_skin,
    "iris": shade_iris,
    "cloth": shade_cloth,
    "fruit": shade_round,
    "glaze": shade_round,
    "metal": shade_round,
    "plain": shade_round,
}


def backdrop(colour: np.ndarray, size: int) -> np.ndarray:
    """A studio's wall, float32 [S, S, 3]: lighter behind the subject's left, darker in the corners."""
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j].astype(np.float32)
    near = np.exp(-(((x - 0.4) / 0.55) ** 2 + ((y - 0.38) / 0.6) ** 2))[..., None]
    brush = textures(size)["canvas"][..., None]
    return colour * (0.68 + 0.42 * near + 0.012 * brush) + 0.07 * near
