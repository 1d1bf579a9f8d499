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
REPORTS = (ROOT / "build" / "tests.xml", ROOT / "build" / "timed.xml")
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- slowest -->\n", "<!-- /slowest -->\n"
ROWS = 20


def slowest(reports: Sequence[str], count: int) -> list[Row]:
    """The tests of JUnit reports that took longest, with the seconds of their fixtures, the slowest first."""
    cases = (case for report in reports for case in ElementTree.fromstring(report).iter("testcase"))
    took = [(float(each.get("time", 0)), f"{each.get('classname')}::{each.get('name')}") for each in cases]
    return [
        {"seconds": round(seconds), "test": f"`{name.removeprefix('tests.')}`"}
        for seconds, name in sorted(took, reverse=True)[:count]
    ]


def summary(reports: Sequence[str]) -> str:
    """One line on runs that followed each other: how many tests, how long, where and when."""
    suites = [suite for report in reports for suite in ElementTree.fromstring(report).iter("testsuite")]
    minutes, seconds = divmod(round(sum(float(suite.get("time", 0)) for suite in suites)), 60)
    count = sum(int(suite.get("tests", 0)) for suite in suites)
    today = datetime.now(timezone.utc).date()
    return f"{count} tests in {minutes} min {seconds} s, {os.cpu_count()} cores, {today}:"


def with_table(page: str, reports: Sequence[str]) -> str:
    """A page with the table between its markers; raises `ValueError` where a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page came without {BEGIN.strip()} and {END.strip()}; needed: both, each on its own line")
    return f"{before}{begin}{summary(reports)}\n\n{table(slowest(reports, ROWS))}\n{end}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table; a report that is not there ends the program with a sentence."""
    parser = argparse.ArgumentParser(description="Write the slowest tests of the last run into CONTRIBUTING.md.")
    parser.add_argument(
        "reports", nargs="*", type=Path, default=REPORTS, help="JUnit reports (default: those of scripts/check)"
    )
    options = parser.parse_args(argv)
    for missing in (each for each in options.reports if not each.is_file()):
        parser.exit(1, f"{missing} is not there. Run scripts/check first.\n")
    reports = [each.read_text(encoding="utf-8") for each in options.reports]
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), reports))


if __name__ == "__main__":
    main()
