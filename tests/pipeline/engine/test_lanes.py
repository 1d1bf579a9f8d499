"""Frames of many sessions that share UNet calls: the same pictures as alone, in order, whoever comes, goes or fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import FrameError, FrameSettings, Model
from pipeline.calls.streams import Arrived
from pipeline.engine.lanes import Lanes, Outcome, Request, Tick, settled_apart
from pipeline.engine.session import Translation
from pipeline.engine.stream import StreamState
from pipeline.engine.translator import Asked, Decoded, Translator, UnderWay
from pipeline.errors import SessionClosedError
from pipeline.frames.codec import Frame, fitted
from pipeline.memory import create_memory
from pipeline.models.catalogue import Distillation
from pipeline.models.schedule import Schedule
from pipeline.prompts.encoder import PromptEncoder
from pipeline.settings import GUIDANCE_KINDS
from tests.conftest import TINY_SIZE, every_way, moving_square

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)


@dataclass(eq=False)
class Visitor:
    """A session without an engine: what lanes need to know of one."""

    seed: int
    settings: Sequence[FrameSettings]
    state: StreamState = field(default_factory=StreamState)
    sent: int = 0
    commits: int = 0
    outcomes: list[Translation | Exception] = field(default_factory=list)
    notice: str = ""
    side: int = TINY_SIZE
    closed: bool = False
    party: str = ""

    def unpark(self, device: torch.device) -> StreamState:
        return self.state

    def commit(self, before: StreamState, after: StreamState) -> int:
        if self.state is before:
            self.state = after
        self.commits += 1
        return self.commits

    def frame(self, number: int) -> Frame:
        return fitted(moving_square((number + 2 * self.seed) % 12), (self.side, self.side), "crop")

    def asked(self, number: int) -> Asked:
        return Asked(self.frame(number), self.settings[number % len(self.settings)], self.seed)

    @property
    def pictures(self) -> list[Frame]:
        return [each.picture for each in self.outcomes if isinstance(each, Translation)]


@pytest.fixture
def translator(tiny_model: Model, way: Distillation) -> Iterator[Translator]:
    memory = create_memory("feature-bank", tiny_model.entry.memory_layout, "sdpa")
    encoder = PromptEncoder(tiny_model.text_encoders)
    with memory.installed(tiny_model.unet):
        yield Translator(tiny_model, memory, encoder, Schedule.of(tiny_model.scheduler, way))


class Ground:
    """Lanes, and what became of every frame that entered."""

    def __init__(self, translator: Translator, maximum_rows: int = 16) -> None:
        self.ticks: list[Tick] = []
        self.lanes = Lanes(translator, maximum_rows, self.ticks.append, lambda only: None, TINY_SIZE**2)

    def send(self, visitor: Visitor) -> bool:
        """Let the visitor's next frame set out, if there is room for it."""
        if not self.lanes.has_room(self.request(visitor)):
            return False
        self.record(self.lanes.enter([self.request(visitor)]))
        visitor.sent += 1
        return True

    @staticmethod
    def request(visitor: Visitor) -> Request:
        """The visitor's next frame."""
        return Request(visitor, visitor.asked(visitor.sent), Future())  # type: ignore[arg-type]

    def tick(self) -> None:
        self.record(self.lanes.tick())

    def flush(self) -> None:
        while self.lanes:
            self.tick()

    @staticmethod
    def record(outcomes: list[Outcome]) -> None:
        for request, outcome in outcomes:
            request.session.outcomes.append(outcome)  # type: ignore[attr-defined]


def alone(translator: Translator, visitor: Visitor, count: int) -> list[Frame]:
    """The pictures of a visitor whom nobody shares a call with, one frame after another."""
    state, pictures = StreamState(), []
    for number in range(count):
        picture, state = translator.translated(visitor.asked(number), state)
        pictures.append(picture)
    return pictures


def assert_alike(some: list[Frame], others: list[Frame]) -> None:
    """Equal to the rounding of a batched product, which may tip one value in a picture over to the next of 255."""
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_visitor_who_leaves_is_painted_no_further(translator: Translator) -> None:
    ground = Ground(translator)
    leaver, stayer = (Visitor(seed, [LIVELY.changed(steps=4)]) for seed in (1, 2))
    for visitor in (leaver, stayer):
        ground.send(visitor)
    ground.tick()
    leaver.closed = True
    ground.flush()
    (left,) = leaver.outcomes
    assert isinstance(left, SessionClosedError) and leaver.commits == 0
    assert [tick.sessions for tick in ground.ticks] == [2, 1, 1, 1] and len(stayer.pictures) == 1


