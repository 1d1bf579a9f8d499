"""Filmstrips and slices through time of a clip, as each memory painted it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.measuring import plots
from benchmarks.scores.variants import BOTH, MEMORY_OFF, STEADY, TRAINED
from training.clips.clips import Clip

STRIP_COLUMNS = 6


def draw_pictures(clip: Clip, outputs: Mapping[str, np.ndarray], stem: Path) -> None:
    """Write a filmstrip and a slice through time of the input and of the memories that a visitor may choose; `outputs`
    are pictures `[T, S, S, 3]` by the name of a variant."""
    names = [each.name for each in (MEMORY_OFF, BOTH, STEADY, *TRAINED) if each.name in outputs]
    rows = {"input": clip.frames} | {name: outputs[name] for name in names}
    plots.filmstrip(rows, strip_columns(clip)).save(beside(stem, f"strip {clip.name}"), optimize=True)
    plots.slices(rows).save(beside(stem, f"slice {clip.name}"), optimize=True)


def beside(stem: Path, title: str) -> Path:
    """The file of a picture: the stem's name and a title."""
    return stem.with_name(f"{stem.name}-{title.replace(' ', '-')}.png")


def strip_columns(clip: Clip) -> list[int]:
    """The frames of a filmstrip: around what happens where something does, else from first to last."""
    last = len(clip.frames) - 1
    if clip.events:
        at = clip.events[0].frame
        return sorted({min(last, max(0, at + step)) for step in (-1, 0, 1, 3, 7, last)})
    return sorted({round(each) for each in np.linspace(0, last, STRIP_COLUMNS)})
