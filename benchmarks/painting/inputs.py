"""Pictures that no training sees: drawings made by hand, outlines in another hand, scenes of another seed, photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.engine.stream import noise_for
from training.meaning.outlines import Outline, Taught, held_out_outlines, taught_outlines
from training.meaning.shards import NAMED_PHOTOS
from training.things.catalogue import said
from training.things.icons import Icons
from training.things.photos import held_out_photos, load_photos, photo_crop
from training.things.scene import Scene, draw_scene

SEED = 7
"""Of the sessions, and so of the noise that the model's targets are drawn for."""
HELD_OUT_SEED = 1_000_003
LEARNT_SEED = HELD_OUT_SEED + 1
"""Of the scenes that a judge of styles learns from."""
DRAWINGS = Path(__file__).resolve().parents[2] / "examples" / "drawings"


@dataclass(frozen=True)
class Asked:
    """A picture uint8 `[S, S, 3]`, and what it shows in words."""

    picture: np.ndarray
    words: str


@dataclass(frozen=True)
class Pair:
    """A sketch and what it should become before any style, both uint8 `[S, S, 3]`, and what they show in words."""

    sketch: np.ndarray
    rendering: np.ndarray
    words: str


@dataclass(frozen=True)
class Inputs:
    """All that a model is asked to paint, at its own size."""

    drawings: list[Asked]
    outlines: list[Outline]
    taught: list[Taught]
    pairs: list[Pair]
    learnt: list[Pair]
    photos: list[np.ndarray]


def inputs_of(icons: Icons, side: int, scenes: int, learnt: int) -> Inputs:
    """The inputs of `side` px: so many scenes that are painted, and so many that a judge of styles learns from."""
    photos = [resized(each, side) for each in held_out_photos()]
    pairs = [*scene_pairs(icons, side, scenes, HELD_OUT_SEED), *(Pair(each, each, "") for each in photos)]
    outlines, taught = held_out_outlines(icons, side), taught_outlines(icons, side)
    return Inputs(hand_drawn(side), outlines, taught, pairs, learnt_pairs(icons, side, learnt), photos)


def learnt_pairs(icons: Icons, side: int, count: int) -> list[Pair]:
    """What a judge of styles learns from: so many scenes, and half as many crops of other photographs."""
    rng = np.random.default_rng(LEARNT_SEED)
    photos = load_photos(NAMED_PHOTOS)
    crops = [photo_crop(rng, photos, side) for _ in range(-(-count // 2))]
    return [*scene_pairs(icons, side, count, LEARNT_SEED), *(Pair(each, each, "") for each in crops)]


def hand_drawn(side: int) -> list[Asked]:
    """The drawings of `examples/drawings`, in the order of their words."""
    lines = (DRAWINGS / "words.txt").read_text(encoding="utf-8").splitlines()
    named = [line.split("\t") for line in lines]
    return [Asked(resized(_picture(DRAWINGS / f"{name}.png"), side), words) for name, words in named]


def _picture(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.array(picture.convert("RGB"))


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture uint8 at `[side, side, 3]`."""
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def noise_of(side: int) -> np.ndarray:
    """The noise `[16, S/8, S/8]` float32 that a session gets at its first step."""
    return noise_for(SEED, 0, (16, side // 8, side // 8)).numpy()


def scene_pairs(icons: Icons, side: int, count: int, seed: int) -> Iterator[Pair]:
    """Composed scenes that no shard of a training set holds."""
    rng, noise = np.random.default_rng(seed), noise_of(side)
    for _ in range(count):
        scene = draw_scene(rng, noise, icons, side, frozenset())
        yield Pair(scene.sketch, scene.rendering, words_of(scene))


def words_of(scene: Scene) -> str:
    """What a visitor would say of a scene: its things, its light, its place."""
    things = dict.fromkeys(" ".join(filter(None, ("a", each.colour, said(each.name)[0]))) for each in scene.things)
    light = [scene.light] if scene.light != "day" else []
    return ", ".join([" and ".join(things), *light, scene.place])


def circle(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A black circle on white, uint8 `[S, S, 3]`, and the mask bool `[S, S]` of its inside."""
    picture = np.full((side, side, 3), 255, np.uint8)
    middle, radius = (side // 2, side // 2), round(side * 0.3)
    cv2.circle(picture, middle, radius, (16, 16, 16), max(1, side // 64), cv2.LINE_AA)
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, middle, radius - max(1, side // 64), 1, -1)
    return picture, mask.astype(bool)
