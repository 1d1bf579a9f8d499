"""New prompts are read beside the frames of others: a few at a time, paid for by who sends them."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from pipeline import Engine, FrameSettings, Model, PromptError, SessionClosedError
from pipeline.engine.lanes import Request
from pipeline.engine.reading import READINGS_A_ROW, ReadingRoom
from pipeline.engine.session import Session
from pipeline.engine.translator import Asked
from pipeline.frames.codec import Frame
from pipeline.prompts.encoder import MOST_READINGS, PromptEncoder

HEAVY = "(a)0.5 b " * 20
"""More readings than are made between two UNet calls."""


class Room:
    """A reading room, and what each session has paid."""

    def __init__(self, model: Model) -> None:
        self.encoder = PromptEncoder(model.text_encoders)
        self.room = ReadingRoom(self.encoder)
        self.paid: dict[Session, float] = {}

    def send(self, session: Session, **asked: object) -> Request:
        frame = np.zeros((32, 32, 3), np.uint8)
        request = Request(session, Asked(frame, FrameSettings().changed(**asked), 7), Future())
        self.room.enter([request])
        return request

    def read(self) -> list[Request]:
        return self.room.read(lambda session: self.paid.get(session, 0.0), self.charge)

    def charge(self, session: Session, rows: float) -> None:
        self.paid[session] = self.paid.get(session, 0.0) + rows


@pytest.fixture
def room(tiny_model: Model) -> Room:
    return Room(tiny_model)


@pytest.fixture
def sessions(engine: Engine) -> list[Session]:
    return [engine.open() for _ in range(3)]


def test_ordinary_prompts_are_read_at_once_and_cost_little(room: Room, sessions: list[Session]) -> None:
    sent = [room.send(each, prompt=f"a cat {number}") for number, each in enumerate(sessions)]
    assert room.read() == sent and not room.room
    assert all(0 < room.paid[each] < 0.5 for each in sessions)


def test_what_is_known_costs_nothing_and_overtakes_what_is_read(room: Room, sessions: list[Session]) -> None:
    room.send(sessions[0], prompt="a cat")
    room.read()
    room.paid.clear()
    heavy = room.send(sessions[1], prompt=HEAVY, negative_prompt=f"{HEAVY} a", guidance=2.0)
    known = room.send(sessions[0], prompt="a cat")
    assert room.read() == [known] and sessions[0] not in room.paid
    assert room.read() == [heavy]


def test_three_heavy_prompts_are_read_one_between_two_calls_and_paid_for(room: Room, sessions: list[Session]) -> None:
    blend = {"second_prompt": f"{HEAVY} b", "prompt_blend": 0.5}
    heavy = room.send(sessions[0], prompt=HEAVY, negative_prompt=f"{HEAVY} a", guidance=2.0, **blend)
    rounds = []
    while room.room:
        before = room.encoder.readings
        ready = room.read()
        rounds.append(room.encoder.readings - before)
    assert ready == [heavy] and len(rounds) == 3
    assert READINGS_A_ROW < max(rounds) <= MOST_READINGS
    assert room.paid[sessions[0]] == sum(rounds) / READINGS_A_ROW


def test_who_has_paid_least_is_read_first(room: Room, sessions: list[Session]) -> None:
    room.paid[sessions[0]] = 9.0
    room.send(sessions[0], prompt=HEAVY)
    other = room.send(sessions[1], prompt=f"{HEAVY} a")
    assert room.read() == [other]


def test_a_prompt_that_cannot_be_read_is_looked_at_once(room: Room, sessions: list[Session]) -> None:
    bad = room.send(sessions[0], prompt='("cat", "dog").blend(1)')
    assert room.read() == [bad] and room.encoder.knows('("cat", "dog").blend(1)')
    for _ in range(2):
        with pytest.raises(PromptError):
            room.encoder.encode('("cat", "dog").blend(1)')


def test_nothing_is_read_for_who_has_left(room: Room, sessions: list[Session]) -> None:
    left = room.send(sessions[0], prompt=HEAVY)
    sessions[0].close()
    ((request, error),) = room.room.closed()
    assert request is left and isinstance(error, SessionClosedError) and not room.room


def test_heavy_prompts_come_out_as_they_always_did(engine: Engine, frames: list[Frame]) -> None:
    blend = {"second_prompt": f"{HEAVY} b", "prompt_blend": 0.5}
    asked = FrameSettings().changed(prompt=HEAVY, negative_prompt=f"{HEAVY} a", guidance=2.0, **blend)
    first, second = engine.open(seed=1), engine.open(seed=1)
    pictures = [np.asarray(each.translate(frames[0], asked)) for each in (first, second)]
    assert np.array_equal(*pictures)
