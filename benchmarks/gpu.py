"""What a graphics card gives: many visitors at one engine, each stage of a frame, and diffusers' own pipeline beside.

Models are of Stable Diffusion 1.5's and SDXL's shapes with random weights. It needs `pipeline/` and what that imports,
and no page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean, median
from threading import Event
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from benchmarks import plots, report
from benchmarks.ceilings import measured_ceilings
from benchmarks.options import numbers
from benchmarks.paces import Stay
from benchmarks.shapes import SD15, SDXL, TINY, Shape, random_model
from benchmarks.stages import (
    EXECUTIONS,
    Memory,
    diffusers_rows,
    drawn_frames,
    engine_memory,
    kernels_for,
    settings_of,
    stage_row,
    stages,
)
from benchmarks.timing import percentile
from pipeline import Engine, FrameSettings, Model, Session
from pipeline.compute.host import in_passing_thread
from pipeline.engine.graphs import Graphs, recorder_for
from pipeline.engine.lanes import Tick
from pipeline.frames.codec import Frame
from pipeline.settings import Pipelined

VISITORS, STEPS, QUICK_STEPS = (1, 8, 4, 16), (2, 4, 1), (2,)
BANKS = (0.5, 2.0, 4.0)
SIDES = (512, 768)
SECONDS, QUICK_SECONDS = 2.0, 1.5
LIMIT_S, QUICK_LIMIT_S = 460.0, 100.0
WARM_UP_PICTURES = 12
"""Three intervals of the bank: it is full, and has been merged down; and the UNet's calls have been recorded."""
DIFFUSERS_REPEATS = 5
ANSWER_SECONDS = 120.0
POLL_S = 0.001
STYLES = ("watercolor painting", "oil painting, sunset", "anime, night", "pencil drawing", "woodblock print, winter")

ONE, WAITING, PIPELINED = "one", "one, one waits", "pipelined, one waits"
"""What of a visitor is under way: a frame, and none is sent before its picture is back; a frame, and the next lies
ready, as with the page; a frame for each step, and the next lies ready."""

NOTE = f"""\
Visitors: each is a thread with a prompt, a seed and a moving drawing of their own, which sends the next frame as soon
as there is room for it; pictures stay pixels, no JPEG is read or written. Under way: "{ONE}" frame of a visitor, the
next sent when its picture is back; "{WAITING}" more in the mailbox, as with the page; "pipelined", a frame for each
step. Latency is from sending a frame to having its picture, and with it the wait in the mailbox. Rows and milliseconds
are of one UNet call; where calls are only launched, milliseconds are those of launching. MiB: what one session holds.
GiB: the most that tensors ever took of the card, weights included.

Stages: milliseconds of each for that many frames at once, between CUDA events; renewal is that of all layers, which a
frame pays once in an interval of the bank; history runs on the processor, beside the card. GFLOP as PyTorch counts
them, without the fusion; MiB moved is an estimate: all weights once, and of every layer its inputs and outputs once.
The floor is the larger of both over the card's ceilings, a large product and a large copy measured in the same run.

Weights are random: they cost what trained ones cost. Targets, on one H200, SD 1.5's shape at 512 x 512, a bank of one
frame: one visitor at 60 frames/s with two steps and 45 with four, pipelined; the memory at most a tenth of a frame; at
least 4 times diffusers' pipeline; eight visitors at 120 frames/s in all with two steps."""


class StuckError(RuntimeError):
    """The engine answers no frame."""


@dataclass(frozen=True)
class Case:
    """What is measured: how many visitors, and what each of them asks for."""

    visitors: int
    steps: int
    memory: Memory = "both"
    bank: float = 1.0
    steadiness: float = FrameSettings().steadiness
    under_way: str = WAITING
    graphs: Graphs = "auto"

    @property
    def settings(self) -> FrameSettings:
        """Of every visitor, but for the prompt."""
        pipelined: Pipelined = "on" if self.under_way == PIPELINED else "off"
        asked = settings_of(self.memory, self.bank)
        return asked.changed(steps=self.steps, steadiness=self.steadiness, pipelined=pipelined)

    @property
    def frames_under_way(self) -> int:
        """The most of one visitor, with one that waits in the mailbox."""
        return {ONE: 1, WAITING: 2, PIPELINED: self.steps + 1}[self.under_way]

    @property
    def engine(self) -> tuple[str, Graphs]:
        """What an engine has to be opened with for it."""
        return engine_memory(self.memory), self.graphs

    @property
    def row(self) -> dict[str, object]:
        """Its cells in the table."""
        return {
            "visitors": self.visitors,
            "steps": self.steps,
            "memory": self.memory,
            "bank": f"{self.bank:g}",
            "steadiness": f"{self.steadiness:g}",
            "under way": self.under_way,
            "graphs": self.graphs,
        }


def telling_cases(visitors: Sequence[int], steps: Sequence[int]) -> list[Case]:
    """What the targets are about, and the same without a memory and without recordings."""
    chosen = [Case(many, few) for few in steps for many in visitors]
    chosen += [Case(many, few, under_way=PIPELINED) for few in steps for many in visitors if few > 1]
    return chosen + [Case(many, few, memory="off") for few in steps for many in visitors]


def further_cases(visitors: Sequence[int], steps: Sequence[int]) -> list[Case]:
    """What the others are compared with: calls that are not recorded, parts of the memory, other banks."""
    few, most = steps[0], visitors[: 2 if len(visitors) > 1 else 1]
    chosen = [Case(many, few, bank=bank) for bank in BANKS for many in most]
    chosen += [Case(many, few, memory="attention") for many in visitors]
    chosen += [Case(many, few, under_way=ONE) for many in visitors]
    chosen += [Case(many, few, steadiness=0.0) for many in visitors]
    return chosen + [Case(many, each, graphs="off") for each in steps for many in visitors]


