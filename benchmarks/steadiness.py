"""How steady each memory is on moving scenes whose motion is known, and what that costs in lag, ghosts and time."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from benchmarks import plots, report
from benchmarks.variants import BOTH, MEMORY_OFF, PARTS, STEADY, TRAINED, VARIANTS, Variant, named
from pipeline import FrameSettings, Model, ModelError, SettingsError, load_model
from pipeline.compute.host import keep_freed_memory
from pipeline.compute.packing import convolutions_packed
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import as_picture, as_pixels, decode, encode
from pipeline.frames.quality import (
    GHOST_AFTER,
    distance_from,
    flicker,
    ghost,
    lag,
    old_shares,
    structure_error,
    warp_error,
)
from pipeline.frames.quality_clip import MODEL, ClipScores, NotComputed, clip_scores
from pipeline.guides.depth import depth_model_for
from pipeline.prompts.encoder import PromptEncoder
from training.clips.clips import CLIPS, FEWEST_FRAMES, FRAMES, Clip, draw_clip
from training.memory.lessons import NEWEST
from training.memory.scenes import along_motion
from training.model.data import as_bytes
from training.scenes.captions import canonical_prompt
from training.styles.styles import STYLES, styled

SEED = 7
"""Of the sessions. Fresh noise counts up from it."""
STYLE = "watercolor"
BY_STYLE = ("warp error", "structure error")
"""The measures of which there is a table by style."""
STRUCTURE_EVERY = 8
"""Frames from one that is compared with the style's own rendering to the next: a style takes longer than a frame."""
EVENT_KINDS = ("cut", "vanish", "change")
MEASURES = (
    "warp error",
    "warp limit",
    "flicker",
    *(f"lag {kind}" for kind in EVENT_KINDS),
    *(f"ghost {number}" for number in GHOST_AFTER),
    "structure error",
    "from memory off",
    "CLIP consistency",
    "CLIP text",
)
STRIP_COLUMNS = 6
PICTURES = ("vanish", "handheld")
STRIPS = f"clips of which a filmstrip and a slice through time are drawn (default: {' '.join(PICTURES)})"

NOTE = """\
Each number is the mean over the clips that have it. Warp error: mean |difference|, 0..255, between a frame and the one
before it warped by the true flow, over pixels visible in both. Warp limit: the same of memory off's pictures, held
still along the true motion and passed once through the codec, which shimmers by itself: a memory that goes below it
does so with softer pictures. Flicker: the warp error where nothing moves but the sensor's noise. Lag: frames until a
cut, a vanished thing or a filled shape shows half way. Ghost n: what is left of the old scene in the n-th picture of
the new one, 0..1. Structure error: 1 minus SSIM's contrast and structure against the style's own rendering. A frozen
picture has the least flicker, an endless lag and a ghost of 1: read them together. Lag and ghost compare with the
memory-off pictures of the same input from one noise, so that under fresh noise they are rough. What a row does not
name is as in `attention and fusion`, the paper's preset: a bank of one frame, renewed every fourth frame, fusion
strength 0.75, threshold 0.9, no steadiness. Milliseconds are medians over all frames; variants take turns clip by
clip; "first ms" is the median of the clips' first frames alone, which every memory paints at once. KiB: what a session
holds at the end of a clip. `causal` is Live2Diff's memory, with this model's own weights."""


@dataclass(frozen=True, eq=False)
class Run:
    """One clip under one variant: outputs uint8 `[T, S, S, 3]`, milliseconds of each frame, bytes of its session."""

    outputs: np.ndarray
    milliseconds: list[float]
    nbytes: int


@dataclass(frozen=True, eq=False)
class Score:
    """What is known of one clip in one style under one variant: measures by name, the shares of the old scene that are
    left after each cut or vanishing, milliseconds a frame, bytes."""

    clip: str
    style: str
    measures: Mapping[str, float | str]
    left: list[np.ndarray]
    milliseconds: list[float]
    nbytes: int


@dataclass(frozen=True, eq=False)
class Player:
    """A variant at work: its memory beside a model, and what guesses the depth that this reads, loaded once."""

    variant: Variant
    translator: Translator


def player_of(model: Model, prompts: PromptEncoder, variant: Variant) -> Player:
    """The variant at work. Raises `ModelError` where the model has no weights for it."""
    memory = variant.memory_for(model)
    depth = depth_model_for([memory], model.device)
    return Player(variant, Translator(model, memory, prompts, model.schedule, depth=depth))


def translated(player: Player, frames: Sequence[np.ndarray], settings: FrameSettings) -> Run:
    """The frames `[S, S, 3]` as the engine translates them in a session of their own, with the variant's memory."""
    translator, state, outputs, milliseconds = player.translator, StreamState(), [], []
    with translator.memory.installed(translator.model.unet):
        for number, frame in enumerate(frames):
            start = time.perf_counter()
            asked = Asked(frame, player.variant.settings_at(number, settings, SEED), SEED)
            picture, state = translator.translated(asked, state)
            milliseconds.append((time.perf_counter() - start) * 1000)
            outputs.append(picture)
    return Run(np.stack(outputs), milliseconds, state.nbytes(translator.memory))


