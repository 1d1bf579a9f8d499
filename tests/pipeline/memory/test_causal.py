"""Causal attention on whole UNets: what a frame sees, that streaming equals the mask of the training, and its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline import Engine, FrameSettings, Model
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Translator, UnderWay
from pipeline.memory import MemoryRow
from pipeline.memory.causal import CausalAttention, CausalRow
from pipeline.memory.motion import Motion, save_motion, untrained_motion
from pipeline.memory.window import Window
from pipeline.models.schedule import Schedule
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import TEXT_WIDTH, memory_rows
from tests.pipeline.engine.test_lanes import Ground, Visitor, alone
from tests.support.weights.motion import (
    WINDOW,
    Visible,
    all_frames,
    clip_pass,
    lively_motion,
    motion_model,
    only_earlier,
    plain_unet,
    training_mask,
)

SETTINGS = FrameSettings()
PAST_THE_WRAP = 2 * WINDOW.length + 1
TIMESTEPS = (999, 759, 519, 279, 139)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return plain_unet()


@pytest.fixture(scope="module")
def motion(unet: UNet2DConditionModel) -> Motion:
    return lively_motion(unet)


@pytest.fixture(scope="module")
def expected(unet: UNet2DConditionModel, motion: Motion) -> Callable[[int], Tensor]:
    """What a stream of `PAST_THE_WRAP` frames has to paint at a step."""
    return cache(lambda step: expected_of(unet, motion, PAST_THE_WRAP, step))


@pytest.fixture
def memory(unet: UNet2DConditionModel, motion: Motion) -> Iterator[CausalAttention]:
    """The memory, installed."""
    memory = CausalAttention(motion, "sdpa")
    with memory.installed(unet):
        yield memory


def generator(*seeds: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(seed * 1000**place for place, seed in enumerate(seeds)))


def frame(index: int, step: int = 0, visitor: int = 0) -> Tensor:
    return torch.randn(1, 4, 6, 4, generator=generator(index, step, visitor))


def text(prompt: int = 0) -> Tensor:
    return torch.randn(1, 7, TEXT_WIDTH, generator=generator(99, prompt))


def called(unet: UNet2DConditionModel, samples: Tensor, timesteps: Sequence[int], texts: Tensor, call: Any) -> Tensor:
    with torch.inference_mode():
        kwargs = None if call is None else {"memory": call}
        steps = torch.tensor(timesteps)
        return unet(samples, steps, texts, cross_attention_kwargs=kwargs, return_dict=False)[0]


class Stream:
    """One row's stream through an installed memory, a frame a call."""

    def __init__(self, unet: UNet2DConditionModel, memory: CausalAttention, step: int = 0, visitor: int = 0) -> None:
        self.unet, self.memory, self.step, self.visitor = unet, memory, step, visitor
        self.row: CausalRow | None = None
        self.settings, self.prompt = SETTINGS, 0

    def asks(self, reprompted: bool = False) -> MemoryRow:
        return MemoryRow(self.row, self.settings, generator(0), reprompted)

    def play(self, sample: Tensor, prompt: int = 0) -> Tensor:
        call = self.memory.open([self.asks(prompt != self.prompt)])
        self.prompt = prompt
        output = called(self.unet, sample, [TIMESTEPS[self.step]], text(prompt), call)
        self.row = self.memory.updated(call, 0)
        return output


def played(stream: Stream, count: int) -> Tensor:
    frames = [stream.play(frame(index, stream.step, stream.visitor)) for index in range(count)]
    return torch.cat(frames) if frames else torch.empty(0, 4, 6, 4)


def full_pass(unet: UNet2DConditionModel, motion: Motion, visible: Visible, count: int, step: int = 0) -> Tensor:
    samples = torch.cat([frame(index, step) for index in range(count)])
    return clip_pass(motion_model(unet, motion, visible), samples, TIMESTEPS[step], text())


def expected_of(unet: UNet2DConditionModel, motion: Motion, count: int, step: int = 0) -> Tensor:
    """What a stream paints: its first frames over those before them, all others as under the mask of the training."""
    trained = full_pass(unet, motion, training_mask(motion.window), count, step)
    if not motion.window.joining:
        return trained
    first = full_pass(unet, motion, only_earlier, motion.window.joining, step)
    return torch.cat([first, trained[len(first) :]])


