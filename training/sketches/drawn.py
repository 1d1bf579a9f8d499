"""Drawings of one thing with its name: outlines of icons in another hand, and doodles; and what may lie beside it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.guides.sketches import INKED, Ink, squared
from training.sketches.doodles import DOODLES
from training.sketches.pen import inked
from training.styles.filters import blur
from training.things.catalogue import ANIMAL_HEADS, FIRST_DRAWN, HELD_OUT, PLACES, SKY, base_and_tone, said
from training.things.fields import canvas_grid, smooth_noise
from training.things.hands import fill, outline
from training.things.icons import Icons

CANVAS = 96
"""Pixels of the canvas that they are drawn on."""
ROOM = 0.85
"""Share of it that an icon takes."""
LEAST_SEEN = 0.02
"""Share of the canvas that is ink at least."""
DOODLED = 0.4
FIRST_DRAWN_SHARE = 0.5
"""Of the others: what people draw first."""
FILLED, SIMPLIFIED, UNFINISHED, BESIDE, GROUND, ABOVE = 0.12, 0.4, 0.3, 0.15, 0.12, 0.04
"""How often an icon is filled as well; loses its details; parts of it are not drawn yet; something small lies beside;
there is a line below, or above, as broad as a brush may be."""


USUAL = frozenset({*FIRST_DRAWN, *SKY, *ANIMAL_HEADS, *(each for several in PLACES.values() for each in several)})
OBJECTS = frozenset(
    "angry face|axe|baby|backpack|ball|basket|basketball|bed|bell|bone|books|boy|broccoli|broken heart|broom|"
    "bucket|camping|chair|child|coat|coin|computer mouse|couch|crying face|donkey|door|dress|droplet|drum|ear|eye|"
    "eyes|fallen leaf|feather|fire|flashlight|footprints|fork and knife|french fries|giraffe|girl|glasses|gloves|"
    "goggles|graduation cap|hammer|handbag|headphone|helicopter|hippopotamus|jeans|key|ladder|lizard|lollipop|"
    "lotus|magic wand|magnet|man|meat on bone|megaphone|mermaid|microphone|mirror|mouth|necktie|nose|old man|"
    "old woman|onion|paintbrush|parrot|paw prints|pencil|person|pie|police car|prince|princess|puzzle piece|"
    "rhinoceros|ring|roller skate|sandwich|saxophone|scarf|scissors|scorpion|screwdriver|shoe|shopping cart|"
    "skateboard|skull|sled|sleeping face|smiling face with heart eyes|snowflake|socks|spider web|spoon|stopwatch|"
    "sunglasses|sunrise|t shirt|telescope|temple|tennis|thumbs up|toolbox|tooth|toothbrush|top hat|tornado|tram|"
    "truck|trumpet|vampire|watch|water wave|wheel|window|winking face|witch|wizard|woman|wrench|yarn".split("|")
)
"""What people draw beside what stands in the scenes."""

ALIKE = {"suv": "car", "tropical fish": "fish", "small plane": "plane"}
"""Names of things that differ in colour alone from what their lines look like."""


def names_of(icons: Icons) -> dict[str, list[str]]:
    """What people call the things that they draw, sorted, and the icons of each, if any: "cat" is both the animal and
    its face."""
    named: dict[str, list[str]] = {name: [] for name in DOODLES}
    for icon in icons.rows:
        base = base_and_tone(icon)[0]
        name = said(base)[0]
        name = ALIKE.get(name, name)
        if base in USUAL or name in OBJECTS or name in named:
            named.setdefault(name, []).append(icon)
    return dict(sorted(named.items()))


class Drawer:
    """Draws icons, of `HELD_OUT` ones the first drawing only."""

    def __init__(self, icons: Icons) -> None:
        self.icons = icons
        self.named: Mapping[str, list[str]] = names_of(icons)
        self.names = tuple(self.named)
        numbers = range(len(self.names))
        self._doodles = [number for number in numbers if self.names[number] in DOODLES]
        self._icons = [number for number in numbers if self.named[self.names[number]]]
        self._first = [number for number in self._icons if FIRST_DRAWN & {*self._bases(number)}]
        self._layers: dict[tuple[str, int], np.ndarray] = {}

    def drawn(self, rng: np.random.Generator) -> tuple[Ink, int]:
        """What the classifier sees of a drawing, `[64, 64]`, and the number of its name."""
        ink, number = self._one(rng)
        if rng.random() < BESIDE:
            ink = np.maximum(ink, _smaller(rng, self._one(rng)[0]))
        if rng.random() < GROUND:
            ink = np.maximum(ink, _ground(rng))
        if rng.random() < ABOVE:
            ink = np.maximum(ink, _ground(rng)[::-1])
        return squared(ink), number

    def _bases(self, number: int) -> list[str]:
        return [base_and_tone(icon)[0] for icon in self.named[self.names[number]]]

    def _one(self, rng: np.random.Generator) -> tuple[Ink, int]:
        """A doodle, or the outline of an icon, and the number of its name."""
        if rng.random() < DOODLED or not self._icons:
            number = int(rng.choice(self._doodles))
            return inked(rng, DOODLES[self.names[number]](rng), CANVAS), number
        usual = self._first and rng.random() < FIRST_DRAWN_SHARE
        number = int(rng.choice(self._first if usual else self._icons))
        while ((ink := self._ink(rng, number)) > INKED).mean() < LEAST_SEEN:  # too pale, once its details were gone
            pass
        return ink, number

    def _ink(self, rng: np.random.Generator, number: int) -> Ink:
        several = self.named[self.names[number]]
        icon = several[int(rng.integers(len(several)))]
        variant = 0 if icon in HELD_OUT else int(rng.integers(len(self.icons.rows[icon])))
        layer = _in_another_hand(rng, self._layer(icon, variant))
        if rng.random() < SIMPLIFIED:
            layer = blur(layer, rng.uniform(0.6, 1.6))
        width = rng.uniform(0.8, 2.6)
        if rng.random() < FILLED:
            filled = fill(layer, rng)
            away: Ink = (filled[..., 3:] - filled[..., :3]).max(axis=2)
            ink = np.maximum(rng.uniform(0.3, 0.9) * away, outline(layer, rng, width) if rng.random() < 0.6 else 0)
        else:
            ink = outline(layer, rng, width, inner=rng.random() < 0.85)
        if rng.random() < UNFINISHED:
            ink = ink * (smooth_noise(rng, CANVAS, 60) > rng.uniform(-2, -1))
        return ink.astype(np.float32)

    def _layer(self, icon: str, variant: int) -> np.ndarray:
        """A flat drawing, premultiplied float32 `[96, 96, 4]`."""
        if (icon, variant) not in self._layers:
            flat = self.icons.pair(icon, variant)[0].astype(np.float32) / 255
            flat[..., :3] *= flat[..., 3:]
            self._layers[icon, variant] = cv2.resize(flat, (CANVAS, CANVAS), interpolation=cv2.INTER_AREA)
        return self._layers[icon, variant]


def _in_another_hand(rng: np.random.Generator, layer: np.ndarray) -> np.ndarray:
    """Turned a little, leant, mirrored or not, stretched and bent."""
    angle, flip = rng.normal() * 0.15, -1.0 if rng.random() < 0.4 else 1.0
    across, along = np.exp(rng.normal(size=2) * 0.14)
    lean, cosine, sine = rng.normal() * 0.1, np.cos(angle), np.sin(angle)
    turned = ROOM * np.array([[flip * cosine * across, lean - sine * along], [flip * sine * across, cosine * along]])
    middle = np.full(2, CANVAS / 2)
    matrix = np.hstack([turned, (middle - turned @ middle)[:, None]]).astype(np.float32)
    layer = cv2.warpAffine(layer, matrix, (CANVAS, CANVAS), flags=cv2.INTER_AREA)
    x, y = canvas_grid(CANVAS)
    reach = rng.uniform(0, 5)
    bent = [each + reach * smooth_noise(rng, CANVAS, rng.uniform(40, 110)) for each in (x, y)]
    return cv2.remap(layer, *bent, cv2.INTER_LINEAR)


def _smaller(rng: np.random.Generator, ink: Ink) -> Ink:
    """The same at a fraction of its size, in an upper corner or beside what is in the middle."""
    scale = rng.uniform(0.2, 0.35)
    x = rng.uniform(0, 0.1) * CANVAS if rng.random() < 0.5 else rng.uniform(0.65, 0.8) * CANVAS
    y = rng.uniform(0, 0.7) * CANVAS
    matrix = np.array([[scale, 0, x], [0, scale, y]], np.float32)
    return cv2.warpAffine(ink, matrix, (CANVAS, CANVAS), flags=cv2.INTER_AREA).astype(np.float32)


def _ground(rng: np.random.Generator) -> Ink:
    """A line below, not quite level."""
    x, y = canvas_grid(CANVAS)
    height = CANVAS * rng.uniform(0.78, 0.95) + 1.5 * smooth_noise(rng, CANVAS, 90)[0]
    width = rng.uniform(2.5, 6) if rng.random() < 0.3 else rng.uniform(0.8, 1.5)
    line: Ink = (rng.uniform(0.3, 1) * np.clip(width - np.abs(y - height), 0, 1)).astype(np.float32)
    return line * (np.abs(x - CANVAS / 2) < CANVAS * rng.uniform(0.35, 0.5))
