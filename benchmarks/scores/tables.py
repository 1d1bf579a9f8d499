"""Tables and plots of scores: one row a variant, by measure, by clip or by style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.measuring import plots, report
from benchmarks.scores.pictures import beside
from benchmarks.scores.scores import MEASURES, Score
from benchmarks.scores.variants import MEMORY_OFF, PARTS, STEADY, TRAINED


def together(studies: Sequence[Mapping[str, list[Score]]]) -> dict[str, list[Score]]:
    """The scores of several studies of the same variants."""
    return {name: [score for scores in studies for score in scores[name]] for name in studies[0]}


def main_table(scores: Mapping[str, list[Score]]) -> list[report.Row]:
    """One row a variant, with every measure, time and bytes; empty where no clip has the measure."""
    base = [median(score.milliseconds) for score in scores[MEMORY_OFF.name]]
    rows: list[report.Row] = []
    for name, each in scores.items():
        times = [median(score.milliseconds) for score in each]
        rows.append(
            {
                "variant": name,
                **{measure: _mean(each, measure) for measure in MEASURES},
                "ms": median([value for score in each for value in score.milliseconds]),
                "first ms": median([score.milliseconds[0] for score in each]),
                "of memory off": median(one / other for one, other in zip(times, base, strict=True)),
                "KiB": max(score.nbytes for score in each) // 1024,
            }
        )
    return rows


def _mean(scores: Sequence[Score], measure: str) -> float | str:
    """The mean over the clips that have the measure; its words where it has any."""
    values = [score.measures[measure] for score in scores if measure in score.measures]
    words = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if not isinstance(value, str)]
    return words[0] if words else float(np.mean(numbers)) if numbers else ""


def clip_table(scores: Mapping[str, list[Score]], measure: str) -> list[report.Row]:
    """One row a variant, one column a clip."""
    return _table_by(scores, measure, [each.clip for each in scores[MEMORY_OFF.name]], lambda score: score.clip)


def style_table(scores: Mapping[str, list[Score]], measure: str) -> list[report.Row]:
    """One row a variant, one column a style."""
    return _table_by(scores, measure, [each.style for each in scores[MEMORY_OFF.name]], lambda score: score.style)


def _table_by(
    scores: Mapping[str, list[Score]], measure: str, columns: Sequence[str], column_of: Callable[[Score], str]
) -> list[report.Row]:
    """One row a variant: the mean over the scores that belong to each column."""
    return [
        {"variant": name}
        | {column: _mean([score for score in each if column_of(score) == column], measure) for column in columns}
        for name, each in scores.items()
    ]


def draw_plots(scores: Mapping[str, list[Score]], stem: Path) -> list[Path]:
    """Write plots to files that begin with `stem`; returns these."""
    drawn = {}
    for measure in ("warp error", "ghost 4", "structure error"):
        means = {name: _mean(each, measure) for name, each in scores.items()}
        numbers = {name: value for name, value in means.items() if not isinstance(value, str)}
        if numbers:
            drawn[measure] = plots.bars(measure, numbers)
    curves = {
        part.name: np.mean([left for score in scores[part.name] for left in score.left], axis=0)
        for part in (*PARTS, STEADY, *TRAINED)
        if any(score.left for score in scores.get(part.name, ()))
    }
    if curves:
        title = "what is left of the old scene after a cut or a vanishing"
        drawn["left"] = plots.lines(title, "pictures of the new scene", curves)
    for title, picture in drawn.items():
        picture.save(beside(stem, title), optimize=True)
    return [beside(stem, title) for title in drawn]
