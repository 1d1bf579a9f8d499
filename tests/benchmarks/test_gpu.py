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
from PIL import Image

from benchmarks import gpu
from benchmarks.card import ceilings, stages, visitors
from benchmarks.card.ceilings import Ceilings, bytes_of, operations_of
from benchmarks.card.shapes import (
    SD15,
    SDXL,
    TINY,
    TINY_XL,
    Shape,
    byte_tokenizer,
    random_model,
    text_encoder_of,
    unet_of,
)
from benchmarks.card.visitors import (
    ONE,
    PIPELINED,
    WAITING,
    Case,
    StuckError,
    Ticks,
    drawn,
    entries_of,
    entry_rows,
    further_cases,
    telling_cases,
    visitor_rows,
)
from benchmarks.measuring import report
from pipeline import Engine, FrameError, FrameSettings, Model
from pipeline.engine.lanes import Tick

TRY = ["--device", "cpu", "--tiny", "--quick", "--visitors", "1,2", "--steps", "1", "--seconds", "0.05"]


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(TINY, torch.device("cpu"))


def rows_in(folder: Path, table: str) -> list[dict[str, str]]:
    (path,) = folder.glob(f"gpu-{table}-*.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured twice: what comes out is no measurement, but all of it comes out."""
    monkeypatch.setattr(visitors, "WARM_UP_PICTURES", 1)
    monkeypatch.setattr(gpu, "DIFFUSERS_REPEATS", 1)
    monkeypatch.setattr(stages, "FILLING_FRAMES", 2)
    monkeypatch.setattr(ceilings.median_ms, "__defaults__", (1,))


@pytest.mark.usefixtures("hasty")
def test_every_case_gets_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*TRY, "--results", str(tmp_path)]) == 0
    page = (tmp_path / "gpu.md").read_text()
    assert page in capsys.readouterr().out
    assert f"`python -m benchmarks.gpu {' '.join(TRY)}`" in page and str(tmp_path) not in page
    visits, chosen = rows_in(tmp_path, "visitors"), telling_cases((1, 2), (1,))
    assert [(int(row["visitors"]), row["memory"]) for row in visits] == [
        (case.visitors, case.memory) for case in chosen
    ]
    for row in visits:
        assert float(row["frames/s in all"]) >= float(row["each, most"]) >= float(row["each, least"])
        assert 0 < float(row["ms, 50 %"]) <= float(row["ms, 95 %"])
        assert float(row["MiB"]) > 0 and row["GiB"] == ""
    beside = rows_in(tmp_path, "beside-diffusers")
    assert [row["what"] for row in beside] == ["diffusers img2img", "Rearview, memory off", "Rearview, memory both"]
    parts = rows_in(tmp_path, "stages")
    assert [(row["rows"], row["memory"]) for row in parts] == [
        (rows, memory) for rows in ("1", "2") for memory in ("off", "attention", "both")
    ]
    assert all(float(row[stage]) > 0 for row in parts for stage in ("encode", "UNet", "decode", "history"))
    assert all(float(row["MiB"]) > 0 and float(row["floor"]) > 0 for row in parts)
    with Image.open(tmp_path / "gpu.png") as plot:
        assert plot.width > 0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "shape, names",
    [
        (TINY, ["sd15-lcm", "sd15-hyper", "sd15-tcd", "dreamshaper-lcm"]),
        (TINY_XL, ["sdxl-turbo", "sdxl-lcm", "sdxl-hyper", "sdxl-lightning"]),
    ],
)
def test_models_of_the_catalogue_are_measured_as_a_page_begins(shape: Shape, names: list[str]) -> None:
    model = random_model(shape, torch.device("cpu"))
    rows = list(entry_rows(model, (shape.side, shape.side), (1,), 0.01))
    assert [row["model"] for row in rows] == [each.name for each in entries_of(model)] == names
    guided = {row["model"] for row in rows if row["guidance"] == 3.5 and row["steps"] == 3}
    assert guided == {name for name in names if name.endswith("-hyper")}
    assert {row["few steps"] for row in rows} > {"euler"}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("shape", [TINY, TINY_XL])
def test_visitors_with_a_picture_to_be_like_are_measured(shape: Shape) -> None:
    drawn_like = visitor_rows(
        random_model(shape, torch.device("cpu")), (shape.side,) * 2, [Case(2, 1, like=True)], 0.01
    )
    (row,) = drawn_like
    assert row["like"] == "a picture" and float(str(row["frames/s in all"])) > 0


def test_a_try_is_never_written_into_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "parts_of", lambda *_: [gpu.Part("Stages, x", 1, lambda: iter([{"rows": 1}]))])
    assert gpu.main(TRY) == 0
    assert "# gpu" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_card_that_is_not_there_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_a_part_that_fails_keeps_what_was_measured_and_the_others_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_row() -> Iterator[report.Row]:
        yield {"rows": 1}
        raise torch.cuda.OutOfMemoryError("no memory is left")

    parts = [gpu.Part("Stages, a", 3, one_row), gpu.Part("Stages, b", 1, lambda: iter([{"rows": 2}]))]
    monkeypatch.setattr(gpu, "parts_of", lambda *_: parts)
    assert gpu.main([*TRY, "--results", str(tmp_path)]) == 1
    assert "no memory is left" in capsys.readouterr().err
    page = (tmp_path / "gpu.md").read_text()
    assert "2 of 4 settings were measured. Failed: Stages, a: no memory is left" in page
    assert {path.name for path in tmp_path.glob("*.csv")} == {"gpu-stages-a.csv", "gpu-stages-b.csv"}


