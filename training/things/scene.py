"""A scene of things: what a visitor would draw of it, what it should become, and what can be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from training.things.catalogue import (
    ANIMAL_HEADS,
    DEFAULT_TONE,
    FIRST_DRAWN,
    MOST_DRAWN,
    PLACES,
    SKY,
    base_and_tone,
    people,
)
from training.things.colours import COLOURS, in_colour
from training.things.fields import canvas_grid, over, ramp, smooth_noise
from training.things.hands import fill, outline, wobbled
from training.things.icons import SIDE, Icons
from training.things.places import BACKDROPS, LIGHT_ON_THINGS, Backdrop, Setting

PLACE_SHARES = {"meadow": 0.44, "sea": 0.05, "under water": 0.06, "space": 0.04, "table": 0.13, "studio": 0.28}
INKS = ((0.06, 0.06, 0.08),) * 6 + (
    (0.10, 0.20, 0.55),
    (0.70, 0.10, 0.12),
    (0.10, 0.42, 0.18),
    (0.42, 0.24, 0.10),
    (0.45, 0.45, 0.48),
)
WALLS = (
    (0.97, 0.95, 0.88),
    (0.98, 0.90, 0.72),
    (0.96, 0.76, 0.80),
    (0.74, 0.90, 0.80),
    (0.72, 0.86, 0.97),
    (0.80, 0.74, 0.95),
    (0.52, 0.76, 0.76),
    (0.90, 0.52, 0.42),
    (0.36, 0.38, 0.52),
    (0.98, 0.86, 0.45),
)
SKY_PAPERS = ((0.62, 0.80, 0.98), (0.50, 0.70, 0.95), (0.75, 0.88, 1.0), (0.55, 0.85, 0.90))


@dataclass(frozen=True)
class Manner:
    """What is drawn and how: shares of the hands (outlines; outlines and fills; fills; some of each; or the rendering
    itself, a photo); how often a thing has another colour than its own; the shares of the things that nearly everybody
    draws first, and of those that people do, among those that may stand there; how many things at most; the size of one
    alone, in px of 256, and how often it is half of that."""

    hands: Mapping[str, float]
    coloured: float
    usual: tuple[float, float]
    most: int
    alone: tuple[float, float]
    small: float


SCENES = Manner(
    hands={"line": 0.55, "both": 0.17, "flat": 0.07, "mixed": 0.12, "render": 0.09},
    coloured=0.3,
    usual=(0.35, 0.4),
    most=5,
    alone=(110.0, 210.0),
    small=0.15,
)
FIRST_DRAWINGS = Manner(
    hands={"line": 0.92, "both": 0.08}, coloured=0.1, usual=(0.5, 0.4), most=1, alone=(130.0, 225.0), small=0.0
)
"""One large thing, most often in outlines: from these the colours of a thing's parts are learnt."""


@dataclass(frozen=True)
class Placed:
    """One thing of a scene: its name, the colour it was given, where its middle is and how large it is (px of 256)."""

    name: str
    variant: int
    x: float
    y: float
    size: float
    aloft: bool = False
    colour: str = ""
    drawn_in_colour: bool = True


@dataclass(frozen=True)
class Scene:
    """sketch and rendering uint8 `[S, S, 3]`, and what can be said: the things, the place, its light and its ground.

    `bare` says that the sketch shows neither place nor light.
    """

    sketch: np.ndarray
    rendering: np.ndarray
    things: tuple[Placed, ...]
    place: str
    light: str
    ground: str
    hand: str
    bare: bool


def draw_scene(
    rng: np.random.Generator,
    noise: np.ndarray,
    icons: Icons,
    side: int,
    held_out: frozenset[str],
    manner: Manner = SCENES,
) -> Scene:
    """A scene of one to five things; `noise [16, h, w]` is the model's at its first step. `held_out` are names of which
    only the first drawing is used."""
    place = _one_of(rng, PLACE_SHARES)
    hand = _one_of(rng, manner.hands)
    bare = hand == "line" and rng.random() < 0.75 or hand in ("both", "mixed", "flat") and rng.random() < 0.4
    light = _one_of(rng, {"day": 0.78, "sunset": 0.11, "night": 0.11}) if place in ("meadow", "sea") else "day"
    ground = _one_of(rng, {"grass": 0.74, "sand": 0.09, "snow": 0.10, "autumn": 0.07}) if place == "meadow" else ""
    things = _things(rng, icons, place, hand, held_out, manner)
    feet = [each.y + each.size * 0.44 for each in things if not each.aloft] or [215.0]
    above = {"meadow": 18, "sea": 10}.get(place, 22)
    horizon = float(np.clip(min(feet) - above, 90, 215))
    paper = _paper(rng, place, bare)
    setting = Setting(side, horizon, light, ground or "grass", paper)
    backdrop = BACKDROPS[place](rng, noise, setting)
    layers = [_layers(rng, icons, each, side) for each in things]
    rendering = _rendering(things, layers, backdrop, place, light, side)
    if hand == "render":
        soft = cv2.GaussianBlur(rendering, (0, 0), rng.uniform(0.3, 0.9) * setting.unit)
        sketch = soft + rng.normal(size=soft.shape).astype(np.float32) * rng.uniform(0, 0.025)
    else:
        sketch = _sketch(rng, things, layers, backdrop, setting, hand, bare)
    return Scene(_bytes(sketch), _bytes(rendering), tuple(things), place, light, ground, hand, bare)