SETTINGS = st.builds(
    LIVELY.changed,
    prompt=st.sampled_from(["cat", "(boat)1.3", "neon house"]),
    steps=st.integers(1, 4),
    strength=st.sampled_from([0.3, 0.6, 0.95]),
    guidance=st.sampled_from([1.0, 2.5]),
    guidance_kind=st.sampled_from(GUIDANCE_KINDS),
    bank_frames=st.sampled_from([0.0, 0.25, 1.0, 2.0]),
    bank_interval=st.integers(1, 3),
    fusion_strength=st.sampled_from([0.0, 0.5, 0.75]),
    steadiness=st.sampled_from([0.0, 0.8]),
    pipelined=st.sampled_from(["off", "on"]),
    gamma=st.sampled_from([0.0, 0.3, 1.0]),
)
VISITORS = st.lists(st.lists(SETTINGS, min_size=1, max_size=3), min_size=1, max_size=4)


@every_way
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=VISITORS, turns=st.lists(st.integers(0, 4), max_size=16), rows=st.integers(1, 12))
def test_whoever_shares_a_call_gets_what_they_get_alone(
    translator: Translator, choices: list[list[FrameSettings]], turns: list[int], rows: int
) -> None:
    """Visitors who join at any time, with any settings that change from frame to frame, at any step; turn 4 ticks."""
    visitors, ground = [Visitor(seed, each) for seed, each in enumerate(choices)], Ground(translator, rows)
    for turn in turns:
        if turn < len(visitors):
            ground.send(visitors[turn])
        else:
            ground.tick()
    ground.flush()
    for visitor in visitors:
        assert len(visitor.outcomes) == visitor.sent == visitor.commits
        assert_alike(visitor.pictures, alone(translator, visitor, visitor.sent))


@every_way
def test_a_row_of_a_shared_call_is_that_row_alone(translator: Translator) -> None:
    """Of pictures without two places alike, in banks with room for all: where two tokens are equally near, rounding may
    decide which of them is fused or merged into."""

    class Noisy(Visitor):
        def frame(self, number: int) -> Frame:
            return np.random.default_rng([self.seed, number]).integers(0, 256, (TINY_SIZE, TINY_SIZE, 3), np.uint8)

    visitors = [
        Noisy(seed, [LIVELY.changed(prompt=prompt, steps=2, guidance=guidance, bank_frames=bank)])
        for seed, (prompt, guidance, bank) in enumerate([("cat", 1.0, 4.0), ("boat", 2.0, 4.0), ("cat", 1.0, 0.0)])
    ]
    states = [StreamState() for _ in visitors]
    for index, visitor in enumerate(visitors):
        for number in range(3 - index):
            _, states[index] = translator.translated(visitor.asked(number), states[index])
    pairs = [(translator.begun(each.asked(3), state), state) for each, state in zip(visitors, states, strict=True)]
    for together, pair in zip(translator.stepped(pairs), pairs, strict=True):
        (single,) = translator.stepped([pair])
        torch.testing.assert_close(together.latents, single.latents, rtol=0, atol=1e-5)
        for key, row in together.rows.items():
            for layer, tokens in row.layers.items():
                for name, tensor in tokens.tensors.items():
                    torch.testing.assert_close(tensor, single.rows[key].layers[layer].tensors[name], rtol=0, atol=1e-5)


@every_way
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_pipelined_denoising_gives_a_picture_a_tick_and_loses_none(translator: Translator, steps: int) -> None:
    visitor, ground = Visitor(0, [LIVELY.changed(steps=steps, pipelined="on")]), Ground(translator)
    for number in range(8):
        assert ground.send(visitor)
        ground.tick()
        assert len(visitor.outcomes) == max(0, number + 2 - steps)
    assert [tick.rows for tick in ground.ticks] == [min(number + 1, steps) for number in range(8)]
    ground.flush()
    assert len(ground.ticks) == 8 + steps - 1
    assert_alike(visitor.pictures, alone(translator, visitor, 8))


@every_way
@pytest.mark.parametrize("kind, rows", [("onetime", [2, 3, 4, 4]), ("full", [2, 4, 6, 6]), ("self", [1, 2, 3, 3])])
def test_pipelined_frames_of_every_kind_of_guidance_are_as_alone(
    translator: Translator, kind: str, rows: list[int]
) -> None:
    each = LIVELY.changed(steps=3, guidance=2.0, guidance_kind=kind, negative_prompt="boat", pipelined="on")
    visitor, ground = Visitor(0, [each]), Ground(translator)
    for _ in range(4):
        assert ground.send(visitor)
        ground.tick()
    assert [tick.rows for tick in ground.ticks] == rows
    ground.flush()
    assert_alike(visitor.pictures, alone(translator, visitor, 4))


