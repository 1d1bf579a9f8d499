"""A tick waits for nothing: no number is read back, nothing is copied in a way that waits; pictures arrive later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline import Engine, Model, PromptError
from pipeline.calls.streams import OneStream, Painted, streams_for
from pipeline.compute.devices import in_batch_order, rows_at, sent
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.memory import create_memory
from pipeline.models.catalogue import Distillation
from pipeline.models.schedule import Schedule
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import every_way
from tests.pipeline.engine.test_lanes import LIVELY, Ground, Visitor, alone, assert_alike

WAITING = {
    "aten::_local_scalar_dense",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave.Tensor",
    "aten::unique_dim",
    "aten::_unique2",
    # By a list of numbers or by an index that lies on the CPU: it is copied to the device, and waited for.
    "aten::index.Tensor",
    "aten::index_put_",
}
"""Operations for which the CPU waits on CUDA, where the others are only launched."""


class Waits(TorchDispatchMode):
    """While entered, notes every operation for which the CPU would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() in WAITING:
            self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.fixture
def translator(tiny_model: Model, way: Distillation) -> Iterator[Translator]:
    memory = create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa")
    with memory.installed(tiny_model.unet):
        schedule = Schedule.of(tiny_model.scheduler, way)
        yield Translator(tiny_model, memory, PromptEncoder(tiny_model.text_encoders), schedule)


def ragged_frames(translator: Translator) -> list[Any]:
    """Frames of visitors with banks of several sizes, with guidance and with none, and their pasts."""
    chosen = [
        LIVELY.changed(steps=2, guidance=2.0),
        LIVELY.changed(bank_frames=0.25, fusion_strength=0.3),
        LIVELY.changed(bank_frames=2.0, steps=2),
        LIVELY.changed(bank_frames=0.0),
    ]
    pairs = []
    for seed, settings in enumerate(chosen):
        visitor, state = Visitor(seed, [settings]), StreamState()
        for number in range(3):
            _, state = translator.translated(visitor.asked(number), state)
        pairs.append((translator.begun(visitor.asked(3), state), state))
    return pairs


@every_way
def test_the_cpu_reads_nothing_back_in_a_tick(translator: Translator) -> None:
    pairs = ragged_frames(translator)
    with Waits() as waits:
        stepped = translator.stepped(pairs)
        translator.stepped([(frame, pairs[index][1]) for index, frame in enumerate(stepped) if not frame.is_denoised])
    assert waits.seen == []


def test_what_waits_is_seen() -> None:
    numbers = torch.arange(3.0)
    with Waits() as waits:
        float(numbers[1])
        bool(numbers.isfinite().all())
        numbers[[0, 2]]
        numbers.long().bincount()
    assert waits.seen == ["aten::_local_scalar_dense"] * 2 + ["aten::index.Tensor", "aten::bincount"]


def test_frames_that_set_out_together_are_encoded_as_alone(translator: Translator) -> None:
    visitors = [Visitor(seed, [LIVELY.changed(prompt=prompt)]) for seed, prompt in enumerate(("cat", "boat", "cat"))]
    pairs = [(each.asked(0), each.state) for each in visitors]
    for together, pair in zip(translator.begun_together(pairs), pairs, strict=True):
        single = translator.begun(*pair)
        torch.testing.assert_close(together.source, single.source, rtol=0, atol=1e-5)
        torch.testing.assert_close(together.beside, single.beside, rtol=0, atol=1e-5)
        assert torch.equal(together.embeddings.tokens, single.embeddings.tokens)
        assert together.noise.keys() == single.noise.keys()


def test_one_bad_prompt_spoils_no_frame_that_sets_out_with_it(translator: Translator) -> None:
    visitors = [Visitor(seed, [LIVELY]) for seed in range(3)]
    visitors[1].settings = [LIVELY.changed(prompt="((torn")]
    ground = Ground(translator)
    requests = [ground.request(each) for each in visitors]
    ground.record(ground.lanes.enter(requests))
    assert isinstance(visitors[1].outcomes[0], PromptError)
    ground.flush()
    for each in (visitors[0], visitors[2]):
        assert_alike(each.pictures, alone(translator, each, 1))


class Later(OneStream):
    """Streams on which pictures take their time: what is waited for is noted."""

    overlap = True

    def __init__(self) -> None:
        self.waits: list[int] = []
        self.sent = 0

    def arriving(self, pixels: Tensor, flagged: Tensor | None) -> Any:
        self.sent += 1
        return LaterPicture(self, self.sent, super().arriving(pixels, flagged).painted)


class LaterPicture:
    def __init__(self, streams: Later, number: int, painted: Painted | None) -> None:
        self.streams, self.number, self.painted = streams, number, painted

    def waited_for(self) -> Painted | None:
        self.streams.waits.append(self.number)
        return self.painted


@contextmanager
def overlapping(translator: Translator) -> Iterator[Later]:
    streams = Later()
    object.__setattr__(translator, "streams", streams)
    yield streams


@pytest.mark.parametrize("pipelined", ["off", "on"])
@pytest.mark.parametrize("steps", [1, 2])
def test_pictures_are_waited_for_behind_the_next_work(translator: Translator, steps: int, pipelined: Any) -> None:
    visitor = Visitor(0, [LIVELY.changed(steps=steps, pipelined=pipelined)])
    expected = alone(translator, visitor, 6)
    with overlapping(translator) as streams:
        ground = Ground(translator)
        while visitor.sent < 6:
            ground.send(visitor)
            called = len(ground.ticks)
            before = len(streams.waits)
            ground.tick()
            # Whenever a picture was waited for, this tick had launched work before, for a frame behind it.
            assert len(streams.waits) == before or len(ground.ticks) > called
        assert len(visitor.outcomes) < visitor.sent
        ground.flush()
    assert_alike(visitor.pictures, expected)
    assert streams.waits == [1, 2, 3, 4, 5, 6] and visitor.commits == 6


