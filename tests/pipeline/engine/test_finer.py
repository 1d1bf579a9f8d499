"""A picture at rest comes once more, finer, in the same tones; nobody waits for it and no stream knows of it."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from pipeline import Engine, FrameSettings, Model, PictureError, PromptError, Session, SessionClosedError, SettingsError
from pipeline.engine.finer import (
    GivenUpError,
    Resting,
    alone,
    finer_translator,
    given_up_when,
    in_the_tones_of,
    rested_picture,
)
from pipeline.engine.translator import Asked, Translator
from pipeline.frames.codec import Frame, fitted
from pipeline.memory import create_memory
from pipeline.models.unet_call import UnetInputs
from pipeline.prompts.encoder import PromptEncoder
from tests.conftest import TINY_SIZE

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)
WAIT_S = 60


def shown(session: Session, frame: Frame) -> Frame:
    return np.asarray(session.translate(frame, LIVELY))


class Held:
    """A UNet whose calls wait, at their beginning, until they are let."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, from_side: int) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        forward = engine.model.unet.forward

        def held(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if sample.shape[-1] >= from_side // 8:
                self.entered.set()
                assert self.opened.wait(WAIT_S)
            return forward(sample, *args, **kwargs)

        monkeypatch.setattr(engine.model.unet, "forward", held)


def test_a_finer_picture_is_twice_as_large_and_the_same_each_time(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    picture = shown(session, frames[0])
    finer, again = (session.submit_finer(frames[0], picture, LIVELY).result(WAIT_S) for _ in range(2))
    assert finer is not None and again is not None
    assert finer.shape == (2 * TINY_SIZE, 2 * TINY_SIZE, 3)
    assert np.array_equal(finer, again)


def test_a_still_is_what_a_visitor_without_a_past_would_see(engine: Engine, frames: list[Frame]) -> None:
    session, fresh = engine.open(seed=3), engine.open(seed=3)
    for frame in frames[:3]:
        session.translate(frame, LIVELY)
    other = LIVELY.changed(prompt="oil painting")
    before = session.state
    still = session.submit_still(frames[3], other).result(WAIT_S)
    expected = np.asarray(fresh.translate(frames[3], other))
    assert still is not None and np.abs(still.astype(int) - expected).max() <= 1
    assert session.state is before


def test_it_leaves_nothing_to_the_stream(engine: Engine, frames: list[Frame]) -> None:
    disturbed, other = engine.open(), engine.open()
    for frame in frames[:5]:
        picture = shown(disturbed, frame)
        assert np.array_equal(picture, shown(other, frame))
        before = disturbed.state
        disturbed.submit_finer(frame, picture, LIVELY).result(WAIT_S)
        assert disturbed.state is before and disturbed.frames == other.frames


def test_it_is_painted_in_as_many_steps_as_the_model_wants_and_no_call_of_it_counts_as_a_tick(
    tiny_model: Model, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny_model.entry.finer_steps == 4
    with Engine(replace(tiny_model, entry=replace(tiny_model.entry, finer_steps=3))) as engine:
        ticks: list[Any] = []
        session = engine.open()
        picture = shown(session, frames[0])
        engine.watch(ticks.append)
        calls: list[int] = []
        forward = engine.model.unet.forward
        monkeypatch.setattr(
            engine.model.unet, "forward", lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs)
        )
        session.submit_finer(frames[0], picture, LIVELY.changed(steps=1, pipelined="on")).result(WAIT_S)
        assert (len(calls), ticks, session.finer_steps) == (3, [], 3)


@pytest.mark.parametrize("ink, alike", [(0.0, True), (1.0, False)])
def test_the_drawing_covers_what_was_painted_by_as_much_as_the_model_wants(
    tiny_model: Model, frames: list[Frame], ink: float, alike: bool
) -> None:
    with Engine(replace(tiny_model, entry=replace(tiny_model.entry, finer_ink=ink))) as engine:
        session = engine.open()
        picture = shown(session, frames[0])
        finer = [session.submit_finer(frame, picture, LIVELY).result(WAIT_S) for frame in (frames[0], 255 - frames[0])]
    assert np.array_equal(*finer) is alike


def test_a_live_picture_of_anybody_goes_before_it(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = engine.open(), engine.open()
    picture, by_itself = shown(session, frames[0]), shown(engine.open(), frames[1])
    held = Held(engine, monkeypatch, from_side=2 * TINY_SIZE)
    finer = session.submit_finer(frames[0], picture, LIVELY)
    assert held.entered.wait(WAIT_S)
    live = other.submit(frames[1], LIVELY)
    held.opened.set()
    assert np.array_equal(live.result(WAIT_S).picture, by_itself)
    assert finer.result(WAIT_S) is None
    # The layers know nothing more of it.
    assert not any(layer._forward_pre_hooks for layer in engine.model.vae.modules())


def test_a_picture_that_waits_for_its_rest_is_given_up_with_the_next_stroke(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.open()
    picture = shown(session, frames[0])
    held = Held(engine, monkeypatch, from_side=TINY_SIZE)
    under_way = engine.open().submit(frames[0], LIVELY)
    assert held.entered.wait(WAIT_S)
    older, newer = (session.submit_finer(frames[0], picture, LIVELY) for _ in range(2))
    assert older.cancelled()
    live = session.submit(frames[1], LIVELY)
    held.opened.set()
    with pytest.raises(CancelledError):
        newer.result(WAIT_S)
    assert under_way.result(WAIT_S) and live.result(WAIT_S)


def test_calls_without_layers_are_given_up_between_each_other(tiny_model: Model, frames: list[Frame]) -> None:
    memory = create_memory("none", tiny_model.entry.memory_layout, "sdpa")
    translator = Translator(tiny_model, memory, PromptEncoder(tiny_model.text_encoders), tiny_model.schedule)
    calls: list[UnetInputs] = []

    def counted(unet: UNet2DConditionModel, inputs: UnetInputs) -> torch.Tensor:
        calls.append(inputs)
        return torch.zeros(1, 16, *inputs.samples.shape[2:])

    frame = fitted(frames[0], (TINY_SIZE, TINY_SIZE), "crop")
    resting = Resting(cast(Session, None), Asked(frame, alone(LIVELY.changed(steps=4)), 7), frame, Future())
    waiting = finer_translator(translator, counted, translator.codec)
    assert rested_picture(waiting, resting, lambda: len(calls) == 2) is None
    assert len(calls) == 2
    assert rested_picture(waiting, resting, lambda: False) is not None
    assert len(calls) == 2 + 4


def test_a_layer_stops_where_somebody_waits_and_only_there() -> None:
    network, waiting = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), [False]
    with given_up_when(lambda: waiting[0], [network]):
        network(torch.zeros(1, 2))
        waiting[0] = True
        with pytest.raises(GivenUpError):
            network(torch.zeros(1, 2))
    network(torch.zeros(1, 2))


@pytest.mark.parametrize("shift", [-60, 0, 45])
def test_colours_do_not_jump(shift: int) -> None:
    """However far the finer painting is off: places as wide as an eighth of the picture keep their colour, and what is
    finer than that stays."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] / 64
    live = np.stack([70 + 90 * x, 70 + 90 * y, 160 - 60 * x * y], axis=2).astype(np.uint8)
    detail = rng.integers(-15, 16, (128, 128, 3))
    finer = np.clip(live.repeat(2, 0).repeat(2, 1) + detail + shift, 0, 255).astype(np.uint8)
    toned = in_the_tones_of(live, finer)
    blocks = [each.reshape(8, each.shape[0] // 8, 8, -1, 3).mean(axis=(1, 3)) for each in (toned.astype(float), live)]
    assert np.abs(blocks[0] - blocks[1]).max() < 3
    assert np.corrcoef((toned.astype(float) - live.repeat(2, 0).repeat(2, 1)).ravel(), detail.ravel())[0, 1] > 0.9


def test_what_cannot_be_painted_is_a_sentence(engine: Engine, frames: list[Frame]) -> None:
    session = engine.open()
    picture = shown(session, frames[0])
    wrong: list[tuple[Any, FrameSettings, type[Exception]]] = [
        (frames[0], LIVELY.changed(prompt="((torn"), PromptError),
        (frames[0], LIVELY.changed(memory="causal"), SettingsError),
        ("no picture", LIVELY, PictureError),
    ]
    for frame, settings, error in wrong:
        with pytest.raises(error):
            session.submit_finer(frame, picture, settings).result(WAIT_S)
    session.close()
    with pytest.raises(SessionClosedError):
        session.submit_finer(frames[0], picture, LIVELY)


def test_an_engine_ends_though_a_picture_rests(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.open()
    picture = shown(session, frames[0])
    held = Held(engine, monkeypatch, from_side=2 * TINY_SIZE)
    finer = session.submit_finer(frames[0], picture, LIVELY)
    waiting = engine.open()
    later = waiting.submit_finer(frames[0], picture, LIVELY)
    assert held.entered.wait(WAIT_S)
    closing = threading.Thread(target=engine.close)
    closing.start()
    held.opened.set()
    closing.join(WAIT_S)
    assert not closing.is_alive() and finer.result(WAIT_S) is None and later.cancelled()
