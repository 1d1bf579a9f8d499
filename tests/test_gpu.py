"""The benchmark of graphics cards, tried on a processor with a tiny model: it runs and tells what it should."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import gpu, report, sd15
from benchmarks.gpu import ONE, PIPELINED, WAITING, Case, StuckError, Ticks, cases, drawn
from benchmarks.sd15 import SD15, TINY, random_model
from pipeline import Engine, FrameError, FrameSettings, Model
from pipeline.lanes import Tick

TRY = ["--device", "cpu", "--tiny", "--quick", "--visitors", "1,2", "--seconds", "0.3"]


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(TINY, torch.device("cpu"))


def rows_in(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.glob("gpu-*.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_case_gets_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*TRY, "--results", str(tmp_path)]) == 0
    page = (tmp_path / "gpu.md").read_text()
    assert page in capsys.readouterr().out
    assert f"`python -m benchmarks.gpu {' '.join(TRY)}`" in page and str(tmp_path) not in page
    rows, chosen = rows_in(tmp_path), cases((1, 2), gpu.QUICK_STEPS, quick=True)
    assert [(int(row["visitors"]), row["memory"], row["under way"]) for row in rows] == [
        (case.visitors, case.memory, case.under_way) for case in chosen
    ]
    for row in rows:
        assert float(row["frames/s in all"]) >= float(row["each, most"]) >= float(row["each, least"])
        assert 0 < float(row["ms, 50 %"]) <= float(row["ms, 95 %"])
        assert float(row["MiB"]) > 0 and row["GiB"] == ""


def test_a_try_is_never_written_into_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert gpu.main([*TRY, "--visitors", "1", "--steps", "1"]) == 0
    assert "# gpu" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_card_that_is_not_there_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_a_run_that_is_cut_short_keeps_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_row(*_: Any) -> Iterator[report.Row]:
        yield {"visitors": 1}
        raise torch.cuda.OutOfMemoryError("no memory is left")

    monkeypatch.setattr(gpu, "rows_of", one_row)
    assert gpu.main([*TRY, "--results", str(tmp_path)]) == 1
    assert "no memory is left" in capsys.readouterr().err
    page = (tmp_path / "gpu.md").read_text()
    assert "settings were measured. Then it failed: no memory is left" in page
    assert [row["visitors"] for row in rows_in(tmp_path)] == ["1"]


def test_a_run_without_time_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*TRY, "--limit", "0.001"]) == 1
    assert "Raise --limit" in capsys.readouterr().err


def test_the_most_telling_cases_come_first() -> None:
    chosen = cases((1, 8), (2,), quick=False)
    assert chosen[:2] == [Case(1, 2), Case(8, 2)]
    assert {case.memory for case in chosen[-2:]} == {"none"}
    assert {case.under_way for case in chosen} == {ONE, WAITING, PIPELINED}
    assert {case.steadiness for case in chosen} == {0.0, FrameSettings().steadiness}
    assert len(cases((1, 8), (2,), quick=True)) < len(chosen) == len(set(chosen))


def test_frames_under_way_are_those_of_the_steps_and_one_that_waits() -> None:
    assert [Case(1, 4, under_way=each).frames_under_way for each in (ONE, WAITING, PIPELINED)] == [1, 2, 5]


class StandInSession:
    """Answers a frame when it is asked to; its mailbox holds one frame."""

    def __init__(self) -> None:
        self.asked: list[Future[Any]] = []

    def submit(self, frame: object, settings: FrameSettings) -> Future[Any]:
        if self.asked and not self.asked[-1].running() and not self.asked[-1].done():
            raise AssertionError("a frame was pushed out of the mailbox")
        self.asked.append(Future())
        return self.asked[-1]


@pytest.mark.parametrize("under_way", [1, 2, 3])
def test_a_visitor_fills_what_room_there_is_and_pushes_nothing_out(under_way: int) -> None:
    session, stopped, answered, most = StandInSession(), Event(), 0, 0

    def one_move(*_: Any) -> Any:
        """The engine's part: take what waits in the mailbox, or else answer the oldest."""
        nonlocal answered, most
        most = max(most, len(session.asked) - answered)
        if session.asked[-1].running():
            session.asked[answered].set_result(None)
            answered += 1
        else:
            session.asked[-1].set_running_or_notify_cancel()
        if answered == 10:
            stopped.set()
        return SimpleNamespace(done={None})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "wait", one_move)
        stay = drawn(session, iter(count()), FrameSettings(), under_way, stopped)  # type: ignore[arg-type]
    assert most == under_way
    assert len(stay.received) == 10 and list(stay.received) == sorted(stay.received)
    assert all(latency >= 0 for latency in stay.latencies)


def test_what_a_frame_raised_ends_the_visit() -> None:
    def refuses(frame: object, settings: FrameSettings) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(FrameError("the model gave NaN"))
        return failed

    with pytest.raises(FrameError, match="NaN"):
        drawn(SimpleNamespace(submit=refuses), iter(count()), FrameSettings(), 1, Event())  # type: ignore[arg-type]


def test_calls_are_counted_between_two_moments() -> None:
    observers: list[Any] = []
    ticks = Ticks(SimpleNamespace(watch=observers.append))  # type: ignore[arg-type]
    for rows, seconds in ((1, 0.01), (3, 0.03)):
        observers[0](Tick(rows=rows, sessions=1, seconds=seconds))
    assert ticks.row(0.0, float("inf")) == {"rows": 2.0, "ms a call": pytest.approx(20.0)}
    with pytest.raises(StuckError, match="--seconds"):
        ticks.row(-2.0, -1.0)


def test_a_random_model_paints_finite_pictures(model: Model) -> None:
    with Engine(model) as engine:
        picture = engine.open().translate(np.zeros((64, 64, 3), np.uint8), FrameSettings(steps=2))
    assert picture.size == (64, 64)


def test_a_seed_makes_the_same_weights_again(model: Model) -> None:
    again = random_model(TINY, torch.device("cpu"))
    for mine, theirs in zip(model.unet.parameters(), again.unet.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_large_shape_is_stable_diffusions() -> None:
    with torch.device("meta"):
        unet, text = sd15._unet(SD15), sd15._text_encoder(SD15, sd15.byte_tokenizer())
    assert sum(each.numel() for each in unet.parameters()) == 859_520_964
    assert (unet.config.sample_size, text.config.num_hidden_layers, text.config.intermediate_size) == (64, 12, 3072)
