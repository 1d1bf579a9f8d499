"""The table of the slowest tests: what it says of a report, and where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.slowest import PAGE, main, slowest, summary, with_table

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="3" time="61.2">
<testcase classname="tests.test_app" name="test_defaults" time="0.04"/>
<testcase classname="tests.browser.test_view" name="test_over[a-1]" time="12.34"/>
<testcase classname="tests.test_app" name="test_port" time="3.0"/>
</testsuite></testsuites>"""


def test_the_slowest_come_first_and_the_quick_ones_not_at_all() -> None:
    assert slowest(REPORT, 2) == [
        {"seconds": 12, "test": "`browser.test_view::test_over[a-1]`"},
        {"seconds": 3, "test": "`test_app::test_port`"},
    ]
    assert summary(REPORT).startswith("3 tests in 1 min 1 s, ")


def test_a_page_gets_its_table_between_its_markers() -> None:
    page = "above\n<!-- slowest -->\nold\n<!-- /slowest -->\nbelow\n"
    written = with_table(page, REPORT)
    assert written.startswith("above\n<!-- slowest -->\n3 tests") and written.endswith("|\n<!-- /slowest -->\nbelow\n")
    assert "old" not in written and "test_over" in written
    assert with_table(written, REPORT) == written
    assert with_table(PAGE.read_text(encoding="utf-8"), REPORT)


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needed: both"):
        with_table("<!-- slowest -->\n", REPORT)


def test_without_a_report_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "none.xml")])
    assert stopped.value.code == 1
    assert "Run scripts/check first" in capsys.readouterr().err
