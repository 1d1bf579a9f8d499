"""Sessions whose frames are painted while a GPU is lent, by an engine that is built anew for each call."""

from __future__ import annotations

import pickle  # noqa: TID251 - what the host does with arguments and results
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from demo.space.lent import call
from demo.space.lent.call import Lent, News, painted
from demo.space.lent.engine import LentEngine, LentSession, NotLentError
from demo.space.lent.row import sentences
from demo.words import word
from pipeline import Engine, FrameSettings, Model, Translation
from pipeline.errors import ModelError, NoRoomError, PromptError, SessionClosedError
from pipeline.frames.codec import Frame
from tests.conftest import TINY_SIZE

SETTINGS = FrameSettings(prompt="oil painting", fusion_threshold=0.0, bank_interval=1, bank_frames=1.0)
SECONDS = 60.0


class Live:
    """A session under a call, which runs in a thread as the host's event does."""

    def __init__(
        self, session: LentSession, paints: Callable[[Lent], Iterator[News]], seconds: float = SECONDS
    ) -> None:
        self.news: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=(session, paints, seconds))
        self._thread.start()
        assert eventually(lambda: bool(self.news))

    def _run(self, session: LentSession, paints: Callable[[Lent], Iterator[News]], seconds: float) -> None:
        for each in session.painted(paints, seconds):
            self.news.append(each)

    def ended(self, within_s: float = 20.0) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.005)
    return is_so()


@pytest.fixture
def engine(tiny_model: Model) -> LentEngine:
    return LentEngine(tiny_model, (TINY_SIZE, TINY_SIZE), "feature-bank", 2)


@pytest.fixture
def paints(engine: LentEngine, tiny_model: Model) -> Callable[[Lent], Iterator[News]]:
    """The call, with plain values in and out, and a model of its own, as a process that was forked has one."""

    def run(lent: Lent) -> Iterator[News]:
        given, model = pickle.loads(pickle.dumps(lent)), deepcopy(tiny_model)
        for news in painted(given, engine.slots, lambda: Engine(model, graphs="off")):
            yield pickle.loads(pickle.dumps(news))

    return run


def result(future: Future[Translation]) -> Translation:
    return future.result(20)


def test_frames_are_painted_as_an_engine_paints_them_over_two_calls(
    engine: LentEngine, paints: Callable[[Lent], Iterator[News]], tiny_model: Model, frames: list[Frame]
) -> None:
    wanted = []
    with Engine(tiny_model, graphs="off") as whole:
        one = whole.open(seed=3)
        for number, frame in enumerate(frames[:4]):
            wanted.append(one.submit(frame, SETTINGS.changed(steps=1 + number % 2)).result().picture)
    session = engine.open(seed=3)
    got = []
    for part in (frames[:2], frames[2:4]):
        live = Live(session, paints)
        for frame in part:
            answer = result(session.submit(frame, SETTINGS.changed(steps=1 + len(got) % 2)))
            got.append(answer.picture)
            assert answer.frame == len(got)
        session.stop()
        assert live.ended() and live.news[-1] is False
    assert all(np.array_equal(one, other) for one, other in zip(got, wanted, strict=True))
    assert session.nbytes > 0 == engine.open().nbytes


def test_what_is_forgotten_does_not_come_along(
    engine: LentEngine, paints: Callable[[Lent], Iterator[News]], frames: list[Frame]
) -> None:
    session = engine.open()
    live = Live(session, paints)
    first = result(session.submit(frames[0], SETTINGS)).picture
    result(session.submit(frames[1], SETTINGS))
    assert session.reset() == 1
    again = result(session.submit(frames[0], SETTINGS))
    assert np.array_equal(again.picture, first) and again.resets == 1
    assert session.reset() == 2
    session.stop()
    assert live.ended() and session.nbytes == 0


def test_nobody_is_painted_without_a_gpu(engine: LentEngine, frames: list[Frame]) -> None:
    with pytest.raises(NotLentError, match="Paint live"):
        engine.open().submit(frames[0], SETTINGS).result(0)


