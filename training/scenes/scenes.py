"""Draw one scene twice: as a hurried person sketches it, and as an illustrator paints the very same outlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.scenes.animals import add_animal
from training.scenes.easel import Easel, part_mask
from training.scenes.materials import toned
from training.scenes.paint import backdrop, paint
from training.scenes.places import add_city, add_landscape, add_loose
from training.scenes.portraits import add_portrait
from training.scenes.shapes import CRAYONS, SKY_COLOURS, UNIT, Colour, Hand, Part, Plan, box
from training.scenes.still_life import add_still_life
from training.scenes.things import one_of, pick

KINDS: tuple[tuple[Callable[[Plan, np.random.Generator], None], float], ...] = (
    (add_landscape, 0.35),
    (add_portrait, 0.25),
    (add_animal, 0.15),
    (add_still_life, 0.1),
    (add_city, 0.08),
    (add_loose, 0.07),
)
WALL: Colour = (0.66, 0.7, 0.76)
PAPER: Colour = (0.95, 0.93, 0.88)
DEEP_WATER: Colour = (0.2, 0.5, 0.68)
SUNS = ("the sun", "the moon")
INK: Colour = (0.07, 0.07, 0.09)


@dataclass(frozen=True)
class Scene:
    """A sketch and the rendering of the same outlines, uint8 [S, S, 3], with the words that name what is seen."""

    sketch: np.ndarray
    rendering: np.ndarray
    subject: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Pen:
    """How this person draws: whether shapes are filled, outlined or both, and on which paper."""

    paper: Colour
    fill_chance: float
    outline: bool
    ink: Colour | None
    width: float
    scribble: float
    see_through: bool


def draw_scene(rng: np.random.Generator, size: int = 320) -> Scene:
    """One scene of `size` x `size` pixels, decided by `rng` alone."""
    add_kind = KINDS[rng.choice(len(KINDS), p=[weight for _, weight in KINDS])][0]
    plan = Plan()
    add_kind(plan, rng)
    _drop_some(plan, rng)
    pen = _some_pen(rng, plan.setting)
    hand = Hand(rng)
    sky_colour = _sky_colour(rng, plan.setting, pen)
    parts = [replace(hand.drawn(part), filled=part.solid or rng.random() < pen.fill_chance) for part in plan.parts]
    sketch = _sketch(parts, pen, sky_colour, _horizon(plan, parts), rng, size)
    rendering = _render(plan, parts, pen, sky_colour, size)
    kept = {part.thing for part in parts if part.shown != "rendering"}
    words = tuple(dict.fromkeys(word for thing, word in plan.words.items() if thing in kept))
    return Scene(sketch, rendering, plan.subject, words)


def _drop_some(plan: Plan, rng: np.random.Generator) -> None:
    """Leave out single parts, and in a quarter of the scenes whole things."""
    share = rng.uniform(0.15, 0.8) if rng.random() < 0.25 else 1.0
    things = sorted({part.thing for part in plan.parts})
    counts = {thing: sum(part.thing == thing for part in plan.parts) for thing in things}
    main = max(things, key=lambda thing: counts[thing])
    kept = {thing for thing in things if rng.random() < share} | ({main} if plan.subject != "a landscape" else set())
    plan.parts = [part for part in plan.parts if part.thing in kept and rng.random() < part.keep]
    if plan.sun is not None and not any(plan.words.get(part.thing) in SUNS for part in plan.parts):
        plan.sun = None
    if plan.subject in ("a house", "a village") and not any("house" in plan.words.get(thing, "") for thing in kept):
        plan.subject = "a landscape"


def _some_pen(rng: np.random.Generator, setting: str) -> Pen:
    white = rng.random() < 0.55
    if white:
        paper = CRAYONS["white"] if rng.random() < 0.1 else (1.0, 1.0, 1.0)
    elif setting == "outdoor":
        paper = one_of(rng, SKY_COLOURS)
    else:
        paper = pick(rng)[1]
    style = rng.choice(3, p=[0.3, 0.3, 0.4])
    ink = INK if rng.random() < 0.75 else pick(rng, "brown", "blue", "red", "purple", "green")[1]
    if max(paper) < 0.5:
        ink = pick(rng, "white", "yellow", "white", "pink")[1]
    return Pen(
        paper=paper,
        fill_chance=(1.0, float(rng.uniform(0.7, 1.0)), float(rng.choice([0.0, 0.0, 0.15])))[style],
        outline=style > 0,
        ink=ink if style == 2 or rng.random() < 0.8 else None,
        width=float(rng.uniform(1.2, 4.6)),
        scribble=float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.6])),
        see_through=bool(rng.random() < 0.3),
    )


def _sky_colour(rng: np.random.Generator, setting: str, pen: Pen) -> Colour | None:
    """The colour of the sky where the person filled it in above the horizon."""
    coloured = setting == "outdoor" and min(pen.paper) > 0.9 and rng.random() < 0.45
    return one_of(rng, SKY_COLOURS) if coloured else None


def _horizon(plan: Plan, parts: list[Part]) -> float:
    """Height in units where sky meets ground: the top of the land, else the highest foot, else 0.62 of the canvas."""
    land = [
        float(np.median(part.points[part.points[:, 1] < UNIT, 1]))
        for part in parts
        if part.material in ("ground", "sand", "water", "road") and np.ptp(part.points[:, 0]) > UNIT
    ]
    if land:
        return min(land)
    feet = [base for thing, base in plan.bases.items() if any(part.thing == thing for part in parts)]
    return float(np.clip(min(feet) - 14, 0.3 * UNIT, 0.88 * UNIT)) if feet else 0.62 * UNIT


def _sketch(
    parts: list[Part], pen: Pen, sky: Colour | None, horizon: float, rng: np.random.Generator, size: int
) -> np.ndarray:
    image = np.empty((size, size, 3), np.float32)
    image[:] = pen.paper
    if sky is not None:
        image[: round((horizon + 3) * size / UNIT)] = sky
    for part in parts:
        if part.shown == "rendering":
            continue
        if part.width > 0:
            colour = part.colour if part.filled and part.colour is not None else pen.ink or INK
            _cover(image, part_mask(part, size, (0, 0), (size, size)), colour)
            continue
        mask = part_mask(part, size, (0, 0), (size, size))
        colour = part.colour if part.colour is not None else pen.ink or INK
        if part.filled and pen.scribble and not part.solid:
            _cover(image, np.minimum(mask, _scribbled(part, pen, rng, size)), colour)
        elif part.filled:
            _cover(image, mask, colour)
        elif not pen.see_through:
            _cover(image, mask, pen.paper)
        if (pen.outline or not part.filled) and not part.solid:
            ink = pen.ink or (_darker(colour) if part.filled else INK)
            pixels = np.round(part.points * size / UNIT * 16).astype(np.int32)
            line = np.zeros((size, size), np.uint8)
            cv2.polylines(line, [pixels], True, 255, max(1, round(pen.width * size / UNIT)), cv2.LINE_AA, 4)
            _cover(image, line, ink)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _cover(image: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Lay `colour` over the image where the mask, uint8 [S, S], is set."""
    x, y, w, h = cv2.boundingRect(mask)
    view = image[y : y + h, x : x + w]
    view += (np.asarray(colour, np.float32) - view) * (mask[y : y + h, x : x + w, None].astype(np.float32) / 255)