def test_one_frame_under_way_waits_for_the_last(translator: Translator) -> None:
    visitor, ground = Visitor(0, [LIVELY.changed(steps=3)]), Ground(translator)
    assert ground.send(visitor) and not ground.send(visitor)
    ground.flush()
    assert ground.send(visitor)


@every_way
def test_pipelining_is_switched_live(translator: Translator) -> None:
    each = [LIVELY.changed(steps=3, pipelined=pipelined) for pipelined in ("on", "on", "off", "on", "off", "off", "on")]
    visitor, ground = Visitor(0, each), Ground(translator)
    while visitor.sent < 12:
        ground.send(visitor)
        ground.tick()
    ground.flush()
    assert_alike(visitor.pictures, alone(translator, visitor, 12))


def test_a_row_reads_only_what_a_frame_before_it_left_at_the_same_step(translator: Translator) -> None:
    visitor, ground = Visitor(0, [LIVELY.changed(steps=2, pipelined="on")]), Ground(translator)
    reads: list[tuple[int, int, int]] = []
    open_rows = translator.memory.open

    def watched(rows: Sequence[Any]) -> Any:
        reads.extend(
            (len(rows), index, 0 if row.remembered is None else row.remembered.frames) for index, row in enumerate(rows)
        )
        return open_rows(rows)

    translator.memory.open = watched  # type: ignore[method-assign]
    for _ in range(4):
        ground.send(visitor)
        ground.tick()
    # Tick by tick: frame 0 at step 0; frame 0 at step 1 beside frame 1 at step 0; and so on.
    assert reads == [(1, 0, 0), (2, 0, 0), (2, 1, 1), (2, 0, 1), (2, 1, 2), (2, 0, 2), (2, 1, 3)]


def test_frames_of_different_sizes_travel_apart_and_arrive(translator: Translator) -> None:
    class Wide(Visitor):
        def frame(self, number: int) -> Frame:
            return fitted(moving_square(number), (64, TINY_SIZE), "crop")

    visitors, ground = [Visitor(0, [LIVELY]), Wide(1, [LIVELY]), Visitor(2, [LIVELY])], Ground(translator)
    for _ in range(3):
        assert all(ground.send(each) for each in visitors)
        ground.tick()
    assert [tick.rows for tick in ground.ticks] == [2, 1] * 3
    for each in visitors:
        assert_alike(each.pictures, alone(translator, each, 3))


class Fragile:
    """A UNet that fails for calls with certain rows."""

    def __init__(
        self, model: Model, monkeypatch: pytest.MonkeyPatch, refuses: Callable[[Any], Exception | None]
    ) -> None:
        forward = model.unet.forward

        def guarded(sample: Any, *args: Any, **kwargs: Any) -> Any:
            error = refuses(kwargs["cross_attention_kwargs"]["memory"])
            if error is not None:
                raise error
            return forward(sample, *args, **kwargs)

        monkeypatch.setattr(model.unet, "forward", guarded)


