"""Captions: what a visitor might type for a picture of this subject in this style at this time of day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.styles.styles import DEFAULT_STYLE, GRADES, STYLES

FILLERS = (
    "beautiful|highly detailed|masterpiece|best quality|vivid colors|sharp|bright|dark|dreamy|epic|soft light|elegant|"
    "cute|nice|happy|old|modern|fantasy|cinematic|warm|cold|calm|magical|intricate|4k|trending|in the style of"
).split("|")

SUBJECTS = (
    "a house|a woman|a man|a girl|a boy|a face|a cat|a dog|a fish|a bird|a horse|a boat|a tree|a forest|mountains|"
    "the sea|a lake|a river|a castle|a city|a street|a car|flowers|a vase|a cup|an apple|a landscape|a portrait|a room|"
    "a dragon|a robot|a king|a queen|a wizard|a ship|the moon|the sun|stars|a garden|a bridge|a cottage|a selfie"
).split("|")


def caption(rng: np.random.Generator, subject: str, words: Sequence[str], style: str, grade: str) -> str:
    """One caption. An empty one, or one that names no style, stands for `DEFAULT_STYLE`."""
    if style == DEFAULT_STYLE and grade == "" and rng.random() < 0.35:
        return "" if rng.random() < 0.6 else ", ".join(_about(rng, subject, words))
    about = _about(rng, subject, words)
    style_word = _one_of(rng, STYLES[style].words)
    kind = rng.random()
    if kind < 0.35 and about:
        parts = [f"{'a ' if rng.random() < 0.6 else ''}{style_word} of {about[0]}", *about[1:]]
    elif kind < 0.7:
        parts = [style_word, *about]
    else:
        parts = [*about, style_word + (" style" if rng.random() < 0.4 else "")]
    if grade:
        parts.insert(int(rng.integers(0, len(parts) + 1)), _one_of(rng, GRADES[grade].words))
    if rng.random() < 0.3:
        parts += [_one_of(rng, FILLERS) for _ in range(int(rng.integers(1, 4)))]
    return ", ".join(parts)


def _one_of(rng: np.random.Generator, words: Sequence[str]) -> str:
    """The first word, which is the canonical one, a third of the time; else any."""
    return words[0] if rng.random() < 0.33 else words[int(rng.integers(len(words)))]


def _about(rng: np.random.Generator, subject: str, words: Sequence[str]) -> list[str]:
    """What the picture shows: sometimes all of it, sometimes nothing, sometimes something else altogether."""
    kind = rng.random()
    if kind < 0.3:
        return []
    if kind < 0.45:
        return [SUBJECTS[int(rng.integers(len(SUBJECTS)))]]
    chosen = [word for word in words if rng.random() < 0.5]
    return [subject, *chosen] if subject else chosen


def canonical_prompt(style: str, grade: str = "") -> str:
    """The plainest prompt for a style and a time of day."""
    words = [STYLES[style].words[0], *GRADES[grade].words[:1]]
    return ", ".join(words)
