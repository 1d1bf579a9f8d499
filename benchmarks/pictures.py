"""What models paint of pictures that they were never trained on, in one table: words, styles, sharpness, sliders."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from benchmarks.measuring import report
from benchmarks.painting.brush import asked_for, painted, rested
from benchmarks.painting.colours import (
    COLOURED_THINGS,
    evenly,
    fruit_difference,
    guessed,
    in_colours,
    share_named,
    under_words,
)
from benchmarks.painting.inputs import Asked, Inputs, inputs_of, noise_of, resized
from benchmarks.painting.judging import (
    Pictures,
    StyleJudge,
    closest_pair,
    learnt_from,
    sharpness,
    targets_of,
    verdict_of,
)
from benchmarks.painting.sheets import save_sheet, sheet
from benchmarks.painting.steering import bank_measures, movements
from benchmarks.scores.scores import recoded
from pipeline import Engine, Model, ModelError, load_model, load_sketches
from pipeline.compute.host import keep_freed_memory
from training.clips.clips import CLIPS, FEWEST_FRAMES
from training.looks.looks import DEFAULT_LOOK, LOOKS
from training.meaning.outlines import by_the_hands_colours, ink_left, share_known, share_of_parts
from training.texture.features import Features, load_features, write_features
from training.things.icons import Icons, load_icons

CARDS = list(LOOKS)
TEXTURED = ("watercolor", "oil", "vangogh")
STEERED_DRAWINGS = 8
GUESSES = 3
RESTED_THINGS = 24
WEIGHTS = ("*.safetensors", "*.bin", "*.pt")

NOTE = """\
Every picture is painted by the engine in one step at strength 1, without a past and from one noise, unless a row says
otherwise. Nothing was trained on: drawings made by hand on the page (`examples/drawings`), outlines of {outlines}
things in another hand than the training's, {scenes} composed scenes of a seed of their own, three photographs.

- Colour nearest: how often the mean colour inside an outline is nearer to the wanted thing's, as it was taught, than to
  those of nine others; chance is 0.10. By the other hand's own colours, which nobody told the model: in brackets what
  somebody gets who paints everything exactly as it was taught.
- Parts: outlines of {taught} things that were taught, drawn anew; the share of the variance of a thing's colours, in
  means of 8 px, that what is painted explains. A thing in one colour has 0, whichever it is.
- At rest: {rested} of these, painted once more at twice the width and in as many steps as the model asks for, as the
  page shows them. Lines that are left: how much darker inner lines of the drawing still are than what is around them,
  of what the ink is.
- Guesses are those of the app's classifier of drawings, which the page offers while nothing is said.
- Hue within 30 degrees: of {coloured} outlines as red, blue, yellow and green things; what is nearly grey has missed,
  and whoever paints everything in one of these colours gets 25 %.
- Closest two styles: mean |difference| over the hand drawings.
- "looks" and "styles" are the targets of `training/looks` and of `training/styles`: weights are to be judged by those
  that they were trained on, which are "styles" for weights that are older than `training/looks`.
- Styles named: by a linear judge of features (ridge regression from the logarithms of each channel's mean and
  deviation), learnt in this run from the targets of {learnt} other scenes and half as many other photographs; in
  brackets what it gets right of the targets themselves, and so the most that can be asked for.
- Feature distance: relative L1 of the trainer's own features and of their Gram matrices, in brackets before it is
  divided by the first model's. Features are those of the middle five eighths of a picture.
- Sharpness: gradient energy as a share of the targets', the mean over styles and its range. What the model's codec
  keeps of it is what perfect latents would give.
- Movements and warp errors are of 255. The bank is the paper's preset, at two steps, on {clips},
  in {textured}.

What a frame costs is `benchmarks.frame`'s, and steadiness under the default preset `benchmarks.steadiness`'s."""

Sheets = dict[str, tuple[int, int, list[list[np.ndarray]]]]
"""By title: the side of a cell, rows side by side, rows of pictures."""
Numbers = dict[str, float | str]


@dataclass(frozen=True)
class Asking:
    """What is asked of every model: styles by name, the phrase of the style that words are tried in, clips."""

    styles: Sequence[str]
    word_style: str
    clips: Sequence[str]
    frames: int


@dataclass(frozen=True)
class Judges:
    """What pictures of one size are judged by: features, the targets of the pairs, and a judge of styles."""

    features: Features
    targets: Pictures
    judge: StyleJudge


@dataclass(frozen=True)
class Measured:
    """A model's numbers by name, and what it has painted for the sheets."""

    name: str
    numbers: Numbers
    sheets: Sheets