def test_a_run_whose_time_is_over_ends_with_what_it_has() -> None:
    measured = gpu.Measured({}, 0, [])
    long = gpu.Part("Stages, a", 2, lambda: iter([{"rows": 1}, {"rows": 2}]))
    measured.take([long, gpu.Part("Stages, b", 1, lambda: iter([]))], deadline=0.0)
    assert measured.count == 1 and measured.wanted == 3 and not measured.failures


def test_a_run_without_time_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*TRY, "--limit", "0.000001"]) == 1
    assert "Raise --limit" in capsys.readouterr().err


def test_the_most_telling_cases_come_first() -> None:
    telling, further = telling_cases((1, 8), (2, 4)), further_cases((1, 8), (2, 4))
    assert telling[:2] == [Case(1, 2), Case(8, 2)]
    assert {case.memory for case in telling} == {"both", "off"} and Case(1, 4, under_way=PIPELINED) in telling
    assert {case.under_way for case in telling + further} == {ONE, WAITING, PIPELINED}
    assert {case.bank for case in further} == {0.5, 1.0, 2.0, 4.0}
    assert {case.graphs for case in further} == {"auto", "off"}
    assert {case.like for case in further} == {True, False} != {case.like for case in telling}
    assert len(telling + further) == len(set(telling + further))
    assert Case(1, 2, "attention").settings.fusion_strength == 0 < Case(1, 2).settings.fusion_strength


def test_the_first_shape_and_side_are_those_of_the_targets() -> None:
    options = gpu._parser().parse_args([])
    assert gpu.plan(options) == [(SD15, 512), (SD15, 768), (SDXL, 512), (SDXL, 768)]


def test_a_floor_is_the_larger_of_operations_and_bytes() -> None:
    most = Ceilings(operations=1e12, bytes=1e9)
    assert most.floor_ms(2e9, 1e3) == 2.0 and most.floor_ms(2.0, 3e6) == 3.0


def test_operations_and_bytes_of_a_layer_are_counted() -> None:
    layer, rows = torch.nn.Linear(8, 4, bias=False), torch.randn(3, 8)
    assert operations_of(lambda: layer(rows)) == 2 * 3 * 8 * 4
    assert bytes_of(layer, lambda: layer(rows)) == 4 * (8 * 4 + 3 * 8 + 3 * 4)
    assert not layer._forward_hooks


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
        patch.setattr(visitors, "wait", one_move)
        stay = drawn(session, iter(count()), FrameSettings(), under_way, stopped, [])  # type: ignore[arg-type]
    assert most == under_way
    assert len(stay.received) == 10 and list(stay.received) == sorted(stay.received)
    assert all(latency >= 0 for latency in stay.latencies)


def test_what_a_frame_raised_ends_the_visit() -> None:
    def refuses(frame: object, settings: FrameSettings) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(FrameError("the model gave NaN"))
        return failed

    with pytest.raises(FrameError, match="NaN"):
        drawn(SimpleNamespace(submit=refuses), iter(count()), FrameSettings(), 1, Event(), [])  # type: ignore[arg-type]


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


def test_the_large_shapes_are_stable_diffusions() -> None:
    tokenizer = byte_tokenizer()
    with torch.device("meta"):
        small, large = unet_of(SD15), unet_of(SDXL)
        text, pooled = (text_encoder_of(each, tokenizer) for each in SDXL.texts)
    assert sum(each.numel() for each in small.parameters()) == 859_520_964
    assert sum(each.numel() for each in large.parameters()) == 2_567_463_684
    assert (small.config.sample_size, large.config.sample_size) == (64, 128)
    assert (text.config.num_hidden_layers, text.config.intermediate_size) == (12, 3072)
    assert (pooled.config.num_hidden_layers, pooled.config.projection_dim) == (32, 1280)


def test_a_tiny_sdxl_has_both_text_encoders_and_the_size_conditioning() -> None:
    model = random_model(TINY_XL, torch.device("cpu"))
    assert [each.model.config.hidden_size for each in model.text_encoders] == [16, 32]
    of_the_model = {"dtype": model.dtype}
    sizes = {"text_embeds": torch.zeros(1, 32, **of_the_model), "time_ids": torch.zeros(1, 6, **of_the_model)}
    inputs = (torch.randn(1, 4, 8, 8, **of_the_model), 999, torch.randn(1, 77, 48, **of_the_model))
    with torch.inference_mode():
        assert model.unet(*inputs, added_cond_kwargs=sizes).sample.shape == (1, 4, 8, 8)
    with Engine(model) as engine:
        assert engine.open().translate(np.zeros((40, 40, 3), np.uint8)).size == engine.size
