"""Many visitors at one engine in one process, with a model of Stable Diffusion 1.5's shape and random weights: what a
graphics card gives them. It needs `pipeline/` and what that imports, and no page."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean, median
from threading import Event
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from benchmarks import report
from benchmarks.drawing import moving_drawing
from benchmarks.options import numbers
from benchmarks.paces import Stay
from benchmarks.sd15 import SD15, TINY, random_model
from benchmarks.timing import percentile
from pipeline import Engine, FrameSettings, Model, RearviewError, Session
from pipeline.codec import Frame
from pipeline.host import in_passing_thread
from pipeline.lanes import Tick
from pipeline.settings import Pipelined

VISITORS, STEPS, QUICK_STEPS = (1, 2, 4, 8), (1, 2, 4), (2,)
SECONDS, QUICK_SECONDS = 4.0, 1.5
LIMIT_S, QUICK_LIMIT_S = 480.0, 100.0
DRAWN_FRAMES = 32
WARM_UP_PICTURES = 8
"""Two intervals of the bank: it is full, and has been merged down."""
ANSWER_SECONDS = 120.0
POLL_S = 0.001
STYLES = ("watercolor painting", "oil painting, sunset", "anime, night", "pencil drawing", "woodblock print, winter")

ONE, WAITING, PIPELINED = "one", "one, one waits", "pipelined, one waits"
"""What of a visitor is under way: a frame, and none is sent before its picture is back; a frame, and the next lies
ready, as with the page; a frame for each step, and the next lies ready."""

NOTE = f"""\
Each visitor is a thread with a prompt, a seed and a moving drawing of their own, which sends the next frame as soon as
there is room for it; pictures stay pixels, no JPEG is read or written. Under way: "{ONE}" frame of a visitor, the next
sent when its picture is back; "{WAITING}" more in the mailbox, as with the page; "pipelined", a frame for each step.
Latency is from sending a frame to having its picture, and with it the wait in the mailbox. Rows and milliseconds are of
one UNet call. MiB: what one session holds. GiB: the most that tensors ever took of the card, weights included.
Weights are random: they cost what trained ones cost. Targets, on one H200, feature bank full, two steps: one visitor at
60 frames/s, eight at 15 each."""


class StuckError(RuntimeError):
    """The engine answers no frame."""


@dataclass(frozen=True)
class Case:
    """What is measured: how many visitors, and what each of them asks for."""

    visitors: int
    steps: int
    memory: str = "feature-bank"
    steadiness: float = FrameSettings().steadiness
    under_way: str = WAITING

    @property
    def settings(self) -> FrameSettings:
        """Of every visitor, but for the prompt."""
        pipelined: Pipelined = "on" if self.under_way == PIPELINED else "off"
        return FrameSettings(steps=self.steps, steadiness=self.steadiness, bank_frames=1.0, pipelined=pipelined)

    @property
    def frames_under_way(self) -> int:
        """The most of one visitor, with one that waits in the mailbox."""
        return {ONE: 1, WAITING: 2, PIPELINED: self.steps + 1}[self.under_way]

    @property
    def row(self) -> dict[str, object]:
        """Its cells in the table."""
        return {
            "visitors": self.visitors,
            "steps": self.steps,
            "memory": self.memory,
            "steadiness": f"{self.steadiness:g}",
            "under way": self.under_way,
        }


def cases(visitors: Sequence[int], steps: Sequence[int], quick: bool) -> list[Case]:
    """What is measured, the most telling first: a run that is cut short has these. One memory follows the other."""
    chosen = [Case(many, few) for few in steps for many in visitors]
    chosen += [Case(many, few, under_way=PIPELINED) for few in steps for many in visitors if few > 1]
    if not quick:
        chosen += [Case(many, few, under_way=ONE) for few in steps for many in visitors]
        chosen += [Case(many, few, steadiness=0.0) for few in steps for many in visitors]
    return chosen + [Case(many, few, memory="none") for few in steps for many in visitors]


def drawn(session: Session, frames: Iterator[Frame], settings: FrameSettings, under_way: int, stopped: Event) -> Stay:
    """What comes to a visitor who keeps that many frames under way until `stopped` is set.

    A frame is sent only once the one before it has left the mailbox, so none is ever dropped. Raises what a frame
    raised, or `StuckError`.
    """
    since = time.perf_counter()
    pending: deque[tuple[float, Future[Any]]] = deque()
    sent, received = [], []
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
    with ThreadPoolExecutor(case.visitors, thread_name_prefix="visitor") as pool:
        visits = [
            pool.submit(
                drawn,
                session,
                islice(cycle(frames), 5 * number, None),
                case.settings.changed(prompt=STYLES[number % len(STYLES)]),
                case.frames_under_way,
                stopped,
            )
            for number, session in enumerate(sessions)
        ]
        try:
            while min(session.frames for session in sessions) < WARM_UP_PICTURES and not _failed(visits, POLL_S):
                pass
            start = time.perf_counter()
            _failed(visits, seconds)
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


def rows_of(model: Model, chosen: Sequence[Case], seconds: float, deadline: float) -> Iterator[report.Row]:
    """A row for each case, as soon as it is there; none any more after `deadline`, a moment of `time.perf_counter`."""
    side = model.native_size
    frames = [np.asarray(picture) for picture in moving_drawing(side, DRAWN_FRAMES)]
    for memory in dict.fromkeys(case.memory for case in chosen):
        with Engine(model, memory=memory) as engine:
            ticks = Ticks(engine)
            for case in (case for case in chosen if case.memory == memory):
                if time.perf_counter() > deadline:
                    return
                yield measured_row(engine, ticks, case, frames, seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--visitors", type=numbers, default=VISITORS, help="how many at once (default: 1,2,4,8)")
    parser.add_argument("--steps", type=numbers, help="denoising steps (default: 1,2,4, or 2 with --quick)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default: 4, or 1.5 with --quick)")
    parser.add_argument("--limit", type=float, help="seconds until none begins any more (default: 480, or 100)")
    parser.add_argument("--quick", action="store_true", help="fewer settings, for less long")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"), help="where (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="with a tiny model, to try the benchmark itself")
    parser.add_argument(
        "--results", type=Path, help="the folder for the table (default: benchmarks/results; of a try, none)"
    )
    parser.add_argument("--name", default="gpu", help="the name of the files there (default: gpu)")
    return parser


def _command(arguments: Sequence[str]) -> str:
    """The command line, without where its results go."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--results")
    _, words = parser.parse_known_args(arguments)
    return " ".join(["python -m benchmarks.gpu", *words])


