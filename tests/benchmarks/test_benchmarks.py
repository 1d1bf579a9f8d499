"""The benchmarks run and write their tables. What they measure is no test: it depends on the machine."""

from __future__ import annotations

import asyncio
import csv
import os
from pathlib import Path

import pytest
import torch

from benchmarks import first, frame, live
from benchmarks.card import sd_layout
from benchmarks.measuring import report
from benchmarks.measuring.drawing import moving_drawing
from benchmarks.measuring.timing import milliseconds_in_turns, percentile, warm_milliseconds
from demo.space.space import ROOT
from pipeline import load_model


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd_layout.save_model(tmp_path_factory.mktemp("sd-layout") / "tiny", sd_layout.TINY)


def test_the_layout_is_one_that_our_engine_loads(tiny_model: Path) -> None:
    model = load_model(tiny_model, device="cpu")
    assert model.entry.latent_conditioning == ()
    tokenizer = model.text_encoders[0].tokenizer
    assert tokenizer("a house").input_ids[0] == tokenizer.bos_token_id


def test_frame_writes_every_table(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(tiny_model), "--rounds", "1", "--results", str(tmp_path), "--graphs", "off"]
    arguments += ["--precision", "float32", "--steps", "1,2"]
    assert frame.main(arguments, sizes=sd_layout.TINY) == 0
    page = (tmp_path / "frame.md").read_text()
    assert page in capsys.readouterr().out
    for words in ("command: `python -m benchmarks.frame", "torch 2", ", float32, ", "UNet, one step", frame.MEMORY_ON):
        assert words in page
    assert str(tiny_model.parent) not in page
    with (tmp_path / "frame-beside-diffusers-random-weights-of-one-size.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["steps"], row["what"]) for row in rows] == [
        (steps, what)
        for steps in ("1", "2")
        for what in (frame.DIFFUSERS, frame.MEMORY_OFF, frame.DEFAULT_BANK, frame.MEMORY_ON)
    ]
    assert [bool(row["of memory off"]) for row in rows] == [False, False, True, True] * 2
    assert all(float(row["ms"]) > 0 and float(row["of diffusers"]) > 0 for row in rows)


def test_live_measures_the_real_app(tiny_model: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(tiny_model), "--seconds", "0.5", "--results", str(tmp_path)]
    arguments += ["--warm-up", "0", "--app", "--graphs off", "--precision", "float32"]
    assert live.main(arguments) == 0
    page = (tmp_path / "live.md").read_text()
    assert "Socket to socket, tiny" in page and ", float32, " in page


def test_first_has_a_row_for_each_cache_which_is_new_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[str] = []

    def started(_: object, model: str) -> first.Start:
        assert model == "tiny" and not any(Path(os.environ[first.CACHE]).iterdir())
        caches.append(os.environ[first.CACHE])
        return first.Start(1.0, float(len(caches)), 0.5)

    monkeypatch.setattr(first, "started", started)
    before = os.environ.get(first.CACHE)
    empty, filled = first.first_rows(None, "tiny", 3)  # type: ignore[arg-type]
    assert (empty["first picture"], filled["first picture"]) == (3.0, 4.0)
    assert caches[0] == caches[1] and len(set(caches)) == 3 and before not in caches
    assert os.environ.get(first.CACHE) == before


class Told:
    """A connection over which one message comes."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.sent: list[bytes] = []

    async def recv(self) -> str:
        return self.message

    async def send(self, message: bytes) -> None:
        self.sent.append(message)


def test_live_counts_answers_alone() -> None:
    for message, frames, dropped in (
        ('{"type": "runtime", "runtime": "OpenVINO"}', 0, 0),
        ('{"type": "dropped"}', 1, 1),
    ):
        told = Told(message)
        stream = live._Stream(told, [b"picture"])  # type: ignore[arg-type]
        asyncio.run(stream.exchange())
        assert (len(told.sent), stream.counts.dropped) == (frames, dropped)
    with pytest.raises(live.LoadError, match="refused"):
        asyncio.run(live._Stream(Told('{"type": "refused"}'), []).exchange())  # type: ignore[arg-type]


@pytest.mark.parametrize("benchmark", [frame, live])
def test_a_model_that_is_not_there_is_named(
    benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--model", "missing", "--results", str(tmp_path)]) == 1  # type: ignore[attr-defined]
    assert "'missing'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_tasks_take_turns_and_the_first_round_is_not_measured() -> None:
    order: list[str] = []
    tasks = {name: lambda name=name: order.append(name) for name in "ab"}
    measured = milliseconds_in_turns(tasks, rounds=2)
    assert "".join(order) == "ab" + "ba" + "ab"
    assert [len(values) for values in measured.values()] == [2, 2]


def test_warm_calls_are_as_many_as_measured_ones() -> None:
    calls: list[None] = []
    assert warm_milliseconds(lambda: calls.append(None), repeats=3) >= 0
    assert len(calls) == 6


def test_percentile_lies_inside_the_values() -> None:
    assert percentile([3.0], 90) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_table_lines_up() -> None:
    lines = report.table([{"what": "a", "ms": 1.234}, {"what": "long name", "ms": 10.0}]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "| 1.23 " in lines[2]


def test_machine_names_what_matters() -> None:
    line = report.machine(torch.device("cpu"), torch.float32)
    assert "cores" in line and "float32" in line and torch.__version__ in line


@pytest.mark.parametrize(
    "flags, processor",
    [("sse2", "Some CPU"), ("avx512_bf16", "Some CPU with AVX512-BF16"), ("avx512_bf16 amx_bf16", "Some CPU with AMX")],
)
def test_a_processor_is_named_with_what_it_computes_bfloat16_by(flags: str, processor: str) -> None:
    first, second = (f"model name\t: {name}\nflags\t\t: {flags}\n" for name in ("Some CPU", "Another"))
    assert report.processor_of(f"{first}\n{second}") == processor


def test_the_drawing_moves() -> None:
    first, second = moving_drawing(64, 2)
    assert first.size == (64, 64)
    assert first.tobytes() != second.tobytes()


def test_results_are_where_the_documentation_says() -> None:
    assert report.RESULTS == ROOT / "benchmarks" / "results"
