"""A soak: visitors come and go for long, and the app ends as it began."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.measuring import report
from benchmarks.measuring.paces import Stay, fairness, jitter
from benchmarks.measuring.timing import percentile
from benchmarks.visitors.serving import LoadError, Server, complaints, serving
from benchmarks.visitors.visits import TurnedAwayError, Visit, settings_of, visited

PARTS = 5
SETTLE_S = 7.0
"""Until nothing is left of a closed tab, which the app forgets within 5 s."""
STAIR_S = 3.0
ROUND_S = 60.0
AGAIN_S = 1.0
STAY_SHARES = (0.02, 0.15)
PAUSE_SHARES = (0.005, 0.05)
"""Shortest and longest, as shares of a part."""
ABRUPT_SHARE = 0.5

MOST_GROWTH = 1.02
MOST_DRIFT = 1.10
MIB = 2**20

NOTE = f"""\
An app of its own; visitors in one process beside it. Who comes and goes when is drawn once for a fifth of the time, and
all five fifths are the same, so that they compare; half of the visitors say goodbye, half are cut off. At the end of
each fifth all have left, and the app's resident memory is read. A warm-up goes before: visitors come one by one and
leave one by one, and then come and go for at most {ROUND_S:g} s. Promises: the last reading is at most
{(MOST_GROWTH - 1) * 100:.0f} % above the one after the warm-up, median and 95 % latency of the last fifth are at most
{(MOST_DRIFT - 1) * 100:.0f} % above the first's, no frame failed, no visit was cut short, no session holds anything
when all have left, no error in the log. What else the machine does shows in latencies: read all fifths."""


@dataclass(frozen=True)
class PlannedStay:
    """When one visitor comes and goes, in seconds, and whether they are cut off instead of saying goodbye."""

    joins: float
    leaves: float
    abruptly: bool = False


@dataclass(frozen=True)
class Part:
    """What happened in one part of a soak, and the bytes that the app and all its sessions held after everybody had
    left; `None` where nobody tells."""

    stays: tuple[Stay, ...]
    seconds: float
    dropped: int
    failed: int
    turned_away: int
    cut_short: int
    resident: float | None
    held: float | None

    @property
    def latencies(self) -> list[float]:
        """Milliseconds from sending a frame to having its picture, of all visitors; raises `LoadError` without any."""
        latencies = [latency for stay in self.stays for latency in stay.latencies]
        if not latencies:
            raise LoadError("no picture came in a part of the soak; needed: some. Make it longer.")
        return latencies


@dataclass(frozen=True)
class Soak:
    """The warm-up, the parts after it, and what the app's log complains of."""

    warm_up: Part
    parts: tuple[Part, ...]
    complaints: tuple[str, ...]


def planned_stays(seconds: float, places: int, seed: int) -> tuple[PlannedStay, ...]:
    """Visitors who come and go, never more than `places` at once; the last has left at `seconds`."""
    generator = random.Random(seed)
    stays: list[PlannedStay] = []
    for _ in range(places):
        moment = seconds * generator.uniform(*PAUSE_SHARES)
        while moment + seconds * STAY_SHARES[0] <= seconds:
            leaves = min(seconds, moment + seconds * generator.uniform(*STAY_SHARES))
            stays.append(PlannedStay(moment, leaves, generator.random() < ABRUPT_SHARE))
            moment = leaves + seconds * generator.uniform(*PAUSE_SHARES)
    return tuple(sorted(stays, key=lambda stay: stay.joins))


def staircase(places: int, stair: float) -> tuple[PlannedStay, ...]:
    """One visitor more every `stair` seconds until there are `places`, and then one less: every number of visitors is
    there twice, which makes the app allocate whatever it will."""
    return tuple(PlannedStay(number * stair, (2 * places - number) * stair) for number in range(places))


def later(stays: Sequence[PlannedStay], seconds: float) -> tuple[PlannedStay, ...]:
    """The same visits, that many seconds later."""
    return tuple(replace(stay, joins=stay.joins + seconds, leaves=stay.leaves + seconds) for stay in stays)


