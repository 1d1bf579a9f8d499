"""Outlines, and whether what is painted inside has the colours of the thing: of the whole in a hand that training never
saw, and of its parts as they were taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.things.catalogue import FIRST_DRAWN, HELD_OUT, said
from training.things.fields import over
from training.things.hands import outline
from training.things.icons import Icons

Paint = Callable[[Sequence[np.ndarray], Sequence[str]], list[np.ndarray]]
"""Pictures uint8 `[S, S, 3]` and a prompt each, to painted pictures."""

CELLS = 32
"""Squares in a row, of 8 px at the model's own side, in whose means the colours of parts are compared."""


@dataclass(frozen=True)
class Outline:
    """picture uint8 `[S, S, 3]`, mask bool `[S, S]` of its inside; mean colours, RGB 0..255, of the thing as it was
    taught, and as this hand has it, which no training saw."""

    name: str
    picture: np.ndarray
    mask: np.ndarray
    colour: np.ndarray
    hands_colour: np.ndarray

    @property
    def word(self) -> str:
        return said(self.name)[0]


@dataclass(frozen=True)
class Taught:
    """An outline drawn anew of a thing that was taught, what it should become on white, both uint8 `[S, S, 3]`, and the
    mask bool `[S, S]` of its inside."""

    name: str
    picture: np.ndarray
    rendering: np.ndarray
    mask: np.ndarray

    @property
    def word(self) -> str:
        return said(self.name)[0]


@dataclass(frozen=True)
class ColourScore:
    """nearest: how often the painted colour is nearer to the wanted thing's, as it was taught, than to those of nine
    others (chance 0.1); error and chroma of 255."""

    nearest: float
    error: float
    chroma: float


def held_out_outlines(icons: Icons, side: int, share: float = 0.7) -> list[Outline]:
    """Black outlines on white of the held-out things, drawn from the second pack."""
    rng = np.random.default_rng(11)
    return [_outline(icons, name, side, share, rng) for name in sorted(HELD_OUT) if len(icons.rows.get(name, ())) > 1]


def _outline(icons: Icons, name: str, side: int, share: float, rng: np.random.Generator) -> Outline:
    drawing, rendering = (_placed(each, side, share) for each in icons.pair(name, 1))
    _, taught = (_placed(each, side, share) for each in icons.pair(name, 0))
    return Outline(
        name,
        _in_lines(drawing, rng),
        _inside(rendering),
        _mean_colour(taught),
        _mean_colour(rendering),
    )


def taught_outlines(icons: Icons, side: int, share: float = 0.7) -> list[Taught]:
    """Black outlines on white of what people draw first, from the pack that is taught."""
    rng, taught = np.random.default_rng(12), []
    for name in sorted(FIRST_DRAWN & set(icons.rows)):
        drawing, rendering = (_placed(each, side, share) for each in icons.pair(name))
        on_white = over(np.ones((side, side, 3), np.float32), rendering)
        taught.append(
            Taught(name, _in_lines(drawing, rng), (on_white * 255 + 0.5).astype(np.uint8), _inside(rendering))
        )
    return taught


