"""Strangers who mean harm beside honest visitors of one real app: what it costs those, and what it leaves behind."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.measuring import report
from benchmarks.measuring.timing import percentile
from benchmarks.strangers.attacks import ATTACKS, let_loose, prepared, stranger_at
from benchmarks.visitors.serving import LoadError, Server, complaints, name_and_machine, serving
from benchmarks.visitors.visits import Visit, settings_of, visited
from pipeline import ModelError

HONEST = 8
PLACES = 16
PLACES_OF_ADDRESS = 4
MINUTES = 10.0
REST_S = 30.0
SETTLE_S = 5.0
LAST_SETTLE_S = 30.0
NEWCOMER_S = 30.0
WARM_UP_PICTURES = 20
WARM_UP_S = 60.0
POLL_S = 0.1
MOST_SLOWER = 3.0
MOST_GROWTH = 1.10
MIB = 2**20
STRANGERS_ADDRESS = "127.0.0.66"
NEWCOMERS_ADDRESS = "127.0.0.99"

NOTE = f"""\
One app with {PLACES} places, {PLACES_OF_ADDRESS} for one address, all other limits as they come. {HONEST} honest
visitors, each with an address of their own, keep two frames of a moving drawing under way all the time, as the page
does. One stranger with an address of their own and four hands makes one attack after another
(`benchmarks/strangers/attacks.py`), on the same machine, whose cores they share. During each an honest newcomer
opens the page. Wait: from sending a frame to having its picture. At rest: before the first attack, when the honest
visitors have been there for {WARM_UP_S:g} s, and calls are compiled. Promises: their 95 % wait stays below
{MOST_SLOWER:g} times that at rest, no frame of theirs fails and no visit is cut short, every newcomer gets a place
and a picture, resident memory is within {(MOST_GROWTH - 1) * 100:.0f} % of what it was {LAST_SETTLE_S:g} s after
the last attack, and nothing in the log speaks of an error."""


@dataclass(frozen=True)
class Stretch:
    """What came to honest visitors in one stretch of time: their waits in milliseconds, how often strangers tried,
    whether the newcomer was served, and the app's resident bytes at its end; `None` where nobody tells."""

    name: str
    waits: tuple[float, ...]
    tries: int
    newcomer: str
    resident: float | None


@dataclass(frozen=True)
class Siege:
    """All stretches, the first at rest, and what became of honest visitors and of the app by the end."""

    stretches: tuple[Stretch, ...]
    failed: int
    cut_short: int
    complaints: tuple[str, ...]


def besieged(model: str, names: Sequence[str], seconds: float, seed: int, arguments: Sequence[str]) -> Siege:
    """Let the attacks of these names loose on a fresh app, `seconds` in all; raises `LoadError`."""
    prepared()
    limits = ["--visitors-per-address", str(PLACES_OF_ADDRESS), "--frames-per-second", "30"]
    with TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        with serving(model, log, [*limits, *arguments], PLACES) as server:
            stretches, visits = asyncio.run(_stretches(server, names, seconds / len(names), seed))
        said = complaints(log)
    for line in said:
        print(f"the app's log: {line}", file=sys.stderr)
    return Siege(
        stretches=tuple(stretches),
        failed=sum(len(visit.failed) for visit in visits),
        cut_short=sum(bool(visit.cut_short) for visit in visits),
        complaints=tuple(said),
    )


async def _stretches(
    server: Server, names: Sequence[str], seconds: float, seed: int
) -> tuple[list[Stretch], list[Visit]]:
    visits = [Visit() for _ in range(HONEST)]
    async with _honest(server, visits):
        await asyncio.sleep(WARM_UP_S)
        while min(len(visit.received) for visit in visits) < WARM_UP_PICTURES:
            await asyncio.sleep(POLL_S)
            _check_all_there(visits)
        stretches = [await _at_rest(server, visits, "at rest", REST_S)]
        for number, name in enumerate(names):
            stretches.append(await _attacked(server, visits, name, seconds, seed + number))
            print(f"{name}: {len(stretches) - 1} of {len(names)}", file=sys.stderr)
        await asyncio.sleep(LAST_SETTLE_S)
        stretches.append(await _at_rest(server, visits, "at rest, afterwards", REST_S))
    return stretches, visits


def _check_all_there(visits: Sequence[Visit]) -> None:
    gone = next((visit.cut_short for visit in visits if visit.cut_short), None)
    if gone:
        raise LoadError(f"an honest visitor could not come in before the first attack: {gone}")


@asynccontextmanager
async def _honest(server: Server, visits: Sequence[Visit]) -> AsyncIterator[None]:
    leaving = asyncio.Event()
    stays = [asyncio.create_task(_stayed(server, number, leaving, visit)) for number, visit in enumerate(visits)]
    try:
        yield
    finally:
        leaving.set()
        await asyncio.gather(*stays)


async def _stayed(server: Server, number: int, leaving: asyncio.Event, visit: Visit) -> None:
    try:
        await _visited(server, f"honest{number}", f"127.0.0.{11 + number}", leaving, visit, number)
    except LoadError as error:
        visit.cut_short = str(error)
        print(error, file=sys.stderr)


async def _visited(
    server: Server, page: str, source: str, leaving: asyncio.Event, visit: Visit, number: int = 0
) -> None:
    transport = httpx.AsyncHTTPTransport(local_address=source)
    async with httpx.AsyncClient(timeout=None, transport=transport) as client:
        settings = settings_of(number, {"bank_frames": 1.0})
        await visited(client, server.address, page, settings, leaving, visit, source=source)


