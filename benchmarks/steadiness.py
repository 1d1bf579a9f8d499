"""How steady each memory is on moving scenes whose motion is known, and what that costs in lag, ghosts and time."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
from transformers.utils import logging as transformers_logging

from benchmarks.measuring import report
from benchmarks.scores.scores import PICTURES, Study, player_of, scores_of
from benchmarks.scores.tables import clip_table, draw_plots, main_table, style_table, together
from benchmarks.scores.variants import VARIANTS, named
from pipeline import FrameSettings, ModelError, SettingsError, load_model, with_decoder
from pipeline.compute.host import keep_freed_memory
from pipeline.frames.quality_clip import MODEL
from pipeline.prompts.encoder import PromptEncoder
from training.clips.clips import CLIPS, FEWEST_FRAMES, FRAMES
from training.looks.looks import LOOKS, canonical_prompt

STYLE = "watercolor"
BY_STYLE = ("warp error", "structure error")
"""The measures of which there is a table by style."""
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
holds at the end of a clip. `causal` is Live2Diff's memory, with this model's own weights. Where the model has a decoder
that remembers, it draws every row but `memory off`; `decoder alone` is it without any other memory."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write them and the plots; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steadiness", description=__doc__)
    names = [each.name for each in VARIANTS]
    parser.add_argument("--model", default="embedded", help="a model of the catalogue, or a folder (default: embedded)")
    parser.add_argument("--decoder", default="", metavar="FILE", help="as with app.py: a decoder that remembers")
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
        choices=list(LOOKS),
        default=[STYLE],
        metavar="STYLE",
        help=f"what is asked for, of {', '.join(LOOKS)}; pictures show the first (default: {STYLE})",
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
        if options.decoder:
            model = with_decoder(model, options.decoder)
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
    if options.decoder:
        command = f"{command} --decoder {Path(options.decoder).name}"
    if options.variants:
        command = f"{command} --variants {shlex.join(options.variants)}"
    machine = report.machine(model.device, model.dtype)
    report.publish(options.name, command, machine, tables, f"{NOTE}\n\n{images}", options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
