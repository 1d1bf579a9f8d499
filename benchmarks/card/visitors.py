"""Many visitors at one engine, with no page between: how fast each is served, and what a UNet call takes meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import fmean, median
from threading import Event
from typing import Any

import torch

from benchmarks.card.shapes import adapter_of
from benchmarks.card.stages import Memory, drawn_frames, engine_memory, settings_of
from benchmarks.measuring import report
from benchmarks.measuring.paces import Stay
from benchmarks.measuring.timing import percentile
from pipeline import Engine, FrameSettings, Model, Session
from pipeline.calls.graphs import Graphs
from pipeline.engine.lanes import Tick
from pipeline.frames.codec import Frame
from pipeline.models.catalogue import CATALOGUE, ModelEntry
from pipeline.models.recognition import family_of_config
from pipeline.settings import Pipelined

BANKS = (0.5, 2.0, 4.0)
WARM_UP_PICTURES = 12
"""Three intervals of the bank: it is full, and has been merged down; and the UNet's calls have been recorded."""
ANSWER_SECONDS = 120.0
POLL_S = 0.001
STYLES = ("watercolor painting", "oil painting, sunset", "anime, night", "pencil drawing", "woodblock print, winter")

ONE, WAITING, PIPELINED = "one", "one, one waits", "pipelined, one waits"
"""What of a visitor is under way: a frame, and none is sent before its picture is back; a frame, and the next lies
ready, as with the page; a frame for each step, and the next lies ready."""


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
    strength: float = 1.0
    guidance: float = 1.0
    like: bool = False
    """Whether each visitor's pictures are to be like another one."""

    @property
    def settings(self) -> FrameSettings:
        """Of every visitor, but for the prompt."""
        pipelined: Pipelined = "on" if self.under_way == PIPELINED else "off"
        asked = settings_of(self.memory, self.bank)
        each = {"steps": self.steps, "strength": self.strength, "guidance": self.guidance}
        return asked.changed(steadiness=self.steadiness, pipelined=pipelined, **each)

    @property
    def frames_under_way(self) -> int:
        """The most of one visitor, with one that waits in the mailbox."""
        return {ONE: 1, WAITING: 2, PIPELINED: self.steps + 1}[self.under_way]

    @property
    def engine(self) -> tuple[str, Graphs, bool]:
        """What an engine has to be opened with for it: its memory, its recordings, and whether with an adapter."""
        return engine_memory(self.memory), self.graphs, self.like

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
            "like": "a picture" if self.like else "",
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
    chosen += [Case(many, few, like=True) for many in most]
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
    if case.like:
        for number, session in enumerate(sessions):
            session.be_like(frames[number % len(frames)])
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
        adapter = adapter_of(model) if parts[2] else None
        with Engine(model, memory=parts[0], size=size, graphs=parts[1], adapter=adapter) as engine:
            ticks = Ticks(engine)
            for case in (case for case in chosen if case.engine == parts):
                yield measured_row(engine, ticks, case, frames, seconds)


def entries_of(model: Model) -> list[ModelEntry]:
    """The models of the catalogue that are of this one's family."""
    family = family_of_config(model.unet.config)
    return [entry for entry in CATALOGUE.values() if entry.family == family]


def entry_rows(model: Model, size: tuple[int, int], visitors: Sequence[int], seconds: float) -> Iterator[report.Row]:
    """A row for each model of this one's family and each number of visitors, who ask for what a fresh page begins with:
    its steps in its way, its strength and its guidance."""
    for entry in entries_of(model):
        begun = entry.defaults
        asked = {"strength": begun.strength, "guidance": begun.guidance}
        cases = [Case(many, begun.steps, **asked) for many in visitors]
        own = replace(model, entry=replace(model.entry, distillation=entry.distillation))
        for row in visitor_rows(own, size, cases, seconds):
            yield {"model": entry.name, "few steps": entry.distillation, **asked, **row}
