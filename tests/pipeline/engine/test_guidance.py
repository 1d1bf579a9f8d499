"""Guidance: the paper's equations in each prediction space, the rows of each kind, and nothing that is carried on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, Model
from pipeline.calls.streams import Arrived, Painted
from pipeline.engine.guidance import branch_count, classifier_free, guided, residual_noise, rows_of_frame
from pipeline.engine.lanes import Tick
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Decoded, Translator
from pipeline.frames.codec import Frame
from pipeline.memory import create_memory
from pipeline.models.catalogue import Distillation
from pipeline.models.schedule import PREDICTION_TYPES, Schedule, StepCoefficients
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import GUIDANCE_KINDS, resting
from tests.conftest import TINY_SIZE, WAYS, every_way

SHAPE = (1, 4, 6, 6)
LIVELY = FrameSettings(prompt="(neon)1.4 cat", negative_prompt="(ugly)2.0", fusion_threshold=0.0, bank_interval=1)
FORGETFUL = LIVELY.changed(bank_frames=0.0, steadiness=0.0)
RESIDUAL_KINDS = ("onetime", "self")


def noise(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.fixture(params=[(way, index) for way in WAYS for index in (0, 1)], ids=lambda each: f"{each[0]} {each[1]}")
def step(request: pytest.FixtureRequest, tiny_model: Model) -> StepCoefficients:
    """A noisy step, and one with little noise."""
    way, index = request.param
    return Schedule.of(tiny_model.scheduler, way).steps(0.6, 2, 0.3)[index]


class Setup:
    """A step's noisy latents, and a model of a type that sees the noises `wanted` and `unwanted` there."""

    def __init__(self, step: StepCoefficients, kind: str) -> None:
        self.step, self.kind = step, kind
        self.source, self.wanted, self.unwanted = noise(0), noise(1), noise(2)
        self.noisy = step.noisy(self.source, noise(3))

    def predictions(self, *noises: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.step.prediction_of(each, self.noisy, self.kind) for each in noises])

    def noise_of(self, prediction: torch.Tensor) -> torch.Tensor:
        return residual_noise(self.step, self.noisy, self.step.predicted_clean(prediction, self.noisy, self.kind))

    def guided(self, settings: FrameSettings, *noises: torch.Tensor, anchor: Any = None) -> tuple[torch.Tensor, Any]:
        anchor = self.source if anchor is None else anchor
        predictions = self.predictions(*noises)
        prediction, anchor = guided(predictions, self.noisy, anchor, self.step, self.kind, settings)
        return self.noise_of(prediction), anchor


@pytest.fixture(params=PREDICTION_TYPES)
def setup(request: pytest.FixtureRequest, step: StepCoefficients) -> Setup:
    return Setup(step, request.param)


def test_a_prediction_means_the_noise_that_it_was_made_of(setup: Setup) -> None:
    close(setup.noise_of(setup.predictions(setup.wanted)), setup.wanted)


def test_full_guidance_is_the_same_in_every_prediction_space(setup: Setup) -> None:
    guided_noise, _ = setup.guided(FORGETFUL.changed(guidance=2.5), setup.wanted, setup.unwanted)
    close(guided_noise, setup.unwanted + 2.5 * (setup.wanted - setup.unwanted))


def test_full_guidance_is_computed_in_the_models_own_space(setup: Setup) -> None:
    """So that its rounding is that of classifier-free guidance alone."""
    both = setup.predictions(setup.wanted, setup.unwanted)
    prediction, _ = guided(
        both, setup.noisy, setup.source, setup.step, setup.kind, FORGETFUL.changed(guidance=2.5, residual_scale=0.3)
    )
    assert torch.equal(prediction, both[1:] + 2.5 * (both[:1] - both[1:]))


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.7])
def test_self_guidance_is_the_papers_equation(setup: Setup, scale: float) -> None:
    settings = FORGETFUL.changed(guidance=1.4, guidance_kind="self", residual_scale=scale)
    virtual = (setup.noisy - setup.step.sqrt_alpha * setup.source) / setup.step.sqrt_one_minus_alpha
    guided_noise, anchor = setup.guided(settings, setup.wanted)
    close(guided_noise, scale * virtual + 1.4 * (setup.wanted - scale * virtual))
    assert anchor is setup.source


