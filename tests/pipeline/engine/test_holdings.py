"""The byte budget equals what lives, at every moment, on every way out of a session and of a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline import Engine, FrameSettings, Model, NoRoomError, Session, SessionClosedError
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame

LIVELY = FrameSettings(fusion_threshold=0.0, bank_interval=1)
ASKED = (
    LIVELY,
    LIVELY.changed(bank_frames=2.0),
    LIVELY.changed(bank_frames=0.0, steadiness=0.0),
    LIVELY.changed(steps=3, pipelined="on"),
    LIVELY.changed(guidance=2.0, bank_frames=0.5),
    LIVELY.changed(prompt="(((", bank_frames=2.0),
    LIVELY.changed(memory="none"),
    LIVELY.changed(memory="recurrent"),
)
"""Among them a prompt that cannot be read, and a memory that is not loaded."""
SIZES = ((40, 48), (32, 32), (64, 48))
PATIENCE_S = 30


@pytest.fixture(scope="module")
def counting(tiny_model: Model) -> Iterator[Engine]:
    """An engine with room for five sessions or so, and two memories."""
    with Engine(tiny_model, memories=["none"]) as engine:
        nbytes = engine.session_nbytes()
    with Engine(tiny_model, memories=["none"], byte_budget=5 * nbytes) as engine:
        yield engine


def taken(engine: Engine) -> int:
    assert engine._budget is not None
    return engine._budget.taken


def held_by(engine: Engine, session: Session) -> int:
    assert engine._budget is not None
    return engine._budget.held_by(session)


MOMENTS = ("before it is counted", "before it is put")


def on_its_way_in(engine: Engine, monkeypatch: pytest.MonkeyPatch, moment: str, happens: Callable[[], object]) -> None:
    """Let something happen at a moment of a frame's way into the mailbox."""
    owner, name = (engine, "asking") if moment == MOMENTS[0] else (engine._mailbox, "put")
    real = getattr(owner, name)

    def late(each: Any) -> Any:
        happens()
        return real(each)

    monkeypatch.setattr(owner, name, late)


@pytest.mark.parametrize("moment", MOMENTS)
def test_who_leaves_while_a_frame_is_on_its_way_in_leaves_nothing_held(
    counting: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    for _ in range(20):
        session = counting.open()
        with monkeypatch.context() as patch, pytest.raises(SessionClosedError):
            on_its_way_in(counting, patch, moment, session.close)
            session.submit(frames[0], LIVELY.changed(bank_frames=2.0))
    assert taken(counting) == 0


def test_a_frame_that_fails_or_is_dropped_gives_back_what_only_it_asked_for(
    counting: Engine, frames: list[Frame]
) -> None:
    session = counting.open()
    session.submit(frames[0], LIVELY).result(PATIENCE_S)
    before = held_by(counting, session)
    assert session.submit(frames[0], ASKED[5]).exception(PATIENCE_S) is not None
    assert held_by(counting, session) == before
    session.close()
    assert taken(counting) == 0


def test_a_frame_that_waited_while_its_session_was_parked_is_counted(counting: Engine, frames: list[Frame]) -> None:
    session = counting.open()
    session.submit(frames[0], LIVELY).result(PATIENCE_S)
    waiting = session.submit(frames[1], LIVELY)
    session.park(keep=False)
    waiting.result(PATIENCE_S)
    assert held_by(counting, session) >= session.nbytes
    session.close()


class Visits(RuleBasedStateMachine):
    """Visitors who come, send, change their minds and leave, in any order."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.open: list[Session] = []
        self.sent: list[Future[Any]] = []
        self.numbers = np.random.default_rng(0)
        self.patch = pytest.MonkeyPatch()

    def any_of(self, index: int) -> Session:
        return self.open[index % len(self.open)]

    @initialize()
    def two_have_painted(self) -> None:
        for _ in range(2):
            self.come(SIZES[0])
            self.submit(-1, LIVELY, waits=True)

    @rule(size=st.sampled_from(SIZES))
    def come(self, size: tuple[int, int]) -> None:
        try:
            self.open.append(self.engine.open(size=size))
        except NoRoomError:
            assert self.open

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7), asked=st.sampled_from(ASKED), waits=st.booleans())
    def submit(self, index: int, asked: FrameSettings, waits: bool) -> None:
        picture = self.numbers.integers(0, 255, (40, 48, 3), np.uint8)
        self.sent.append(self.any_of(index).submit(picture, asked))
        if waits:
            wait(self.sent[-1:], PATIENCE_S)

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7), asked=st.sampled_from(ASKED))
    def leave(self, index: int, asked: FrameSettings) -> None:
        """While one frame is under way and another waits."""
        session = self.any_of(index)
        self.sent += [session.submit(np.zeros((40, 48, 3), np.uint8), each) for each in (LIVELY, asked)]
        self.open.remove(session)
        session.close()
        assert held_by(self.engine, session) == 0 == session.nbytes

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7), asked=st.sampled_from(ASKED[:5]), moment=st.sampled_from(MOMENTS))
    def leave_while_a_frame_is_on_its_way_in(self, index: int, asked: FrameSettings, moment: str) -> None:
        session = self.any_of(index)
        self.open.remove(session)
        with pytest.MonkeyPatch.context() as patch:
            on_its_way_in(self.engine, patch, moment, session.close)
            try:
                session.submit(np.zeros((40, 48, 3), np.uint8), asked)
            except SessionClosedError:
                return
        # It did not fit, and was never put.
        session.close()

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7), keep=st.booleans(), sends=st.booleans())
    def park(self, index: int, keep: bool, sends: bool) -> None:
        if sends:
            self.submit(index, LIVELY, waits=False)
        try:
            self.any_of(index).park(keep)
        except torch.OutOfMemoryError:
            assert keep

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7), size=st.sampled_from(SIZES))
    def resize(self, index: int, size: tuple[int, int]) -> None:
        self.any_of(index).resize(size)

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, 7))
    def reset(self, index: int) -> None:
        self.any_of(index).reset()

    @rule(stage=st.sampled_from(("begun_together", "stepped", "decoded", "moved")), times=st.integers(1, 3))
    def run_out_of_memory(self, stage: str, times: int) -> None:
        """At the next calls of a stage, as on a device whose memory is full."""
        owner: Any = type(self.engine.memory) if stage == "moved" else Translator
        real, left = getattr(owner, stage), [times]

        def full(*args: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(*args)

        self.patch.undo()
        self.patch.setattr(owner, stage, full)

    @rule()
    def rest(self) -> None:
        assert not wait(self.sent, PATIENCE_S).not_done
        self.sent.clear()

    @invariant()
    def nobody_else_holds_anything(self) -> None:
        """Asked by a change of the model, which is one more thing that may come in between."""
        self.engine.change("looks", lambda model: self.look()).result(PATIENCE_S)

    def look(self) -> None:
        """On the engine's thread, where no frame ends in between."""
        assert taken(self.engine) == sum(held_by(self.engine, session) for session in self.open)
        assert all(held_by(self.engine, session) >= session.nbytes for session in self.open)
        assert self.engine.session_count == len(self.open)
        assert self.engine.alive

    def teardown(self) -> None:
        self.patch.undo()
        for session in self.open:
            session.close()
        assert not wait(self.sent, PATIENCE_S).not_done
        assert taken(self.engine) == 0 == self.engine.nbytes


def test_the_budget_equals_what_lives(counting: Engine) -> None:
    run_state_machine_as_test(
        lambda: Visits(counting),
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
