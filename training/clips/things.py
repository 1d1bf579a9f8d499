"""What moves in clips: cut-out things, a cartoon head in pieces, a drawing that grows. Canvases are as in `Layer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.clips.layers import Layer, layer, moved, scaled, turned
from training.scenes.easel import Easel, part_mask
from training.scenes.materials import toned
from training.scenes.paint import backdrop, paint
from training.scenes.scenes import INK, PAPER
from training.scenes.shapes import CRAYONS, SKINS, UNIT, Colour, Hand, Part, Plan, box, curve, ellipse
from training.scenes.things import add_house, add_sun, add_tree, one_of, pick

AddThing = Callable[[Plan, np.random.Generator], None]
PEN = 2.4
"""Units: how thick outlines are drawn."""
DRAWN_SHARE = 0.85
"""Of a clip, until a growing drawing is whole."""
WORDS_A_FRAME = 0.11
"""Of a talking mouth: how many times it opens in a frame."""


def tree(plan: Plan, rng: np.random.Generator) -> None:
    """A tree that fills the canvas."""
    add_tree(plan, rng, 0.5 * UNIT, 0.94 * UNIT, 0.88 * UNIT, ("round", "pine")[rng.integers(2)])


def house(plan: Plan, rng: np.random.Generator) -> None:
    """A house that fills the canvas."""
    add_house(plan, rng, 0.5 * UNIT, 0.92 * UNIT, 0.68 * UNIT)


def cut_out(rng: np.random.Generator, add_thing: AddThing, side: int) -> np.ndarray:
    """One thing, painted, with nothing around it: a canvas [side, side, 4]."""
    plan = Plan()
    add_thing(plan, rng)
    hand, easel = Hand(rng), Easel(side)
    coverage = np.zeros((side, side), np.uint8)
    for part in [hand.drawn(each) for each in plan.parts if each.shown != "sketch"]:
        paint(easel, part)
        np.maximum(coverage, part_mask(part, side, (0, 0), (side, side)), out=coverage)
    share = coverage.astype(np.float32)[..., None] / 255
    return np.concatenate([np.clip(easel.image, 0, 1) * share, share], axis=2)


def inked(parts: Sequence[Part], side: int, outlined: bool = True) -> np.ndarray:
    """Parts in flat crayon under an ink outline, with nothing around them: a canvas [side, side, 4]."""
    canvas = np.zeros((side, side, 4), np.float32)
    for part in parts:
        _lay(canvas, part, part.colour if part.colour is not None else INK)
        if outlined and part.width == 0:
            _lay(canvas, outline_of(part), INK)
    return canvas


def outline_of(part: Part, points: int | None = None) -> Part:
    """The pen's line around a closed part, or only its first `points`."""
    closed = np.concatenate([part.points, part.points[:1]])
    return replace(part, points=closed[:points], width=PEN, colour=INK)


def _lay(canvas: np.ndarray, part: Part, colour: Colour) -> None:
    """Lay a part over the canvas."""
    mask = part_mask(part, len(canvas), (0, 0), (len(canvas), len(canvas)))[..., None].astype(np.float32) / 255
    canvas *= 1 - mask
    canvas += mask * np.array([*colour, 1.0], np.float32)


def talking_head(rng: np.random.Generator, frames: int, size: int) -> list[Layer]:
    """Body, head, eyes, pupils, lids, fringe and mouth of a cartoon that sways, looks about, blinks and talks.

    Its canvases are as large as the frame. Every piece moves by an affine map: a mouth opens by stretching, a lid
    slides down over its eye.
    """
    unit = size / UNIT
    skin, (_, hair), (_, shirt) = one_of(rng, SKINS), pick(rng, "brown", "black", "orange"), pick(rng, "blue", "green")
    sways = [_sway(time, unit) for time in range(frames)]
    still = [moved(0, 0)] * frames
    talk = [_stretch(time, unit) for time in range(frames)]
    look = [moved(3 * unit * np.sin(0.13 * time), 1.5 * unit * np.sin(0.21 * time)) for time in range(frames)]
    blink = [moved(0, -26 * unit * (1 - _closed(time))) for time in range(frames)]
    shoulders = np.concatenate([curve((30, 262), (48, 196), (128, 196)), curve((128, 196), (208, 196), (226, 262))])
    face = [
        Part(ellipse(128, 96, 76, 76), "hair", hair),
        Part(box(110, 160, 146, 214), "skin", skin),
        *(Part(ellipse(128 + side * 60, 122, 10, 15), "skin", skin) for side in (-1, 1)),
        Part(ellipse(128, 116, 58, 70), "skin", skin),
        Part(curve((128, 120), (140, 142), (126, 142)), "line", INK, width=PEN),
    ]
    fringe = Part(np.concatenate([ellipse(128, 96, 72, 66, start=np.pi, end=2 * np.pi), [(128, 70)]]), "hair", hair)
    lash = [Part(ellipse(x, 112, 17, 14, start=0.15, end=np.pi - 0.15), "line", INK, width=PEN) for x in (103, 153)]
    pieces: list[tuple[list[Part], bool, list[np.ndarray]]] = [
        ([Part(shoulders, "cloth", shirt)], True, still),
        (face, True, still),
        ([Part(ellipse(x, 114, 15, 12), "eyewhite", CRAYONS["white"]) for x in (103, 153)], True, still),
        ([Part(ellipse(x, 114, 5, 6), "ink", INK) for x in (103, 153)], False, look),
        ([Part(ellipse(x, 112, 17, 14), "skin", skin) for x in (103, 153)] + lash, False, blink),
        ([fringe], True, still),
        ([Part(ellipse(128, 160, 20, 14), "lip", (0.45, 0.08, 0.1))], True, talk),
    ]
    layers = [layer(inked(parts, size, outlined), own) for parts, outlined, own in pieces]
    sway_of_body = [moved(0.4 * each[0, 2], 0) for each in sways]
    return [
        replace(each, places=np.array(sway_of_body if index == 0 else sways) @ each.places)
        for index, each in enumerate(layers)
    ]