def assert_near(some: Tensor, others: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(some, others, rtol=0, atol=atol)


@pytest.mark.parametrize("window", [Window(6, 3), Window(4, 1), Window(3, 2)])
def test_streaming_equals_one_full_pass_under_the_mask_past_the_wrap(
    unet: UNet2DConditionModel, window: Window
) -> None:
    memory = CausalAttention(lively_motion(unet, window), "sdpa")
    count = 3 * window.length
    with memory.installed(unet):
        streamed = played(Stream(unet, memory), count)
    assert_near(streamed, expected_of(unet, memory.motion, count))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_pipelined_rows_see_nothing_that_was_not_written(
    unet: UNet2DConditionModel, memory: CausalAttention, expected: Callable[[int], Tensor], steps: int
) -> None:
    """As many frames under way as there are steps, all in one call: each step's pictures are as in a stream alone."""
    rows: list[CausalRow | None] = [None] * steps
    outputs: list[list[Tensor]] = [[] for _ in range(steps)]
    count = PAST_THE_WRAP
    for tick in range(count + steps - 1):
        at_work = [step for step in range(steps) if 0 <= tick - step < count]
        call = memory.open(memory_rows([rows[step] for step in at_work], SETTINGS))
        samples = torch.cat([frame(tick - step, step) for step in at_work])
        texts = text().expand(len(at_work), -1, -1)
        together = called(unet, samples, [TIMESTEPS[step] for step in at_work], texts, call)
        for place, step in enumerate(at_work):
            rows[step] = memory.updated(call, place)
            outputs[step].append(together[place : place + 1])
    for step in range(steps):
        assert_near(torch.cat(outputs[step]), expected(step))


@pytest.mark.parametrize("changed", [0, 2, 3, 9])
def test_changing_a_frame_changes_nothing_before_it(
    unet: UNet2DConditionModel, memory: CausalAttention, changed: int
) -> None:
    count = PAST_THE_WRAP
    before, stream = played(Stream(unet, memory), count), Stream(unet, memory)
    after = torch.cat([stream.play(frame(index) + 0.5 * (index == changed)) for index in range(count)])
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.allclose(before[changed : changed + 2], after[changed : changed + 2], atol=1e-3)


def test_only_sinks_are_remembered_for_good(unet: UNet2DConditionModel, memory: CausalAttention) -> None:
    """A frame that has left the window is gone but for what it did to those after it, layer by layer."""
    stream = Stream(unet, memory)
    played(stream, PAST_THE_WRAP)
    assert stream.row is not None
    seen = training_mask(WINDOW)(PAST_THE_WRAP, PAST_THE_WRAP + 1)[:-1]
    assert len(stream.row.frames) == len(seen) == WINDOW.held
    fresh = Stream(unet, memory)
    first = "down_blocks.0.motion_modules.0.0.attn1"
    kept: dict[int, Tensor] = {}
    for index in range(PAST_THE_WRAP):
        fresh.play(frame(index))
        assert fresh.row is not None
        kept[index] = fresh.row.frames[-1][first]
    for held, index in zip(stream.row.frames, seen, strict=True):
        assert_near(held[first], kept[index])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_a_mask_the_hooks_are_diffusers_own_motion_model(unet: UNet2DConditionModel, count: int) -> None:
    """Sinks see each other: a stream's call that fills them is one pass of diffusers' model over a clip."""
    memory = CausalAttention(lively_motion(unet, Window(count + 1, count)), "sdpa")
    stream, outputs = Stream(unet, memory), []
    hook = unet.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    try:
        with memory.installed(unet):
            played(stream, count)
    finally:
        hook.remove()
    # The frame that called is the newest, and the first row.
    whole = torch.cat([outputs[-1][1:], outputs[-1][:1]])
    assert len(whole) == count
    assert_near(whole, full_pass(unet, memory.motion, all_frames, count), atol=1e-6)


def test_a_first_frame_is_that_of_the_unchanged_motion_model(
    unet: UNet2DConditionModel, memory: CausalAttention
) -> None:
    stock = UNetMotionModel.from_unet2d(unet, memory.motion.adapter).eval()
    assert_near(played(Stream(unet, memory), 1), clip_pass(stock, frame(0), TIMESTEPS[0], text()), atol=1e-6)


def test_untrained_motion_modules_change_nothing(unet: UNet2DConditionModel) -> None:
    plain = [called(unet, frame(index), [TIMESTEPS[0]], text(), None) for index in range(WINDOW.length + 2)]
    memory = CausalAttention(untrained_motion(unet, WINDOW), "sdpa")
    with memory.installed(unet):
        assert_near(played(Stream(unet, memory), len(plain)), torch.cat(plain), atol=1e-6)


def test_visitors_at_different_phases_share_a_call(unet: UNet2DConditionModel, memory: CausalAttention) -> None:
    """New, warming up, about to fill the sinks, behind the wrap, under a new prompt, without a bank, in one call."""
    streams = [Stream(unet, memory, step, step) for step in range(5)] + [Stream(unet, memory, 0, visitor=7)]
    for stream, count in zip(streams, [0, 1, WINDOW.joining, 6, 7, 4], strict=True):
        played(stream, count)
    streams[5].settings = SETTINGS.changed(bank_frames=0.0)
    prompts = [0, 1, 2, 0, 3, 0]
    asks = [stream.asks(reprompted=index == 4) for index, stream in enumerate(streams)]
    lone = []
    for index, ask in enumerate(asks):
        single = memory.open([ask])
        sample, step = frame(20, streams[index].step, index), TIMESTEPS[streams[index].step]
        lone.append((called(unet, sample, [step], text(prompts[index]), single), memory.updated(single, 0)))
    for order in (range(6), (4, 2, 0, 5, 3, 1)):
        call = memory.open([asks[index] for index in order])
        samples = torch.cat([frame(20, streams[index].step, index) for index in order])
        steps = [TIMESTEPS[streams[index].step] for index in order]
        together = called(unet, samples, steps, torch.cat([text(prompts[index]) for index in order]), call)
        for place, index in enumerate(order):
            output, row = lone[index]
            assert_near(together[place : place + 1], output)
            assert_rows_near(memory.updated(call, place), row)


def assert_rows_near(some: CausalRow | None, others: CausalRow | None) -> None:
    if some is None or others is None:
        assert some is others
        return
    for one, other in zip(some.frames, others.frames, strict=True):
        assert one.keys() == other.keys()
        for layer, tokens in one.items():
            assert_near(tokens, other[layer], atol=2e-5)
    for mine, theirs in zip(some.inputs, others.inputs, strict=True):
        assert mine.arguments.keys() == theirs.arguments.keys() == {"sample", "timestep"}
        assert all(torch.equal(mine.arguments[name], theirs.arguments[name]) for name in mine.arguments)


def test_a_new_prompt_sees_the_last_frames_again(unet: UNet2DConditionModel, memory: CausalAttention) -> None:
    """From the first frame under it all is as if the stream had begun with the last frames, under that prompt."""
    stream, anew = Stream(unet, memory), Stream(unet, memory)
    played(stream, 6)
    anew.prompt = 5
    for index in range(6 - WINDOW.joining, 6):
        anew.play(frame(index), prompt=5)
    for index in range(6, 6 + WINDOW.length):
        assert_near(stream.play(frame(index), prompt=5), anew.play(frame(index), prompt=5))
    assert_rows_near(stream.row, anew.row)


def test_a_new_prompt_among_the_first_frames_starts_them_together(
    unet: UNet2DConditionModel, memory: CausalAttention
) -> None:
    stream = Stream(unet, memory)
    stream.play(frame(0))
    output = stream.play(frame(1), prompt=5)
    whole = clip_pass(
        motion_model(unet, memory.motion, all_frames), torch.cat([frame(0), frame(1)]), TIMESTEPS[0], text(5)
    )
    assert_near(output, whole[1:])
    assert stream.row is not None and len(stream.row.frames) == 2


def test_a_single_sink_forgets_under_a_new_prompt(unet: UNet2DConditionModel) -> None:
    """Nothing but the first frame would have to be seen again, and it is long gone."""
    memory = CausalAttention(lively_motion(unet, Window(4, 1)), "sdpa")
    stream, new = Stream(unet, memory), Stream(unet, memory)
    new.prompt = 5
    with memory.installed(unet):
        played(stream, 6)
        assert torch.equal(stream.play(frame(6), prompt=5), new.play(frame(6), prompt=5))


def test_bytes_grow_to_what_was_announced_and_stay(unet: UNet2DConditionModel, memory: CausalAttention) -> None:
    stream, sizes = Stream(unet, memory), []
    announced = set()
    for index in range(PAST_THE_WRAP):
        stream.play(frame(index))
        sizes.append(memory.nbytes(stream.row))
        announced.add(memory.full_nbytes(stream.row, SETTINGS))
        assert memory.fill(stream.row, SETTINGS) == min(1.0, (index + 1) / WINDOW.held)
    assert len(announced) == 1 and set(sizes[WINDOW.held - 1 :]) == announced
    assert stream.row is not None
    tensors = [tokens for each in stream.row.frames for tokens in each.values()]
    tensors += [tensor for each in stream.row.inputs for tensor in each.arguments.values()]
    assert sum(tensor.nbytes for tensor in tensors) == sizes[-1]
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)
    off = SETTINGS.changed(bank_frames=0.0)
    assert memory.nbytes(None) == memory.full_nbytes(stream.row, off) == memory.fill(stream.row, off) == 0


