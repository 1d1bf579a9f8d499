"""A scene in words: what a visitor might type for it. Facts are plain data, so that shards can keep them as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from training.things.catalogue import DEFAULT_TONE, base_and_tone, said
from training.things.colours import COLOURS
from training.things.scene import Scene

PLACE_WORDS = {
    "meadow": ("in a meadow", "on grass", "outdoors", "in the garden", "under a blue sky", "on a hill"),
    "sea": ("at sea", "on the water", "on the ocean", "in the sea"),
    "under water": ("under water", "underwater", "deep in the sea"),
    "space": ("in space", "in outer space", "among the stars"),
    "table": ("on a table", "on a wooden table", "still life", "in the kitchen"),
    "studio": ("portrait", "on a plain background", "close up", "indoors"),
}
LIGHT_WORDS = {"sunset": ("at sunset", "sunset", "evening light"), "night": ("at night", "night", "starry night sky")}
GROUND_WORDS = {
    "sand": ("in the desert", "on sand", "on the beach"),
    "snow": ("in the snow", "in winter", "winter"),
    "autumn": ("in autumn", "autumn", "in the fall"),
}
TONE_WORDS = {
    "light": ("with pale skin", "with light skin"),
    "medium": ("with brown skin", "with tanned skin"),
    "medium-dark": ("with dark brown skin",),
    "dark": ("with dark skin", "with black skin"),
}
COLOUR_SYNONYMS = {
    "grey": ("grey", "gray", "silver"),
    "purple": ("purple", "violet"),
    "turquoise": ("turquoise", "teal"),
}
COUNTS = {2: ("two",), 3: ("three",), 4: ("four", "many"), 5: ("five", "many")}
FILLERS = (
    "beautiful|highly detailed|masterpiece|best quality|vivid colors|sharp|dreamy|epic|soft light|elegant|cute|nice|"
    "happy|modern|fantasy|cinematic|calm|magical|intricate|4k|trending on artstation|award winning"
).split("|")
_SYLLABLES = "ba ko ri mu ten sal vor pli gra zu den qui lo fer ash mi tor ne pax ul ga who ist".split()
IRREGULAR = {
    "mouse": "mice",
    "sheep": "sheep",
    "fish": "fish",
    "man": "men",
    "woman": "women",
    "person": "people",
    "child": "children",
    "wolf": "wolves",
    "goose": "geese",
    "tooth": "teeth",
    "tropical fish": "tropical fish",
}
NO_ARTICLE = {
    "santa claus",
    "mrs claus",
    "saturn",
    "mount fuji",
    "flowers",
    "houses",
    "sushi",
    "coffee",
    "tea",
    "cherries",
    "grapes",
    "books",
    "pancakes",
    "bacon",
    "cheese",
    "bread",
}


@dataclass(frozen=True)
class Facts:
    """What can be said about a scene. A colour is empty where the thing has its own, or where the sketch hides nothing
    of it and nobody would say it."""

    things: tuple[tuple[str, str], ...]
    place: str
    light: str
    ground: str
    hand: str
    bare: bool


def facts_of(scene: Scene) -> Facts:
    """The scene's facts, its largest thing first."""
    things = sorted(scene.things, key=lambda each: (each.aloft, -each.size))
    return Facts(
        tuple((each.name, each.colour) for each in things),
        scene.place,
        scene.light,
        scene.ground,
        scene.hand,
        scene.bare,
    )


def as_json(facts: Facts) -> dict[str, Any]:
    """Plain data of `facts`."""
    return asdict(facts)


def from_json(entry: dict[str, Any]) -> Facts:
    """The facts of plain data; what else stands there is left."""
    known = {each.name: entry[each.name] for each in fields(Facts)}
    return Facts(**known | {"things": tuple((name, colour) for name, colour in entry["things"])})