async def _at_rest(server: Server, visits: Sequence[Visit], name: str, seconds: float) -> Stretch:
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    return _stretch(server, visits, name, start, tries=0, newcomer="")


async def _attacked(server: Server, visits: Sequence[Visit], name: str, seconds: float, seed: int) -> Stretch:
    stranger = stranger_at(server.address, STRANGERS_ADDRESS, seed)
    start = time.perf_counter()
    newcomer = asyncio.create_task(_newcomer(server, seconds / 2))
    await let_loose(ATTACKS[name], stranger, seconds)
    end = time.perf_counter()
    came = await newcomer
    await asyncio.sleep(SETTLE_S)
    return _stretch(server, visits, name, start, stranger.tries, came, end)


async def _newcomer(server: Server, after: float) -> str:
    """What an honest page meets that is opened in the middle of it: "served", or what it was told."""
    await asyncio.sleep(after)
    leaving, visit = asyncio.Event(), Visit()
    leaving.set()
    try:
        await asyncio.wait_for(_visited(server, "newcomer", NEWCOMERS_ADDRESS, leaving, visit), NEWCOMER_S)
    except LoadError as error:
        return str(error)
    except asyncio.TimeoutError:
        return f"no picture in {NEWCOMER_S:g} s"
    return "served" if visit.received else "a frame that failed"


def _stretch(
    server: Server,
    visits: Sequence[Visit],
    name: str,
    start: float,
    tries: int,
    newcomer: str,
    end: float | None = None,
) -> Stretch:
    until = time.perf_counter() if end is None else end
    waits = [wait for visit in visits for wait in visit.stay.during(start, until).latencies]
    if not waits:
        raise LoadError(f"no picture came to an honest visitor in the stretch {name!r}. Look into the app's log.")
    return Stretch(name, tuple(waits), tries, newcomer, server.resident_bytes())


def stretch_rows(siege: Siege) -> list[report.Row]:
    """One row for each stretch."""
    rest = percentile(siege.stretches[0].waits, 95)
    return [
        {
            "attack": each.name,
            "tries": each.tries or "",
            "pictures": len(each.waits),
            "ms, 50 %": percentile(each.waits, 50),
            "ms, 95 %": percentile(each.waits, 95),
            "95 %, of that at rest": percentile(each.waits, 95) / rest,
            "newcomer": each.newcomer,
            "MiB after it": "" if each.resident is None else each.resident / MIB,
        }
        for each in siege.stretches
    ]


def verdict_rows(siege: Siege) -> list[report.Row]:
    """One row a promise, and whether it is kept."""
    rest, *attacks, last = siege.stretches
    slowest = max(percentile(each.waits, 95) for each in attacks) / percentile(rest.waits, 95)
    rows = [
        _verdict("95 % wait, of that at rest, worst", slowest, f"below {MOST_SLOWER:g}", slowest < MOST_SLOWER),
        _none("newcomers who were not served", sum(each.newcomer != "served" for each in attacks)),
        _none("failed frames of honest visitors", siege.failed),
        _none("honest visits cut short", siege.cut_short),
        _none("errors in the log", len(siege.complaints)),
    ]
    if rest.resident is not None and last.resident is not None:
        growth = last.resident / rest.resident
        rows.append(
            _verdict("resident memory, of that at rest", growth, f"at most {MOST_GROWTH:g}", growth <= MOST_GROWTH)
        )
    return rows


def _none(what: str, count: int) -> report.Row:
    return _verdict(what, count, "0", count == 0)


def _verdict(what: str, seen: float, wanted: str, kept: bool) -> report.Row:
    return {"what": what, "seen": seen, "wanted": wanted, "verdict": "kept" if kept else "broken"}


def attack_names(text: str) -> tuple[str, ...]:
    """The attacks whose names begin with one of the words that `text` lists, separated by commas."""
    wanted = [word.strip() for word in text.split(",")]
    unknown = [word for word in wanted if not word or not any(name.startswith(word) for name in ATTACKS)]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} begins no attack's name; needed: of {', '.join(map(repr, ATTACKS))}"
        )
    return tuple(name for name in ATTACKS if any(name.startswith(word) for word in wanted))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all attacks together (default: 10)")
    parser.add_argument(
        "--attacks", type=attack_names, default=tuple(ATTACKS), help="how their names begin (default: all)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of what strangers choose (default: 7)")
    parser.add_argument("--model", default="embedded", help="the model that the app serves (default: embedded)")
    parser.add_argument("--app", type=shlex.split, default=[], metavar="WORDS", help="more arguments for app.py")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the tables")
    return parser


def command_of(options: argparse.Namespace, model_name: str) -> str:
    """The command line that does the same again."""
    words = ["python -m benchmarks.attack", "--minutes", f"{options.minutes:g}", "--seed", options.seed]
    if options.attacks != tuple(ATTACKS):
        words += ["--attacks", f'"{",".join(options.attacks)}"']
    words += ["--model", model_name]
    if options.app:
        words += ["--app", f'"{shlex.join(options.app)}"']
    return " ".join(map(str, words))


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print the tables and write them; the exit status says whether every promise is kept."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error(f"--minutes came as {options.minutes:g}; needed: above 0")
    try:
        model_name, machine_line = name_and_machine(options.model)
        siege = besieged(options.model, options.attacks, options.minutes * 60, options.seed, options.app)
    except (LoadError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    verdicts = verdict_rows(siege)
    tables = {"Attacks": stretch_rows(siege), "Promises": verdicts}
    report.publish("attack", command_of(options, model_name), machine_line, tables, NOTE, options.results)
    return 0 if all(row["verdict"] == "kept" for row in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
