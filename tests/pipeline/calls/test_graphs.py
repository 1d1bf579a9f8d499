"""Recorded UNet calls: what comes again is replayed, and every picture is bit for bit what it is without recordings.

There is no card here: the recorder of these tests runs the work again and fills the same places, as a CUDA graph does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from pipeline import Engine, FrameSettings, Model, load_control
from pipeline.calls import graphs as graphs_module
from pipeline.calls.graphs import RecordedCodec, RecordedUnet, codec_runner, kind_of, unet_runner
from pipeline.calls.plain_codec import PlainCodec
from pipeline.calls.recordings import CudaRecorder
from pipeline.compute.trees import mapped, signature_of, tensors_in
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.guides.control import Control
from pipeline.memory import create_memory
from pipeline.memory.bank import BankRow, LayerTokens
from pipeline.models.catalogue import Distillation
from pipeline.models.unet_call import UnetInputs, predicted
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import every_way, in_the_way, memory_rows
from tests.pipeline.engine.test_lanes import Ground, Visitor
from tests.pipeline.guides.test_control import tiny_adapter, tiny_controlnet

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)


class Again:
    """A recorder for any device: it holds on to the work and does it again, into the tensors of the first time."""

    def __init__(self) -> None:
        self.recorded_works = 0
        self.replays = 0

    def recorded(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        self.recorded_works += 1
        result = work()
        places = list(tensors_in(result))
        for place in places:
            # A recording computes nothing: whoever reads before the first replay has to see it.
            place.fill_(float("nan"))

        def replay() -> None:
            self.replays += 1
            for place, tensor in zip(places, tensors_in(work()), strict=True):
                place.copy_(tensor)

        return result, replay


class Full:
    """A recorder on a card that has no memory left."""

    def recorded(self, work: Callable[[], Any]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")


def translator_of(
    model: Model, runner: Any, memory: str = "feature-bank", control: Control | None = None
) -> Translator:
    opened = create_memory(memory, model.entry.memory_layout, "sdpa")
    encoder = PromptEncoder(model.text_encoders)
    return Translator(model, opened, encoder, model.schedule, control=control, runner=runner)


def painted(
    model: Model, runner: Any, memory: str = "feature-bank", control: Control | None = None
) -> list[list[Frame]]:
    """The pictures of three visitors of other settings who come, stay and go at different times."""
    translator = translator_of(model, runner, memory, control)
    visitors = [
        Visitor(0, [LIVELY.changed(steps=2)]),
        Visitor(1, [LIVELY.changed(guidance=2.0, fusion_strength=0.4)]),
        Visitor(2, [LIVELY.changed(bank_frames=0.5)] * 3 + [LIVELY]),
    ]
    here = {0: range(0, 14), 1: range(3, 11), 2: range(12, 16)}
    with translator.memory.installed(model.unet):
        ground = Ground(translator)
        for turn in range(16):
            for number, turns in here.items():
                if turn in turns:
                    ground.send(visitors[number])
            ground.tick()
        ground.flush()
    return [each.pictures for each in visitors]


@every_way
@pytest.mark.parametrize("memory, calls_before, most", [("feature-bank", 2, 8), ("feature-bank", 0, 1), ("none", 2, 8)])
def test_pictures_are_bit_for_bit_those_without_recordings(
    tiny_model: Model, memory: str, calls_before: int, most: int, way: Distillation
) -> None:
    tiny_model, recorder = in_the_way(tiny_model, way), Again()
    runner = RecordedUnet(recorder, calls_before, most)
    expected, pictures = painted(tiny_model, predicted, memory), painted(tiny_model, runner, memory)
    for some, others in zip(pictures, expected, strict=True):
        assert len(some) == len(others)
        assert all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))
    assert recorder.replays > recorder.recorded_works > 0
    assert runner.recordings <= most


def test_what_stable_diffusion_xl_reads_beside_is_recorded_too(sdxl_model: Model) -> None:
    recorder = Again()
    expected, pictures = painted(sdxl_model, predicted), painted(sdxl_model, RecordedUnet(recorder, 2))
    for some, others in zip(pictures, expected, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))
    assert recorder.replays > recorder.recorded_works > 0


@pytest.mark.parametrize("kind", ["adapter", "controlnet"])
def test_what_a_control_adds_is_recorded_too(plain_model: Model, tmp_path: Path, kind: str) -> None:
    network = tiny_adapter() if kind == "adapter" else tiny_controlnet()
    network.save_pretrained(tmp_path)
    recorder, control = Again(), load_control(tmp_path, plain_model)
    with control.installed("sdpa"):
        expected = painted(plain_model, predicted, control=control)
        pictures = painted(plain_model, RecordedUnet(recorder, 2), control=control)
        assert not np.array_equal(expected[0][0], painted(plain_model, predicted)[0][0])
    for some, others in zip(pictures, expected, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))
    assert recorder.replays > recorder.recorded_works > 0


@dataclass(eq=False)
class Calls:
    """Counts the UNet's own calls."""

    model: Model
    count: int = 0

    def __enter__(self) -> Calls:
        self.hook = self.model.unet.register_forward_pre_hook(self.counted)
        return self

    def counted(self, *_: Any) -> None:
        self.count += 1

    def __exit__(self, *_: Any) -> None:
        self.hook.remove()