def style_renderings(clip: Clip, style: str) -> dict[int, np.ndarray]:
    """By frame, the style's own rendering uint8 `[S, S, 3]` of some frames of a clip."""
    times = range(0, len(clip.rendering), STRUCTURE_EVERY)
    return {each: as_bytes(styled(clip.rendering[each].astype(np.float32) / 255, style)) for each in times}


def measures_of(
    clip: Clip, outputs: np.ndarray, memory_off: np.ndarray, renderings: Mapping[int, np.ndarray]
) -> dict[str, float | str]:
    """The measures of outputs `[T, S, S, 3]` that this clip can have, by their names in `MEASURES`."""
    measures: dict[str, float | str] = {
        "warp error": warp_error(outputs, clip.flow, clip.visible),
        "structure error": float(np.mean([structure_error(outputs[at], each) for at, each in renderings.items()])),
        "from memory off": distance_from(outputs, memory_off),
    }
    if clip.is_still:
        measures["flicker"] = flicker(outputs)
    for event in clip.events:
        arguments = (outputs, memory_off, event.frame, event.region)
        measures[f"lag {event.kind}"] = lag(*arguments)
        if event.kind != "change":
            measures |= {f"ghost {number}": left for number, left in ghost(*arguments).items()}
    return measures


def warp_limit(model: Model, clip: Clip, memory_off: np.ndarray) -> float:
    """The warp error of pictures `[T, S, S, 3]` that a memory which knew the true motion would have painted."""
    still = along_motion(memory_off.astype(np.float32), clip.flow, clip.visible, NEWEST).clip(0, 255)
    through_codec = [recoded(model, as_bytes(each / 255)) for each in still]
    return warp_error(np.stack(through_codec), clip.flow, clip.visible)