def soaked(
    model: str,
    places: int,
    seconds: float,
    seed: int,
    settle: float,
    settings: Mapping[str, Any],
    arguments: Sequence[str],
) -> Soak:
    """Soak a fresh app for `seconds`; raises `LoadError`."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        with serving(model, log, arguments, places) as server:
            warm_up, *parts = asyncio.run(_parts(server, places, seconds / PARTS, seed, settle, settings))
        said = complaints(log)
    for line in said:
        print(f"the app's log: {line}", file=sys.stderr)
    return Soak(warm_up, tuple(parts), tuple(said))


async def _parts(
    server: Server, places: int, seconds: float, seed: int, settle: float, settings: Mapping[str, Any]
) -> list[Part]:
    stairs, round_seconds = staircase(places, min(STAIR_S, seconds)), min(ROUND_S, seconds)
    begun = max(stay.leaves for stay in stairs)
    warm_up = (*stairs, *later(planned_stays(round_seconds, places, seed), begun))
    plans = [warm_up, *[planned_stays(seconds, places, seed)] * PARTS]
    parts = []
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None)) as client:
        for number, plan in enumerate(plans):
            parts.append(await _part(client, server, f"part{number}", plan, settle, settings))
            print(f"{number} of {PARTS} parts", file=sys.stderr)
    return parts


async def _part(
    client: httpx.AsyncClient,
    server: Server,
    name: str,
    plan: Sequence[PlannedStay],
    settle: float,
    settings: Mapping[str, Any],
) -> Part:
    begun = time.perf_counter()
    visits = await asyncio.gather(
        *[
            _come_and_gone(client, server, f"{name}visitor{number}", stay, begun, settings_of(number, settings))
            for number, stay in enumerate(plan)
        ]
    )
    seconds = time.perf_counter() - begun
    await asyncio.sleep(settle)
    return Part(
        stays=tuple(visit.stay for visit in visits),
        seconds=seconds,
        dropped=sum(len(visit.dropped) for visit in visits),
        failed=sum(len(visit.failed) for visit in visits),
        turned_away=sum(visit.turned_away for visit in visits),
        cut_short=sum(bool(visit.cut_short) for visit in visits),
        resident=server.resident_bytes(),
        held=await asyncio.to_thread(server.held_bytes),
    )


async def _come_and_gone(
    client: httpx.AsyncClient, server: Server, page: str, stay: PlannedStay, begun: float, settings: Mapping[str, Any]
) -> Visit:
    """One visit as it is planned. Who is turned away tries again for as long as they wanted to stay, as the page does:
    for some seconds the app keeps the place of somebody who was cut off. A visit that the app ends counts as cut short,
    and what comes after it is still measured."""
    await asyncio.sleep(begun + stay.joins - time.perf_counter())
    leaving, visit = asyncio.Event(), Visit()
    asyncio.get_running_loop().call_later(begun + stay.leaves - time.perf_counter(), leaving.set)
    while not leaving.is_set():
        try:
            await visited(client, server.address, page, settings, leaving, visit, abruptly=stay.abruptly)
        except TurnedAwayError:
            visit.turned_away += 1
            await asyncio.sleep(AGAIN_S)
        except LoadError as error:
            visit.cut_short = str(error)
            print(error, file=sys.stderr)
            break
    return visit


def part_rows(soak: Soak) -> list[report.Row]:
    """One row for the warm-up and for each part."""
    names = ["warm-up", *(f"{number} of {len(soak.parts)}" for number in range(1, len(soak.parts) + 1))]
    return [_part_row(name, part) for name, part in zip(names, (soak.warm_up, *soak.parts), strict=True)]


def _part_row(name: str, part: Part) -> report.Row:
    fair, trembling = fairness(part.stays), jitter(part.stays)
    return {
        "part": name,
        "visits": len(part.stays),
        "frames/s in all": sum(len(stay.received) for stay in part.stays) / part.seconds,
        "ms, 50 %": percentile(part.latencies, 50),
        "ms, 95 %": percentile(part.latencies, 95),
        "ms, 99 %": percentile(part.latencies, 99),
        "jitter ms": "" if trembling is None else trembling,
        "fairness": "" if fair is None else fair,
        "dropped": part.dropped,
        "failed": part.failed,
        "turned away": part.turned_away,
        "cut short": part.cut_short,
        "MiB after it": "" if part.resident is None else part.resident / MIB,
        "bytes held after it": "" if part.held is None else part.held,
    }


def verdict_rows(soak: Soak) -> list[report.Row]:
    """What was at the beginning and at the end, one row a promise, and whether it is kept."""
    first, last = soak.parts[0], soak.parts[-1]
    before, after = soak.warm_up.resident, last.resident
    rows = [
        _ratio_verdict(f"latency ms, {percent} %", *(percentile(part.latencies, percent) for part in (first, last)))
        for percent in (50, 95)
    ]
    if before is not None and after is not None:
        rows.insert(0, _verdict("resident MiB", before / MIB, after / MIB, after <= before * MOST_GROWTH))
    everything = (soak.warm_up, *soak.parts)
    rows.append(_none("failed frames", sum(part.failed for part in everything)))
    rows.append(_none("visits cut short", sum(part.cut_short for part in everything)))
    if last.held is not None:
        rows.append(_none("bytes held when all have left", last.held))
    rows.append(_none("errors in the log", len(soak.complaints)))
    return rows


def _none(what: str, count: float) -> report.Row:
    return _verdict(what, 0, count, count == 0)


def _ratio_verdict(what: str, first: float, last: float) -> report.Row:
    return _verdict(what, first, last, last <= first * MOST_DRIFT)


def _verdict(what: str, first: float, last: float, kept: bool) -> report.Row:
    return {
        "what": what,
        "first": first,
        "last": last,
        "change": f"{(last / first - 1) * 100:+.1f} %" if first else "",
        "verdict": "kept" if kept else "broken",
    }
