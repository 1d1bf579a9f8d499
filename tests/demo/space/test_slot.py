"""The newest frame in memory that two processes share."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import numpy as np
import pytest

from demo.space.lent.slot import Asked, Slot
from pipeline.settings import FrameSettings

SIZE = (24, 16)
CALL = 5


def asked(number: int, value: int | None = None, **settings: Any) -> Asked:
    frame = np.full((SIZE[1], SIZE[0], 3), number % 251 if value is None else value, np.uint8)
    return Asked(number, 0, frame, FrameSettings(**settings))


@pytest.fixture
def slot() -> Slot:
    made = Slot(SIZE)
    made.open_for(CALL)
    return made


def test_the_newest_frame_is_read_once_with_its_settings(slot: Slot) -> None:
    assert slot.read(CALL) is None
    slot.write(asked(1))
    slot.write(asked(2, prompt="é" * 1000, second_prompt="\U0001f58c" * 1000, steps=3))
    read = slot.read(CALL)
    assert read is not None and read.number == 2 and read.frame.shape == (16, 24, 3) and (read.frame == 2).all()
    assert read.settings == FrameSettings(prompt="é" * 1000, second_prompt="\U0001f58c" * 1000, steps=3)
    assert slot.read(CALL, since=2) is None


def test_a_call_reads_nothing_of_another_one_s_and_learns_that_it_is_over(slot: Slot) -> None:
    slot.write(asked(1))
    assert not slot.is_over_for(CALL)
    slot.open_for(CALL + 1)
    assert slot.is_over_for(CALL) and not slot.is_over_for(CALL + 1)
    slot.write(asked(1, value=99))
    assert slot.read(CALL) is None and slot.read(CALL + 1) is not None
    slot.stop()
    assert slot.is_over_for(CALL + 1)


def test_a_frame_of_another_size_is_refused(slot: Slot) -> None:
    with pytest.raises(ValueError, match="needed: uint8"):
        slot.write(Asked(1, 0, np.zeros((8, 8, 3), np.uint8), FrameSettings()))
    assert slot.read(CALL) is None


def _write_on(slot: Slot, number: int) -> None:
    for each in range(1, number + 1):
        slot.write(asked(each))


def test_another_process_never_reads_a_mixture(slot: Slot) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_write_on, args=(slot, 4000))
    writer.start()
    seen, deadline = 0, time.monotonic() + 30
    while seen < 4000 and time.monotonic() < deadline:
        read = slot.read(CALL, since=seen)
        if read is not None:
            assert (read.frame == read.number % 251).all()
            seen = read.number
    writer.join()
    assert seen == 4000