def drawn(
    session: Session,
    frames: Iterator[Frame],
    settings: FrameSettings,
    under_way: int,
    stopped: Event,
    received: list[float],
) -> Stay:
    """What comes to a visitor who keeps that many frames under way until `stopped` is set; when each picture came is
    put into `received` at once.

    A frame is sent only once the one before it has left the mailbox, so none is ever dropped. Raises what a frame
    raised, or `StuckError`.
    """
    since = time.perf_counter()
    pending: deque[tuple[float, Future[Any]]] = deque()
    sent = []
    while not stopped.is_set():
        if len(pending) < under_way and (not pending or is_taken(pending[-1][1])):
            pending.append((time.perf_counter(), session.submit(next(frames), settings)))
            continue
        # Nobody says when a frame leaves the mailbox, so at the beginning, with fewer than may be, it is looked for.
        patience = POLL_S if len(pending) < under_way else ANSWER_SECONDS
        if not wait([future for _, future in pending], patience, FIRST_COMPLETED).done and patience > POLL_S:
            raise StuckError(f"the engine gave no picture for {ANSWER_SECONDS:g} s; needed: one. Take a smaller model.")
        while pending and pending[0][1].done():
            moment, future = pending.popleft()
            future.result()
            sent.append(moment)
            received.append(time.perf_counter())
    return Stay(since, time.perf_counter(), tuple(sent), tuple(received))


def is_taken(future: Future[Any]) -> bool:
    """Whether a frame is no longer in the mailbox."""
    return future.running() or future.done()


class Ticks:
    """The UNet calls of an engine, each with the moment of its end."""

    def __init__(self, engine: Engine) -> None:
        self._seen: list[tuple[float, Tick]] = []
        engine.watch(lambda tick: self._seen.append((time.perf_counter(), tick)))

    def row(self, start: float, end: float) -> dict[str, object]:
        """Cells about the calls that ended from `start` until `end`; raises `StuckError` where there are none."""
        ticks = [tick for moment, tick in tuple(self._seen) if start <= moment < end]
        if not ticks:
            raise StuckError("no UNet call ended while it was measured; needed: some. Raise --seconds.")
        return {"rows": fmean(tick.rows for tick in ticks), "ms a call": median(tick.seconds for tick in ticks) * 1000}


def measured_row(engine: Engine, ticks: Ticks, case: Case, frames: Sequence[Frame], seconds: float) -> report.Row:
    """One case for `seconds` after a warm-up of all its visitors. Raises what a frame raised, or `StuckError`.

    A picture has left the card when its future is done, so that the card is waited for with every frame.
    """
    if engine.model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(engine.model.device)
    stopped = Event()
    sessions = [engine.open(seed=number) for number in range(case.visitors)]
    received: list[list[float]] = [[] for _ in sessions]
    with ThreadPoolExecutor(case.visitors, thread_name_prefix="visitor") as pool:
        visits = [
            pool.submit(
                drawn,
                session,
                islice(cycle(frames), 5 * number, None),
                case.settings.changed(prompt=STYLES[number % len(STYLES)]),
                case.frames_under_way,
                stopped,
                received[number],
            )
            for number, session in enumerate(sessions)
        ]
        try:
            while min(session.frames for session in sessions) < WARM_UP_PICTURES and not _failed(visits, POLL_S):
                pass
            start = time.perf_counter()
            _failed(visits, seconds)
            # However slow the machine is, everybody gets two: the second had its UNet call while it was measured.
            while any(len(each) < 2 or each[-2] < start for each in received) and not _failed(visits, POLL_S):
                pass
            end = time.perf_counter()
        finally:
            stopped.set()
        stays = [visit.result().during(start, end) for visit in visits]
    held = max(session.nbytes for session in sessions)
    for session in sessions:
        session.close()
    size = {"MiB": held / 2**20, "GiB": _peak(engine.model.device)}
    return case.row | {"kernel": engine.kernel} | _pace(stays) | ticks.row(start, end) | size


def _failed(visits: Sequence[Future[Stay]], seconds: float) -> bool:
    """Whether a visit ended before `seconds` were over; its result says why."""
    return bool(wait(visits, seconds, FIRST_EXCEPTION).done)


def _pace(stays: Sequence[Stay]) -> dict[str, object]:
    rates = [stay.rate for stay in stays]
    latencies = [latency for stay in stays for latency in stay.latencies]
    if not latencies:
        raise StuckError("no picture came while it was measured; needed: some. Measure for longer with --seconds.")
    return {
        "frames/s in all": sum(rates),
        "each, least": min(rates),
        "each, mean": fmean(rates),
        "each, most": max(rates),
        "ms, 50 %": percentile(latencies, 50),
        "ms, 95 %": percentile(latencies, 95),
    }


def _peak(device: torch.device) -> float | str:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else ""


def visitor_rows(model: Model, size: tuple[int, int], chosen: Sequence[Case], seconds: float) -> Iterator[report.Row]:
    """A row for each case, as soon as it is there. What needs one engine is measured with one, together."""
    frames = drawn_frames(size)
    for parts in dict.fromkeys(case.engine for case in chosen):
        with Engine(model, memory=parts[0], size=size, graphs=parts[1]) as engine:
            ticks = Ticks(engine)
            for case in (case for case in chosen if case.engine == parts):
                yield measured_row(engine, ticks, case, frames, seconds)


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