def phrase_of(style: str) -> str:
    """What a style is called in a prompt."""
    return LOOKS[style].words[0]


def judges_of(inputs: Inputs, features: Features, styles: Sequence[str], side: int) -> Judges:
    """The targets of `inputs`, and judges that have learnt from other ones."""
    noise = noise_of(side)
    targets = targets_of(inputs.pairs, styles, noise)
    return Judges(features, targets, learnt_from(features, targets_of(inputs.learnt, styles, noise)))


def measured(model: Model, name: str, inputs: Inputs, judges: Judges, asking: Asking) -> Measured:
    """All numbers of one model."""
    with Engine(model, memory="none") as engine:
        numbers, sheets = _words(engine, inputs, asking)
        print(f"{name}: words", file=sys.stderr)
        styles, more_sheets = _styles(engine, inputs, judges, asking)
        coded = {style: [recoded(model, each) for each in several] for style, several in judges.targets.items()}
        styles["codec"] = float(np.mean(list(sharpness(coded, judges.targets).values())))
        print(f"{name}: styles", file=sys.stderr)
        phrases = [phrase_of(each) for each in asking.styles if each in TEXTURED] or [phrase_of(asking.styles[0])]
        moved = movements(engine, evenly_drawn(inputs.drawings), phrases)
        print(f"{name}: sliders", file=sys.stderr)
    bank = bank_measures(model, asking.clips, asking.frames, phrases)
    return Measured(name, {**numbers, **styles, **moved, **bank, **sizes(model)}, {**sheets, **more_sheets})


def evenly_drawn(drawings: Sequence[Asked]) -> list[Asked]:
    """Some of the drawings, evenly spread."""
    count = min(STEERED_DRAWINGS, len(drawings))
    return [drawings[each] for each in np.linspace(0, len(drawings) - 1, count).round().astype(int)]


def _words(engine: Engine, inputs: Inputs, asking: Asking) -> tuple[Numbers, Sheets]:
    style, side = asking.word_style, inputs.photos[0].shape[0]
    guesses = guessed(load_sketches(), inputs.outlines, GUESSES)
    told, pictures = under_words(engine, inputs.outlines, style, [each[0] if each else "" for each in guesses])
    some = evenly(inputs.outlines, COLOURED_THINGS)
    coloured = in_colours(engine, some, style)
    numbers: Numbers = {name: each.nearest for name, each in told.items()}
    by_hand, best = by_the_hands_colours(inputs.outlines, pictures["its word"])
    parts = [painted(engine, each.picture, asked_for(style, f"a {each.word}")) for each in inputs.taught]
    numbers["parts"] = share_of_parts(inputs.taught, parts)
    few = evenly(inputs.taught, RESTED_THINGS)
    rests = [rested(engine, each.picture, asked_for(style, f"a {each.word}")) for each in few]
    numbers["parts at rest"] = share_of_parts(few, rests)
    numbers["ink"] = ink_left(inputs.taught, parts)
    numbers["ink at rest"] = ink_left(few, [resized(each, side) for each in rests])
    numbers["by hand"] = f"{by_hand:.2f} ({best:.2f})"
    shares = [share_known(inputs.outlines, guesses, most) for most in (1, GUESSES)]
    numbers["guessed"] = " / ".join(f"{share:.2f}" for share in shares)
    numbers |= {"fruit": fruit_difference(engine, side, style), "hue": share_named(some, coloured)}
    return numbers, {
        "parts": (72, 5, [[e.picture, e.rendering, got] for e, got in zip(inputs.taught, parts, strict=True)]),
        "words": (64, 4, rows_of([each.picture for each in inputs.outlines], pictures)),
        "colours": (72, 3, rows_of([each.picture for each in some], coloured)),
    }


