"""Where things stand: the empty scene as somebody would paint it flat, and as it should become.

All chance that nobody drew (clouds, stars, grass, bubbles) is read from the noise that the model gets at its first
step, so that it is never the same twice and yet can be learnt. Lengths are in px of a canvas of 256, times `unit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.things.fields import canvas_grid, coarse, fine, mixed, ramp, smooth_noise

NOWHERE = 1e4
SKIES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "day": ((0.30, 0.58, 0.93), (0.80, 0.93, 1.0)),
    "sunset": ((0.42, 0.30, 0.58), (1.0, 0.66, 0.42)),
    "night": ((0.05, 0.07, 0.24), (0.24, 0.24, 0.52)),
}
GROUNDS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "grass": ((0.56, 0.80, 0.30), (0.20, 0.52, 0.20)),
    "sand": ((0.96, 0.85, 0.58), (0.82, 0.62, 0.35)),
    "snow": ((0.95, 0.97, 1.0), (0.72, 0.82, 0.95)),
    "autumn": ((0.90, 0.68, 0.28), (0.66, 0.36, 0.16)),
}
LIGHT_ON_THINGS = {
    "day": np.float32([1, 1, 1]),
    "sunset": np.float32([1.0, 0.82, 0.74]),
    "night": np.float32([0.50, 0.54, 0.78]),
}


@dataclass(frozen=True)
class Setting:
    """What a backdrop is asked for: side in px, horizon in px of 256, and the colour of the paper, if it is tinted."""

    side: int
    horizon: float
    light: str = "day"
    ground: str = "grass"
    paper: tuple[float, float, float] | None = None

    @property
    def unit(self) -> float:
        return self.side / 256


@dataclass(frozen=True)
class Backdrop:
    """flat and rendering float32 `[S, S, 3]`; border `[S]`, the y of the ground's edge in each column."""

    flat: np.ndarray
    rendering: np.ndarray
    border: np.ndarray


