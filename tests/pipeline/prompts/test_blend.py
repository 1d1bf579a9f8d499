"""Two prompts and a slider between them: the maths, what it leaves in the cache, and what a stream carries over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameSettings, Model
from pipeline.engine.stream import Carried, Seen, StreamState
from pipeline.engine.translator import Asked, Translator, UnderWay
from pipeline.frames.codec import Frame, fitted
from pipeline.frames.cuts import thumbnail_of
from pipeline.memory import create_memory
from pipeline.models.schedule import Schedule
from pipeline.prompts.blend import PARALLEL, blended, linear, spherical
from pipeline.prompts.embeddings import PromptEmbeddings
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import GRADUAL, PROMPT_CURVES, PromptBlend, PromptCurve
from tests.conftest import TEXT_WIDTH, TINY_SIZE

HOUSE, BOAT = "a house", "(boats)1.2 at night"
BOTH = FrameSettings(prompt=HOUSE, second_prompt=BOAT, fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)


@pytest.fixture(params=["one encoder", "two encoders"])
def encoder(request: pytest.FixtureRequest, plain_model: Model, sdxl_model: Model) -> PromptEncoder:
    return PromptEncoder((plain_model if request.param == "one encoder" else sdxl_model).text_encoders)


def vectors(seed: int) -> torch.Tensor:
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed))


def same(some: PromptEmbeddings, other: PromptEmbeddings) -> bool:
    return torch.equal(some.tokens, other.tokens) and (
        some.pooled is other.pooled is None or torch.equal(some.pooled, other.pooled)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("curve", PROMPT_CURVES)
def test_a_curve_begins_with_the_first_and_ends_with_the_second(curve: PromptCurve) -> None:
    first, second = vectors(0), vectors(1)
    torch.testing.assert_close(blended(first, second, 0.0, curve), first)
    torch.testing.assert_close(blended(first, second, 1.0, curve), second)


def test_an_arc_goes_evenly_and_keeps_the_length() -> None:
    first, second = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    for share in (0.0, 0.25, 0.5, 0.9):
        angle = torch.tensor(share * torch.pi / 2)
        expected = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.0)])
        torch.testing.assert_close(spherical(first, second, share), expected)
    assert linear(first, second, 0.5).norm() < 0.75


def test_nearly_parallel_vectors_are_blended_in_a_line() -> None:
    first = vectors(0)
    for second in (first, 2 * first, -first, torch.zeros_like(first)):
        arc = spherical(first, second, 0.3)
        assert bool(arc.isfinite().all())
        if bool(second.any()):
            torch.testing.assert_close(arc, linear(first, second, 0.3))
    just_apart = torch.tensor([1.0, (1 / PARALLEL**2 - 1) ** 0.5 * 1.01])
    ahead = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(spherical(ahead, just_apart, 0.5), linear(ahead, just_apart, 0.5), rtol=1e-3, atol=1e-4)


def test_linear_is_compels_blend(encoder: PromptEncoder) -> None:
    ours = encoder.encode_batch((HOUSE,), PromptBlend("a boat", 0.3, "linear"))
    compels = encoder.encode(f'("{HOUSE}", "a boat").blend(0.7, 0.3)')
    torch.testing.assert_close(ours.tokens, compels.tokens, rtol=1e-5, atol=1e-5)


def test_pooled_goes_the_same_way(sdxl_model: Model) -> None:
    encoder = PromptEncoder(sdxl_model.text_encoders)
    house, boat = encoder.encode(HOUSE), encoder.encode(BOAT)
    for curve in PROMPT_CURVES:
        ours = encoder.encode_batch((HOUSE,), PromptBlend(BOAT, 0.3, curve))
        assert house.pooled is not None and boat.pooled is not None and ours.pooled is not None
        torch.testing.assert_close(ours.pooled, blended(house.pooled, boat.pooled, 0.3, curve))


def test_the_curves_differ_between_the_prompts_alone(encoder: PromptEncoder) -> None:
    halfway = [encoder.encode_batch((HOUSE,), PromptBlend(BOAT, 0.5, curve)) for curve in PROMPT_CURVES]
    ends = [encoder.encode_batch((HOUSE,), PromptBlend(BOAT, 1.0, curve)) for curve in PROMPT_CURVES]
    assert not same(*halfway)
    assert same(*ends) and same(ends[0], encoder.encode(BOAT))


def test_only_the_first_row_is_blended(encoder: PromptEncoder) -> None:
    batch = encoder.encode_batch((HOUSE, "ugly"), PromptBlend(BOAT, 0.5, "linear"))
    assert torch.equal(batch.tokens[1:], encoder.encode("ugly").tokens)
    assert torch.equal(batch.tokens[:1], encoder.encode_batch((HOUSE,), PromptBlend(BOAT, 0.5, "linear")).tokens)


def test_the_shorter_prompt_goes_on_with_the_empty_one(plain_model: Model) -> None:
    encoder = PromptEncoder(plain_model.text_encoders)
    long = "many words, " * 12
    ours = encoder.encode_batch((HOUSE,), PromptBlend(long, 0.5, "linear"))
    house = torch.cat([encoder.encode(HOUSE).tokens, encoder.encode("").tokens], dim=1)
    assert ours.tokens.shape == (1, 2 * 77, TEXT_WIDTH)
    torch.testing.assert_close(ours.tokens, linear(house, encoder.encode(long).tokens, 0.5))
    assert encoder.encode_batch((HOUSE,), PromptBlend(long, 1.0, "linear")).tokens.shape[1] == 2 * 77


def test_a_moving_slider_encodes_each_prompt_once(plain_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = PromptEncoder(plain_model.text_encoders)
    encoded: list[str] = []
    encode = encoder._encoded
    monkeypatch.setattr(encoder, "_encoded", lambda prompt: encoded.append(prompt) or encode(prompt))
    for hundredths in range(1, 100):
        settings = BOTH.changed(prompt_blend=hundredths / 100)
        encoder.encode_batch((settings.prompt,), settings.blend)
    assert encoded == [HOUSE, BOAT] and len(encoder._cache) == 2


@pytest.mark.parametrize(
    "changes, shares",
    [
        ({}, {HOUSE: 1}),
        ({"prompt_blend": 0.25}, {HOUSE: 0.75, BOAT: 0.25}),
        ({"prompt_blend": 1.0}, {BOAT: 1}),
        ({"prompt_blend": 0.5, "second_prompt": "  "}, {HOUSE: 1}),
        ({"prompt_blend": 0.5, "second_prompt": HOUSE}, {HOUSE: 1}),
    ],
)
def test_what_is_asked_for(changes: dict[str, Any], shares: dict[str, float]) -> None:
    assert BOTH.changed(**changes).shares == shares


HALF = BOTH.changed(prompt_blend=0.5)
AT_END = BOTH.changed(prompt_blend=1.0)


@pytest.mark.parametrize(
    "before, after, features, picture",
    [
        # A slider that moves carries features, and no picture: that would lag.
        (HALF, HALF.changed(prompt_blend=0.55), True, False),
        (BOTH, BOTH.changed(prompt_blend=GRADUAL), True, False),
        (HALF, HALF.changed(prompt_curve="spherical"), True, False),
        # A jump is another prompt.
        (BOTH, AT_END, False, False),
        (HALF, BOTH, False, False),
        (HALF, HALF.changed(second_prompt="a cat"), False, False),
        (HALF, HALF.changed(prompt="a cat"), False, False),
        (BOTH, BOTH.changed(prompt="a cat"), False, False),
        (HALF, HALF.changed(negative_prompt="ugly"), False, False),
        # What does not act is no change.
        (HALF, HALF, True, True),
        (BOTH, BOTH.changed(second_prompt="a cat"), True, True),
        (BOTH, BOTH.changed(prompt_curve="spherical"), True, True),
        (AT_END, AT_END.changed(prompt="a cat"), True, True),
        (AT_END, AT_END.changed(prompt_curve="spherical"), True, True),
        (BOTH.changed(second_prompt=""), BOTH.changed(second_prompt="", prompt_blend=0.8), True, True),
        (AT_END, AT_END.changed(second_prompt="", prompt=BOAT), True, True),
    ],
)
def test_what_a_stream_carries_over(
    frames: list[Frame], before: FrameSettings, after: FrameSettings, features: bool, picture: bool
) -> None:
    thumbnail = thumbnail_of(frames[0])
    seen, _ = Seen().after(frames[0], thumbnail, before)
    assert seen.after(frames[0], thumbnail, after)[1] == Carried(True, features, picture)


def played(engine: Engine, frames: list[Frame], settings: list[FrameSettings]) -> list[Frame]:
    session = engine.open(3)
    return [np.asarray(session.translate(*each)) for each in zip(frames, settings, strict=True)]


def test_the_ends_of_the_slider_are_the_prompts_alone(engine: Engine, frames: list[Frame]) -> None:
    first, second = (BOTH.changed(prompt=prompt, second_prompt="") for prompt in (HOUSE, BOAT))
    # What does nothing changes nothing: not a slider without a second prompt, nor a second prompt at 0.
    moving = [first.changed(prompt_blend=share) for share in (0.1, 0.9, 0.4, 1.0)]
    plain = played(engine, frames[:4], [first] * 4)
    assert np.array_equal(plain, played(engine, frames[:4], moving))
    assert np.array_equal(plain, played(engine, frames[:4], [BOTH] * 4))
    assert np.array_equal(played(engine, frames[:4], [second] * 4), played(engine, frames[:4], [AT_END] * 4))
    assert not np.array_equal(plain, played(engine, frames[:4], [AT_END] * 4))


@pytest.mark.parametrize(
    "change", [{"prompt_blend": 0.55}, {"prompt_curve": "spherical"}, {"second_prompt": "a cat"}, {"prompt": "a cat"}]
)
def test_a_blend_acts_on_the_very_next_frame(engine: Engine, frames: list[Frame], change: dict[str, Any]) -> None:
    plain = played(engine, frames[:3], [HALF] * 3)
    changed = played(engine, frames[:3], [HALF, HALF, HALF.changed(**change)])
    assert np.array_equal(plain[:2], changed[:2]) and not np.array_equal(plain[2], changed[2])


def test_a_picture_does_not_lag_behind_the_slider(tiny_model: Model, frames: list[Frame]) -> None:
    """Whatever the steadiness, each place of the slider is painted as by itself."""
    places = [BOTH.changed(prompt_blend=share, steadiness=0.9) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    with Engine(tiny_model, "none") as engine:
        moving = played(engine, [frames[0]] * len(places), places)
        alone = [played(engine, [frames[0]], [place])[0] for place in places]
    assert np.array_equal(moving, alone)
    assert not any(np.array_equal(a, b) for a, b in pairwise(alone))


@pytest.fixture
def translator(tiny_model: Model) -> Iterator[Translator]:
    memory = create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa")
    with memory.installed(tiny_model.unet):
        encoder = PromptEncoder(tiny_model.text_encoders)
        yield Translator(tiny_model, memory, encoder, Schedule.of(tiny_model.scheduler))


def test_rows_of_many_blends_are_what_each_is_alone(translator: Translator, frames: list[Frame]) -> None:
    wanted = [BOTH, HALF, HALF.changed(prompt_curve="spherical"), AT_END, HALF.changed(guidance=2.0, prompt_blend=0.1)]
    pasts = [StreamState()] * len(wanted)
    for number in range(2):
        begun: list[UnderWay] = []
        for settings, past in zip(wanted, pasts, strict=True):
            frame = fitted(frames[number], (TINY_SIZE, TINY_SIZE), "crop")
            begun.append(translator.begun(Asked(frame, settings, 3), past))
        together = translator.stepped(list(zip(begun, pasts, strict=True)))
        for index, frame in enumerate(begun):
            (alone,) = translator.stepped([(frame, pasts[index])])
            torch.testing.assert_close(together[index].latents, alone.latents, rtol=1e-5, atol=1e-5)
        pixels = translator.decoded(list(zip(together, pasts, strict=True)))
        pasts = [translator.done(*each)[1] for each in zip(together, pasts, pixels, strict=True)]
