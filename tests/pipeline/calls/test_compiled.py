"""Calls that OpenVINO makes: pictures are PyTorch's, whatever becomes of the process that compiles."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, Model, load_control
from pipeline.calls import compiled as compiled_module
from pipeline.calls import workshop as workshop_module
from pipeline.calls.compiling import TimeTable, compiled
from pipeline.calls.workshop import Compiler, clean, weights_digest
from pipeline.compute.tree_files import filled, outline, read_tree, write_tree
from pipeline.compute.trees import tensors_in
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.memory.spatial import save_recurrent
from pipeline.prompts.embeddings import PromptEmbeddings
from tests.pipeline.guides.test_control import tiny_adapter, tiny_controlnet
from tests.support.weights.recurrent import lively_recurrent

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)
needs_openvino = pytest.mark.skipif(not workshop_module.is_installed(), reason="needs openvino and onnx")


class Here:
    """A compiler in this process, which counts what it is asked for."""

    asked = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compiled(self, path: Path, seconds: float) -> str:
        Here.asked += 1
        return compiled(read_tree(path))

    alive = True

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of these tests, filled in this process: another one takes seconds to start."""
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(shelf))
    monkeypatch.setattr(workshop_module, "Compiler", Here)
    Here.asked = 0
    yield shelf


def painted(
    model: Model, frames: list[Frame], settings: FrameSettings = LIVELY, memory: str = "feature-bank", **how: Any
) -> tuple[list[Frame], str]:
    """Pictures of a visit, and what has painted them."""
    with Engine(model, memory=memory, **how) as engine:
        session = engine.open()
        pictures = [np.asarray(session.translate(frame, settings)) for frame in frames]
        return pictures, engine.runtime


def farthest(some: list[Frame], others: list[Frame]) -> int:
    return max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(some, others, strict=True))


@needs_openvino
@pytest.mark.parametrize(
    "memory, settings",
    [
        ("feature-bank", LIVELY),
        ("feature-bank", LIVELY.changed(guidance=2.0, steps=2)),
        ("none", LIVELY),
    ],
)
def test_pictures_are_those_of_pytorch(
    tiny_model: Model, frames: list[Frame], cache: Path, memory: str, settings: FrameSettings
) -> None:
    expected, _ = painted(tiny_model, frames, settings, memory)
    pictures, runtime = painted(tiny_model, frames, settings, memory, compiled="wait")
    assert runtime == "OpenVINO" and farthest(pictures, expected) <= 1


@needs_openvino
@pytest.mark.parametrize("off", ["bank_frames", "fusion_strength"])
def test_calls_of_which_a_part_is_switched_off_are_compiled_too(
    tiny_model: Model, frames: list[Frame], cache: Path, off: str
) -> None:
    with Engine(tiny_model, compiled="wait") as engine:
        session, settings = engine.open(), LIVELY.changed(**{off: 0.0})
        assert {session.submit(frame, settings).result().runtime for frame in frames[:4]} == {"OpenVINO"}


@needs_openvino
def test_a_finer_picture_is_compiled_too(tiny_model: Model, frames: list[Frame], cache: Path) -> None:
    pictures = []
    for how in ("off", "wait"):
        Here.asked = 0
        with Engine(tiny_model, compiled=how) as engine:  # type: ignore[arg-type]
            session = engine.open()
            shown = np.asarray(session.translate(frames[0], LIVELY))
            pictures.append(session.submit_finer(frames[0], shown, LIVELY).result())
    # The encoder, the UNet and the decoder of the larger one; those of the frame may be there from other tests.
    assert Here.asked >= 3
    assert farthest(pictures[:1], pictures[1:]) <= 1


@needs_openvino
def test_a_second_start_reads_what_the_first_has_compiled_and_paints_the_same(
    tiny_model: Model, frames: list[Frame], cache: Path
) -> None:
    first, _ = painted(tiny_model, frames, compiled="wait")
    Here.asked = 0
    second, runtime = painted(tiny_model, frames, compiled="wait")
    assert Here.asked == 0 and runtime == "OpenVINO"
    assert farthest(first, second) == 0