def _darker(colour: Colour) -> Colour:
    return colour[0] * 0.55, colour[1] * 0.55, colour[2] * 0.55


def _scribbled(part: Part, pen: Pen, rng: np.random.Generator, size: int) -> np.ndarray:
    """A zigzag of brush strokes uint8 [S, S] over the part, with gaps, as one fills a shape in a hurry."""
    low, high = part.points.min(0), part.points.max(0)
    step = max(3.0, 1.3 * pen.width + 2)
    rows = np.arange(low[1] - step, high[1] + 2 * step, step)
    zigzag = np.array([(low[0] - 4 if i % 2 else high[0] + 4, y) for i, y in enumerate(rows)])
    zigzag = (zigzag + rng.normal(0, 0.25 * step, zigzag.shape)) * size / UNIT
    mask = np.zeros((size, size), np.uint8)
    cv2.polylines(
        mask,
        [np.round(zigzag * 16).astype(np.int32)],
        False,
        255,
        max(2, round(0.95 * step * size / UNIT)),
        cv2.LINE_AA,
        4,
    )
    return mask


def _render(plan: Plan, parts: list[Part], pen: Pen, sky: Colour | None, size: int) -> np.ndarray:
    easel = Easel(size)
    coloured = min(pen.paper) < 0.9
    if plan.setting == "outdoor":
        _paint_environment(easel, plan, parts, sky or (pen.paper if coloured else None))
    elif plan.setting == "underwater":
        easel.image[:] = backdrop(toned(pen.paper if coloured else DEEP_WATER), size)
        easel.image *= 1 + 0.07 * easel.textures["waves"][..., None]
    elif len([part for part in parts if part.shown != "rendering"]) < 3:
        easel.image[:] = backdrop(toned(pen.paper) if coloured else np.array(PAPER, np.float32), size)
    else:
        easel.image[:] = backdrop(toned(pen.paper) if coloured else np.array(WALL, np.float32), size)
    shadowed: set[int] = set()
    for index, part in enumerate(parts):
        if part.shown == "sketch":
            continue
        if part.thing in plan.bases and part.thing not in shadowed:
            shadowed.add(part.thing)
            _lay_shadow(easel, plan.bases[part.thing], [other for other in parts if other.thing == part.thing])
        paint(easel, part)
        if index + 1 == len(parts) or parts[index + 1].thing != part.thing:
            easel.mirror(part.thing)
        if part.material == "sun" and plan.words.get(part.thing) in SUNS:
            easel.glow()
    return easel.finished()


def _lay_shadow(easel: Easel, base: float, parts: list[Part]) -> None:
    feet = [part.points for part in parts if part.points[:, 1].max() > base - 8]
    points = np.concatenate(feet or [part.points for part in parts])
    left, right = float(points[:, 0].min()), float(points[:, 0].max())
    easel.lay_ground_shadow((left + right) / 2, base, right - left)


def _paint_environment(easel: Easel, plan: Plan, parts: list[Part], sky: Colour | None) -> None:
    """Sky above, and meadow below where the sketch left the ground out."""
    horizon = _horizon(plan, parts)
    paint(easel, Part(box(0, 0, UNIT, max(horizon + 6, 80)), "sky", sky))
    easel.image[:] = np.where(easel.image.any(2, keepdims=True), easel.image, 0.5)
    if not any(
        part.material in ("ground", "sand", "water", "road") and np.ptp(part.points[:, 0]) > UNIT for part in parts
    ):
        paint(easel, Part(box(-20, horizon, UNIT + 20, UNIT + 20), "ground"))
    if plan.sun is not None:
        disc = next(part for part in parts if plan.words.get(part.thing) in SUNS and part.material in ("sun", "ray"))
        centre = disc.points.mean(0)
        easel.sun = (float(centre[0]), float(centre[1]), float(np.ptp(disc.points[:, 0])) / 2)