def test_a_new_row_shares_its_frames_with_the_old_one_and_leaves_it_as_it_was(
    unet: UNet2DConditionModel, memory: CausalAttention
) -> None:
    stream = Stream(unet, memory)
    played(stream, 9)
    old = stream.row
    assert old is not None
    copies = [{layer: tokens.clone() for layer, tokens in each.items()} for each in old.frames]
    stream.play(frame(9))
    assert stream.row is not None
    kept = [each for each in stream.row.frames if any(each is other for other in old.frames)]
    assert len(kept) == WINDOW.held - 1
    for each, copy in zip(old.frames, copies, strict=True):
        assert all(torch.equal(each[layer], copy[layer]) for layer in copy)


def test_a_row_moves_whole(unet: UNet2DConditionModel, memory: CausalAttention) -> None:
    stream = Stream(unet, memory)
    played(stream, 4)
    away = memory.moved(stream.row, torch.device("meta"))
    assert away is not None and memory.nbytes(away) == memory.nbytes(stream.row)
    assert {tokens.device.type for each in away.frames for tokens in each.values()} == {"meta"}
    assert {tensor.device.type for each in away.inputs for tensor in each.arguments.values()} == {"meta"}
    assert memory.moved(None, torch.device("cpu")) is None


@contextmanager
def expecting_whole(*roots: torch.nn.Module) -> Iterator[None]:
    def hooks() -> list[tuple[int, int]]:
        return [(len(each._forward_hooks), len(each._forward_pre_hooks)) for root in roots for each in root.modules()]

    def parts() -> dict[str, Any]:
        named = [pair for root in roots for pair in root.named_modules()]
        return {name: (each, getattr(each, "processor", None)) for name, each in named}

    counts, before = hooks(), parts()
    yield
    assert hooks() == counts
    after = parts()
    assert after.keys() == before.keys()
    assert all(one is other for name in before for one, other in zip(before[name], after[name], strict=True))