def _shortened(count: int, wanted: int, failure: str) -> str:
    """What a note says of a run that did not come to its end; nothing of another."""
    return "" if count == wanted else f"\n\n{count} of {wanted} settings were measured.{failure}"


def _publish(model: Model, rows: Sequence[report.Row], note: str, options: argparse.Namespace, command: str) -> None:
    """Print the table, and write it unless it is one of a try that nobody named a folder for."""
    is_try = options.tiny or model.device.type != "cuda"
    folder = options.results or (None if is_try else report.RESULTS)
    title = f"{model.name}, {model.native_size} x {model.native_size}"
    page = (options.name, command, report.machine(model.device, model.dtype), {title: rows}, note)
    if folder is None:
        print(report.page_of(*page))
    else:
        report.publish(*page, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it; returns the exit status: 1 where something failed on the way."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    began, options = time.perf_counter(), _parser().parse_args(words)
    if options.device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device was found; needed: one. Try --device cpu --tiny.", file=sys.stderr)
        return 1
    chosen = cases(options.visitors, options.steps or (QUICK_STEPS if options.quick else STEPS), options.quick)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    deadline = began + (options.limit or (QUICK_LIMIT_S if options.quick else LIMIT_S))
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
    model = in_passing_thread(random_model, TINY if options.tiny else SD15, options.device)
    rows: list[report.Row] = []
    failure = ""
    try:
        for row in rows_of(model, chosen, seconds, deadline):
            rows.append(row)
            print(f"{len(rows)} of {len(chosen)}: {row}", file=sys.stderr)
    except (RearviewError, RuntimeError) as error:
        # Also what PyTorch raises: a card without memory ends the run, and what came before it is still a table.
        failure = f" Then it failed: {error}"
        print(error, file=sys.stderr)
    if not rows and not failure:
        failure = "nothing was measured: the time was over before. Raise --limit."
        print(failure, file=sys.stderr)
    if rows:
        _publish(model, rows, NOTE + _shortened(len(rows), len(chosen), failure), options, _command(words))
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
