"""What runs on the GPU while it is lent: the newest frame of one visitor, painted again and again.

It runs in a process of its own, so what goes in and what comes out are plain values. It says something at least every
`BEAT_S` seconds: only then can the host end it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from demo.space.lent.slot import Asked, Slot
from pipeline.errors import RearviewError
from pipeline.settings import SettingsError

if TYPE_CHECKING:
    from pipeline import Engine, Session, Translation

CALL_S = 60
"""What a call asks for: half of what somebody who is not logged in has for a day."""

PAINTED_S = 55.0
"""Of it, until the call ends by itself: its memory has to come back within the rest."""

LOOK_EVERY_S = 0.004
BEAT_S = 0.25
REST_S = 8.0
"""Without a new frame a call ends: the visitor's time on the GPU is counted, whether anything is painted or not."""
READABLE = (RearviewError, SettingsError)


@dataclass(frozen=True)
class Lent:
    """What a call begins with: its slot's place in the list, its own number, the session's seed, the seconds that it
    may take, and what the call before left; `None` for nothing."""

    slot: int
    number: int
    seed: int
    seconds: float
    parcel: Any = None


@dataclass(frozen=True)
class Beat:
    """The call lives, and for so many seconds more."""

    left: float


@dataclass(frozen=True)
class Painted:
    """The picture of the frame of this number, or a sentence on why there is none."""

    number: int
    left: float
    translation: Translation | None = None
    error: str = ""


@dataclass(frozen=True)
class Left:
    """The end: what the next call begins with, how often everything had been forgotten before its newest frame (`None`
    where none came), and whether it ended for want of frames."""

    parcel: Any
    resets: int | None
    rested: bool


News = Beat | Painted | Left


def painted(lent: Lent, slots: Sequence[Slot], open_engine: Callable[[], Engine]) -> Iterator[News]:
    """Paint what comes into the slot until the time is up, nothing has come for `REST_S`, or it is to end."""
    slot, ends_at = slots[lent.slot], time.monotonic() + lent.seconds
    with open_engine() as engine, closing(engine.open(seed=lent.seed, size=slot.size)) as session:
        if lent.parcel is not None:
            session.resume(lent.parcel)
        number, resets, came_at, told_at = 0, None, time.monotonic(), 0.0
        while (now := time.monotonic()) < ends_at and now - came_at < REST_S and not slot.is_over_for(lent.number):
            asked = slot.read(lent.number, since=number)
            if asked is None:
                if now - told_at >= BEAT_S:
                    told_at = now
                    yield Beat(ends_at - now)
                time.sleep(LOOK_EVERY_S)
                continue
            if resets not in (None, asked.resets):
                session.reset()
            number, resets, came_at, told_at = asked.number, asked.resets, now, now
            yield answer(session, asked, ends_at)
        yield Left(session.packed(), resets, rested=time.monotonic() - came_at >= REST_S)


def answer(session: Session, asked: Asked, ends_at: float) -> Painted:
    """The picture of a frame, or why there is none."""
    try:
        translation = session.submit(asked.frame, asked.settings, asked.with_map).result()
    except READABLE as error:
        return Painted(asked.number, ends_at - time.monotonic(), error=str(error))
    told = replace(translation, resets=asked.resets)
    return Painted(asked.number, ends_at - time.monotonic(), told)
