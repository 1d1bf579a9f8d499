"""Many visitors at one real app: how fast and how evenly it serves them, and whether it stays as it was for long."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.measuring import report
from benchmarks.measuring.options import numbers
from benchmarks.measuring.paces import WINDOW_S, Stay, fairness, jitter
from benchmarks.measuring.timing import percentile
from benchmarks.visitors import soak
from benchmarks.visitors.serving import LoadError, Server, complaints, name_and_machine, serving
from benchmarks.visitors.visits import FRAMES_UNDER_WAY, Visit, settings_of, visited
from pipeline import FrameSettings, ModelError

VISITORS = (1, 2, 4, 8)
WARM_UP_PICTURES = 4
WARM_UP_S = 10.0
POLL_S = 0.1
KIB, MIB = 2**10, 2**20
PERCENTILES = (50, 95, 99)

NOTE = f"""\
Each number of visitors has an app of its own, fresh; all visitors are in one process beside it, on the same machine.
Each keeps {FRAMES_UNDER_WAY} frames of a moving drawing under way, as the page does, newest first, under a prompt of
their own; JPEG both ways. Latency is from sending a frame to having its picture. Jitter: mean |difference| between
successive intervals of pictures. Least share: the slowest visitor's pictures, of the mean. Fairness: the least share in
any {WINDOW_S:g} s; with n pictures each in that time, one more or less is 1 / n. Dropped: newer ones took their place.
MiB each: growth of the app's resident memory from before anybody came, over the visitors: sessions and working buffers.
KiB held each: what the app's metrics say that sessions hold. Targets, on two CPU cores: four visitors together get at
least 1.6 of the frames per second of one alone, each at least 0.9 of a fair quarter; fairness at least 0.8."""


@dataclass(frozen=True)
class Phase:
    """Some visitors at once: what came to each in the seconds that were measured, frames dropped and failed in them,
    and in bytes by how much the app grew and what its sessions held; `None` where nobody tells."""

    stays: tuple[Stay, ...]
    dropped: int
    failed: int
    grown: float | None
    held: float | None
    complaints: int = 0

    @property
    def rates(self) -> list[float]:
        """Pictures a second, one number a visitor."""
        return [stay.rate for stay in self.stays]


async def phase(
    server: Server, visitors: int, seconds: float, settings: Mapping[str, Any], warm_up: float = 0.0
) -> Phase:
    """Measure `visitors` for `seconds` after a warm-up of all, which takes `warm_up` seconds at least; raises
    `LoadError`."""
    before = server.resident_bytes()
    leaving, visits = asyncio.Event(), [Visit() for _ in range(visitors)]
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None)) as client:
        tasks = [
            asyncio.create_task(
                visited(client, server.address, f"visitor{number}", settings_of(number, settings), leaving, visit)
            )
            for number, visit in enumerate(visits)
        ]
        try:
            while min(len(visit.received) for visit in visits) < WARM_UP_PICTURES:
                await _passed(tasks, POLL_S)
            await _passed(tasks, warm_up)
            start = time.perf_counter()
            await _passed(tasks, seconds)
            end = time.perf_counter()
            resident, held = server.resident_bytes(), await asyncio.to_thread(server.held_bytes)
            leaving.set()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return Phase(
        stays=tuple(visit.stay.during(start, end) for visit in visits),
        dropped=sum(start <= moment < end for visit in visits for moment in visit.dropped),
        failed=sum(start <= moment < end for visit in visits for moment in visit.failed),
        grown=None if before is None or resident is None else resident - before,
        held=held,
    )


async def _passed(visits: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Let `seconds` pass; raises at once what ends a visit."""
    ended, _ = await asyncio.wait(visits, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for visit in ended:
        visit.result()


def phases(
    model: str,
    counts: Sequence[int],
    seconds: float,
    rounds: int,
    settings: Mapping[str, Any],
    arguments: Sequence[str],
    warm_up: float = WARM_UP_S,
) -> dict[int, list[Phase]]:
    """For each number of visitors one phase a round, in turns, each with an app of its own."""
    measured: dict[int, list[Phase]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            measured[count].append(_logged_phase(model, count, seconds, settings, arguments, warm_up))
    return measured


def _logged_phase(
    model: str, visitors: int, seconds: float, settings: Mapping[str, Any], arguments: Sequence[str], warm_up: float
) -> Phase:
    with TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        with serving(model, log, arguments, visitors) as server:
            measured = asyncio.run(phase(server, visitors, seconds, settings, warm_up))
        said = complaints(log)
    for line in said:
        print(f"the app's log, {visitors} visitors: {line}", file=sys.stderr)
    return replace(measured, complaints=len(said))


def visitors_row(rounds: Sequence[Phase], alone: float | None) -> report.Row:
    """What one number of visitors got in all rounds; `alone` is the frames per second of one, where that is known.

    Raises `LoadError` where no picture came.
    """
    stays = [stay for each in rounds for stay in each.stays]
    latencies = [latency for stay in stays for latency in stay.latencies]
    if not latencies:
        raise LoadError("no picture came while it was measured; needed: some. Measure for longer.")
    rates = [rate for each in rounds for rate in each.rates]
    together = frames_a_second(rounds)
    fair = [share for each in rounds if (share := fairness(each.stays)) is not None]
    return {
        "visitors": len(rounds[0].stays),
        "frames/s in all": together,
        "of one alone": _or_blank(None if alone is None else together / alone),
        "each, least": min(rates),
        "each, mean": fmean(rates),
        "each, most": max(rates),
        "least share": min(min(each.rates) / fmean(each.rates) for each in rounds if any(each.rates)),
        "fairness": _or_blank(min(fair, default=None)),
        **{f"ms, {percent} %": percentile(latencies, percent) for percent in PERCENTILES},
        "jitter ms": _or_blank(_mean([jitter(each.stays) for each in rounds])),
        "dropped": sum(each.dropped for each in rounds),
        "failed": sum(each.failed for each in rounds),
        "MiB each": _or_blank(_mean([_of(each.grown, len(each.stays) * MIB) for each in rounds])),
        "KiB held each": _or_blank(_mean([_of(each.held, len(each.stays) * KIB) for each in rounds])),
        "errors in the log": sum(each.complaints for each in rounds),
    }


def frames_a_second(rounds: Sequence[Phase]) -> float:
    """Of all visitors together, the mean over rounds."""
    return fmean(sum(each.rates) for each in rounds)


def _of(bytes_held: float | None, unit: int) -> float | None:
    return None if bytes_held is None else bytes_held / unit


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _or_blank(value: float | None) -> float | str:
    return "" if value is None else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--visitors", type=numbers, default=VISITORS, help="how many at once (default: 1,2,4,8)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement (default: 30)")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds before each, at least (default: 10)")
    parser.add_argument("--rounds", type=int, default=1, help="of all measurements, in turns (default: 1)")
    parser.add_argument("--steps", type=int, default=FrameSettings().steps, help="denoising steps (default: 1)")
    parser.add_argument("--pipelined", choices=("off", "on"), help="pipelined denoising (default: the app's)")
    parser.add_argument("--model", default="embedded", help="the model that the app serves (default: embedded)")
    parser.add_argument("--app", type=shlex.split, default=[], metavar="WORDS", help="more arguments for app.py")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="let the most visitors come and go, this long")
    parser.add_argument("--seed", type=int, default=7, help="of who comes and goes when (default: 7)")
    parser.add_argument(
        "--settle", type=float, default=soak.SETTLE_S, help="seconds until all who left are forgotten (default: 7)"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the tables")
    parser.add_argument("--name", help="the name of the files there (default: load, or load-soak)")
    return parser


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What all visitors ask for."""
    pipelined = {} if options.pipelined is None else {"pipelined": options.pipelined}
    return {"steps": options.steps, "bank_frames": 1.0, **pipelined}


def _tables(options: argparse.Namespace, title: str) -> tuple[dict[str, list[report.Row]], str]:
    """The tables and their note; raises `LoadError` or `ModelError`."""
    settings = _settings(options)
    if options.soak is not None:
        soaked = soak.soaked(
            options.model, max(options.visitors), options.soak * 60, options.seed, options.settle, settings, options.app
        )
        return {f"Soak, {title}": soak.part_rows(soaked), f"Verdicts, {title}": soak.verdict_rows(soaked)}, soak.NOTE
    measured = phases(
        options.model, options.visitors, options.seconds, options.rounds, settings, options.app, options.warm_up
    )
    alone = frames_a_second(measured[1]) if 1 in measured else None
    return {f"Visitors, {title}": [visitors_row(each, alone) for each in measured.values()]}, NOTE


def command_of(options: argparse.Namespace, model_name: str) -> str:
    """The command line that measures the same again."""
    words = ["python -m benchmarks.load", "--visitors", ",".join(map(str, options.visitors)), "--steps", options.steps]
    if options.pipelined is not None:
        words += ["--pipelined", options.pipelined]
    words += ["--model", model_name]
    if options.app:
        words += ["--app", f'"{shlex.join(options.app)}"']
    if options.soak is not None:
        words += ["--soak", f"{options.soak:g}", "--seed", options.seed]
    else:
        words += ["--seconds", f"{options.seconds:g}", "--rounds", options.rounds]
        words += ["--warm-up", f"{options.warm_up:g}"]
    return " ".join(map(str, words))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write them; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.seconds <= 0 or options.rounds < 1 or (options.soak is not None and options.soak <= 0):
        parser.error("needed: seconds and minutes above 0, and at least one round")
    try:
        model_name, machine_line = name_and_machine(options.model)
        title = f"{model_name}, {options.steps} step{'s' * (options.steps > 1)}"
        tables, note = _tables(options, title)
    except (LoadError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    name = options.name or ("load" if options.soak is None else "load-soak")
    report.publish(name, command_of(options, model_name), machine_line, tables, note, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