def _one_of(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _paper(rng: np.random.Generator, place: str, bare: bool) -> tuple[float, float, float] | None:
    """The colour of wall or sky where it can be seen in the sketch; None for the place's own."""
    if bare or place in ("under water", "space"):
        return None
    if place in ("meadow", "sea"):
        return SKY_PAPERS[int(rng.integers(len(SKY_PAPERS)))] if rng.random() < 0.3 else None
    return WALLS[int(rng.integers(len(WALLS)))] if rng.random() < 0.6 else None


def _things(
    rng: np.random.Generator, icons: Icons, place: str, hand: str, held_out: frozenset[str], manner: Manner
) -> list[Placed]:
    """From back to front."""
    most = min(manner.most, 2) if place == "studio" else manner.most
    count = min(most, int(rng.choice([1, 2, 3, 4, 5], p=[0.48, 0.26, 0.14, 0.08, 0.04])))
    twins = count > 1 and rng.random() < 0.25  # two cats, three trees
    things: list[Placed] = []
    for number in range(count):
        aloft = number > 0 and not twins and place in ("meadow", "sea") and rng.random() < 0.45
        name = things[0].name if twins and things else chosen_name(rng, icons, place, aloft, manner.usual)
        large = (rng.uniform(*manner.alone), rng.uniform(85, 150), rng.uniform(65, 115))[min(count, 3) - 1]
        if count == 1 and rng.random() < manner.small:
            large *= 0.5
        size = rng.uniform(46, 84) if aloft else large
        reach = 0.07 if size > 100 else 0.22
        x = 256 * (0.5 + rng.normal() * reach) if count == 1 else 256 * (number + 0.5 + rng.normal() * 0.12) / count
        if aloft:
            y = rng.uniform(35, 80)
        elif place in ("under water", "space", "studio"):
            y = 256 * (0.5 + rng.normal() * (reach * 0.9 if count == 1 else 0.15))
        else:
            y = rng.uniform(190, 232) - size * 0.44
        colour = things[0].colour if twins and things else _colour(rng, manner.coloured)
        alike = colour == "" or hand == "render" or rng.random() < 0.8
        second = rng.random() < 0.3 and name not in held_out and icons.has_two_of_one_colour(name)
        things.append(Placed(name, int(second), x, y, size, aloft, colour, alike))
    return sorted(things, key=lambda each: (not each.aloft, each.y + each.size * 0.44))


def _colour(rng: np.random.Generator, share: float) -> str:
    return str(rng.choice(list(COLOURS))) if rng.random() < share else ""


def chosen_name(
    rng: np.random.Generator, icons: Icons, place: str, aloft: bool, usual: tuple[float, float] = SCENES.usual
) -> str:
    """A thing that may stand in a place, or fly there; `usual` are the shares of what is drawn most, and first."""
    if aloft:
        pool = [name for name in SKY if name in icons.rows]
    elif place == "studio":
        kind = rng.random()
        everything = list(icons.rows)
        heads = [name for name in ANIMAL_HEADS if name in icons.rows]
        pool = people(everything) if kind < 0.2 else heads if kind < 0.35 else everything
    else:
        pool = [name for name in PLACES[place] if name in icons.rows]
    kind = rng.random()
    preferred = MOST_DRAWN if kind < usual[0] else FIRST_DRAWN
    if kind < sum(usual):
        pool = [name for name in pool if name in preferred] or pool
    name = pool[int(rng.integers(len(pool)))]
    base, tone = base_and_tone(name)
    if not tone and f"{base}-{DEFAULT_TONE}" in icons.rows:
        return f"{base}-{DEFAULT_TONE}"
    return name


def _layers(rng: np.random.Generator, icons: Icons, thing: Placed, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(as drawn, as rendered): premultiplied float32 RGBA `[S, S, 4]`, in one place, warped alike."""
    pair = icons.pair(thing.name, thing.variant)
    rendered = in_colour(pair, thing.colour)[1] if thing.colour else pair[1]
    drawn = in_colour(pair, thing.colour)[0] if thing.colour and thing.drawn_in_colour else pair[0]
    unit = side / 256
    scale = thing.size / SIDE * unit
    angle, flip = rng.normal() * 0.09, -1.0 if rng.random() < 0.4 else 1.0
    across, along = scale * np.exp(rng.normal(size=2) * 0.09)
    x, y = canvas_grid(side)
    reach = rng.uniform(0, 0.022) * thing.size * unit
    u = x + reach * smooth_noise(rng, side, 40) - thing.x * unit
    v = y + reach * smooth_noise(rng, side, 40) - thing.y * unit
    cosine, sine = np.cos(angle), np.sin(angle)
    map_x = (flip * (cosine * u + sine * v) / across + SIDE / 2).astype(np.float32)
    map_y = ((cosine * v - sine * u) / along + SIDE / 2).astype(np.float32)
    return _warped(drawn, map_x, map_y, scale), _warped(rendered, map_x, map_y, scale)


def _warped(icon: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, scale: float) -> np.ndarray:
    layer = icon.astype(np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    if scale < 0.7:  # else small ones alias
        layer = cv2.GaussianBlur(layer, (0, 0), 0.35 / scale)
    return cv2.remap(layer, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _rendering(
    things: list[Placed],
    layers: list[tuple[np.ndarray, np.ndarray]],
    backdrop: Backdrop,
    place: str,
    light: str,
    side: int,
) -> np.ndarray:
    picture = backdrop.rendering
    for thing, (_, rendered) in zip(things, layers, strict=True):
        if not thing.aloft:
            picture = _grounded(picture, thing, rendered, place, side)
        lit = rendered * np.float32([*LIGHT_ON_THINGS[light] * 0.4 + 0.6, 1])
        picture = over(picture, lit)
    return np.clip(picture, 0, 1)


def _grounded(picture: np.ndarray, thing: Placed, rendered: np.ndarray, place: str, side: int) -> np.ndarray:
    """The picture with the thing's shadow or its reflection, before the thing itself."""
    unit = side / 256
    x, y = canvas_grid(side)
    middle, foot, size = thing.x * unit, (thing.y + thing.size * 0.43) * unit, thing.size * unit
    if place in ("meadow", "table"):
        away = ((x - middle - 5 * unit) / (size * 0.40)) ** 2 + ((y - foot) / (size * 0.075)) ** 2
        shade = np.exp(-away * 1.6)
    elif place == "studio":
        moved = cv2.warpAffine(rendered[..., 3], np.float32([[1, 0, 9 * unit], [0, 1, 11 * unit]]), (side, side))
        shade = cv2.GaussianBlur(moved, (0, 0), 9 * unit) * 0.75
    elif place == "sea":
        mirror = cv2.warpAffine(rendered, np.float32([[1, 0, 0], [0, -0.5, foot * 1.5]]), (side, side))
        mirror = mirror * ramp(y, foot - 2 * unit, foot + 2 * unit)[..., None] * 0.4
        ripples = x + 3 * unit * np.sin(y * 0.8 / unit)
        return over(picture, cv2.remap(mirror, ripples, y, cv2.INTER_LINEAR))
    else:
        return picture
    return picture * (1 - shade * 0.42)[..., None] * (1 - shade[..., None] * np.float32([0.05, 0.03, 0.0]))


def _sketch(
    rng: np.random.Generator,
    things: list[Placed],
    layers: list[tuple[np.ndarray, np.ndarray]],
    backdrop: Backdrop,
    setting: Setting,
    hand: str,
    bare: bool,
) -> np.ndarray:
    ink = np.float32(INKS[int(rng.integers(len(INKS)))])
    width = rng.uniform(1.8, 5.6) * setting.unit
    picture = _sheet(rng, backdrop, setting, hand, bare, ink, width)
    for thing, (drawn, _) in zip(things, layers, strict=True):
        filled = hand in ("flat", "both") or (hand == "mixed" and rng.random() < 0.5)
        if rng.random() < 0.8:  # what is behind it is hidden, as if erased
            page = picture[2, 2] if not bare and hand != "line" else np.float32([1, 1, 1])
            behind = drawn[..., 3:]
            picture = picture * (1 - behind) + page * behind
        if filled:
            picture = over(picture, fill(drawn, rng))
        if hand != "flat" or not filled:
            pen = min(width, 0.035 * thing.size * setting.unit)
            lines = outline(drawn, rng, pen, inner=rng.random() < (0.92 if thing.size > 90 else 0.6))
            picture = picture + (ink - picture) * lines[..., None]
    return picture


def _sheet(
    rng: np.random.Generator,
    backdrop: Backdrop,
    setting: Setting,
    hand: str,
    bare: bool,
    ink: np.ndarray,
    width: float,
) -> np.ndarray:
    """What the things are drawn on: white, white with a ground line, or the place in flat colours."""
    side = setting.side
    _, y = canvas_grid(side)
    white = np.ones((side, side, 3), np.float32)
    if bare:
        return white
    line = np.clip(width / 2 + 0.3 - np.abs(y - backdrop.border), 0, 1)
    line = wobbled(line, rng, 1.2 * setting.unit)[..., None]
    if hand == "line":
        return white + (ink - white) * line
    flat = backdrop.flat
    return flat + (ink - flat) * line if hand == "both" and rng.random() < 0.5 else flat.copy()


def _bytes(picture: np.ndarray) -> np.ndarray:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
