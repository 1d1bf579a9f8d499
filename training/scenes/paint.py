"""Paint the parts of a scene as an illustration: one light, and a shader for each material that needs its own."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.scenes.easel import Easel, Patch, softened
from training.scenes.materials import OPACITY
from training.scenes.shapes import Part
from training.scenes.textures import textures


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


def paint(easel: Easel, part: Part) -> None:
    """Paint the part over what is there: its shadow, then itself."""
    patch = easel.patch(part)
    if patch is None:
        return
    if patch.material.shadow:
        easel.cast_shadow(patch)
    colour = SHADERS.get(part.material, shade_plain)(easel, patch)
    mask = softened(patch.mask, patch.material.softness) if patch.material.softness else patch.mask
    view = easel.image[patch.window]
    view += (colour - view) * (mask * OPACITY.get(part.material, 1.0))[..., None]
    easel.keep_for_mirror(patch)


def backdrop(colour: np.ndarray, size: int) -> np.ndarray:
    """A studio's wall, float32 [S, S, 3]: lighter behind the subject's left, darker in the corners."""
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j].astype(np.float32)
    near = np.exp(-(((x - 0.4) / 0.55) ** 2 + ((y - 0.38) / 0.6) ** 2))[..., None]
    brush = textures(size)["canvas"][..., None]
    return colour * (0.68 + 0.42 * near + 0.012 * brush) + 0.07 * near