def test_a_picture_that_nothing_follows_is_waited_for_at_once(translator: Translator) -> None:
    visitor = Visitor(0, [LIVELY])
    with overlapping(translator):
        ground = Ground(translator)
        ground.send(visitor)
        ground.tick()
        assert not visitor.outcomes and ground.lanes
        ground.tick()
    assert len(visitor.outcomes) == 1 and not ground.lanes


@every_way
def test_a_frame_behind_one_that_turns_out_to_be_no_picture_begins_again(translator: Translator) -> None:
    bad = LIVELY.changed(fusion_strength=0.4)
    visitor = Visitor(0, [LIVELY, bad, LIVELY, LIVELY])
    state, expected = StreamState(), []
    for number in (0, 2, 3):
        picture, state = translator.translated(visitor.asked(number), state)
        expected.append(picture)
    done = translator.done

    def spoiled(frame: Any, past: Any, arriving: Any) -> Any:
        if frame.asked.settings is bad:
            arriving.painted = None
        return done(frame, past, arriving)

    with overlapping(translator):
        object.__setattr__(translator, "done", spoiled)
        ground = Ground(translator)
        while visitor.sent < 4:
            ground.send(visitor)
            ground.tick()
        ground.flush()
    assert isinstance(visitor.outcomes[1], Exception) and visitor.commits == 3
    assert_alike(visitor.pictures, expected)


def test_an_engine_whose_pictures_take_their_time_answers_every_frame(
    tiny_model: Model, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(tiny_model) as engine:
        session = engine.open()
        expected = [session.submit(frame, LIVELY).result(60).picture for frame in frames[:5]]
    streams = Later()
    monkeypatch.setattr("pipeline.engine.engine.streams_for", lambda device: streams)
    with Engine(tiny_model) as engine:
        session = engine.open()
        pictures = []
        waiting = session.submit(frames[0], LIVELY)
        for frame in frames[1:5]:
            # The next frame waits in the mailbox before the last picture is there, as with the page.
            while not (waiting.running() or waiting.done()):
                pass
            following = session.submit(frame, LIVELY)
            pictures.append(waiting.result(60).picture)
            waiting = following
        pictures.append(waiting.result(60).picture)
        assert session.frames == 5
    assert all(np.array_equal(one, other) for one, other in zip(pictures, expected, strict=True))
    assert streams.waits == [1, 2, 3, 4, 5]


def test_rows_are_taken_apart_and_put_together_without_an_index() -> None:
    batch = torch.arange(8).view(4, 2)
    with Waits() as waits:
        parts = [(indices, rows_at(batch, indices)) for indices in ([1, 3], [0], [2])]
        assert rows_at(batch, [0, 1, 2, 3]) is batch
        whole = in_batch_order(parts)
    assert torch.equal(whole, batch) and waits.seen == []
    assert torch.equal(parts[0][1], batch[[1, 3]])


def test_on_a_processor_all_is_done_at_once() -> None:
    cpu = torch.device("cpu")
    assert not streams_for(cpu).overlap
    tensor = torch.ones(2)
    assert sent(tensor, cpu) is tensor


def test_what_goes_to_a_card_is_copied_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    tensor = torch.ones(2)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: asked.append("pinned") or self)
    monkeypatch.setattr(Tensor, "to", lambda self, device, **kwargs: asked.append(kwargs) or self)
    sent(tensor, torch.device("cuda"))
    assert asked == ["pinned", {"non_blocking": True}]


@pytest.mark.gpu
@every_way
def test_on_a_card_no_tick_waits(tiny_folder: Any, way: Distillation) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from pipeline import load_model

    model = load_model(tiny_folder, device="cuda")
    memory = create_memory("feature-bank", model.entry.memory_layout, "sdpa")
    parts = (model, memory, PromptEncoder(model.text_encoders), Schedule.of(model.scheduler, way))
    with memory.installed(model.unet):
        translator = Translator(*parts, streams=streams_for(model.device))
        pairs = ragged_frames(translator)
        translator.stepped(pairs)
        torch.cuda.set_sync_debug_mode("error")
        try:
            frames = translator.begun_together([(frame.asked, past) for frame, past in pairs])
            pasts = [past for _, past in pairs]
            stepped = translator.stepped(list(zip(frames, pasts, strict=True)))
            decoded = translator.decoded(list(zip(stepped, pasts, strict=True)))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert all(each.arriving.waited_for() is not None for each in decoded)


@pytest.mark.gpu
@every_way
def test_on_a_card_streams_paint_what_one_stream_paints(tiny_folder: Any, way: Distillation) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from pipeline import load_model

    model = load_model(tiny_folder, device="cuda", dtype=torch.float32)
    memory = create_memory("feature-bank", model.entry.memory_layout, "sdpa")
    parts = (model, memory, PromptEncoder(model.text_encoders), Schedule.of(model.scheduler, way))
    visitors = [Visitor(seed, [LIVELY.changed(steps=1 + seed % 2)]) for seed in range(3)]
    with memory.installed(model.unet):
        ground = Ground(Translator(*parts, streams=streams_for(model.device)))
        for _ in range(12):
            for each in visitors:
                ground.send(each)
            ground.tick()
        ground.flush()
        for each in visitors:
            assert_alike(each.pictures, alone(Translator(*parts), each, each.sent))