def inputs_of(rows: int, width: int = 4) -> UnetInputs:
    embeddings = PromptEmbeddings(torch.randn(rows, 77, 32))
    return UnetInputs(torch.randn(rows, 4, 4, width), torch.full((rows,), 999), embeddings, None, (32, 32))


@pytest.fixture
def unet(plain_model: Model) -> Iterator[Any]:
    memory = create_memory("none", plain_model.entry.memory_layout, "sdpa")
    with memory.installed(plain_model.unet), torch.inference_mode():
        yield plain_model.unet


def test_a_call_is_recorded_when_it_has_come_often_enough(unet: Any) -> None:
    recorder = Again()
    runner = RecordedUnet(recorder, calls_before=2)
    for call in range(5):
        inputs = inputs_of(2)
        assert torch.equal(runner(unet, inputs), predicted(unet, inputs))
        assert recorder.recorded_works == (call >= 2) and recorder.replays == max(0, call - 1)
    runner(unet, inputs_of(3))
    assert recorder.recorded_works == 1


def test_the_recordings_used_longest_ago_make_room(unet: Any) -> None:
    recorder = Again()
    runner = RecordedUnet(recorder, calls_before=0, most_recordings=2)
    for rows in (1, 2, 1, 3):
        runner(unet, inputs_of(rows))
    assert runner.recordings == 2 and recorder.recorded_works == 3
    runner(unet, inputs_of(1))
    assert recorder.recorded_works == 3
    runner(unet, inputs_of(2))
    assert recorder.recorded_works == 4


def test_without_memory_for_a_recording_calls_are_made_as_ever(unet: Any, caplog: pytest.LogCaptureFixture) -> None:
    runner, inputs = RecordedUnet(Full(), calls_before=0), inputs_of(1)  # type: ignore[arg-type]
    for _ in range(2):
        assert torch.equal(runner(unet, inputs), predicted(unet, inputs))
    assert runner.recordings == 0 and len(caplog.records) == 1
    assert "no memory is left" in caplog.text


def test_weights_changed_in_place_are_read_as_they_are(plain_model: Model, unet: Any) -> None:
    recorder = Again()
    runner, inputs, weight = RecordedUnet(recorder, calls_before=0), inputs_of(1), unet.conv_in.weight
    before = runner(unet, inputs).clone()
    kept = weight.detach().clone()
    with Calls(plain_model) as calls:
        weight.mul_(1.5)
        changed = runner(unet, inputs).clone()
        weight.copy_(kept)
        assert torch.equal(runner(unet, inputs), before) and not torch.equal(changed, before)
        assert recorder.recorded_works == 1 and calls.count == 2
    runner.forget()
    assert runner.recordings == 0


def test_a_tiny_decoder_is_recorded_too(tiny_model: Model) -> None:
    recorder, nothing = Again(), [(), ()]
    codec = RecordedCodec(recorder, calls_before=2)
    with torch.inference_mode():
        for call in range(5):
            latents = torch.randn(2, int(tiny_model.vae.config.latent_channels), 4, 4)
            pixels, _ = codec.decode(tiny_model.vae, latents, nothing)
            assert torch.equal(pixels, PlainCodec().decode(tiny_model.vae, latents, nothing)[0])
            assert recorder.recorded_works == (call >= 2) and recorder.replays == max(0, call - 1)
        codec.decode(tiny_model.vae, latents[:1], nothing[:1])
    assert recorder.recorded_works == codec.recordings == 1


