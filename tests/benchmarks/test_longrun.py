"""The long run runs, its tables say what a stream holds and shows, and a broken promise is called so."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import longrun
from benchmarks.longrun import Moment, Part, parts_of, process_bytes, repetitions_of, to_and_fro, verdict_rows
from pipeline.settings import BANK_RENEWALS

STEADY = Part(10, session=300.0, process=500.0, median=20.0, percentile_99=30.0, slowest=40.0, mean=120.0, contrast=50)
LEVEL = {"mean": [120.0, 120.4, 119.8], "contrast": [50.0, 50.0, 50.1]}


def rows_of(folder: Path, title: str) -> list[dict[str, str]]:
    (path,) = folder.glob(f"longrun-{title}-*.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def verdicts(first: Part, last: Part, repetitions: dict[str, list[float]]) -> dict[object, object]:
    return {row["what"]: row["verdict"] for row in verdict_rows(first, last, repetitions)}


@pytest.mark.parametrize("renewal", BANK_RENEWALS)
def test_tables_and_plot_are_written(
    tiny_folder: Path, tmp_path: Path, renewal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_folder), "--frames", "30", "--clip-frames", "5", "--intervals", "2"]
    arguments += ["--renewal", renewal, "--size", "64x32", "--results", str(tmp_path)]
    assert longrun.main(arguments) == 0
    page = (tmp_path / "longrun.md").read_text()
    assert page in capsys.readouterr().out
    assert "command: `python -m benchmarks.longrun" in page and str(tmp_path) not in page and "64x32" in page
    progress = rows_of(tmp_path, "over-the-run")
    assert [int(row["frames"]) for row in progress] == list(range(3, 31, 3))
    assert len({row["session, KiB"] for row in progress}) == 1
    assert all(float(row["process, MiB"]) > 0 and float(row["ms, slowest"]) > 0 for row in progress)
    judged = {row["what"]: row["verdict"] for row in rows_of(tmp_path, "first-and-last")}
    assert judged["session, KiB"] == "kept" and judged["ms, slowest"] == "not judged" and len(judged) == 9
    renewals = rows_of(tmp_path, "renewals")
    assert [row["renewal"] for row in renewals] == list(BANK_RENEWALS)
    assert all(float(row["slowest of median"]) >= 1 for row in renewals)
    with Image.open(tmp_path / "longrun-picture.png") as picture:
        assert picture.width > 300


def test_a_clip_to_and_fro_never_jumps() -> None:
    frames = [np.full((2, 2, 3), number, np.uint8) for number in range(5)]
    order = [int(frame[0, 0, 0]) for frame in to_and_fro(frames)]
    assert order == [0, 1, 2, 3, 4, 3, 2, 1]
    assert all(abs(a - b) == 1 for a, b in zip(order, [*order[1:], order[0]], strict=True))


def test_parts_and_repetitions_are_means_of_their_frames() -> None:
    run = [Moment(float(number), number % 4, 10.0, 2048, 2**20) for number in range(25)]
    assert repetitions_of(run, 4) == {"mean": [1.5] * 6, "contrast": [10.0] * 6}
    parts = parts_of(run)
    assert [part.last_frame for part in parts][-1] == 25 and len(parts) == longrun.PARTS
    assert (parts[0].session, parts[0].process, parts[0].slowest, parts[0].mean) == (2.0, 1.0, 1.0, 0.5)


def test_what_stays_is_kept() -> None:
    judged = verdicts(STEADY, replace(STEADY, last_frame=100), LEVEL)
    assert set(judged.values()) == {"kept", "not judged"}


@pytest.mark.parametrize(
    ("what", "change"),
    [("session, KiB", {"session": 300.1}), ("process, MiB", {"process": 517.0}), ("ms, median", {"median": 22.5}),
     ("ms, 99 %", {"percentile_99": 34.0})],
)  # fmt: skip
def test_what_grows_is_broken(what: str, change: dict[str, float]) -> None:
    judged = verdicts(STEADY, replace(STEADY, **change), LEVEL)
    assert [name for name, verdict in judged.items() if verdict == "broken"] == [what]


@pytest.mark.parametrize(("values", "last"), [([50.0, 50.2, 51.1], "broken"), ([50.0, 48.9, 50.0], "kept")])
def test_a_drift_is_broken_also_when_it_comes_back(values: list[float], last: str) -> None:
    judged = verdicts(STEADY, STEADY, {**LEVEL, "contrast": values})
    assert judged["contrast, last repetition"] == last
    assert judged["contrast, repetition farthest from the first"] == "broken"
    assert judged["mean, last repetition"] == judged["mean, repetition farthest from the first"] == "kept"


def test_a_slow_place_in_the_interval_is_found_and_a_slow_moment_is_not() -> None:
    regular = longrun.renewal_row("together", [10.0, 10.0, 10.0, 20.0] * 5, 4)
    once = longrun.renewal_row("spread", [10.0] * 19 + [90.0], 4)
    assert (regular["slowest of median"], regular["verdict"]) == (2.0, "broken")
    assert (once["slowest of median"], once["verdict"], once["ms, slowest of all"]) == (1.0, "kept", 90.0)


def test_the_process_holds_something() -> None:
    assert process_bytes() > 2**20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--frames", "59"], "60 frames"), (["--clip-frames", "3"], "at least 4 frames"), (["--size", "wide"], "WIDTHx"),
     (["--intervals", "0"], "one interval")],
)  # fmt: skip
def test_a_wrong_command_line_is_explained(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        longrun.main(arguments)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--model", "missing"], ["--steps", "9"], ["--size", "100x100"], ["--size", "0"]]
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert longrun.main([*arguments, "--results", str(tmp_path)]) == 1
    assert "needed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
