"""What sessions may hold: a budget of bytes that is known beforehand, parking, and a device whose memory is full."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import Engine, FrameError, FrameSettings, Model, NoRoomError, Session, SessionClosedError
from pipeline.engine.budget import MIB, ByteBudget
from pipeline.engine.lanes import Lanes
from pipeline.engine.translator import Translator
from pipeline.frames.codec import Frame
from pipeline.settings import SettingsError

LIVELY = FrameSettings(prompt="(neon)1.4 cat", fusion_threshold=0.0, bank_interval=1)


def played(session: Session, frames: list[Frame], settings: FrameSettings) -> list[Frame]:
    return [np.asarray(session.translate(frame, settings)) for frame in frames]


def same(some: list[Frame], others: list[Frame]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_a_budget_is_never_exceeded() -> None:
    budget = ByteBudget(10 * MIB)
    budget.hold("a", 6 * MIB)
    with pytest.raises(NoRoomError, match="5.0 MiB.*at most the 4.0 MiB.*smaller bank"):
        budget.hold("b", 5 * MIB)
    assert budget.taken == 6 * MIB
    budget.hold("b", 4 * MIB)
    budget.hold("a", 2 * MIB)
    with pytest.raises(NoRoomError):
        budget.hold("a", 7 * MIB)
    assert budget.taken == 6 * MIB
    budget.give_back("b")
    budget.give_back("b")
    budget.hold("a", 10 * MIB)
    assert budget.taken == 10 * MIB


@pytest.mark.parametrize(
    "change",
    [{}, {"steps": 3}, {"guidance": 2.0}, {"bank_frames": 0.25}, {"bank_frames": 4.0, "steps": 2}, {"steadiness": 0.0},
     {"bank_frames": 0.0}, {"steps": 3, "guidance": 2.0, "guidance_kind": "onetime"},
     {"steps": 2, "guidance": 2.0, "guidance_kind": "self"}],
)  # fmt: skip
@pytest.mark.parametrize("memory", ["feature-bank", "none"])
def test_what_a_session_will_hold_is_known_before_its_first_frame(
    tiny_model: Model, frames: list[Frame], memory: str, change: dict[str, Any]
) -> None:
    settings = LIVELY.changed(**change)
    with Engine(tiny_model, memory) as engine:
        told = engine.session_nbytes(settings)
        assert engine.session_count == 0
        session = engine.open()
        played(session, frames, settings)
        assert session.nbytes == engine.nbytes == told


@pytest.fixture
def two_fit(tiny_model: Model) -> Iterator[Engine]:
    """An engine in which two sessions of the defaults fit, and nothing beside them."""
    with Engine(tiny_model) as engine:
        nbytes = engine.session_nbytes()
    with Engine(tiny_model, byte_budget=2 * nbytes) as engine:
        yield engine


def test_who_does_not_fit_gets_in_when_another_leaves(two_fit: Engine) -> None:
    first, _ = two_fit.open(), two_fit.open()
    with pytest.raises(NoRoomError, match="needed"):
        two_fit.open()
    assert two_fit.session_count == 2
    first.close()
    two_fit.open()


def test_a_bank_that_does_not_fit_beside_the_others_is_refused_frame_by_frame(
    two_fit: Engine, frames: list[Frame]
) -> None:
    session, other = two_fit.open(), two_fit.open()
    pictures = played(session, frames[:3], LIVELY)
    with pytest.raises(NoRoomError, match="smaller bank"):
        session.translate(frames[3], LIVELY.changed(bank_frames=4.0))
    other.close()
    assert len(pictures + played(session, frames[3:5], LIVELY.changed(bank_frames=1.5))) == 5


@pytest.mark.parametrize("keep", [True, False])
def test_a_parked_session_leaves_its_place_and_comes_back_with_its_next_frame(
    two_fit: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    # As on a card: what is parked lies elsewhere.
    monkeypatch.setattr(two_fit, "_parks_beside", False)
    session, stays = two_fit.open(seed=1), two_fit.open(seed=1)
    assert same(played(session, frames[:3], LIVELY), played(stays, frames[:3], LIVELY))
    session.park(keep)
    assert session.parked and (session.nbytes > 0) is keep
    third = two_fit.open()
    with pytest.raises(NoRoomError):
        session.translate(frames[3], LIVELY)
    third.close()
    back, expected = played(session, frames[3:6], LIVELY), played(stays, frames[3:6], LIVELY)
    assert not session.parked and session.frames == 6
    assert same(back, expected) is keep


@pytest.mark.parametrize("crowded", [True, False])
def test_what_is_parked_in_the_budgets_own_memory_is_counted_until_others_need_the_room(
    two_fit: Engine, frames: list[Frame], crowded: bool
) -> None:
    session, stays = two_fit.open(seed=1), two_fit.open(seed=1)
    assert same(played(session, frames[:3], LIVELY), played(stays, frames[:3], LIVELY))
    session.park(keep=True)
    assert two_fit._budget is not None
    assert two_fit._budget.taken >= two_fit.nbytes > stays.nbytes
    if crowded:
        third = two_fit.open()
        assert session.parked and session.nbytes == 0
        third.close()
    back, expected = played(session, frames[3:6], LIVELY), played(stays, frames[3:6], LIVELY)
    assert same(back, expected) is not crowded


def test_nothing_that_is_parked_gives_way_to_what_would_not_fit_even_then(two_fit: Engine, frames: list[Frame]) -> None:
    parked, other = two_fit.open(), two_fit.open()
    played(parked, frames[:2], LIVELY)
    parked.park(keep=True)
    with pytest.raises(NoRoomError):
        other.translate(frames[0], LIVELY.changed(bank_frames=4.0, steps=4))
    assert parked.nbytes > 0


def test_a_closed_engine_holds_nothing(tiny_model: Model) -> None:
    engine = Engine(tiny_model, byte_budget=2**30)
    assert engine.alive
    engine.open()
    engine.close()
    assert engine.nbytes == 0 and not engine.alive
    with pytest.raises(SessionClosedError):
        engine.open()


def test_a_full_device_takes_the_bank_of_who_came_last_and_loses_no_frame(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, last = (engine.open(seed) for seed in range(3))
    expected = [played(each, frames[:2], LIVELY) + played(each, frames[2:5], LIVELY) for each in (first, second)]
    for each in (first, second, last):
        each.reset()
        played(each, frames[:2], LIVELY)
    forward = engine.model.unet.forward
    refuses = [True]

    def full(*args: Any, **kwargs: Any) -> Any:
        if refuses[0] and last.bank_fill > 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine.model.unet, "forward", full)
    pictures = [played(each, frames[2:5], LIVELY) for each in (first, second)]
    assert all(same(each, wanted[2:]) for each, wanted in zip(pictures, expected, strict=True))
    told = [last.submit(frame, LIVELY).result(30) for frame in frames[2:5]]
    assert all("memory is full" in each.notice and each.bank_fill == 0 for each in told)
    assert not first.notice and first.bank_fill == 1.0
    refuses[0] = False
    last.reset()
    assert last.submit(frames[0], LIVELY).result(30).notice == "" and last.bank_fill == 1.0


def test_a_device_without_room_for_one_frame_says_so_and_goes_on(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.open()
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="32 x 32 pixels.*smaller size"):

        def full(*args: Any, **kwargs: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

        patch.setattr(engine.model.unet, "forward", full)
        session.translate(frames[0], LIVELY)
    assert session.notice
    session.reset()
    played(session, frames[:2], LIVELY)


def test_a_device_too_full_for_a_memory_that_comes_back_goes_on_without_it(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    back, other = engine.open(), engine.open()
    for each in (back, other):
        played(each, frames[:2], LIVELY)
    back.park(keep=True)
    with monkeypatch.context() as patch:

        def full(self: Any, row: Any, device: torch.device) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

        patch.setattr(type(engine.memory), "moved", full)
        told = back.submit(frames[2], LIVELY).result(30)
    assert "memory is full" in told.notice and told.bank_fill == 0
    assert not other.submit(frames[2], LIVELY).result(30).notice
    back.reset()
    assert back.submit(frames[0], LIVELY).result(30).bank_fill == 1.0


def test_an_error_that_nobody_foresaw_ends_the_frames_under_way_and_not_the_thread(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = engine.open(), engine.open()
    with monkeypatch.context() as patch:

        def broken(self: Any, entry: Any) -> None:
            raise ValueError("nobody foresaw this")

        patch.setattr(Lanes, "_past", broken)
        failed = [each.submit(frames[0], LIVELY) for each in (session, other)]
        assert all(isinstance(each.exception(30), ValueError) for each in failed)
    assert engine.alive
    played(session, frames[:2], LIVELY)


def test_a_frame_that_can_never_fit_is_refused_and_takes_nobodys_bank(
    engine: Engine, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = [engine.open() for _ in range(3)]
    for each in visitors:
        played(each, frames[:2], LIVELY)
    stepped = Translator.stepped

    def full(self: Translator, together: Any) -> Any:
        if any(frame.frame_size[0] > 48 for frame, _ in together):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return stepped(self, together)

    monkeypatch.setattr(Translator, "stepped", full)
    with pytest.raises(FrameError, match="64 x 64 pixels.*smaller size"):
        engine.open(size=(64, 64)).translate(frames[0])
    told = [each.submit(frames[2], LIVELY).result(30) for each in visitors]
    assert all(each.bank_fill == 1.0 and not each.notice for each in told)


def test_where_many_paint_no_session_is_larger_than_the_host_says(tiny_model: Model) -> None:
    with Engine(tiny_model, size=(32, 32), largest_area=2.25) as engine:
        with pytest.raises(SettingsError, match=r"\(64, 64\).*48 x 48.*smaller"):
            engine.open(size=(64, 64))
        with pytest.raises(SettingsError, match="48 x 48"):
            engine.open().resize((2048, 2048))


def test_a_larger_frame_holds_what_it_takes_while_it_is_painted(tiny_model: Model, frames: list[Frame]) -> None:
    with Engine(tiny_model, size=(32, 32), byte_budget=2**30, largest_area=4) as engine:
        assert engine._budget is not None
        session = engine.open(size=(64, 64))
        at_rest = engine._budget.taken
        started, go_on = Event(), Event()
        engine.change("waits", lambda model: started.set() or go_on.wait(30))
        assert started.wait(30)
        painted = session.submit(frames[0])
        assert engine._budget.taken > 10 * at_rest
        go_on.set()
        painted.result(30)
        engine.change("settles", lambda model: None).result(30)
        assert engine._budget.taken == at_rest
