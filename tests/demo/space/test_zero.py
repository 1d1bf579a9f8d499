"""ZeroGPU: what a call is asked for, and what comes back; `spaces` is a stand-in that lets everything pass through
pickle, as its processes do."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 - what the host does with arguments and results
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from gradio.data_classes import ImageData
from PIL import Image

from demo.space import zero, zero_page
from demo.space.zero import Calls, Outcome, call_seconds, check_video, frames_within_a_call
from pipeline import Engine, FrameSettings, Model
from pipeline.errors import PictureError, VideoError
from pipeline.frames.codec import Frame
from pipeline.models.load import load_model_to_lend
from tests.support.clips import read_clip, write_clip
from tests.support.served import ROOT


class StandIn:
    """The `spaces` library as far as it is used; `seconds` are those that calls were asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def GPU(self, duration: Callable[..., float] | float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any) -> Any:
                self.seconds.append(duration(*arguments) if callable(duration) else duration)
                return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))

            return called

        return decorated


@pytest.fixture
def spaces() -> StandIn:
    return StandIn()


@pytest.fixture
def calls(spaces: StandIn, tiny_model: Model) -> Calls:
    return Calls(spaces, lambda: Engine(tiny_model, graphs="off"))


def test_a_picture_comes_back_in_its_own_size(calls: Calls, spaces: StandIn, frames: list[Frame]) -> None:
    settings = FrameSettings(prompt="oil painting", seed=7, fit="pad")
    painted = calls.picture(frames[0], settings)
    assert painted.picture is not None and painted.picture.shape == frames[0].shape
    assert np.array_equal(painted.picture, calls.picture(frames[0], settings).picture)
    assert spaces.seconds == [call_seconds(1, settings.steps)] * 2
    assert not [each for each in threading.enumerate() if each.name == "rearview-engine"]


def test_a_whole_video_is_painted_in_one_call(calls: Calls, spaces: StandIn, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    settings = FrameSettings(steps=2, fit="pad")
    sentence = zero_page.painted_video(calls, source, out, settings)
    assert "out.mp4 holds 8 frames" in sentence
    assert len(read_clip(out).seconds) == 8
    assert spaces.seconds == [call_seconds(8, 2)]


def test_a_video_that_does_not_fit_into_a_call_is_refused(
    calls: Calls, spaces: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_clip(tmp_path / "in.mp4")
    monkeypatch.setattr(zero, "MAXIMUM_CALL_S", call_seconds(4, 2))
    with pytest.raises(VideoError, match="8 frames; needed: at most 4 with 2 steps"):
        check_video(source, FrameSettings(steps=2))
    with pytest.raises(gr.Error, match="at most 4"):
        zero_page.painted_video(calls, source, tmp_path / "out.mp4", FrameSettings(steps=2))
    assert spaces.seconds == []
    # A file that does not tell its length is cut where the call ends.
    cut = calls.video(source, tmp_path / "out.mp4", FrameSettings(steps=2))
    assert cut.report is not None and (cut.report.frames, cut.report.ending) == (4, "stopped")


def test_a_call_decodes_no_frame_that_is_larger_than_the_page_takes(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_clip(tmp_path / "in.mp4")
    facts = zero.facts_of(source)
    monkeypatch.setattr(zero, "facts_of", lambda *_: facts)
    monkeypatch.setattr(zero, "MAXIMUM_SIDE", 16)
    assert "at most 16" in calls.video(source, tmp_path / "out.mp4", FrameSettings(steps=2)).error


def test_a_picture_s_file_is_read_by_our_own_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = zero_page.picture_file()
    file = tmp_path / "a.png"
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_, **__: pytest.fail("Gradio has opened it"))
        path = source.preprocess(ImageData(path=str(file), orig_name="a.png"))
    assert path == str(file) and source.preprocess(None) is None
    Image.new("RGB", (30, 20), "red").save(file)
    assert zero_page.opened_frame(str(file)).shape == (20, 30, 3)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(PictureError, match="needed"):
        zero_page.opened_frame(str(file))


def test_what_is_wrong_comes_back_as_a_sentence(spaces: StandIn, tiny_model: Model, tmp_path: Path) -> None:
    def no_engine() -> Engine:
        raise VideoError("the engine came without a GPU")

    broken = Calls(spaces, no_engine)
    assert broken.picture(np.zeros((8, 8, 3), np.uint8), FrameSettings()).error == "the engine came without a GPU"
    (tmp_path / "in.mp4").write_text("no video")
    with pytest.raises(gr.Error, match="in.mp4"):
        zero_page.painted_video(broken, tmp_path / "in.mp4", tmp_path / "out.mp4", FrameSettings())
    with pytest.raises(gr.Error, match="steps"):
        zero_page.asked({"steps": None}, [99])
    with pytest.raises(gr.Error, match="enough"):
        zero_page.answered(lambda: Outcome(error="enough"))


def test_a_gpu_is_asked_for_as_long_as_it_takes() -> None:
    assert call_seconds(1, 1) < call_seconds(10, 1) < call_seconds(10, 4) <= zero.MAXIMUM_CALL_S
    for steps in (1, 2, 4, 8):
        most = frames_within_a_call(steps)
        assert most > 24 and call_seconds(most, steps) <= zero.MAXIMUM_CALL_S == call_seconds(most + 1, steps)


def test_a_lent_model_is_sent_by_the_thread_that_asks(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[threading.Thread, Any]] = []
    to = torch.nn.Module.to

    def watched(module: torch.nn.Module, *places: Any, **options: Any) -> torch.nn.Module:
        if places == (torch.device("meta"),):
            sent.append((threading.current_thread(), module))
            return module
        return to(module, *places, **options)

    monkeypatch.setattr(torch.nn.Module, "to", watched)
    model = load_model_to_lend(tiny_folder, device="meta")
    assert {thread for thread, _ in sent} == {threading.current_thread()}
    assert {id(module) for _, module in sent} >= {id(model.unet), id(model.vae), id(model.text_encoders[0].model)}
    assert model.device.type == "meta"


IMITATED = """
import sys

from demo.space import zero

spaces = zero.prepare()
model, _ = zero.lent_model(sys.argv[1], memory="feature-bank", offline=True)
from spaces.zero.torch import patching

parts = (model.unet, model.vae, *(each.model for each in model.text_encoders))
weights = [weight for part in parts for weight in part.parameters()]
assert all(weight in patching.cuda_aliases and weight.device.type == "cuda" for weight in weights)
held = sum(weight.nbytes for weight in weights)
assert model.device.type == "cuda" and patching.pack() >= held > 0
"""


def test_a_lent_model_lies_in_the_real_imitation_of_cuda_and_is_packed(tiny_folder: Path, tmp_path: Path) -> None:
    host = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": "http://127.0.0.1:9/"}
    environment = {**os.environ, **host, "ZEROGPU_OFFLOAD_DIR": str(tmp_path / "packed")}
    command = [sys.executable, "-c", IMITATED, str(tiny_folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [*(tmp_path / "packed").iterdir()]