def test_hooks_and_processors_come_off_exactly(unet: UNet2DConditionModel, motion: Motion) -> None:
    memory = CausalAttention(motion, "sdpa")
    before = called(unet, frame(0), [500], text(), None)
    with expecting_whole(unet, motion.adapter), memory.installed(unet):
        assert any(each._forward_hooks for each in unet.modules())
    with expecting_whole(unet, motion.adapter), pytest.raises(ZeroDivisionError), memory.installed(unet):
        raise ZeroDivisionError
    assert torch.equal(called(unet, frame(0), [500], text(), None), before)


def test_a_failed_call_leaves_nothing_behind(
    unet: UNet2DConditionModel, memory: CausalAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(unet, memory)
    played(stream, 4)
    expected = Stream(unet, memory)
    expected.row = stream.row
    with monkeypatch.context() as patched:

        def torn(*args: Any, **kwargs: Any) -> None:
            raise ValueError("torn")

        patched.setattr(unet.conv_out, "forward", torn)
        with pytest.raises(ValueError, match="torn"):
            called(unet, frame(4), [500], text(), memory.open([stream.asks()]))
    with pytest.raises(RuntimeError, match="ran by itself"), torch.inference_mode():
        unet.mid_block.attentions[0](torch.zeros(1, 32, 3, 2), text(), return_dict=False)
    with pytest.raises(RuntimeError, match="no memory came"):
        called(unet, frame(4), [500], text(), None)
    assert torch.equal(stream.play(frame(4)), expected.play(frame(4)))


@given(length=st.integers(2, 20), data=st.data(), count=st.integers(1, 70))
def test_what_is_kept_is_what_the_next_frame_sees(length: int, data: st.DataObject, count: int) -> None:
    window = Window(length, data.draw(st.integers(1, length - 1)))
    kept: tuple[int, ...] = ()
    for number in range(count):
        kept = window.kept((*kept, number))
        assert len(kept) <= window.held
    seen = training_mask(window)(count, count + 1) if count >= window.sinks else list(range(count + 1))
    assert [*kept, count] == seen


@pytest.mark.parametrize(("length", "sinks"), [(1, 1), (4, 4), (4, 0), (4, 5)])
def test_a_window_needs_sinks_and_room_for_the_present(length: int, sinks: int) -> None:
    with pytest.raises(ValueError, match="sink"):
        Window(length, sinks)


@pytest.fixture(scope="module")
def weights(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("causal")
    save_motion(lively_motion(tiny_model.unet), folder)
    return folder


@pytest.fixture
def translator(tiny_model: Model) -> Iterator[Translator]:
    memory = CausalAttention(lively_motion(tiny_model.unet), "sdpa")
    encoder = PromptEncoder(tiny_model.text_encoders)
    with memory.installed(tiny_model.unet):
        yield Translator(tiny_model, memory, encoder, Schedule.of(tiny_model.scheduler))


LIVELY = FrameSettings(prompt="cat", steadiness=0.0)


def latents_by_seed(translator: Translator) -> dict[int, list[Tensor]]:
    """What frames come to from now on, by their visitor's seed: bytes of a tiny model's pictures hide too much."""
    latents: dict[int, list[Tensor]] = {}
    done = translator.done

    def watched(frame: UnderWay, past: StreamState, pixels: Tensor) -> Any:
        latents.setdefault(frame.asked.seed, []).append(frame.latents)
        return done(frame, past, pixels)

    object.__setattr__(translator, "done", watched)
    return latents


def assert_together_as_alone(translator: Translator, visitors: list[Visitor], count: int) -> None:
    """Two visitors whose frames share calls, the second two frames behind, get what each gets alone."""
    latents, ground = latents_by_seed(translator), Ground(translator)
    while visitors[1].sent < count:
        for late, visitor in enumerate(visitors):
            if visitor.sent < count and visitors[0].sent >= 2 * late:
                ground.send(visitor)
        ground.tick()
    ground.flush()
    together = {seed: list(each) for seed, each in latents.items()}
    latents.clear()
    for visitor in visitors:
        alone(translator, visitor, count)
        assert_near(torch.cat(together[visitor.seed]), torch.cat(latents[visitor.seed]))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_pipelined_denoising_paints_what_one_frame_after_another_paints(translator: Translator, steps: int) -> None:
    """Two visitors, one behind the other, one with a new prompt on the way, the other with guidance."""
    asked = LIVELY.changed(steps=steps, pipelined="on")
    visitors = [
        Visitor(0, [asked] * 5 + [asked.changed(prompt="boat")] * 2),
        Visitor(1, [asked.changed(prompt="neon house", guidance=2.0 if steps == 2 else 1.0)]),
    ]
    assert_together_as_alone(translator, visitors, 7)


def test_a_new_prompt_reaches_the_memory_and_a_new_scene_empties_it(translator: Translator) -> None:
    visitor = Visitor(0, [LIVELY])
    state = StreamState()
    for number in range(7):
        _, state = translator.translated(visitor.asked(number), state)
    (row,) = state.rows.values()
    assert len(row.frames) == WINDOW.held
    visitor.settings = [LIVELY.changed(prompt="boat")]
    _, under_another = translator.translated(visitor.asked(7), state)
    (row,) = under_another.rows.values()
    assert len(row.frames) == WINDOW.sinks
    visitor.frame = lambda number: np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)  # type: ignore[method-assign]
    _, cut = translator.translated(visitor.asked(8), under_another)
    (row,) = cut.rows.values()
    assert len(row.frames) == 1


def test_an_engine_serves_it_and_knows_its_bytes_before(
    tiny_model: Model, weights: Path, frames: list[np.ndarray]
) -> None:
    with Engine(tiny_model, memory="causal", memory_weights=weights) as engine:
        assert engine.memory_name == "causal"
        announced = engine.session_nbytes(LIVELY)
        session, other = engine.open(), engine.open(seed=8)
        for index in range(8):
            session.translate(frames[index], LIVELY)
            if index > 2:
                other.translate(frames[index], LIVELY)
        assert session.bank_fill == 1.0 and session.nbytes == other.nbytes == announced
        picture = np.asarray(session.translate(frames[10], LIVELY))
    with Engine(tiny_model, memory="none") as engine:
        assert not np.array_equal(picture, np.asarray(engine.open().translate(frames[10], LIVELY)))