@every_way
def test_at_the_first_step_the_residual_of_self_guidance_is_the_noise_itself(
    tiny_model: Model, way: Distillation
) -> None:
    setup = Setup(Schedule.of(tiny_model.scheduler, way).steps(0.6, 2)[0], "epsilon")
    close(residual_noise(setup.step, setup.noisy, setup.source), noise(3))


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_onetime_guidance_leads_away_from_what_the_first_step_saw(setup: Setup, scale: float) -> None:
    settings = FORGETFUL.changed(guidance=1.4, guidance_kind="onetime", residual_scale=scale)
    first, anchor = setup.guided(settings, setup.wanted, setup.unwanted)
    close(first, scale * setup.unwanted + 1.4 * (setup.wanted - scale * setup.unwanted))
    seen = setup.step.predicted_clean(setup.predictions(setup.unwanted), setup.noisy, setup.kind)
    close(anchor, seen)
    setup.noisy = setup.step.noisy(noise(5), noise(6))
    virtual = residual_noise(setup.step, setup.noisy, seen)
    later, kept = setup.guided(settings, setup.wanted, anchor=anchor)
    close(later, scale * virtual + 1.4 * (setup.wanted - scale * virtual))
    assert kept is anchor


@pytest.mark.parametrize("kind", GUIDANCE_KINDS)
@pytest.mark.parametrize("change", [{"guidance": 1.0}, {"guidance": 2.0, "guidance_kind": "none"}])
def test_without_guidance_the_prediction_stays_as_it_is(setup: Setup, kind: str, change: dict[str, Any]) -> None:
    settings = FORGETFUL.changed(**{"guidance_kind": kind, "residual_scale": 0.3, **change})
    (prediction,) = setup.predictions(setup.wanted)[None]
    result, _ = guided(prediction, setup.noisy, setup.source, setup.step, setup.kind, settings)
    assert torch.equal(result, prediction)


def test_the_formula_itself_is_the_plain_prediction_at_one(setup: Setup) -> None:
    close(classifier_free(setup.wanted, setup.unwanted, 1.0), setup.wanted)


@pytest.mark.parametrize("kind, rows", [("none", 4), ("self", 4), ("onetime", 5), ("full", 8)])
def test_each_kind_takes_its_rows(engine: Engine, frames: list[Frame], kind: str, rows: int) -> None:
    settings, ticks = LIVELY.changed(steps=4, guidance=2.0, guidance_kind=kind), list[Tick]()
    engine.watch(ticks.append)
    session = engine.open()
    session.translate(frames[0], settings)
    each_step = [branch_count(settings, step) for step in range(4)]
    assert [tick.rows for tick in ticks] == each_step
    assert sum(each_step) == rows_of_frame(settings) == rows
    expected = {(step, branch) for step, branches in enumerate(each_step) for branch in range(branches)}
    assert set(session.state.rows) == expected


def first(engine: Engine, frame: Frame, **changes: Any) -> Frame:
    return np.asarray(engine.open().translate(frame, FORGETFUL.changed(guidance=2.5, **changes)))


@pytest.mark.parametrize("steps", [1, 2])
def test_the_kind_changes_the_picture_and_none_is_no_guidance(engine: Engine, frames: list[Frame], steps: int) -> None:
    pictures = {kind: first(engine, frames[0], steps=steps, guidance_kind=kind) for kind in GUIDANCE_KINDS}
    plain = np.asarray(engine.open().translate(frames[0], FORGETFUL.changed(steps=steps)))
    assert np.array_equal(pictures["none"], plain)
    assert len({picture.tobytes() for picture in pictures.values()}) == (4 if steps > 1 else 3)
    # One step of onetime guidance is one of full guidance, to rounding.
    assert (np.abs(pictures["full"].astype(int) - pictures["onetime"]).max() <= 1) == (steps == 1)


@pytest.mark.parametrize("kind", GUIDANCE_KINDS)
def test_the_negative_prompt_and_the_residual_scale_act_where_the_settings_say(
    engine: Engine, frames: list[Frame], kind: str
) -> None:
    settings = FORGETFUL.changed(guidance=2.5, guidance_kind=kind)
    plain = first(engine, frames[0], guidance_kind=kind, steps=2)
    for name, value in (("negative_prompt", "boat"), ("residual_scale", 0.5)):
        changed = first(engine, frames[0], guidance_kind=kind, steps=2, **{name: value})
        assert np.array_equal(plain, changed) == (name in resting(settings, "feature-bank"))
    assert settings.negative_acts == ("negative_prompt" not in resting(settings, "feature-bank"))
    assert ("guidance" in resting(settings, "feature-bank")) == (kind == "none")


def test_without_guidance_all_of_it_rests() -> None:
    rests = resting(FrameSettings(steps=2), "feature-bank")
    assert set(rests) == {"negative_prompt", "residual_scale"}
    assert all(sentence.startswith("Off now: it needs") for sentence in rests.values())


