"""What a graphics card gives: many visitors at one engine, each stage of a frame, and diffusers' own pipeline beside.

Models are of Stable Diffusion 1.5's and SDXL's shapes with random weights. It needs `pipeline/` and what that imports,
and no page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from benchmarks.card.ceilings import measured_ceilings
from benchmarks.card.shapes import SD15, SDXL, TINY, Shape, random_model
from benchmarks.card.stages import EXECUTIONS, diffusers_rows, kernels_for, stage_row, stages
from benchmarks.card.visitors import (
    ONE,
    WAITING,
    entries_of,
    entry_rows,
    further_cases,
    telling_cases,
    visitor_rows,
)
from benchmarks.measuring import plots, report
from benchmarks.measuring.options import numbers
from pipeline import Model
from pipeline.calls.recordings import recorder_for
from pipeline.compute.host import in_passing_thread

VISITORS, STEPS, QUICK_STEPS = (1, 8, 4, 16), (2, 4, 1), (2,)
SIDES = (512, 768)
SECONDS, QUICK_SECONDS = 2.0, 1.5
LIMIT_S, QUICK_LIMIT_S = 460.0, 100.0
DIFFUSERS_REPEATS = 5

NOTE = f"""\
Visitors: each is a thread with a prompt, a seed and a moving drawing of their own, which sends the next frame as soon
as there is room for it; pictures stay pixels, no JPEG is read or written. Under way: "{ONE}" frame of a visitor, the
next sent when its picture is back; "{WAITING}" more in the mailbox, as with the page; "pipelined", a frame for each
step. Latency is from sending a frame to having its picture, and with it the wait in the mailbox. Rows and milliseconds
are of one UNet call; where calls are only launched, milliseconds are those of launching. MiB: what one session holds.
GiB: the most that tensors ever took of the card, weights included.

As a page begins: the models of the catalogue that are of this shape, under the settings that a fresh page sends.

Stages: milliseconds of each for that many frames at once, between CUDA events; renewal is that of all layers, which a
frame pays once in an interval of the bank; history runs on the processor, beside the card. GFLOP as PyTorch counts
them, without the fusion; MiB moved is an estimate: all weights once, and of every layer its inputs and outputs once.
The floor is the larger of both over the card's ceilings, a large product and a large copy measured in the same run.

Weights are random: they cost what trained ones cost. Targets, on one H200, SD 1.5's shape at 512 x 512, a bank of one
frame: one visitor at 60 frames/s with two steps and 45 with four, pipelined; the memory at most a tenth of a frame; at
least 4 times diffusers' pipeline; eight visitors at 120 frames/s in all with two steps."""


@dataclass(frozen=True)
class Part:
    """A table, or a part of one: its title, how many rows it should have, and what measures them."""

    title: str
    count: int
    rows: Callable[[], Iterator[report.Row]]


def parts_of(model: Model, size: tuple[int, int], options: argparse.Namespace, main: bool) -> list[Part]:
    """What is measured of a model at `size` (width, height), the most telling first; less of one that is not `main`."""
    name = f"{model.name}, {size[0]} x {size[1]}"
    visitors, steps = (options.visitors, options.steps) if main else (options.visitors[:2], options.steps[:1])
    telling = telling_cases(visitors, steps)
    further = further_cases(visitors, steps) if main and not options.quick else []
    ways = EXECUTIONS if recorder_for(model.device) is not None else ("eager",)
    shown = stages(options.quick or not main, options.visitors[:2] if main else (1,), ways)

    def stage_rows() -> Iterator[report.Row]:
        ceilings, kernels = measured_ceilings(model.device, model.dtype), kernels_for(model, size)
        for stage in shown:
            row = in_passing_thread(stage_row, model, size, stage, ceilings, kernels)
            yield {**row, "TFLOP/s, most": ceilings.operations / 1e12, "GB/s, most": ceilings.bytes / 1e9}

    parts = [Part(f"Visitors, {name}", len(telling), lambda: visitor_rows(model, size, telling, options.seconds))]
    if main:
        beside = lambda: diffusers_rows(model, size, steps, DIFFUSERS_REPEATS)  # noqa: E731 - it closes over its model
        parts.append(Part(f"Beside diffusers, {name}", 3 * len(steps), beside))
    parts.append(Part(f"Stages, {name}", len(shown), stage_rows))
    if further:
        parts.append(
            Part(f"Visitors, {name}", len(further), lambda: visitor_rows(model, size, further, options.seconds))
        )
    if not options.quick:
        many = options.visitors[:2]
        each = lambda: entry_rows(model, size, many, options.seconds)  # noqa: E731 - it closes over its model
        parts.append(Part(f"As a page begins, {name}", len(many) * len(entries_of(model)), each))
    return parts