def test_a_picture_to_be_like_is_refused_in_words_and_taken_back_in_peace(engine: LentEngine) -> None:
    session = engine.open()
    session.be_like(None)
    with pytest.raises(ModelError, match="this host has no adapter that reads one"):
        session.be_like("a.png")
    assert engine.adapter_name is None


def test_a_picture_at_rest_costs_nothing(engine: LentEngine, frames: list[Frame]) -> None:
    session = engine.open()
    assert session.submit_finer(frames[0], frames[0], SETTINGS).result(0) is None
    assert session.submit_still(frames[0], SETTINGS).result(0) is None


def test_two_visitors_have_a_slot_each_and_a_third_is_told(
    engine: LentEngine, paints: Callable[[Lent], Iterator[News]], frames: list[Frame]
) -> None:
    one, other, third = (engine.open() for _ in range(3))
    lives = [Live(each, paints) for each in (one, other)]
    asked = [one.submit(frames[0], SETTINGS), other.submit(255 - frames[0], SETTINGS)]
    pictures = [result(each).picture for each in asked]
    assert not np.array_equal(*pictures)
    for session, sentence in ((third, word("lent.full", calls=2)), (one, word("lent.already"))):
        with pytest.raises(NoRoomError) as refused:
            next(session.painted(paints, SECONDS))
        assert str(refused.value) == sentence
    one.close()
    assert lives[0].ended(2.0)
    with pytest.raises(SessionClosedError):
        one.submit(frames[0], SETTINGS)
    assert one.nbytes == 0 and engine.nbytes == 0
    live = Live(third, paints)
    assert np.array_equal(result(third.submit(frames[0], SETTINGS)).picture, pictures[0])
    other.close()
    third.close()
    assert live.ended() and lives[1].ended()


def test_a_call_ends_when_nothing_moves_or_its_time_is_up(
    engine: LentEngine,
    paints: Callable[[Lent], Iterator[News]],
    frames: list[Frame],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = engine.open()
    monkeypatch.setattr("demo.space.lent.row.PAINTED_S", 0.4)
    said = list(sentences(session, paints))
    assert said == [(word("lent.left", seconds=1), True), (word("lent.over"), False)]
    monkeypatch.setattr("demo.space.lent.row.PAINTED_S", SECONDS)
    monkeypatch.setattr(call, "REST_S", 0.3)
    assert list(sentences(session, paints))[-1] == (word("lent.rested"), False)


def test_what_is_wrong_with_a_frame_comes_back_as_a_sentence_and_the_next_one_is_painted(
    engine: LentEngine, paints: Callable[[Lent], Iterator[News]], frames: list[Frame]
) -> None:
    session = engine.open()
    live = Live(session, paints)
    with pytest.raises(Exception, match="prompt"):
        result(session.submit(frames[0], SETTINGS.changed(prompt='("a", "b").blend(')))
    assert result(session.submit(frames[0], SETTINGS)).picture.shape == (TINY_SIZE, TINY_SIZE, 3)
    session.close()
    assert live.ended()


def test_a_call_that_breaks_off_leaves_nobody_waiting(engine: LentEngine, frames: list[Frame]) -> None:
    def broken(lent: Lent) -> Iterator[News]:
        yield call.Beat(1.0)
        assert eventually(lambda: engine.slots[lent.slot].read(lent.number) is not None)
        raise PromptError("the host took the GPU away; needed: another one. Press again.")

    session = engine.open()
    running = session.painted(broken, SECONDS)
    assert next(running) == 1.0
    asked = session.submit(frames[0], SETTINGS)
    with pytest.raises(PromptError, match="took the GPU"):
        list(running)
    with pytest.raises(CancelledError):
        asked.result(0)
    assert len(engine.slots) == 2 and next(session.painted(broken, SECONDS)) == 1.0
