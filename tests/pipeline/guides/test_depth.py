"""Depth: what is added to the UNet's first convolution, the range that a session shows it in, and who guesses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn

from pipeline import Engine, FrameSettings, Model, ModelError
from pipeline.engine.memory_choice import MemoryChoice
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Translator
from pipeline.frames.codec import as_pixels
from pipeline.guides.depth import DepthModel, DepthRange, depth_model_for, load_depth_model
from pipeline.memory import create_memory
from pipeline.memory.base import MemoryLayout, MemoryRow
from pipeline.memory.causal import CausalAttention, CausalRow
from pipeline.memory.depth import DEPTH_MODEL, DepthConditioning, DepthWeights, conditioning_of, depth_model_of
from pipeline.memory.motion import Motion, load_motion, save_motion
from pipeline.models.hub import Hub
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import TINY_SIZE
from tests.pipeline.engine.test_lanes import Visitor
from tests.pipeline.memory.test_causal import assert_near, assert_together_as_alone, called, frame, generator, text
from tests.support.weights.depth import MEAN, STD, lively_conditioning, reading_motion, save_depth_model, tiny_dpt
from tests.support.weights.motion import (
    WINDOW,
    clip_pass,
    lively_motion,
    motion_model,
    only_earlier,
    plain_unet,
    training_mask,
)

SETTINGS = FrameSettings()
LIVELY = FrameSettings(prompt="cat", steadiness=0.0)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return plain_unet()


@pytest.fixture(scope="module")
def depth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_model(tmp_path_factory.mktemp("dpt"))


@pytest.fixture(scope="module")
def depth_model(depth_folder: Path) -> DepthModel:
    return load_depth_model(str(depth_folder), torch.device("cpu"))


def depth_of(index: int) -> Tensor:
    return torch.randn(1, 4, 6, 4, generator=generator(index, 77))


def streamed(
    unet: UNet2DConditionModel, motion: Motion, count: int, with_depth: bool = True
) -> tuple[Tensor, CausalRow]:
    """What a stream of frames comes to, and what it leaves; its memory is installed for as long as it lasts."""
    memory, row, outputs = CausalAttention(motion, "sdpa"), None, []
    with memory.installed(unet):
        for index in range(count):
            depth = depth_of(index) if with_depth else None
            call = memory.open([MemoryRow(row, SETTINGS, generator(0), depth=depth)])
            outputs.append(called(unet, frame(index), [500], text(), call))
            row = memory.updated(call, 0)
    return torch.cat(outputs), row


def test_the_convolutions_are_as_many_as_those_of_the_published_checkpoint() -> None:
    with torch.device("meta"):
        conditioning = DepthConditioning(320)
    convolutions = [each for each in conditioning.modules() if isinstance(each, nn.Conv2d)]
    assert sum(each.numel() for each in conditioning.parameters()) == 1_086_624
    assert [each.out_channels for each in convolutions] == [16, 16, 32, 32, 96, 96, 256, 320]
    assert conditioning(torch.empty(2, 4, 6, 5, device="meta")).shape == (2, 320, 6, 5)


def test_new_convolutions_change_nothing_bit_for_bit_and_others_do(unet: UNet2DConditionModel) -> None:
    plain, count = lively_motion(unet), WINDOW.sinks + 1
    without, _ = streamed(unet, plain, count)
    new, _ = streamed(unet, replace(plain, depth=DepthWeights(DepthConditioning(16))), count)
    assert torch.equal(new, without)
    read, _ = streamed(unet, reading_motion(unet), count)
    assert (read - without).abs().mean() > 0.01
    nobody, _ = streamed(unet, reading_motion(unet), count, with_depth=False)
    assert torch.equal(nobody, without)


def test_streaming_with_depth_equals_one_pass_in_which_each_frame_has_its_own(unet: UNet2DConditionModel) -> None:
    """Past the wrap of the ring, and through the call in which the first frames join, which bring theirs."""
    motion, count = reading_motion(unet), WINDOW.length + 2
    assert motion.depth is not None
    conditioning, depths = motion.depth.conditioning, torch.cat([depth_of(index) for index in range(count)])

    def with_depth(model: UNetMotionModel, frames: int) -> Tensor:
        model.conv_in.register_forward_hook(lambda layer, args, output: output + conditioning(depths[:frames]))
        return clip_pass(model, torch.cat([frame(index) for index in range(frames)]), 500, text())

    expected = with_depth(motion_model(unet, motion, training_mask(WINDOW)), count)
    first = with_depth(motion_model(unet, motion, only_earlier), WINDOW.joining)
    outputs, _ = streamed(unet, motion, count)
    assert_near(outputs, torch.cat([first, expected[len(first) :]]))


def test_of_rows_in_one_call_only_those_with_depth_get_any(unet: UNet2DConditionModel) -> None:
    memory = CausalAttention(reading_motion(unet), "sdpa")
    samples, texts = torch.cat([frame(0), frame(1), frame(2)]), text().expand(3, -1, -1)
    depths = [depth_of(0), None, depth_of(2)]
    with memory.installed(unet):
        rows = [MemoryRow(None, SETTINGS, generator(0), depth=each) for each in depths]
        together = called(unet, samples, [500] * 3, texts, memory.open(rows))
        for place, row in enumerate(rows):
            lone = called(unet, frame(place), [500], text(), memory.open([row]))
            assert_near(together[place : place + 1], lone)


def test_hooks_come_off_and_leave_the_very_same_convolution(unet: UNet2DConditionModel) -> None:
    memory, convolution = CausalAttention(reading_motion(unet), "sdpa"), unet.conv_in
    with pytest.raises(ZeroDivisionError), memory.installed(unet):
        assert len(convolution._forward_hooks) == 1
        raise ZeroDivisionError
    assert unet.conv_in is convolution and not convolution._forward_hooks
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in unet.modules())


def test_the_depth_of_frames_that_may_join_is_counted_copied_and_moved(unet: UNet2DConditionModel) -> None:
    memory = CausalAttention(reading_motion(unet), "sdpa")
    _, row = streamed(unet, memory.motion, WINDOW.length + 1)
    _, bare = streamed(unet, memory.motion, WINDOW.length + 1, with_depth=False)
    depths = [each.depth for each in row.inputs]
    assert len(depths) == WINDOW.joining
    assert memory.nbytes(row) == memory.full_nbytes(row, SETTINGS) == memory.nbytes(bare) + len(depths) * 4 * 6 * 4 * 4
    for each in depths:
        assert each is not None and each.untyped_storage().nbytes() == each.nbytes
    away = memory.moved(row, torch.device("meta"))
    assert away is not None and memory.nbytes(away) == memory.nbytes(row)
    assert all(each.depth is not None and each.depth.device.type == "meta" for each in away.inputs)


@pytest.mark.parametrize(("channels", "latents"), [(32, 4), (16, 8)])
def test_convolutions_that_do_not_fit_are_refused(unet: UNet2DConditionModel, channels: int, latents: int) -> None:
    conditioning = DepthConditioning(channels, latents)
    memory = CausalAttention(replace(lively_motion(unet), depth=DepthWeights(conditioning)), "sdpa")
    with pytest.raises(ModelError, match=f"from {latents} channels to {channels}; needed: from 4 to 16"):
        memory.installed(unet).__enter__()
    assert not any(each._forward_hooks for each in unet.modules())


def test_what_reads_depth_is_read_as_it_was_written(tmp_path: Path, unet: UNet2DConditionModel) -> None:
    motion = reading_motion(unet, "somebody/depth")
    save_motion(motion, tmp_path)
    loaded = load_motion(tmp_path)
    assert loaded.depth is not None and loaded.depth.model == "somebody/depth"
    before, after = lively_conditioning().state_dict(), loaded.depth.conditioning.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    (tmp_path / "rearview.json").write_text(json.dumps({"window": 5, "sinks": 3, "causal": True}))
    named = load_motion(tmp_path).depth
    assert named is not None and named.model == DEPTH_MODEL
    (tmp_path / "depth.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"depth\.safetensors"):
        load_motion(tmp_path)
    (tmp_path / "depth.safetensors").unlink()
    assert load_motion(tmp_path).depth is None
    with pytest.raises(LookupError):
        conditioning_of({})


def scene(near: float | None = None) -> Tensor:
    """Inverse depth `[1, 1, 4, 8]` of a background from 10 to 17, and of something near in front of its corner."""
    inverse = torch.arange(8.0).expand(4, 8).add(10)[None, None].clone()
    if near is not None:
        inverse[..., :2, :2] = near
    return inverse


def test_the_background_hardly_moves_when_something_near_comes_and_goes() -> None:
    behind = (slice(None), slice(None), slice(2, None))
    before = DepthRange.of(scene())
    steady, entered, gone = (before.after(each) for each in (scene(), scene(100.0), scene()))
    assert torch.equal(steady.picture(scene()), before.picture(scene()))
    shown = before.picture(scene())[behind]
    by_itself = (DepthRange.of(scene(100.0)).picture(scene(100.0))[behind] - shown).abs()
    slowly = (entered.picture(scene(100.0))[behind] - shown).abs()
    # By itself all of it would be pressed into the farthest twelfth of the range.
    assert by_itself.max() > 1.8 and slowly.max() < 1.2 and (slowly <= by_itself).all()
    assert entered.picture(scene(100.0))[0, 0, 0, 0] == 1 and gone.high == before.high
    left = entered.after(scene())
    assert (left.high - before.high) < (entered.high - before.high)


def test_a_range_follows_what_stays() -> None:
    shown, wanted = DepthRange.of(scene()), DepthRange.of(scene(100.0))
    for _ in range(18):
        shown = shown.after(scene(100.0))
    assert (wanted.high - shown.high) < 0.1 * (wanted.high - scene().max())
    for _ in range(18):
        shown = shown.after(scene())
    assert shown.high < 10 + 7 + 0.1 * (100 - 17)


def test_depth_pictures_are_grey_and_in_range_also_where_all_is_flat() -> None:
    flat = torch.full((1, 1, 4, 8), 3.0)
    picture = DepthRange.of(flat).picture(flat)
    assert picture.shape == (1, 3, 4, 8) and (picture == -1).all()
    extremes = DepthRange.of(scene()).picture(scene())
    assert (extremes.min(), extremes.max()) == (-1, 1) and torch.equal(extremes[:, 0], extremes[:, 2])


def pixels_of(count: int, height: int = TINY_SIZE, width: int = TINY_SIZE) -> Tensor:
    return torch.cat([torch.rand(1, 3, height, width, generator=generator(index, 5)) * 2 - 1 for index in range(count)])


def test_a_depth_model_sees_frames_as_it_was_trained_to(depth_model: DepthModel) -> None:
    pixels = pixels_of(2)
    prepared = ((pixels + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    network = tiny_dpt()
    network.load_state_dict(depth_model.network.state_dict())
    with torch.inference_mode():
        expected = network(prepared).predicted_depth[:, None]
    assert_near(depth_model.inverse_depth(pixels), expected)
    assert expected.std() > 0.01


def test_frames_of_any_shape_have_depth_and_none_depends_on_another(depth_model: DepthModel) -> None:
    pixels = pixels_of(3, 24, 40)
    together = depth_model.inverse_depth(pixels)
    assert together.shape == (3, 1, 24, 40) and together.dtype == torch.float32
    for index in range(3):
        assert_near(together[index : index + 1], depth_model.inverse_depth(pixels[index : index + 1]))


def test_a_depth_model_that_cannot_be_had_says_why(depth_folder: Path, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ModelError, match=f"'nothing'; needed: a folder .* {DEPTH_MODEL}"):
        load_depth_model("nothing", cpu)
    with pytest.raises(ModelError, match=f"{DEPTH_MODEL} is not in the cache.*--offline"):
        load_depth_model(DEPTH_MODEL, cpu, Hub(offline=True, cache=tmp_path / "cache"))
    spoiled = tmp_path / "spoiled"
    save_depth_model(spoiled)
    (spoiled / "model.safetensors").rename(spoiled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"without model\.safetensors.*pytorch_model\.bin, a pickle"):
        load_depth_model(str(spoiled), cpu)
    (spoiled / "pytorch_model.bin").rename(spoiled / "model.safetensors")
    config = (spoiled / "config.json").read_text()
    (spoiled / "config.json").write_text(config.replace('"dpt"', '"glpn"'))
    with pytest.raises(ModelError, match="'glpn', not a DPT"):
        load_depth_model(str(spoiled), cpu)
    network = tiny_dpt()
    state = {name: each for name, each in network.state_dict().items() if "head.head.4" not in name}
    network.save_pretrained(spoiled, state_dict=state)
    with pytest.raises(ModelError, match=r"lack head\.head\.4"):
        load_depth_model(str(spoiled), cpu)


@pytest.fixture
def translator(plain_model: Model, depth_folder: Path, depth_model: DepthModel) -> Iterator[Translator]:
    memory = CausalAttention(reading_motion(plain_model.unet, depth_folder), "sdpa")
    encoder = PromptEncoder(plain_model.text_encoders)
    with memory.installed(plain_model.unet):
        yield Translator(plain_model, memory, encoder, plain_model.schedule, depth=depth_model)


def test_visitors_share_calls_and_steps_with_the_depth_that_each_has_alone(translator: Translator) -> None:
    """Pipelined, one behind the other, past the call in which the first frames join, one under a new prompt."""
    asked = LIVELY.changed(steps=2, pipelined="on")
    visitors = [Visitor(0, [asked] * 4 + [asked.changed(prompt="boat")]), Visitor(1, [asked])]
    assert_together_as_alone(translator, visitors, 5)


def test_depth_is_guessed_once_a_frame_and_follows_the_past_that_the_frame_has(
    translator: Translator, depth_model: DepthModel
) -> None:
    visitor, passes = Visitor(0, [LIVELY.changed(steps=4)]), []
    hook = depth_model.network.register_forward_hook(lambda module, args, output: passes.append(len(args[0])))
    try:
        _, first = translator.translated(visitor.asked(0), StreamState())
        _, second = translator.translated(visitor.asked(9), first)
    finally:
        hook.remove()
    assert passes == [1, 1]
    pixels = torch.cat([as_pixels(visitor.frame(index), torch.device("cpu"), torch.float32) for index in (0, 9)])
    near = depth_model.inverse_depth(pixels)
    expected = DepthRange.of(near[:1])
    assert_same_range(first, expected)
    assert_same_range(second, expected.after(near[1:]))
    noise = np.random.default_rng(0).integers(0, 256, (TINY_SIZE, TINY_SIZE, 3), np.uint8)
    _, cut = translator.translated(replace(visitor.asked(0), frame=noise), second)
    assert_same_range(cut, DepthRange.of(depth_model.inverse_depth(as_pixels(noise, torch.device("cpu"), near.dtype))))
    assert second.forgotten().depth_range is None
    memory = translator.memory
    away = second.moved(memory, torch.device("meta"))
    assert away.depth_range is not None and away.depth_range.low.device.type == "meta"
    assert away.nbytes(memory) == second.nbytes(memory) == replace(second, depth_range=None).nbytes(memory) + 8


def assert_same_range(state: StreamState, expected: DepthRange) -> None:
    assert state.depth_range is not None
    assert_near(
        torch.stack([state.depth_range.low, state.depth_range.high]), torch.stack([expected.low, expected.high])
    )


def test_a_frame_whose_past_has_failed_forgets_the_depth_of_that_too(translator: Translator) -> None:
    visitor = Visitor(0, [LIVELY.changed(steps=2)])
    _, state = translator.translated(visitor.asked(0), StreamState())
    failing = translator.begun(visitor.asked(9), state)
    behind = translator.begun(visitor.asked(2), failing)
    (failing,) = translator.stepped([(failing, state)])
    (behind,) = translator.stepped([(behind, failing)])
    alone = translator.begun(visitor.asked(2), state)
    behind = translator.rebased(behind, state)
    (alone,), (behind,) = translator.stepped([(alone, state)]), translator.stepped([(behind, state)])
    assert alone.depth is not None and behind.depth is not None
    assert torch.equal(alone.depth.latents, behind.depth.latents) and torch.equal(alone.latents, behind.latents)


def test_only_frames_whose_memory_reads_depth_are_looked_at(unet: UNet2DConditionModel, depth_folder: Path) -> None:
    bank = create_memory("feature-bank", MemoryLayout(), "sdpa")
    reading, plain = (
        CausalAttention(each, "sdpa") for each in (reading_motion(unet, depth_folder), lively_motion(unet))
    )
    choice = MemoryChoice({"feature-bank": bank, "causal": reading})
    assert choice.depth_model(FrameSettings(memory="causal")) == str(depth_folder)
    assert [depth_model_of(each, SETTINGS) for each in (choice, bank, plain)] == [None] * 3
    cpu = torch.device("cpu")
    assert depth_model_for([bank, plain], cpu) is None and depth_model_for([bank, reading], cpu) is not None


def test_an_engine_reads_depth_where_the_weights_do(
    plain_model: Model, depth_folder: Path, tmp_path: Path, frames: list[np.ndarray]
) -> None:
    save_motion(reading_motion(plain_model.unet, depth_folder), tmp_path)
    pictures = []
    for reads in (True, False):
        with Engine(plain_model, memory="causal", memory_weights=tmp_path) as engine:
            session = engine.open()
            announced = engine.session_nbytes(LIVELY)
            for index in range(WINDOW.held):
                picture = np.asarray(session.translate(frames[index], LIVELY))
            assert (session.state.depth_range is not None) == reads
            assert session.nbytes == announced
            pictures.append(picture)
        if reads:
            (tmp_path / "depth.safetensors").unlink()
    assert not np.array_equal(*pictures)


def test_an_engine_whose_depth_model_is_not_here_says_so(plain_model: Model, tmp_path: Path) -> None:
    save_motion(reading_motion(plain_model.unet, DEPTH_MODEL), tmp_path / "weights")
    hub = Hub(offline=True, cache=tmp_path / "cache")
    with pytest.raises(ModelError, match=f"{DEPTH_MODEL} is not in the cache"):
        Engine(plain_model, memory="causal", memory_weights=tmp_path / "weights", hub=hub)
    with Engine(plain_model, memory="none"):
        pass