def _sway(time: int, unit: float) -> np.ndarray:
    angle, x = 0.07 * np.sin(0.17 * time), 4 * np.sin(0.11 * time)
    return moved(x * unit, 2 * unit * np.sin(0.23 * time)) @ turned(angle, (128 * unit, 200 * unit))


def _stretch(time: int, unit: float) -> np.ndarray:
    """A mouth's map: open to between 0.35 and 1 of its height."""
    open_share = 0.35 + 0.65 * abs(np.sin(np.pi * WORDS_A_FRAME * time)) * (0.6 + 0.4 * np.sin(0.7 * time))
    return scaled(1.0, open_share, (128 * unit, 160 * unit))


def _closed(time: int) -> float:
    """How far lids are closed, 0..1: a blink of seven frames in twenty."""
    return max(0.0, 1 - abs(time % 20 - 12) / 4)


@dataclass(frozen=True, eq=False)
class GrowingDrawing:
    """`sketch` and `rendering` uint8 [T, S, S, 3]; `new` bool [T, S, S]: where the pen was since the last frame.

    In frame `filled_at` the part that covers `region` bool [S, S] is first seen filled.
    """

    sketch: np.ndarray
    rendering: np.ndarray
    new: np.ndarray
    filled_at: int
    region: np.ndarray


def growing_drawing(rng: np.random.Generator, frames: int, size: int) -> GrowingDrawing:
    """A house, a tree and a sun on paper: each part's outline grows, then its crayon fills it; frames >= 4.

    The rendering holds what is filled, as an illustrator paints it.
    """
    parts = _parts_to_draw(rng)
    lengths = [len(part.points) + 1 for part in parts]
    ends = np.cumsum(lengths)
    until = np.ceil(ends[-1] * np.minimum(1, np.arange(1, frames + 1) / (DRAWN_SHARE * frames))).astype(int)
    sketch, rendering = np.empty((2, frames, size, size, 3), np.uint8)
    new = np.zeros((frames, size, size), bool)
    for time in range(frames):
        done = int(np.searchsorted(ends, until[time], side="right"))
        under_way = outline_of(parts[done], until[time] - ends[done] + lengths[done]) if done < len(parts) else None
        sketch[time] = _on_paper([*parts[:done]], under_way, size)
        same = time > 0 and done == int(np.searchsorted(ends, until[time - 1], side="right"))
        rendering[time] = rendering[time - 1] if same else _painted(parts[:done], size)
        new[time] = (sketch[time] != sketch[time - 1]).any(axis=2) if time > 0 else False
    frame_of = [int(np.argmax(until >= end)) for end in ends]
    middle = [index for index, time in enumerate(frame_of) if 0 < time <= frames // 2] or [len(parts) - 1]
    masks = {index: part_mask(parts[index], size, (0, 0), (size, size)) > 127 for index in middle}
    largest = max(middle, key=lambda index: int(masks[index].sum()))
    return GrowingDrawing(sketch, rendering, new, frame_of[largest], masks[largest])


def _parts_to_draw(rng: np.random.Generator) -> list[Part]:
    plan = Plan()
    add_house(plan, rng, 96, 200, 116)
    add_tree(plan, rng, 206, 204, 104, "round")
    add_sun(plan, rng, 120)
    hand = Hand(rng)
    return [hand.drawn(part) for part in plan.parts if part.shown != "rendering" and part.width == 0]


def _on_paper(finished: Sequence[Part], under_way: Part | None, size: int) -> np.ndarray:
    canvas = inked([*finished, *([under_way] if under_way is not None and len(under_way.points) > 1 else [])], size)
    page = canvas[..., :3] + (1 - canvas[..., 3:])
    return (np.clip(cv2.GaussianBlur(page, (0, 0), 0.5), 0, 1) * 255 + 0.5).astype(np.uint8)


def _painted(parts: Sequence[Part], size: int) -> np.ndarray:
    easel = Easel(size)
    easel.image[:] = backdrop(toned(PAPER), size)
    for part in parts:
        paint(easel, part)
    return easel.finished()