def _styles(engine: Engine, inputs: Inputs, judges: Judges, asking: Asking) -> tuple[Numbers, Sheets]:
    """Over drawings, scenes and photographs, in every style."""

    def in_styles(asked: Sequence[Asked]) -> dict[str, list[np.ndarray]]:
        return {
            style: [painted(engine, each.picture, asked_for(phrase_of(style), each.words)) for each in asked]
            for style in asking.styles
        }

    drawn = in_styles(inputs.drawings)
    pairs = in_styles([Asked(each.sketch, each.words) for each in inputs.pairs])
    distance, one, other = closest_pair(drawn)
    numbers: Numbers = {"closest": f"{distance:.1f} ({one}, {other})"}
    verdict = verdict_of(judges.features, judges.judge, pairs, judges.targets)
    shares = sharpness(pairs, judges.targets)
    least, most = (chosen(shares, key=shares.__getitem__) for chosen in (min, max))
    numbers |= {
        "named": f"{verdict.named:.0%} (targets {verdict.targets_named:.0%})",
        "distance": verdict.distance,
        "sharpness": f"{np.mean(list(shares.values())):.2f} ({shares[least]:.2f} {least} to {shares[most]:.2f} {most})",
    }
    photos, first = len(inputs.photos), len(inputs.pairs) - len(inputs.photos)
    return numbers, {
        "drawings": (72, 1, rows_of([each.picture for each in inputs.drawings], drawn)),
        "photographs": (128, 1, rows_of(inputs.photos, {style: each[-photos:] for style, each in pairs.items()})),
        "scenes": (96, 1, rows_of([each.sketch for each in inputs.pairs[:first]], pairs)),
    }


def rows_of(inputs: Sequence[np.ndarray], by_style: Pictures) -> list[list[np.ndarray]]:
    """A row for each input: itself, then in each style."""
    return [[each, *(several[at] for several in by_style.values())] for at, each in enumerate(inputs)]


def sizes(model: Model) -> Numbers:
    """MB of all files of weights of a model's folder, and of the largest."""
    folder = Path(model.entry.source)
    files = [file.stat().st_size / 1e6 for pattern in WEIGHTS for file in folder.rglob(pattern)]
    return {"all weights": sum(files), "largest file": max(files, default=0.0)}


def table_of(models: Sequence[Measured]) -> list[report.Row]:
    """One row a measure, one column a model, and what is wanted."""
    first = models[0].numbers
    rows: list[report.Row] = []

    def row(what: str, wanted: str, cells: Sequence[object]) -> None:
        rows.append({"what": what, "wanted": wanted} | dict(zip((each.name for each in models), cells, strict=True)))

    def plain(what: str, wanted: str, *names: str, digits: int = 1, times: float = 1.0, unit: str = "") -> None:
        row(what, wanted, [" / ".join(_said(each.numbers[n], digits, times) + unit for n in names) for each in models])

    plain("outlines: colour nearest, with their word", "0.80", "its word", digits=2)
    plain("outlines: by the other hand's own colours", "", "by hand")
    plain("outlines: parts in their colours", "seen", "parts", digits=2)
    plain("outlines: parts, in a picture at rest", "seen", "parts at rest", digits=2)
    plain("outlines: inner lines that are left, live / at rest", "", "ink", "ink at rest", digits=2)
    plain("outlines: with another's word, to that thing's", "0.60", "another's word", digits=2)
    plain("outlines: without a word", "0.40", "no word", digits=2)
    plain("outlines: with the first guess of what they show", "0.40", "guess", digits=2)
    plain("outlines: named by the first guess / by one of three", "", "guessed")
    plain("an orange against a green apple on one circle", "60", "fruit")
    plain("red, blue, yellow, green things: hue within 30 degrees", "80 %", "hue", digits=0, times=100, unit=" %")
    plain("closest two styles, mean difference", "14", "closest")
    plain("styles named, by their targets", "95 %", "named")
    cells = [f"{each.numbers['distance'] / first['distance']:.2f} ({each.numbers['distance']:.3f})" for each in models]  # type: ignore[operator]
    row("feature distance to the targets, of the first model's", "0.6", cells)
    plain("sharpness, of the targets'", "0.85 to 1.1", "sharpness")
    plain("sharpness of the targets through the model's codec", "", "codec", digits=2)
    plain("from the input, strength 0.3 / 1", "seen", "strength 0.3", "strength 1")
    plain("1 against 4 steps", "seen", "steps")
    plain("guidance 1 against 2", "seen", "guidance")
    plain("fusion strength 0 to 1 / bank size 0.25 to 4", "4 / 3", "fusion", "bank", digits=2)
    plain("the paper's bank alone: change of the warp error", "-20 %", "warp", digits=1, times=100, unit=" %")
    plain("warp error without a memory", "", "warp off", digits=2)
    plain("MB of all weights / of the largest file", "40 / 16", "all weights", "largest file")
    return rows


def _said(value: float | str, digits: int, times: float) -> str:
    return value if isinstance(value, str) else f"{value * times:.{digits}f}"