def meadow(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """Sky with clouds or stars over grass, sand, snow or autumn leaves, with a far hill."""
    side, unit = setting.side, setting.unit
    x, y = canvas_grid(side)
    waves = 6 * unit * smooth_noise(rng, side, 90)[0]
    border = setting.horizon * unit + waves
    sky, sky_flat = _sky(noise, setting)
    hill = np.clip(y - (border - 9 * unit - 8 * unit * np.sin(x / (45 * unit) + 1)), 0, 1)
    top, low = _sky_colours(setting)
    dim = LIGHT_ON_THINGS[setting.light]
    sky = mixed(sky, tuple(np.float32([0.55, 0.76, 0.62]) * dim * 0.9 + low * 0.1), hill * 0.85)
    near, deep = (np.float32(each) for each in GROUNDS[setting.ground])
    depth = np.clip((y - border) / ((256 - setting.horizon) * unit + 1), 0, 1)
    ground = near + (deep - near) * depth[..., None]
    if setting.ground in ("grass", "autumn"):
        blades = cv2.GaussianBlur(fine(noise, side), (0, 0), sigmaX=max(0.3, 0.6 * unit), sigmaY=2.8 * unit)
        ground = ground * (1 + 0.35 * blades * (0.3 + depth))[..., None]
        ground = _flowers(noise, ground, setting)
    share = np.clip(y - border + 0.5, 0, 1)
    ground_flat = (
        np.float32({"grass": (0.36, 0.72, 0.30), "autumn": (0.80, 0.54, 0.24)}.get(setting.ground, near)) * 0.97
    )
    return Backdrop(
        mixed(sky_flat, tuple(ground_flat * dim), share), sky + (ground * dim - sky) * share[..., None], border
    )


def sea(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """Sky over water with waves."""
    side, unit = setting.side, setting.unit
    x, y = canvas_grid(side)
    border = np.full(side, setting.horizon * unit, np.float32)
    sky, sky_flat = _sky(noise, setting)
    dim = LIGHT_ON_THINGS[setting.light]
    depth = np.clip((y - border) / ((256 - setting.horizon) * unit + 1), 0, 1)
    waves = np.sin((y - border) / unit * (0.55 - 0.35 * depth) + 1.6 * coarse(noise, side, 0, 2) + 0.03 * x / unit)
    near, deep = np.float32([0.34, 0.72, 0.90]), np.float32([0.05, 0.30, 0.62])
    water = (
        near + (deep - near) * depth[..., None] ** 0.7 + (ramp(waves, 0.72, 1.0) * 0.22 * (1 - 0.3 * depth))[..., None]
    )
    share = np.clip(y - border + 0.5, 0, 1)
    flat = mixed(sky_flat, tuple(np.float32([0.15, 0.50, 0.85]) * dim), share)
    return Backdrop(flat, sky + (water * dim - sky) * share[..., None], border)


def under_water(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """Rays from above, bubbles, and sand below."""
    side, unit = setting.side, setting.unit
    x, y = canvas_grid(side)
    top, low = np.float32([0.35, 0.80, 0.95]), np.float32([0.03, 0.22, 0.50])
    picture = top + (low - top) * (y / side)[..., None] ** 0.8
    rays = np.sin((x * 0.045 + y * 0.02) / unit) + 0.5 * np.sin((x * 0.11 + y * 0.05) / unit)
    picture = picture + (ramp(rays, 0.4, 1.4) * (1 - y / side))[..., None] * 0.16
    sand = np.clip(y - (226 + 6 * np.sin(x / (40 * unit))) * unit, 0, 1)
    picture = mixed(picture, (0.55, 0.62, 0.55), sand * 0.75)
    for column, row, size in _spots(noise, setting, 9, 0, 220):
        radius, away = (2 + 4 * size) * unit, np.hypot(x - column, y - row)
        picture = mixed(picture, (0.85, 0.97, 1.0), np.clip(1.2 - np.abs(away - radius), 0, 1) * 0.6)
        gleam = np.hypot(x - column + radius * 0.4, y - row + radius * 0.4)
        picture = mixed(picture, (1, 1, 1), np.clip(1.4 * unit - gleam, 0, 1) * 0.8)
    return Backdrop(np.full_like(picture, np.float32([0.25, 0.60, 0.88])), picture, np.full(side, NOWHERE, np.float32))


def space(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """Stars and a violet haze."""
    side, unit = setting.side, setting.unit
    x, y = canvas_grid(side)
    haze = ramp(coarse(noise, side, 0, 4), -0.5, 1.8)[..., None]
    picture = np.float32([0.05, 0.05, 0.18]) + np.float32([0.22, 0.10, 0.35]) * haze
    for column, row, size in _spots(noise, setting, 45, 0, 256):
        away = np.hypot(x - column, y - row)
        picture = mixed(picture, (1, 0.97, 0.85), np.clip((0.9 + size) * unit - away, 0, 1))
    return Backdrop(np.full_like(picture, np.float32([0.10, 0.10, 0.28])), picture, np.full(side, NOWHERE, np.float32))


def table(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """A wall over a wooden board."""
    side, unit = setting.side, setting.unit
    x, y = canvas_grid(side)
    wall = np.float32(setting.paper or (0.96, 0.86, 0.72))
    border = np.full(side, setting.horizon * unit, np.float32)
    lamp = 1.08 - 0.22 * np.hypot(x / side - 0.3, y / side - 0.2)[..., None]
    picture = wall * lamp + 0.012 * coarse(noise, side, 4, 3)[..., None]
    depth = np.clip((y - border) / ((256 - setting.horizon) * unit + 1), 0, 1)
    grain = np.sin(y / unit * (0.9 - 0.4 * depth) + 2.2 * coarse(noise, side, 8, 3) + 0.01 * x / unit)
    wood = np.float32([0.72, 0.44, 0.24]) * (1.05 - 0.35 * depth)[..., None] * (1 + 0.06 * grain)[..., None]
    share = np.clip(y - border + 0.5, 0, 1)[..., None]
    flat = wall + (np.float32([0.66, 0.42, 0.25]) - wall) * share
    return Backdrop(flat.astype(np.float32), picture + (wood - picture) * share, border)


def studio(rng: np.random.Generator, noise: np.ndarray, setting: Setting) -> Backdrop:
    """A plain wall with soft light."""
    side = setting.side
    x, y = canvas_grid(side)
    wall = np.float32(setting.paper or (0.93, 0.89, 0.82))
    lamp = 1.07 - 0.24 * np.hypot(x / side - 0.42, y / side - 0.35)[..., None]
    picture = wall * lamp + 0.012 * coarse(noise, side, 4, 3)[..., None]
    flat = np.broadcast_to(wall, picture.shape).astype(np.float32)
    return Backdrop(flat, picture, np.full(side, NOWHERE, np.float32))


BACKDROPS: dict[str, Callable[[np.random.Generator, np.ndarray, Setting], Backdrop]] = {
    "meadow": meadow,
    "sea": sea,
    "under water": under_water,
    "space": space,
    "table": table,
    "studio": studio,
}


def _sky_colours(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    if setting.paper is not None and setting.light == "day":
        paper = np.float32(setting.paper)
        return paper * 0.8, paper * 0.5 + 0.5
    top, low = SKIES[setting.light]
    return np.float32(top), np.float32(low)


def _sky(noise: np.ndarray, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """The sky as rendered, and in one colour, `[S, S, 3]` each."""
    side, unit = setting.side, setting.unit
    _, y = canvas_grid(side)
    top, low = _sky_colours(setting)
    down = np.clip(y / (max(setting.horizon, 40) * unit), 0, 1)[..., None]
    picture = top + (low - top) * down**1.3
    if setting.light == "night":
        picture = _stars(noise, picture, setting)
    else:
        picture = _clouds(noise, picture, setting)
    return picture, np.broadcast_to(top * 0.45 + low * 0.55, picture.shape).astype(np.float32)


def _stars(noise: np.ndarray, picture: np.ndarray, setting: Setting) -> np.ndarray:
    x, y = canvas_grid(setting.side)
    for column, row, size in _spots(noise, setting, 30, 0, int(setting.horizon)):
        away = np.hypot(x - column, y - row)
        picture = mixed(picture, (1, 1, 0.94), np.clip((0.7 + size) * setting.unit + 0.2 - away, 0, 1))
    return picture


def _clouds(noise: np.ndarray, picture: np.ndarray, setting: Setting) -> np.ndarray:
    side, unit = setting.side, setting.unit
    _, y = canvas_grid(side)
    cells = noise.shape[1] / 32
    field = cv2.GaussianBlur(np.ascontiguousarray(noise[0:6].mean(0)), (0, 0), sigmaX=2.6 * cells, sigmaY=1.1 * cells)
    field = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
    field = coarse(noise, side, 8, 0.6) * 0.28 + field / (field.std() + 1e-6)
    horizon = setting.horizon * unit
    share = ramp(field, 0.8, 1.9) * ramp(y, horizon - 10 * unit, horizon * 0.45 - 5 * unit)
    lift = round(7 * unit)
    slope = cv2.GaussianBlur(np.roll(field, -lift, 0) - np.roll(field, lift, 0), (0, 0), 3 * unit)
    shade = 0.93 + 0.10 * np.clip(slope, -1, 1)
    tint = np.float32([1.0, 0.84, 0.78]) if setting.light == "sunset" else np.float32([1, 1, 1])
    cloud = np.clip(shade[..., None] * tint + np.float32([0, 0.005, 0.03]), 0, 1)
    return picture + (cloud - picture) * (share * 0.95)[..., None]


def _flowers(noise: np.ndarray, ground: np.ndarray, setting: Setting) -> np.ndarray:
    x, y = canvas_grid(setting.side)
    petals = ((1, 1, 1), (1, 0.85, 0.2), (1, 0.5, 0.6))
    for column, row, kind in _spots(noise, setting, 9, min(int(setting.horizon) + 12, 244), 256):
        near = ramp(np.hypot(x - column, y - row) / setting.unit, 2.7, 1.7)
        ground = mixed(ground, petals[int(kind * 2.9)], near)
    return ground


def _spots(
    noise: np.ndarray, setting: Setting, count: int, first_row: int, last_row: int
) -> list[tuple[float, float, float]]:
    """Places (x, y in px of the canvas, a kind 0..1) where the noise is highest, rows in px of 256."""
    grid = fine(noise, 64)[first_row // 4 : last_row // 4]
    highest = np.argsort(-grid.ravel())[:count].tolist()
    return [
        (((at % 64) * 4 + 1.0) * setting.unit, ((at // 64) * 4 + first_row + 1.0) * setting.unit, (rank % 5) / 4)
        for rank, at in enumerate(highest)
    ]