def phrase(rng: np.random.Generator, facts: Facts, style_words: Sequence[str]) -> str:
    """A prompt for the scene in a style; sometimes without the scene, sometimes with words that mean nothing.

    What the sketch cannot show (a colour on an outline, night on white paper) is said nearly always, else the same
    prompt would have two answers.
    """
    style = _one_of(rng, style_words) if style_words and rng.random() < 0.8 else ""
    parts = _about(rng, facts)
    if rng.random() < 0.2:
        parts.append(_one_of(rng, FILLERS))
    if rng.random() < 0.12:
        parts.insert(int(rng.integers(len(parts) + 1)), _nonsense(rng))
    if not style:
        return ", ".join(parts)
    if not parts:
        return style
    kind = rng.random()
    if kind < 0.4:
        return f"{style} of {', '.join(parts)}"
    if kind < 0.75:
        return f"{style}, {', '.join(parts)}"
    return f"{', '.join(parts)}, {style}"


def _about(rng: np.random.Generator, facts: Facts) -> list[str]:
    hidden = facts.hand == "line"
    coloured = any(colour for _, colour in facts.things)
    quiet = not facts.things or rng.random() < (0.04 if hidden and coloured else 0.1)  # the shape has to do
    names = [] if quiet else _named(rng, facts, hidden)
    parts = [" and ".join(names[:2]), *names[2:]] if len(names) > 1 and rng.random() < 0.5 else names
    unseen = facts.bare or hidden
    if facts.place in PLACE_WORDS and rng.random() < (0.55 if not quiet else 0.3):
        parts.append(_one_of(rng, PLACE_WORDS[facts.place]))
    if facts.ground in GROUND_WORDS and rng.random() < (0.95 if unseen else 0.5):
        parts.append(_one_of(rng, GROUND_WORDS[facts.ground]))
    if facts.light in LIGHT_WORDS and rng.random() < (0.95 if unseen else 0.5):
        parts.append(_one_of(rng, LIGHT_WORDS[facts.light]))
    return parts


def _named(rng: np.random.Generator, facts: Facts, hidden: bool) -> list[str]:
    """The things by name, with count, colour and skin, at most three kinds."""
    names = []
    for (name, colour), count in list(Counter(facts.things).items())[:3]:
        base, tone = base_and_tone(name)
        word = _one_of(rng, said(name)) if rng.random() < 0.4 else said(name)[0]
        if rng.random() < (0.97 if hidden else 0.6) and colour in COLOURS:
            word = f"{_one_of(rng, COLOUR_SYNONYMS.get(colour, (colour,)))} {word}"
        if count > 1:
            word = f"{_one_of(rng, COUNTS[min(count, 5)])} {_plural(word)}"
        elif word not in NO_ARTICLE and rng.random() < 0.8:
            word = f"{'an' if word[0] in 'aeio' else 'a'} {word}"
        if tone not in ("", DEFAULT_TONE) and rng.random() < (0.97 if hidden else 0.4):
            word = f"{word} {_one_of(rng, TONE_WORDS[tone])}"
        names.append(word)
    return names


def _plural(word: str) -> str:
    for one, many in IRREGULAR.items():
        if word == one or word.endswith(f" {one}"):
            return word.removesuffix(one) + many
    if word.endswith(("s", "x", "ch", "sh")):
        return word if word.endswith("s") else word + "es"
    return word.removesuffix("y") + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def _nonsense(rng: np.random.Generator) -> str:
    """A word that nobody knows: it has to change nothing."""
    return "".join(_SYLLABLES[int(rng.integers(len(_SYLLABLES)))] for _ in range(int(rng.integers(2, 5))))


def _one_of(rng: np.random.Generator, words: Sequence[str]) -> str:
    """The first word, the usual one, four times in ten; else any."""
    return words[0] if rng.random() < 0.4 else words[int(rng.integers(len(words)))]


def subjects(names: Sequence[str]) -> list[str]:
    """Everything that these things are called, sorted: what a page may offer while somebody types."""
    return sorted({spoken for name in names for spoken in said(name)})


def vocabulary(names: Sequence[str]) -> list[str]:
    """Every word of the phrases about these things, sorted."""
    words: set[str] = set()
    for name in names:
        for spoken in said(name):
            words |= {*spoken.split(), *_plural(spoken).split()}
    tables = (PLACE_WORDS, LIGHT_WORDS, GROUND_WORDS, TONE_WORDS, COLOUR_SYNONYMS, COUNTS)
    for table in tables:
        for spoken in (each for several in table.values() for each in several):
            words |= {*spoken.split()}
    for spoken in (*FILLERS, *COLOURS):
        words |= {*spoken.split()}
    return sorted(words)
