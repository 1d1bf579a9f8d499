"""What a recurrent memory paints after 10,000 frames, far beyond its training: with and without its anchor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from benchmarks.longrun import to_and_fro
from benchmarks.measuring import plots, report
from pipeline import Engine, FrameSettings, Model, ModelError, SettingsError, load_model
from pipeline.compute.host import keep_freed_memory
from pipeline.frames.quality import distance_from, warp_error
from pipeline.memory.recurrent import RecurrentMemory
from pipeline.memory.spatial import Recurrent, load_recurrent, save_recurrent
from training.clips.clips import CLIPS, FEWEST_FRAMES, Clip, draw_clip
from training.looks.looks import LOOKS, canonical_prompt

FRAMES = 10_000
CLIP = "pan"
CLIP_FRAMES = 16
SEED = 7
ROWS = 8
OFF = "none"

NOTE = """\
A clip of a moving scene, forwards and backwards so that nothing jumps, again and again in one session, with steadiness
off. Warp error: mean |difference|, 0..255, of a picture and the one before it along the true motion, on the way
forwards. Drift: mean |difference|, 0..255, of the pictures of a repetition and those of the second one, of the same
input frames; without a memory it is 0, and only two repetitions are painted. A memory that never drifts keeps both. An
anchor of 0 is the paper's memory; any other draws it back, with every frame, to what the first frame of the scene
left, by that share."""


@dataclass(frozen=True)
class Repetition:
    """The clip once to and fro: the number of its last frame, and its measures, both of 255."""

    last_frame: int
    warp: float
    drift: float


def repetitions(engine: Engine, clip: Clip, settings: FrameSettings, frames: int) -> Iterator[Repetition]:
    """As many whole repetitions as `frames` hold, in one session."""
    session, order = engine.open(SEED), to_and_fro(list(clip.frames))
    second: np.ndarray | None = None
    for number in range(1, frames // len(order) + 1):
        pictures = np.stack([np.asarray(session.translate(frame, settings)) for frame in order])
        forwards = pictures[: len(clip.frames)]
        second = pictures if number == 2 else second
        drift = 0.0 if second is None else distance_from(pictures, second)
        yield Repetition(number * len(order), warp_error(forwards, clip.flow, clip.visible), drift)


def variants(trained: Recurrent) -> dict[str, Recurrent | None]:
    """What is compared, by name: no memory, the memory as it was trained, and with the other kind of anchor."""
    shares = sorted({trained.anchor_share, 0.0, 0.2}, reverse=True)
    return {OFF: None} | {f"anchor {share:g}": replace(trained, anchor_share=share) for share in shares}


def run_of(model: Model, recurrent: Recurrent | None, options: argparse.Namespace, clip: Clip) -> list[Repetition]:
    """All repetitions with a memory; the first ones without any, whose pictures are the same for ever."""
    settings = FrameSettings(prompt=canonical_prompt(options.style), steps=options.steps, steadiness=0.0)
    with TemporaryDirectory() as folder:
        if recurrent is not None:
            save_recurrent(recurrent, Path(folder), torch.float32)
        memory = OFF if recurrent is None else RecurrentMemory.name
        with Engine(model, memory=memory, memory_weights=folder, size=(options.size, options.size)) as engine:
            frames = options.frames if recurrent is not None else shortest(options.clip_frames)
            return list(repetitions(engine, clip, settings, frames))


def shortest(clip_frames: int) -> int:
    """Frames of two repetitions of a clip, to and fro."""
    return 2 * (2 * clip_frames - 2)


def table_of(runs: dict[str, list[Repetition]]) -> list[report.Row]:
    """Repetitions from the second to the last, each about as many times later than the one before it."""
    longest = max(runs.values(), key=len)
    chosen = sorted({round(each) for each in np.geomspace(2, len(longest), ROWS)})
    return [
        {"frames": longest[number - 1].last_frame}
        | {f"warp error, {name}": run[min(number, len(run)) - 1].warp for name, run in runs.items()}
        | {f"drift, {name}": run[number - 1].drift for name, run in runs.items() if name != OFF}
        for number in chosen
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--model", default="embedded", help="a model of the catalogue, or a folder (default: embedded)")
    parser.add_argument("--weights", type=Path, help="of the memory (default: the model's own)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"how many frames (default: {FRAMES})")
    parser.add_argument("--steps", type=int, default=1, help="denoising steps (default: 1)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of a square (default: the model's own)")
    parser.add_argument("--clip", choices=list(CLIPS), default=CLIP, help=f"what is repeated (default: {CLIP})")
    parser.add_argument(
        "--clip-frames", type=int, default=CLIP_FRAMES, help=f"frames of it, forwards (default: {CLIP_FRAMES})"
    )
    parser.add_argument("--style", choices=list(LOOKS), default="watercolor", help="what is asked for")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for tables and plots")
    parser.add_argument("--name", default="drift", help="the name of the files there (default: drift)")
    return parser


def weights_of(model: Model, named: Path | None) -> Path:
    """The folder of the memory's weights: what is named, or the model's own."""
    return named or Path(model.entry.source) / RecurrentMemory.name


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write it and the plots; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.clip_frames < FEWEST_FRAMES or options.frames < shortest(options.clip_frames):
        parser.error(f"needed: a clip of at least {FEWEST_FRAMES} frames, and two repetitions of it to and fro")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    cv2.setNumThreads(1)  # its workers would wait beside those that translate
    keep_freed_memory()  # as app.py does
    runs: dict[str, list[Repetition]] = {}
    try:
        model = load_model(options.model)
        options.size = options.size or model.native_size
        clip = draw_clip(options.clip, frames=options.clip_frames, size=options.size)
        for name, recurrent in variants(load_recurrent(weights_of(model, options.weights))).items():
            runs[name] = run_of(model, recurrent, options, clip)
            print(f"{name}: done", file=sys.stderr)
    except (ModelError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    links = []
    for measure in ("warp", "drift"):
        path = options.results / f"{options.name}-{measure}.png"
        options.results.mkdir(parents=True, exist_ok=True)
        values = {name: [getattr(each, measure) for each in run] for name, run in runs.items() if name != OFF}
        plots.lines(f"{measure}, of 255", "repetitions of the clip", values).save(path, optimize=True)
        links.append(f"![{path.stem}]({path.name})")
    command = (
        f"python -m benchmarks.drift --model {model.name} --frames {options.frames} --steps {options.steps} --size "
        f"{options.size} --clip {options.clip} --clip-frames {options.clip_frames} --style {options.style}"
    )
    tables = {f"{model.name}, {options.steps} step{'s' * (options.steps > 1)}": table_of(runs)}
    note = "\n\n".join([NOTE, *links])
    report.publish(options.name, command, report.machine(model.device, model.dtype), tables, note, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