@torch.inference_mode()
def recoded(model: Model, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 `[S, S, 3]` once through a model's codec: the same shape."""
    pixels = as_pixels(picture, model.device, model.dtype)
    return as_picture(decode(model.vae, encode(model.vae, pixels)))


def clip_measures(outputs: np.ndarray, prompt: str, folder: str) -> dict[str, float | str]:
    """CLIP's scores under their names in `MEASURES`, or that they were not computed."""
    match clip_scores(outputs, prompt, folder):
        case ClipScores(consistency, alignment):
            return {"CLIP consistency": consistency, "CLIP text": alignment}
        case NotComputed() as why:
            return {"CLIP consistency": str(why), "CLIP text": str(why)}


@dataclass(frozen=True)
class Study:
    """What is measured: which clips, how long, under which settings and style."""

    clips: Sequence[str]
    frames: int
    settings: FrameSettings
    style: str
    seed: int
    clip_model: str
    pictures: Sequence[str] = PICTURES


def study_of(options: argparse.Namespace, style: str) -> Study:
    """What the command line asks for, in one of its styles. Raises `SettingsError`."""
    return Study(
        clips=list(CLIPS)[: options.clips],
        frames=options.frames,
        settings=FrameSettings(prompt=canonical_prompt(style), steps=options.steps),
        style=style,
        seed=options.seed,
        clip_model=options.clip_model,
        pictures=options.pictures,
    )


def together(studies: Sequence[Mapping[str, list[Score]]]) -> dict[str, list[Score]]:
    """The scores of several studies of the same variants."""
    return {name: [score for scores in studies for score in scores[name]] for name in studies[0]}


def scores_of(
    model: Model, study: Study, players: Sequence[Player], stem: Path | None = None
) -> dict[str, list[Score]]:
    """The scores of each player by its variant's name, one a clip, the first of them with memory off; pictures of
    `study.pictures` go to files that begin with `stem`."""
    scores: dict[str, list[Score]] = {each.variant.name: [] for each in players}
    with convolutions_packed(model.unet, model.vae):
        # The first frames of a process are slow: memory is new and kernels are chosen.
        first = draw_clip(study.clips[0], study.seed, FEWEST_FRAMES, model.native_size)
        translated(players[0], first.frames, study.settings)
        for turn, name in enumerate(study.clips):
            clip = draw_clip(name, study.seed, study.frames, model.native_size)
            runs = runs_of_clip(players, study, clip, turn)
            renderings = style_renderings(clip, study.style)
            off = runs[MEMORY_OFF.name].outputs
            limit = {MEMORY_OFF.name: {"warp limit": warp_limit(model, clip, off)}}
            for variant, run in runs.items():
                measures = measures_of(clip, run.outputs, off, renderings) | limit.get(variant, {})
                scores[variant].append(score_of(clip, run, off, measures, study))
            if stem is not None and name in study.pictures:
                draw_pictures(clip, runs, stem)
            print(f"{name}: {study.frames} frames, {len(players)} variants", file=sys.stderr)
    return scores


def runs_of_clip(players: Sequence[Player], study: Study, clip: Clip, turn: int) -> dict[str, Run]:
    """What each player makes of one clip, by its variant's name and in their order. Memory off goes first, then another
    one in each turn."""
    off, *others = players
    start = turn % max(1, len(others))
    played = {
        each.variant.name: translated(each, clip.frames, study.settings)
        for each in (off, *others[start:], *others[:start])
    }
    return {each.variant.name: played[each.variant.name] for each in players}


def draw_pictures(clip: Clip, runs: Mapping[str, Run], stem: Path) -> None:
    """Write a filmstrip and a slice through time of the input and the memories that a visitor may choose."""
    names = [each.name for each in (MEMORY_OFF, BOTH, STEADY, *TRAINED) if each.name in runs]
    rows = {"input": clip.frames} | {name: runs[name].outputs for name in names}
    plots.filmstrip(rows, strip_columns(clip)).save(beside(stem, f"strip {clip.name}"), optimize=True)
    plots.slices(rows).save(beside(stem, f"slice {clip.name}"), optimize=True)


def beside(stem: Path, title: str) -> Path:
    """The file of a picture: the stem's name and a title."""
    return stem.with_name(f"{stem.name}-{title.replace(' ', '-')}.png")


def score_of(clip: Clip, run: Run, off: np.ndarray, measures: Mapping[str, float | str], study: Study) -> Score:
    """What is known of a run on a clip: these measures, CLIP's, and what is left beside memory off's pictures
    `[T, S, S, 3]`."""
    measures = {**measures, **clip_measures(run.outputs, study.settings.prompt, study.clip_model)}
    events = [event for event in clip.events if event.kind != "change"]
    left = [old_shares(run.outputs, off, event.frame, event.region) for event in events]
    return Score(clip.name, study.style, measures, left, run.milliseconds, run.nbytes)


def strip_columns(clip: Clip) -> list[int]:
    """The frames of a filmstrip: around what happens where something does, else from first to last."""
    last = len(clip.frames) - 1
    if clip.events:
        at = clip.events[0].frame
        return sorted({min(last, max(0, at + step)) for step in (-1, 0, 1, 3, 7, last)})
    return sorted({round(each) for each in np.linspace(0, last, STRIP_COLUMNS)})


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write them and the plots; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steadiness", description=__doc__)
    names = [each.name for each in VARIANTS]
    parser.add_argument("--model", default="embedded", help="a model of the catalogue, or a folder (default: embedded)")
    parser.add_argument("--clips", type=int, default=len(CLIPS), help=f"how many clips, of {len(CLIPS)} (default: all)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames a clip, at least 4 (default: {FRAMES})")
    parser.add_argument("--steps", type=int, default=2, help="denoising steps (default: 2)")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=names,
        metavar="NAME",
        help=f"{', '.join(names)} (default: all that the model has the weights for)",
    )
    parser.add_argument(
        "--styles",
        nargs="+",
        choices=list(STYLES),
        default=[STYLE],
        metavar="STYLE",
        help=f"what is asked for, of {', '.join(STYLES)}; pictures show the first (default: {STYLE})",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the clips (default: 0)")
    parser.add_argument(
        "--clip-model", default=MODEL, help="a CLIP model's folder, or its name in this machine's cache"
    )
    parser.add_argument("--pictures", nargs="*", choices=list(CLIPS), default=PICTURES, metavar="CLIP", help=STRIPS)
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for tables and plots")
    parser.add_argument("--name", default="steadiness", help="the name of the tables there (default: steadiness)")
    options = parser.parse_args(arguments)
    if not 1 <= options.clips <= len(CLIPS) or options.frames < FEWEST_FRAMES:
        parser.error(f"needed: 1 to {len(CLIPS)} clips, at least {FEWEST_FRAMES} frames")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    cv2.setNumThreads(1)  # its workers would wait beside those that translate
    keep_freed_memory()  # as app.py does
    try:
        studies = [study_of(options, style) for style in options.styles]
        model = load_model(options.model)
        variants = named(options.variants or [each.name for each in VARIANTS if each.runs_with(model)])
        prompts = PromptEncoder(model.text_encoders)
        players = [player_of(model, prompts, each) for each in variants]
    except (ModelError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    options.results.mkdir(parents=True, exist_ok=True)
    stem = options.results / options.name
    scores = together([scores_of(model, each, players, stem if each is studies[0] else None) for each in studies])
    images = "\n".join(f"![{each.stem}]({each.name})" for each in draw_plots(scores, stem))
    tables = {f"Variants, {model.name}": main_table(scores)}
    if len(studies) > 1:
        tables |= {f"{each.capitalize()} by style, {model.name}": style_table(scores, each) for each in BY_STYLE}
    tables[f"Warp error by clip, {model.name}"] = clip_table(scores, "warp error")
    command = (
        f"python -m benchmarks.steadiness --model {model.name} --clips {options.clips} --frames {options.frames} "
        f"--steps {options.steps} --styles {' '.join(options.styles)} --seed {options.seed}"
    )
    if options.variants:
        command = f"{command} --variants {shlex.join(options.variants)}"
    machine = report.machine(model.device, model.dtype)
    report.publish(options.name, command, machine, tables, f"{NOTE}\n\n{images}", options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
