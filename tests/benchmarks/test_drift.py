"""The drift of a recurrent memory is measured against its own second repetition, and none is none."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import drift
from benchmarks.drift import Repetition, table_of, variants
from pipeline import Model
from pipeline.memory.spatial import save_recurrent, untrained_recurrent
from tests.support.weights.recurrent import lively_recurrent


def test_tables_and_plots_are_written(
    tiny_model: Model, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, results = tmp_path / "weights", tmp_path / "results"
    save_recurrent(lively_recurrent(tiny_model.unet, 0.2), weights, torch.float32)
    arguments = ["--model", str(tiny_folder), "--frames", "18", "--clip-frames", "4", "--size", "32"]
    assert drift.main([*arguments, "--weights", str(weights), "--results", str(results)]) == 0
    page = (results / "drift.md").read_text()
    assert page in capsys.readouterr().out
    assert "command: `python -m benchmarks.drift" in page and str(tmp_path) not in page
    (path,) = results.glob("drift-*.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frames"]) for row in rows] == [12, 18]
    assert list(rows[0]) == [
        "frames",
        *(f"warp error, {name}" for name in ("none", "anchor 0.2", "anchor 0")),
        *(f"drift, {name}" for name in ("anchor 0.2", "anchor 0")),
    ]
    assert float(rows[0]["drift, anchor 0"]) == 0.0 < float(rows[1]["drift, anchor 0"])
    for measure in ("warp", "drift"):
        with Image.open(results / f"drift-{measure}.png") as picture:
            assert picture.width > 300


def test_weights_that_are_not_there_are_a_sentence(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(["--model", str(tiny_folder), "--frames", "30", "--clip-frames", "4"]) == 1
    assert "cannot be loaded" in capsys.readouterr().err


def test_what_was_trained_without_an_anchor_is_also_shown_with_one(tiny_model: Model) -> None:
    shares = [each and each.anchor_share for each in variants(untrained_recurrent(tiny_model.unet)).values()]
    assert shares == [None, 0.2, 0.0]


def test_rows_are_spread_evenly_over_orders_of_magnitude() -> None:
    run = [Repetition(30 * number, 1.0, 0.5) for number in range(1, 334)]
    rows = table_of({"none": run, "anchor 0": run})
    assert [row["frames"] for row in rows][:2] == [60, 120] and rows[-1]["frames"] == 9990
    assert len(rows) == drift.ROWS