@needs_openvino
def test_weights_that_change_in_place_are_compiled_anew(tiny_model: Model, frames: list[Frame], cache: Path) -> None:
    with Engine(tiny_model, compiled="wait") as engine, torch.no_grad():
        weight = tiny_model.unet.conv_in.weight
        session, before = engine.open(), Here.asked
        plain = np.asarray(session.translate(frames[0], LIVELY))
        kept = weight.detach().clone()
        engine.change("other", lambda model: model.unet.conv_in.weight.data.mul_(-20)).result()
        asked = Here.asked
        session.reset()
        other = np.asarray(session.translate(frames[0], LIVELY))
        assert Here.asked > asked >= before and farthest([plain], [other]) > 1
        engine.change("back", lambda model: model.unet.conv_in.weight.data.copy_(kept)).result()
        session.reset()
        again = Here.asked
        assert farthest([np.asarray(session.translate(frames[0], LIVELY))], [plain]) == 0 and Here.asked == again


class Dying(Here):
    def compiled(self, path: Path, seconds: float) -> str:
        Here.asked += 1
        return "the process that compiles it has died (status -11)"


def test_where_compiling_dies_pytorch_paints_and_the_log_says_so(
    tiny_model: Model,
    frames: list[Frame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not workshop_module.is_installed():
        pytest.skip("needs openvino and onnx")
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(workshop_module, "Compiler", Dying)
    Here.asked = 0
    expected, _ = painted(tiny_model, frames)
    with caplog.at_level(logging.WARNING):
        pictures, runtime = painted(tiny_model, frames, compiled="wait")
    assert runtime == "PyTorch" and farthest(pictures, expected) == 0
    assert Here.asked == workshop_module.MOST_FAILURES
    assert len([each for each in caplog.records if "stays with PyTorch" in each.message]) == Here.asked
    assert "nothing more is compiled" in caplog.text


@pytest.mark.parametrize("there", [True, False])
def test_without_openvino_pytorch_paints(
    tiny_model: Model, frames: list[Frame], cache: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there and not workshop_module.is_installed():
        pytest.skip("needs openvino and onnx")
    monkeypatch.setattr(workshop_module, "is_installed", lambda: there)
    _, runtime = painted(tiny_model, frames, compiled="wait")
    assert runtime == ("OpenVINO" if there else "PyTorch")


@needs_openvino
def test_nobody_waits_for_a_call_that_is_compiled_beside(
    tiny_model: Model, frames: list[Frame], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `wait` a visit begins with PyTorch; when all is there, OpenVINO paints."""
    monkeypatch.setattr(compiled_module, "CALLS_BEFORE", 0)
    with Engine(tiny_model, compiled="auto") as engine:
        session = engine.open()
        session.translate(frames[0], LIVELY)
        for _ in range(200):
            session.translate(frames[0], LIVELY)
            if engine.runtime == "OpenVINO":
                break
        assert engine.runtime == "OpenVINO"


@pytest.mark.parametrize(
    "program, seconds",
    [("import os; input(); os._exit(3)", 60.0), ("import time; time.sleep(60)", 0.2)],
    ids=["dies", "hangs"],
)
def test_a_process_that_dies_or_hangs_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, seconds: float
) -> None:
    monkeypatch.setattr(workshop_module, "COMMAND", (sys.executable, "-c", program))
    compiler = Compiler(tmp_path / "work")
    try:
        assert "has died" in compiler.compiled(tmp_path / "work" / "none", seconds)
        assert not compiler.alive
    finally:
        compiler.close()


@needs_openvino
def test_the_process_itself_compiles(
    tiny_model: Model, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(tmp_path))
    expected, _ = painted(tiny_model, frames[:1])
    pictures, runtime = painted(tiny_model, frames[:1], compiled="wait")
    assert runtime == "OpenVINO" and farthest(pictures, expected) <= 1
    assert len(list(tmp_path.glob("*.blob"))) == len(list(tmp_path.glob("*.json"))) == 3


def test_trees_come_back_from_files(tmp_path: Path) -> None:
    shared = torch.randn(2, 3)
    tree = {"one": shared, "rest": [shared[0], (None, 3, True, "x")], "prompt": PromptEmbeddings(torch.zeros(1, 2))}
    write_tree(tmp_path / "tree", tree)
    back = read_tree(tmp_path / "tree")
    assert isinstance(back["prompt"], PromptEmbeddings) and back["rest"][1] == (None, 3, True, "x")
    assert all(torch.equal(one, other) for one, other in zip(tensors_in(back), tensors_in(tree), strict=True))
    assert outline(back) == outline(tree)
    with pytest.raises(TypeError):
        outline([{1, 2}])
    with pytest.raises(ValueError):
        filled({"class": ["os:stat_result"]}, [])


def test_the_time_is_looked_up_as_it_would_be_computed(tiny_model: Model) -> None:
    sinusoids, times = tiny_model.unet.time_proj, torch.tensor([0, 1, 499, 999])
    assert torch.equal(TimeTable(sinusoids)(times), sinusoids(times))


def test_the_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old")):
        (tmp_path / f"{name}.blob").write_bytes(bytes(10))
        (tmp_path / f"{name}.json").write_text("{}")
        os.utime(tmp_path / f"{name}.blob", (1000 - age, 1000 - age))
    clean(tmp_path, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.blob", "new.json"]


def test_weights_are_told_apart_by_every_number(tiny_model: Model) -> None:
    weight, before = tiny_model.unet.conv_in.weight.data, weights_digest(tiny_model.unet)
    kept = weight[0, 0, 0, 0].clone()
    weight[0, 0, 0, 0] += 1
    assert weights_digest(tiny_model.unet) != before
    weight[0, 0, 0, 0] = kept
    assert weights_digest(tiny_model.unet) == before


@needs_openvino
def test_what_visitors_together_need_is_compiled_before_they_come(
    tiny_model: Model, frames: list[Frame], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(tmp_path))
    with Engine(tiny_model, compiled="auto") as engine:
        engine.prepare(LIVELY, together=2).result()
        one, two = 4, 3
        while len(list(tmp_path.glob("*.json"))) < one + two:
            time.sleep(0.05)
        assert engine.runtime == "OpenVINO"
        asked = Here.asked
        assert asked == one + two
        picture = engine.open().submit(frames[0], LIVELY).result()
        assert picture.runtime == "OpenVINO"
    with Engine(tiny_model, compiled="wait") as engine:
        sessions = [engine.open(), engine.open()]
        for _ in range(3):
            for each in [session.submit(frames[0], LIVELY) for session in sessions]:
                each.result()
        engine.prepare(LIVELY, together=2).result()
    assert Here.asked <= asked + 3


@needs_openvino
def test_settings_that_change_again_and_again_make_no_more_than_a_number_of_calls(
    tiny_model: Model,
    frames: list[Frame],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(workshop_module, "MOST_COMPILED_AN_HOUR", 4)
    with caplog.at_level(logging.WARNING), Engine(tiny_model, compiled="wait") as engine:
        session = engine.open()
        for quarters in range(2, 8):
            for frame in frames[:2]:
                session.translate(frame, LIVELY.changed(bank_frames=quarters / 4))
        assert Here.asked == 4 and engine.runtime == "OpenVINO"
    assert caplog.text.count("no more calls are compiled for now") == 1


@needs_openvino
def test_few_kinds_of_calls_are_kept_by_number_by_use_and_by_bytes(
    tiny_model: Model, frames: list[Frame], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_module, "MOST_KINDS", 3)
    with Engine(tiny_model, compiled="wait") as engine:
        session = engine.open()
        for frame in frames[:3]:
            session.translate(frame, LIVELY)
        assert engine._kinds is not None and engine._kinds.count <= 3
        monkeypatch.setattr(compiled_module, "UNUSED_CALLS", 0)
        session.translate(frames[0], LIVELY)
        assert engine._kinds.count == 1
        monkeypatch.setattr(compiled_module, "UNUSED_CALLS", 2000)
        monkeypatch.setattr(compiled_module, "MOST_KINDS_BYTES", 1)
        session.translate(frames[0], LIVELY)
        assert engine._kinds.count == 1


@needs_openvino
@pytest.mark.parametrize("settings", [LIVELY, LIVELY.changed(guidance=2.0)], ids=["plain", "guided"])
def test_a_model_of_stable_diffusion_xl_is_compiled(
    sdxl_model: Model, frames: list[Frame], cache: Path, settings: FrameSettings
) -> None:
    expected, _ = painted(sdxl_model, frames[:3], settings)
    assert_openvino_paints(sdxl_model, frames[:3], expected, settings=settings)


@needs_openvino
def test_a_recurrent_memory_is_compiled(tiny_model: Model, frames: list[Frame], cache: Path, tmp_path: Path) -> None:
    save_recurrent(lively_recurrent(tiny_model.unet), tmp_path, torch.float32)
    expected, _ = painted(tiny_model, frames[:4], memory="recurrent", memory_weights=tmp_path)
    assert_openvino_paints(tiny_model, frames[:4], expected, memory="recurrent", memory_weights=tmp_path)


@needs_openvino
@pytest.mark.parametrize("network", [tiny_adapter, tiny_controlnet])
def test_what_a_control_adds_is_read_by_a_compiled_call(
    plain_model: Model, frames: list[Frame], cache: Path, tmp_path: Path, network: Callable[[], Any]
) -> None:
    network().save_pretrained(tmp_path / "control")
    control = load_control(tmp_path / "control", plain_model)
    expected, _ = painted(plain_model, frames[:3], control=control)
    assert_openvino_paints(plain_model, frames[:3], expected, control=control)


def assert_openvino_paints(model: Model, frames: list[Frame], expected: list[Frame], **how: Any) -> None:
    """All pictures are OpenVINO's, down to the UNet's calls, and those that PyTorch has painted."""
    how = {"settings": LIVELY, "memory": "feature-bank"} | how
    settings = how.pop("settings")
    with Engine(model, compiled="wait", **how) as engine:
        session = engine.open()
        made = [session.submit(frame, settings).result() for frame in frames]
    assert {each.runtime for each in made} == {"OpenVINO"}
    assert farthest([each.picture for each in made], expected) <= 1


@needs_openvino
def test_the_log_says_once_what_stays_with_pytorch_by_choice(
    tiny_model: Model,
    frames: list[Frame],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(workshop_module.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(workshop_module, "MOST_NETWORK_BYTES", 1)
    with caplog.at_level(logging.WARNING):
        _, runtime = painted(tiny_model, frames[:3], compiled="wait")
    assert runtime == "PyTorch" and Here.asked == 0
    said = [each.getMessage() for each in caplog.records if "stay with PyTorch" in each.getMessage()]
    assert sorted(each.split()[3] for each in said) == ["decoder", "encoder", "unet"]


@needs_openvino
def test_the_log_says_where_calls_could_not_be_prepared(
    tiny_model: Model, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no room")

    monkeypatch.setattr(Translator, "rehearse", broken)
    with caplog.at_level(logging.WARNING), Engine(tiny_model, compiled="auto") as engine:
        with pytest.raises(ValueError, match="no room"):
            engine.prepare(LIVELY).result()
    assert "calls could not be prepared: ValueError: no room" in caplog.text