@dataclass
class Measured:
    """The tables so far, how many rows there should be, and what failed."""

    tables: dict[str, list[report.Row]]
    wanted: int
    failures: list[str]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.tables.values()))

    def take(self, parts: Sequence[Part], deadline: float) -> None:
        """Measure these until `deadline`, a moment of `time.perf_counter`; one that fails keeps what it has."""
        self.wanted += sum(part.count for part in parts)
        for part in parts:
            try:
                for row in part.rows():
                    self.tables.setdefault(part.title, []).append(row)
                    print(f"{self.count} of {self.wanted}: {part.title}: {row}", file=sys.stderr)
                    if time.perf_counter() > deadline:
                        return
            except (RuntimeError, ValueError) as error:
                # Also what PyTorch raises: of a card without memory, what came before is still a table.
                self.failures.append(f"{part.title}: {error}")
                print(error, file=sys.stderr)


def plan(options: argparse.Namespace) -> list[tuple[Shape, int]]:
    """Which shapes are measured at which sides, the most telling first."""
    if options.tiny:
        return [(TINY, TINY.side)]
    shapes = {"sd15": SD15, "sdxl": SDXL}
    return [(shapes[name], side) for name in options.shapes for side in options.sides]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=("sd15", "sdxl"), default=["sd15", "sdxl"], help="of models")
    parser.add_argument("--sides", type=numbers, default=SIDES, help="of pictures, in pixels (default: 512,768)")
    parser.add_argument("--visitors", type=numbers, default=VISITORS, help="how many at once (default: 1,8,4,16)")
    parser.add_argument("--steps", type=numbers, help="denoising steps (default: 2,4,1, or 2 with --quick)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default: 2, or 1.5 with --quick)")
    parser.add_argument("--limit", type=float, help="seconds until none begins any more (default: 460, or 100)")
    parser.add_argument("--quick", action="store_true", help="fewer settings, for less long")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="where (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="with a tiny model, to try the benchmark itself")
    parser.add_argument(
        "--results", type=Path, help="the folder for the tables (default: benchmarks/results; of a try, none)"
    )
    parser.add_argument("--name", default="gpu", help="the name of the files there (default: gpu)")
    return parser


def _command(arguments: Sequence[str]) -> str:
    """The command line, without where its results go."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--results")
    _, words = parser.parse_known_args(arguments)
    return " ".join(["python -m benchmarks.gpu", *words])


def _note(measured: Measured) -> str:
    """What is to be known of the tables, and what a run that did not come to its end leaves out."""
    counts = f"{measured.count} of {measured.wanted}"
    cut = f"\n\n{counts} settings were measured." if measured.count < measured.wanted else ""
    return NOTE + cut + "".join(f" Failed: {failure}" for failure in measured.failures)


def bars_of(tables: dict[str, list[report.Row]]) -> dict[str, float]:
    """Frames a second of the main comparison by what they are of: what the plot shows."""
    shown: dict[str, float] = {}
    for title, rows in tables.items():
        name = title.partition(", ")[2]
        for row in rows:
            if title.startswith("Visitors") and row["steadiness"] != "0" and row["bank"] == "1":
                words = f"{row['visitors']} visitors, {row['steps']} steps, memory {row['memory']}, {row['under way']}"
                recorded = "" if row["graphs"] == "auto" else ", not recorded"
                shown[f"{name}: {words}{recorded}"] = _number(row["frames/s in all"])
            if title.startswith("Beside"):
                shown[f"{name}: {row['what']}, {row['steps']} steps"] = _number(row["frames/s"])
    return shown


def _number(value: Any) -> float:
    return float(value)


def _publish(model: Model, measured: Measured, options: argparse.Namespace, command: str) -> None:
    """Print the tables, and write them and their plot unless it is a try that nobody named a folder for."""
    folder = options.results or (None if options.tiny or model.device.type != "cuda" else report.RESULTS)
    machine = report.machine(model.device, model.dtype)
    page = (options.name, command, machine, measured.tables, _note(measured))
    if folder is None:
        print(report.page_of(*page))
        return
    report.publish(*page, folder)
    if shown := bars_of(measured.tables):
        title = f"frames/s, {machine}, {datetime.now(timezone.utc).date()}"
        plots.bars(title, shown).save(folder / f"{options.name}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write them; returns the exit status: 1 where something failed on the way."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    began, options = time.perf_counter(), _parser().parse_args(words)
    if options.device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device was found; needed: one. Try --device cpu --tiny.", file=sys.stderr)
        return 1
    options.steps = options.steps or (QUICK_STEPS if options.quick else STEPS)
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    deadline = began + (options.limit or (QUICK_LIMIT_S if options.quick else LIMIT_S))
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
    measured, models = Measured({}, 0, []), {}
    for shape, side in plan(options):
        if time.perf_counter() > deadline:
            break
        if shape not in models:
            models.clear()
            models[shape] = in_passing_thread(random_model, shape, options.device)
        size = (side, side)
        is_main = (shape, side) == plan(options)[0]
        measured.take(parts_of(models[shape], size, options, is_main), deadline)
    if not measured.count and not measured.failures:
        measured.failures.append("nothing was measured: the time was over before. Raise --limit.")
        print(measured.failures[0], file=sys.stderr)
    if measured.count:
        (model,) = models.values()
        _publish(model, measured, options, _command(words))
    return 1 if measured.failures else 0


if __name__ == "__main__":
    sys.exit(main())