def draw_sheets(models: Sequence[Measured], stem: Path) -> list[Path]:
    """Write the sheets of each model to files that begin with `stem`; returns these."""
    files = []
    for each in models:
        for title, (cell, across, rows) in each.sheets.items():
            file = stem.with_name(f"{stem.name}-{title}-{each.name}.jpg")
            save_sheet(sheet(rows, cell, across), file)
            files.append(file)
    return files


def named_apart(names: Sequence[str]) -> list[str]:
    """The names, each once: a second one of the same has its number behind it."""
    return [
        name if names.index(name) == at else f"{name}-{names[:at].count(name) + 1}" for at, name in enumerate(names)
    ]


def icons_of(work: Path) -> Icons:
    """The icons of a training run. Raises `FileNotFoundError` where it has none."""
    if not (work / "icons" / "icons.json").is_file():
        raise FileNotFoundError(
            f"{work} holds no icons; needed: the drawings that python -m training.train draws first. Name its work "
            "folder with --work."
        )
    return load_icons(work / "icons")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it and the sheets; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument(
        "--model",
        dest="models",
        nargs="+",
        default=["embedded"],
        help="models of the catalogue, or folders: a column each (embedded)",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/painter"), help="the folder of a training run (build/painter)"
    )
    parser.add_argument(
        "--styles",
        nargs="+",
        choices=list(LOOKS),
        default=CARDS,
        metavar="STYLE",
        help=f"of {', '.join(LOOKS)} ({', '.join(CARDS)})",
    )
    parser.add_argument(
        "--word-style", choices=list(LOOKS), default=DEFAULT_LOOK, help=f"in which words are tried ({DEFAULT_LOOK})"
    )
    parser.add_argument("--scenes", type=int, default=5, help="composed scenes that are painted (5)")
    parser.add_argument("--learnt", type=int, default=8, help="scenes that the judge of styles learns from (8)")
    parser.add_argument("--clips", type=int, default=2, help=f"for the bank, of {len(CLIPS)} (2)")
    parser.add_argument("--frames", type=int, default=20, help=f"of a clip, at least {FEWEST_FRAMES} (20)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the table and the sheets")
    parser.add_argument("--name", default="pictures", help="the name of the table there (pictures)")
    options = parser.parse_args(arguments)
    if (
        min(options.scenes, options.learnt) < 1
        or not 1 <= options.clips <= len(CLIPS)
        or options.frames < FEWEST_FRAMES
    ):
        parser.error(f"needed: 1 scene or more, 1 to {len(CLIPS)} clips, at least {FEWEST_FRAMES} frames")
    if len(options.styles) < 2:
        parser.error("needed: two styles or more")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    cv2.setNumThreads(1)  # its workers would wait beside those that paint
    keep_freed_memory()  # as app.py does
    asking = Asking(options.styles, phrase_of(options.word_style), list(CLIPS)[: options.clips], options.frames)

    @cache
    def judged(side: int) -> tuple[Inputs, Judges]:
        inputs = inputs_of(icons, side, options.scenes, options.learnt)
        return inputs, judges_of(inputs, features, asking.styles, side)

    try:
        icons = icons_of(options.work)
        file = options.work / "carried" / "features.safetensors"
        write_features(file)
        features = load_features(file, torch.device("cpu"))
        models = [load_model(each) for each in options.models]
    except (ModelError, FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    names = named_apart([each.name for each in models])
    found = [
        measured(model, name, *judged(model.native_size), asking) for model, name in zip(models, names, strict=True)
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    images = "\n".join(f"![{each.stem}]({each.name})" for each in draw_sheets(found, options.results / options.name))
    inputs, _ = judged(models[0].native_size)
    note = NOTE.format(
        outlines=len(inputs.outlines),
        taught=len(inputs.taught),
        rested=min(RESTED_THINGS, len(inputs.taught)),
        scenes=options.scenes,
        learnt=options.learnt,
        coloured=min(COLOURED_THINGS, len(inputs.outlines)),
        clips=" and ".join(asking.clips),
        textured=", ".join(each for each in asking.styles if each in TEXTURED) or asking.styles[0],
    )
    command = (
        f"python -m benchmarks.pictures --model {shlex.join(names)} --scenes {options.scenes} "
        f"--learnt {options.learnt} --clips {options.clips} --frames {options.frames}"
    )
    if options.styles != CARDS:
        command = f"{command} --styles {' '.join(options.styles)}"
    machine = report.machine(models[0].device, models[0].dtype)
    report.publish(
        options.name, command, machine, {"Pictures": table_of(found)}, f"{note}\n\n{images}", options.results
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