def test_gamma_rests_where_nothing_comes_between_steps() -> None:
    assert "gamma" in resting(FrameSettings(steps=1), "none") and "gamma" not in resting(FrameSettings(steps=2), "none")


@pytest.fixture
def translator(tiny_model: Model, way: Distillation) -> Iterator[Translator]:
    memory = create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa")
    with memory.installed(tiny_model.unet):
        schedule = Schedule.of(tiny_model.scheduler, way)
        yield Translator(tiny_model, memory, PromptEncoder(tiny_model.text_encoders), schedule)


def drawn(number: int) -> Frame:
    """No two places alike: which of two equally near tokens is fused or merged into may be decided by rounding."""
    return np.random.default_rng(number).integers(0, 256, (TINY_SIZE, TINY_SIZE, 3), np.uint8)


@every_way
@pytest.mark.parametrize(
    "kind, steps, count", [("self", 1, 60), ("onetime", 1, 10), ("self", 3, 10), ("onetime", 3, 10)]
)
def test_many_frames_of_one_picture_are_one_result(translator: Translator, kind: str, steps: int, count: int) -> None:
    asked = Asked(drawn(0), FORGETFUL.changed(guidance=2.0, guidance_kind=kind, steps=steps), 7)
    state, results = StreamState(), []
    painted = Decoded(Arrived(Painted(np.zeros((TINY_SIZE, TINY_SIZE, 3), np.uint8))), ())
    for _ in range(count):
        frame = translator.begun(asked, state)
        while not frame.is_denoised:
            (frame,) = translator.stepped([(frame, state)])
        results.append(frame.latents)
        _, state = translator.done(frame, state, painted)
    assert all(torch.equal(each, results[0]) for each in results)
    assert bool(results[0].isfinite().all())


@pytest.mark.parametrize("kind", ["full", *RESIDUAL_KINDS])
@pytest.mark.parametrize("steps", [1, 2])
def test_after_a_new_prompt_a_frame_is_as_in_a_new_session(
    engine: Engine, frames: list[Frame], kind: str, steps: int
) -> None:
    settings = LIVELY.changed(steps=steps, guidance=2.0, guidance_kind=kind)
    session = engine.open()
    session.translate(frames[0], settings)
    for change in ({"prompt": "boat"}, {"negative_prompt": "(boat)1.5"}):
        asked = settings.changed(**change)
        fresh = engine.open().translate(frames[1], asked)
        assert np.array_equal(np.asarray(session.translate(frames[1], asked)), np.asarray(fresh))


@every_way
def test_frames_of_all_kinds_share_calls_and_each_is_as_alone(translator: Translator) -> None:
    alone, together = [], []
    for seed, kind in enumerate(GUIDANCE_KINDS):
        settings = LIVELY.changed(steps=2, guidance=2.0, guidance_kind=kind, residual_scale=0.9, bank_frames=4.0)
        _, state = translator.translated(Asked(drawn(2 * seed), settings, seed), StreamState())
        frame = translator.begun(Asked(drawn(2 * seed + 1), settings, seed), state)
        alone.append((frame, state))
        together.append((frame, state))
    for _ in range(2):
        alone = [(translator.stepped([pair])[0], pair[1]) for pair in alone]
        stepped = translator.stepped(together)
        together = [(frame, pair[1]) for frame, pair in zip(stepped, together, strict=True)]
        for (one, _), (other, _) in zip(alone, together, strict=True):
            torch.testing.assert_close(one.latents, other.latents, rtol=0, atol=1e-5)
            torch.testing.assert_close(one.anchor, other.anchor, rtol=0, atol=1e-5)


@every_way
@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
def test_a_frame_that_begins_again_keeps_nothing_of_its_first_try(translator: Translator, kind: str) -> None:
    asked = Asked(drawn(3), LIVELY.changed(steps=2, guidance=2.0, guidance_kind=kind), 7)
    frame = translator.begun(asked, StreamState())
    (tried,) = translator.stepped([(frame, StreamState())])
    again = translator.rebased(tried, StreamState())
    while not frame.is_denoised:
        ((frame,), (again,)) = (translator.stepped([(each, StreamState())]) for each in (frame, again))
    assert torch.equal(frame.latents, again.latents) and frame.rows.keys() == again.rows.keys()


@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
def test_a_model_that_predicts_noise_is_guided_too(plain_model: Model, frames: list[Frame], kind: str) -> None:
    with Engine(plain_model) as engine:
        assert not np.array_equal(
            first(engine, frames[0], steps=2, guidance_kind=kind),
            first(engine, frames[0], steps=2, guidance_kind="none"),
        )