def test_an_error_in_one_row_stays_with_its_frame(
    translator: Translator, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors, ground = [Visitor(seed, [LIVELY.changed(steps=2)]) for seed in range(4)], Ground(translator)
    bad = LIVELY.changed(steps=2, fusion_strength=0.4)

    def refuses(call: Any) -> Exception | None:
        return ValueError("torn row") if any(row.settings is bad for row in call.rows) else None

    Fragile(tiny_model, monkeypatch, refuses)
    for number in range(4):
        visitors[1].settings = [bad if number == 2 else LIVELY.changed(steps=2)]
        assert all(ground.send(each) for each in visitors)
        ground.flush()
    assert [len(each.pictures) for each in visitors] == [4, 3, 4, 4]
    assert str(visitors[1].outcomes[2]) == "torn row"
    for each in (visitors[0], visitors[2], visitors[3]):
        assert_alike(each.pictures, alone(translator, each, 4))
    state, expected = StreamState(), []
    for number in (0, 1, 3):
        picture, state = translator.translated(visitors[1].asked(number), state)
        expected.append(picture)
    assert_alike(visitors[1].pictures, expected)


def test_a_call_too_large_for_the_device_becomes_several(
    translator: Translator, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors, ground = [Visitor(seed, [LIVELY]) for seed in range(5)], Ground(translator)
    sizes: list[int] = []

    def refuses(call: Any) -> Exception | None:
        sizes.append(len(call.rows))
        return torch.OutOfMemoryError("CUDA out of memory") if len(call.rows) > 2 else None

    Fragile(tiny_model, monkeypatch, refuses)
    for _ in range(2):
        assert all(ground.send(each) for each in visitors)
        ground.tick()
    assert sizes == [5, 2, 3, 1, 2] * 2
    for each in visitors:
        assert_alike(each.pictures, alone(translator, each, 2))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_pipelined_frame_that_fails_leaves_nothing_to_those_behind_it(
    translator: Translator, tiny_model: Model, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """It fails at its last step or when it is decoded, when those behind it have read what it staged."""
    steps = LIVELY.changed(steps=3, pipelined="on")
    bad = steps.changed(fusion_strength=0.4)
    visitor, ground = Visitor(0, [bad if number == failing else steps for number in range(5)]), Ground(translator)
    done = translator.done

    def spoiled(frame: UnderWay, past: StreamState, decoded: Decoded) -> Any:
        return done(frame, past, Decoded(Arrived(None), ()) if frame.asked.settings is bad else decoded)

    object.__setattr__(translator, "done", spoiled)
    while visitor.sent < 5:
        ground.send(visitor)
        ground.tick()
    ground.flush()
    assert isinstance(visitor.outcomes[failing], FrameError)
    state, expected = StreamState(), []
    for number in set(range(5)) - {failing}:
        picture, state = translator.translated(visitor.asked(number), state)
        expected.append(picture)
    assert_alike(visitor.pictures, expected)


def test_a_reset_between_frames_under_way_begins_a_new_stream(translator: Translator) -> None:
    visitor, ground = Visitor(0, [LIVELY.changed(steps=3, pipelined="on")]), Ground(translator)
    for _ in range(2):
        ground.send(visitor)
        ground.tick()
    visitor.state = StreamState()
    for _ in range(3):
        ground.send(visitor)
        ground.tick()
    ground.flush()
    fresh, expected = StreamState(), []
    for number in (2, 3, 4):
        picture, fresh = translator.translated(visitor.asked(number), fresh)
        expected.append(picture)
    assert_alike(visitor.pictures[2:], expected)
    assert visitor.state.seen.frames == 3


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_visitors_share_ticks_fairly_when_not_all_fit(translator: Translator, rows: int) -> None:
    visitors, ground = (
        [Visitor(seed, [LIVELY.changed(steps=1 + seed % 2)]) for seed in range(4)],
        Ground(translator, rows),
    )
    for _ in range(24):
        for each in visitors:
            ground.send(each)
        ground.tick()
    assert all(tick.rows <= rows for tick in ground.ticks)
    painted = [len(each.outcomes) * each.settings[0].steps for each in visitors]
    assert max(painted) - min(painted) <= 2 and sum(painted) >= 24 * rows - 4


def test_who_leaves_after_each_frame_and_comes_back_is_served_no_more_than_who_stays(translator: Translator) -> None:
    honest, ground = Visitor(1, [LIVELY], party="192.0.2.1"), Ground(translator, maximum_rows=1)
    for number in range(24):
        come_again = Visitor(2 + number, [LIVELY], party="192.0.2.66")
        for each in (come_again, honest):
            ground.send(each)
        ground.tick()
        come_again.closed = True
    assert len(honest.outcomes) >= 11


def test_a_larger_frame_counts_as_so_many_more_rows(translator: Translator) -> None:
    small, large = Visitor(1, [LIVELY]), Visitor(2, [LIVELY], side=2 * TINY_SIZE)
    ground = Ground(translator, maximum_rows=4)
    for _ in range(20):
        for each in (large, small):
            ground.send(each)
        ground.tick()
    assert len(small.outcomes) == pytest.approx(4 * len(large.outcomes), abs=4)


def test_what_fails_stands_alone() -> None:
    def doubled(numbers: Sequence[int]) -> list[int]:
        if 3 in numbers:
            raise ValueError("three")
        return [2 * number for number in numbers]

    settled = settled_apart(doubled, [1, 2, 3, 4, 5])
    assert [(number, str(result)) for number, result in settled] == [
        (1, "2"), (2, "4"), (3, "three"), (4, "8"), (5, "10"),
    ]  # fmt: skip
