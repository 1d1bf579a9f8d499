"""Whether colours are those that words ask for."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from benchmarks.painting.brush import asked_for, painted
from benchmarks.painting.inputs import circle
from pipeline import Engine, SketchClassifier
from training.meaning.outlines import ColourScore, Outline, scores
from training.things.colours import COLOURS

Drawn = TypeVar("Drawn")

WITHIN = 30.0
"""Degrees of hue that a colour may be away from its name's."""
LEAST_CHROMA = 40.0
"""Of 255: what has less is grey or cream, whatever its hue."""
ASKED_COLOURS = ("red", "blue", "yellow", "green")
COLOURED_THINGS = 20


def hue_of(colour: np.ndarray) -> float | None:
    """Degrees of an RGB colour of 0..255; None for a grey one."""
    if colour.max() - colour.min() < LEAST_CHROMA:
        return None
    return colorsys.rgb_to_hsv(*(colour / 255).tolist())[0] * 360


def is_named(colour: np.ndarray, name: str) -> bool:
    """Whether an RGB colour of 0..255 has the hue of a colour's name."""
    hue = hue_of(colour)
    wanted = 2.0 * COLOURS[name][0]
    return hue is not None and abs((hue - wanted + 180) % 360 - 180) <= WITHIN


def evenly(outlines: Sequence[Drawn], count: int) -> list[Drawn]:
    """`count` of the outlines, evenly spread."""
    chosen = np.linspace(0, len(outlines) - 1, min(count, len(outlines))).round().astype(int)
    return [outlines[each] for each in chosen]


def guessed(sketches: SketchClassifier, outlines: Sequence[Outline], most: int) -> list[list[str]]:
    """What each of the outlines looks like, the likeliest first."""
    return [[guess.name for guess in sketches.guesses(each.picture, most)] for each in outlines]


def under_words(
    engine: Engine, outlines: Sequence[Outline], style: str, guesses: Sequence[str]
) -> tuple[dict[str, ColourScore], dict[str, list[np.ndarray]]]:
    """Outlines with their word, with another's, with none and with a guess: scores of the colours inside, and the
    pictures."""
    done: list[list[np.ndarray]] = []

    def paint(pictures: Sequence[np.ndarray], prompts: Sequence[str]) -> list[np.ndarray]:
        done.append([painted(engine, *each) for each in zip(pictures, prompts, strict=True)])
        return done[-1]

    told = scores(outlines, paint, style, guesses)
    return told, dict(zip(told, done, strict=True))


def in_colours(engine: Engine, outlines: Sequence[Outline], style: str) -> dict[str, list[np.ndarray]]:
    """By colour, each outline painted as a thing of that colour."""
    return {
        colour: [painted(engine, each.picture, asked_for(style, f"a {colour} {each.word}")) for each in outlines]
        for colour in ASKED_COLOURS
    }


def share_named(outlines: Sequence[Outline], pictures: dict[str, list[np.ndarray]]) -> float:
    """How often the mean colour inside has the hue of the colour that was asked for, 0..1."""
    right = [
        is_named(picture[each.mask].mean(0), colour)
        for colour, several in pictures.items()
        for each, picture in zip(outlines, several, strict=True)
    ]
    return float(np.mean(right))


def fruit_difference(engine: Engine, side: int, style: str) -> float:
    """Mean |difference| of 255 inside one circle, painted as an orange and as a green apple."""
    picture, mask = circle(side)
    orange, apple = (
        painted(engine, picture, asked_for(style, words))[mask].astype(np.float32)
        for words in ("an orange", "a green apple")
    )
    return float(np.abs(orange - apple).mean())
