"""From `python app.py` to the first picture in a browser, and from a pen at rest to the finer one: with an empty cache
of compiled calls, and with what the start before has left there."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Error, Page, sync_playwright

from benchmarks.measuring import report
from benchmarks.visitors.serving import LoadError, name_and_machine, serving
from pipeline import ModelError

CACHE = "REARVIEW_CACHE"
PATIENCE_MS = 120_000
COMPILED_S = 8.0
"""Seconds in which nothing new came into the cache: all that the first settings need is compiled."""
MOST_COMPILING_S = 300.0
BEEN_HERE = "try { localStorage.setItem('rearview.met', 'true'); } catch {}"
PAINTED = "() => window.rearview?.last?.frame >= 1"
KEEP_SIDE = "() => { window.side = document.getElementById('picture').width; }"
IS_LIVE = "() => document.getElementById('picture').width === window.side"
IS_FINER = "() => document.getElementById('picture').width > window.side"

NOTE = (
    "Medians of all rounds, in seconds. The page answers when Gradio does; the first picture is that of a blank sheet, "
    "of a visitor who comes again, in Chromium on the same cores. The finer picture is counted from the pen's rest on, "
    "the moment that the page waits for it included."
)


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the program until its page answers and until a picture shows, and from the pen's rest
    until the finer picture."""

    answers: float
    first: float
    finer: float


def started(browser: Browser, model: str) -> Start:
    """Start the app, visit it, draw a line and rest; raises `LoadError`."""
    began = time.monotonic()
    with serving(model, arguments=["--finer-seconds", "60"]) as server:
        answers = time.monotonic() - began
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(BEEN_HERE)
        try:
            page.goto(f"http://{server.address}/", wait_until="domcontentloaded")
            page.wait_for_function(PAINTED)
            first = time.monotonic() - began
            finer = seconds_to_finer(page)
            _wait_until_compiled(Path(os.environ[CACHE]))
        except Error as error:
            raise LoadError(f"the page did not get so far: {error.message.splitlines()[0]}") from error
        finally:
            page.close()
    return Start(answers, first, finer)


def seconds_to_finer(page: Page) -> float:
    """From the end of a line until its finer picture shows."""
    page.evaluate(KEEP_SIDE)
    box = page.locator("#canvas").bounding_box()
    if box is None:
        raise LoadError("the page shows no canvas")
    places = [(box["x"] + share * box["width"], box["y"] + share * box["height"]) for share in (0.2, 0.7)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=8)
    page.wait_for_function(IS_LIVE)
    page.mouse.up()
    rested = time.monotonic()
    page.wait_for_function(IS_FINER)
    return time.monotonic() - rested


def _wait_until_compiled(cache: Path) -> None:
    end, seen, since = time.monotonic() + MOST_COMPILING_S, -1, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < COMPILED_S:
        held = sum(1 for _ in cache.rglob("*"))
        if held != seen:
            seen, since = held, time.monotonic()
        time.sleep(0.5)


@contextmanager
def empty_cache() -> Iterator[None]:
    """While entered, apps that are started keep what they compile in a new folder."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            os.environ.pop(CACHE)
            if before is not None:
                os.environ[CACHE] = before


def first_rows(browser: Browser, model: str, rounds: int) -> list[report.Row]:
    """A row for starts with an empty cache, and one for those that find it filled."""
    found: dict[str, list[Start]] = {"empty": [], "filled": []}
    for _ in range(rounds):
        with empty_cache():
            for starts in found.values():
                starts.append(started(browser, model))
    return [
        {
            "cache": cache,
            "page answers": median(each.answers for each in starts),
            "first picture": median(each.first for each in starts),
            "wanted": wanted,
            "finer picture after the pen": median(each.finer for each in starts),
        }
        for (cache, starts), wanted in zip(found.items(), (9.0, 6.0), strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first", description=__doc__)
    parser.add_argument("--model", default="embedded", help="the model that the app serves (default: embedded)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="starts with an empty and with a filled cache (default: 3)"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the folder for the table")
    parser.add_argument("--name", default="first", help="the name of the files there (default: first)")
    options = parser.parse_args(arguments)
    try:
        name, machine_line = name_and_machine(options.model)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            rows = first_rows(browser, options.model, options.rounds)
            browser.close()
    except (LoadError, ModelError, Error) as error:
        print(error, file=sys.stderr)
        return 1
    command = f"python -m benchmarks.first --model {name} --rounds {options.rounds}"
    report.publish(options.name, command, machine_line, {f"A start, {name}": rows}, NOTE, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