def test_a_large_decoder_is_not_recorded() -> None:
    large = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=8)
    recorder, latents = Again(), torch.randn(1, 4, 4, 4)
    codec = RecordedCodec(recorder, calls_before=0)
    with torch.inference_mode():
        pixels, left = codec.decode(large, latents, [()])
        assert torch.equal(pixels, PlainCodec().decode(large, latents, [()])[0]) and left == [()]
    assert recorder.recorded_works == 0


def test_rows_with_banks_of_different_sizes_are_of_no_kind() -> None:
    @dataclass(frozen=True)
    class Call:
        kind: str | None

    alike, ragged = (replace(inputs_of(2), memory=Call(each)) for each in ("one size", None))
    assert kind_of(ragged) is None
    assert kind_of(alike) == kind_of(replace(inputs_of(2), memory=Call("one size")))
    assert kind_of(alike) != kind_of(replace(inputs_of(3), memory=Call("one size")))
    assert kind_of(alike) != kind_of(replace(inputs_of(2), memory=Call("another")))


def test_a_banks_kind_is_its_size_and_whether_it_is_fused(tiny_model: Model) -> None:
    memory = create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa")
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1"

    def kind(*sizes: int | None, strength: float = 0.75) -> Any:
        banks = [
            None if each is None else BankRow({layer: LayerTokens(4, *torch.randn(3, 1, each, 8))}, frames=each)
            for each in sizes
        ]
        return memory.open(memory_rows(banks, LIVELY.changed(fusion_strength=strength))).kind

    assert kind(4, 4) == kind(4, 4) and kind(None) == kind(None)
    assert len({kind(4, 4), kind(4), kind(3), kind(None), kind(None, None), kind(4, strength=0.0)}) == 6
    assert kind(4, 3) is None and kind(4, None) is None


@pytest.mark.parametrize("graphs, recorded", [("auto", True), ("off", False)])
def test_the_switch(
    tiny_model: Model, frames: list[Frame], monkeypatch: pytest.MonkeyPatch, graphs: Any, recorded: bool
) -> None:
    recorder = Again()
    monkeypatch.setattr(graphs_module, "recorder_for", lambda device: recorder)
    with Engine(tiny_model, graphs=graphs) as engine:
        session = engine.open()
        pictures = [np.asarray(session.translate(frame, LIVELY)) for frame in frames]
    assert (recorder.replays > 0) is recorded
    monkeypatch.undo()
    with Engine(tiny_model) as engine:
        session = engine.open()
        assert all(
            np.array_equal(session.translate(frame, LIVELY), picture)
            for frame, picture in zip(frames, pictures, strict=True)
        )


def test_a_processor_records_nothing() -> None:
    assert unet_runner(torch.device("cpu"), "auto") is predicted
    assert type(codec_runner(torch.device("cpu"), "auto")) is PlainCodec


def test_trees_are_walked_in_one_order_whatever_they_are_made_of() -> None:
    tree = {
        "one": torch.tensor(1.0),
        "rest": [torch.tensor(2.0), (None, 3)],
        "prompt": PromptEmbeddings(torch.zeros(1, 2)),
    }
    assert [each.sum().item() for each in tensors_in(tree)] == [1.0, 2.0, 0.0]
    doubled = mapped(tree, lambda tensor: 2 * tensor)
    assert [each.sum().item() for each in tensors_in(doubled)] == [2.0, 4.0, 0.0]
    assert isinstance(doubled["prompt"], PromptEmbeddings) and doubled["rest"][1] == (None, 3)
    assert signature_of(doubled) == signature_of(tree)
    summed = mapped(tree, lambda one, other: one + other, doubled)
    assert [each.sum().item() for each in tensors_in(summed)] == [3.0, 6.0, 0.0] and type(summed["rest"]) is list
    assert signature_of([1]) != signature_of((1,))
    assert signature_of({"a": 1}) != signature_of({"a": 2}) and signature_of({"a": 1}) != signature_of({"b": 1})
    with pytest.raises(TypeError):
        signature_of({"a": {1, 2}})


@pytest.mark.gpu
@every_way
def test_on_a_card_recordings_paint_what_calls_paint(tiny_folder: Any, way: Distillation) -> None:
    """To the rounding of kernels that may be chosen differently: at most one value of 255."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from pipeline import load_model

    model = in_the_way(load_model(tiny_folder, device="cuda", dtype=torch.float32), way)
    runner = RecordedUnet(CudaRecorder(), calls_before=2)
    expected, pictures = painted(model, predicted), painted(model, runner)
    assert runner.recordings > 0
    for some, others in zip(pictures, expected, strict=True):
        for one, other in zip(some, others, strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1
