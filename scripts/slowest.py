"""Writes the slowest tests of the last run of scripts/check into CONTRIBUTING.md.

python -m scripts.slowest
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.measuring.report import Row, table

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "build" / "tests.xml"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- slowest -->\n", "<!-- /slowest -->\n"
ROWS = 20


def slowest(report: str, count: int) -> list[Row]:
    """The tests of a JUnit report that took longest, with the seconds of their fixtures, the slowest first."""
    cases = ElementTree.fromstring(report).iter("testcase")
    took = [(float(each.get("time", 0)), f"{each.get('classname')}::{each.get('name')}") for each in cases]
    return [
        {"seconds": round(seconds), "test": f"`{name.removeprefix('tests.')}`"}
        for seconds, name in sorted(took, reverse=True)[:count]
    ]


def summary(report: str) -> str:
    """One line on the whole run: how many tests, how long, where and when."""
    (suite,) = ElementTree.fromstring(report).iter("testsuite")
    minutes, seconds = divmod(round(float(suite.get("time", 0))), 60)
    today = datetime.now(timezone.utc).date()
    return f"{suite.get('tests')} tests in {minutes} min {seconds} s, {os.cpu_count()} cores, {today}:"


def with_table(page: str, report: str) -> str:
    """A page with the table between its markers; raises `ValueError` where a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page came without {BEGIN.strip()} and {END.strip()}; needed: both, each on its own line")
    return f"{before}{begin}{summary(report)}\n\n{table(slowest(report, ROWS))}\n{end}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table; a report that is not there ends the program with a sentence."""
    parser = argparse.ArgumentParser(description="Write the slowest tests of the last run into CONTRIBUTING.md.")
    parser.add_argument(
        "report", nargs="?", type=Path, default=REPORT, help="a JUnit report (default: build/tests.xml)"
    )
    options = parser.parse_args(argv)
    if not options.report.is_file():
        parser.exit(1, f"{options.report} is not there. Run scripts/check first.\n")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), options.report.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