def share_of_parts(taught: Sequence[Taught], painted: Sequence[np.ndarray]) -> float:
    """How much of what makes a thing's parts differ in colour is painted: the share of the variance inside, in means of
    `CELLS` by `CELLS` squares, that the painted colours explain. 1 for what was taught, 0 for a thing in one colour,
    whichever it is."""
    missed = whole = 0.0
    for each, picture in zip(taught, painted, strict=True):
        mask, wanted, got = (
            cv2.resize(of.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            for of in (each.mask, each.rendering, picture)
        )
        wanted, got = wanted[mask > 0.99], got[mask > 0.99]
        wanted, got = wanted - wanted.mean(0), got - got.mean(0)
        missed += float(np.square(wanted - got).sum())
        whole += float(np.square(wanted).sum())
    return 1 - missed / whole


def ink_left(taught: Sequence[Taught], painted: Sequence[np.ndarray]) -> float:
    """How much of the drawings' inner lines can still be seen: how much darker it is there than around them, beyond
    what the thing itself is, as a share of how much the ink is. 0 for what was taught, or where no line lies inside,
    1 where all lines stay."""
    left = drawn = 0.0
    for each, picture in zip(taught, painted, strict=True):
        lines, around = _lines_and_around(each)
        if not (lines.any() and around.any()):
            continue
        own, seen, ink = (
            float(of[around].mean()) - float(of[lines].mean()) for of in (each.rendering, picture, each.picture)
        )
        left, drawn = left + seen - own, drawn + ink - own
    return left / drawn if drawn else 0.0


def _lines_and_around(taught: Taught) -> tuple[np.ndarray, np.ndarray]:
    """The inner lines of a drawing, and what lies some pixels beside them, inside as well: masks bool `[S, S]`."""
    unit = len(taught.mask) / 256
    ink = (taught.picture.mean(2) < 128).astype(np.uint8)
    near, far = (cv2.dilate(ink, np.ones((2 * round(reach * unit) + 1,) * 2, np.uint8)) > 0 for reach in (3, 8))
    inside = cv2.erode(taught.mask.astype(np.uint8), np.ones((2 * round(4 * unit) + 1,) * 2, np.uint8)) > 0
    return (ink > 0) & inside, far & ~near & inside


def _in_lines(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A drawing in black lines on white, uint8 `[S, S, 3]`."""
    lines = outline(drawing, rng, 3.5 * len(drawing) / 256)
    picture = 1 - lines[..., None] * (1 - np.float32([0.06, 0.06, 0.06]))
    return (picture * 255 + 0.5).astype(np.uint8)


def _inside(rendering: np.ndarray) -> np.ndarray:
    return rendering[..., 3] > 0.9


def _mean_colour(rendering: np.ndarray) -> np.ndarray:
    """RGB 0..255 of the inside of a premultiplied `[S, S, 4]`."""
    return over(np.ones((*rendering.shape[:2], 3), np.float32), rendering)[_inside(rendering)].mean(0) * 255


def _placed(icon: np.ndarray, side: int, share: float) -> np.ndarray:
    """An icon in the middle, premultiplied float32 `[S, S, 4]`."""
    layer = icon.astype(np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    inner = round(side * share)
    small = cv2.resize(layer, (inner, inner), interpolation=cv2.INTER_AREA)
    before = (side - inner) // 2
    after = side - inner - before
    return cv2.copyMakeBorder(small, before, after, before, after, cv2.BORDER_CONSTANT, value=0)


def colour_score(outlines: Sequence[Outline], wanted: Sequence[Outline], painted: Sequence[np.ndarray]) -> ColourScore:
    """How near the mean colours inside `outlines`, as painted, are to those of the things of `wanted`."""
    got = np.array([picture[each.mask].mean(0) for each, picture in zip(outlines, painted, strict=True)])
    own = np.array([each.colour for each in wanted])
    rng, hits = np.random.default_rng(2), 0
    trials = 20
    for index in range(len(wanted)):
        rest = np.delete(np.arange(len(wanted)), index)
        for _ in range(trials):
            among = [index, *rng.choice(rest, min(9, len(rest)), replace=False)]
            hits += int(np.linalg.norm(own[among] - got[index], axis=1).argmin() == 0)
    chroma = float((got.max(1) - got.min(1)).mean())
    return ColourScore(hits / (trials * len(wanted)), float(np.abs(got - own).mean()), chroma)


def by_the_hands_colours(outlines: Sequence[Outline], painted: Sequence[np.ndarray]) -> tuple[float, float]:
    """How often the painted colour is nearer to what the thing has in this other hand than to nine others' there; and
    how often it would be for somebody who paints everything exactly as it was taught."""
    as_drawn = [replace(each, colour=each.hands_colour) for each in outlines]
    as_taught = [np.broadcast_to(each.colour, each.picture.shape) for each in outlines]
    return colour_score(as_drawn, as_drawn, painted).nearest, colour_score(as_drawn, as_drawn, as_taught).nearest


def scores(
    outlines: Sequence[Outline], paint: Paint, style: str, guesses: Sequence[str] | None = None
) -> dict[str, ColourScore]:
    """With the thing's word, with another's (towards that one's colour), without a word, and with what each was guessed
    to be, where that is told."""
    others = [*outlines[7:], *outlines[:7]] if len(outlines) > 7 else [*outlines[1:], outlines[0]]
    pictures = [each.picture for each in outlines]
    with_word = paint(pictures, [f"{style}, a {each.word}" for each in outlines])
    with_other = paint(pictures, [f"{style}, a {each.word}" for each in others])
    without = paint(pictures, [style] * len(outlines))
    told = {
        "its word": colour_score(outlines, outlines, with_word),
        "another's word": colour_score(outlines, others, with_other),
        "no word": colour_score(outlines, outlines, without),
    }
    if guesses is None:
        return told
    guessed = paint(pictures, [f"{style}, {each}" for each in guesses])
    return {**told, "guess": colour_score(outlines, outlines, guessed)}


def share_known(outlines: Sequence[Outline], guesses: Sequence[Sequence[str]], most: int) -> float:
    """How often the thing's word is among the first `most` guesses of what its outline shows, 0..1."""
    pairs = zip(outlines, guesses, strict=True)
    return float(np.mean([outline.word in names[:most] for outline, names in pairs]))
